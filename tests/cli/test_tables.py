"""Tables as people see them."""

from __future__ import annotations

from dllm2rec.cli.output.tables import metric_table, print_table, recommendation_table
from dllm2rec.tracking.metric_table import MetricRow, MetricTable, Recommendation, shown_metrics

TABLE = MetricTable(
    "games, test",
    (
        MetricRow("popularity", {"hr@10": 0.01, "ndcg@10": 0.005, "hr@20": 0.02, "ndcg@20": 0.01}),
        MetricRow("sasrec + DLLM2Rec [k=.3]", {"hr@10": 0.08, "hr@20": 0.1, "ndcg@20": 0.04}),
    ),
    n_rows=14980,
    n_items=17408,
)

LIST = [Recommendation(1, "a,1", "Ünder [b]", 0.5), Recommendation(2, "b", None, 0.25)]


def printed(capsys, table) -> list[str]:
    print_table(table)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_metric_table_is_aligned_and_marks_the_best(capsys):
    title, header, first, second = printed(capsys, metric_table(TABLE))
    assert (
        title == "games, test: 14,980 rows, full ranking over 17,408 items, seen items not masked"
    )
    assert header.split() == ["hr@10", "ndcg@10", "hr@20", "ndcg@20"]
    assert first.split() == ["popularity", "0.0100", "*0.0050", "0.0200", "0.0100"]
    assert second.split() == ["sasrec", "+", "DLLM2Rec", "[k=.3]", "*0.0800", "-", "*0.1000",
                              "*0.0400"]  # fmt: skip
    assert first.index("0.0200") == second.index("0.1000")
    assert first.index("0.0200") + len("0.0200") == header.index("hr@20") + len("hr@20")


def test_the_line_above_a_table_is_not_wrapped(capsys):
    table = MetricTable("a dataset with a long name, validation", TABLE.rows, 10**9, 10**9)
    assert printed(capsys, metric_table(table))[0].endswith("seen items not masked")


def test_a_single_scorer_is_best_of_nothing(capsys):
    table = MetricTable("t", TABLE.rows[:1], 1, 2)
    assert "*" not in "".join(printed(capsys, metric_table(table)))


def test_metric_table_says_when_seen_items_are_masked():
    table = MetricTable("t", TABLE.rows, 1, 2, exclude_seen=True)
    assert table.protocol() == "1 rows, full ranking over 2 items, seen items masked"


def test_metric_table_marks_every_scorer_that_is_equal_to_four_digits(capsys):
    rows = tuple(MetricRow(name, {"hr@1": 0.5}) for name in "ab")
    lines = printed(capsys, metric_table(MetricTable("t", rows, 1, 2)))
    assert [line.split()[-1] for line in lines[2:]] == ["*0.5000", "*0.5000"]


def test_shown_metrics_are_hr_and_ndcg_at_the_two_largest_k():
    keys = [f"{name}@{k}" for k in (1, 100, 20) for name in ("hr", "mrr", "ndcg")]
    row = MetricRow("a", dict.fromkeys([*keys, "tie_rate"], 0.0))
    assert shown_metrics([row]) == ["hr@20", "ndcg@20", "hr@100", "ndcg@100"]


def test_tables_are_whole_on_a_terminal_of_one_column(capsys, monkeypatch):
    wide = printed(capsys, metric_table(TABLE))
    monkeypatch.setenv("COLUMNS", "1")
    assert printed(capsys, metric_table(TABLE)) == wide


def test_recommendation_table_shows_ids_and_titles_as_they_are(capsys):
    header, first, second = printed(capsys, recommendation_table(LIST))
    assert header.split() == ["rank", "item", "title", "score"]
    assert first.split() == ["1", "a,1", "Ünder", "[b]", "0.5000"]
    assert second.split() == ["2", "b", "0.2500"]
    header, _ = printed(capsys, recommendation_table(LIST[1:]))
    assert "title" not in header
