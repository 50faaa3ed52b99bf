"""Comparisons of files and runs: what is compared with what, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dllm2rec.comparisons.compare import compare, compare_rows
from dllm2rec.comparisons.merge import contenders
from dllm2rec.comparisons.paired import holm, paired_difference
from dllm2rec.errors import ConfigError, InputError
from dllm2rec.evaluate.metrics import RankCounts, row_values
from dllm2rec.evaluate.rows.per_row_file import write_per_row
from dllm2rec.evaluate.rows.scored_rows import RowsIdentity, ScoredRows, Scorer
from tests.support.worlds import N_ITEMS, cycle_dataset

DATASET = cycle_dataset()
IDENTITY = RowsIdentity.of(DATASET, "test", exclude_seen=False)


def counts(seed: int, most: int = N_ITEMS) -> RankCounts:
    ranks = np.random.default_rng(seed).integers(0, most, IDENTITY.n_rows)
    return RankCounts(ranks, np.zeros_like(ranks))


def of(*scorers: Scorer, identity: RowsIdentity = IDENTITY) -> ScoredRows:
    return ScoredRows(identity, scorers)


BASELINES = (Scorer("popularity", counts(1)), Scorer("window counts", counts(2, 12)))
TEACHER = Scorer("teacher", RankCounts(np.minimum(counts(3).greater, 5), counts(3).equal), depth=5)
STUDENTS = (
    Scorer("sasrec", counts(4, 15), 0, settings="a"),
    Scorer("sasrec+dllm2rec", counts(5, 9), 0, settings="a"),
)


def test_everything_is_compared_with_the_best_that_needs_no_training() -> None:
    found = compare(of(*BASELINES, TEACHER, *STUDENTS), metrics=["ndcg@5", "hr@20"])
    assert found.against == "window counts"
    assert found.reason == "the best by ndcg@5 of what needs no training"
    first = found.of_metric("ndcg@5")
    names = ["popularity", "window counts", "teacher", "sasrec", "sasrec+dllm2rec"]
    assert [row.name for row in first] == names
    # A list of five says nothing of twenty.
    assert [row.name for row in found.of_metric("hr@20")] == [n for n in names if n != "teacher"]
    assert "hr@20: no value of teacher, whose lists are shorter" in found.notes
    assert found.n_comparisons == 4 + 3
    values = [row_values(s.counts, "ndcg@5") for s in (STUDENTS[1], BASELINES[1])]
    expected = paired_difference(values[:1], values[1:])
    assert first[-1].difference == expected
    assert first[-1].value == pytest.approx(values[0].mean())
    assert first[1].difference is first[1].p_holm is None
    p_values = [row.difference.p for row in found.rows if row.difference is not None]
    adjusted = [row.p_holm for row in found.rows if row.difference is not None]
    assert adjusted == holm(p_values)
    assert any("one training each of sasrec, sasrec+dllm2rec" in note for note in found.notes)


def test_the_reference_is_the_one_asked_for_or_the_first_student_alone() -> None:
    assert compare(of(*BASELINES, *STUDENTS), against="sasrec").reason == "as asked"
    taught_first = of(STUDENTS[1], STUDENTS[0])
    found = compare(taught_first)
    assert (found.against, found.reason) == ("sasrec", "the first student alone")
    others = of(Scorer("a", counts(1)), Scorer("b", counts(2)))
    assert compare(others).against == "a"
    with pytest.raises(ConfigError, match="expected one of popularity, window counts, sasrec"):
        compare(of(*BASELINES, *STUDENTS), against="gru4rec")
    with pytest.raises(ConfigError, match="teacher lists 5 items"):
        compare(of(TEACHER, *STUDENTS), against="teacher", metrics="ndcg@20")


def test_seeds_of_one_scorer_are_brought_together_from_wherever_they_are() -> None:
    one = of(*BASELINES, *STUDENTS)
    two = of(*BASELINES, replace(STUDENTS[0], counts=counts(7), seed=1), STUDENTS[1])
    found = contenders([("runs/a", one), ("runs/b", two)])
    assert [(c.name, c.seeds) for c in found] == [
        ("popularity", ()),
        ("window counts", ()),
        ("sasrec", (0, 1)),
        ("sasrec+dllm2rec", (0,)),
    ]
    compared = compare([one, two])
    row = compared.of_metric("ndcg@20")[2]
    assert row.seeds == (0, 1)
    assert row.deviation is not None
    assert row.difference is not None
    assert row.difference.test == "t"


def test_scorers_of_one_name_that_differ_are_called_by_their_source() -> None:
    other = replace(STUDENTS[0], counts=counts(8), settings="b")
    unknown = Scorer("bert", counts(9))
    sources = [
        ("runs/a", of(STUDENTS[0], unknown)),
        ("b.parquet", of(other, replace(unknown, counts=counts(6)))),
    ]
    names = [one.name for one in contenders(sources)]
    assert names == ["sasrec (a)", "bert (a)", "sasrec (b)", "bert (b)"]
    sources = [("x/rows.parquet", of(STUDENTS[0])), ("y/rows.parquet", of(other))]
    names = [one.name for one in contenders(sources)]
    assert names == ["sasrec (x/rows.parquet)", "sasrec (y/rows.parquet)"]
    # The same seed twice, with other ranks: no two seeds of one scorer.
    again = replace(STUDENTS[0], counts=counts(8))
    assert len(contenders([("a", of(STUDENTS[0])), ("b", of(again))])) == 2


def test_trainings_whose_settings_are_not_known_are_no_seeds_of_each_other() -> None:
    one, two = (Scorer("bert", counts(seed), seed) for seed in (1, 2))
    names = [c.name for c in contenders([("a", of(one)), ("b", of(two))])]
    assert names == ["bert (a)", "bert (b)"]


def test_sources_of_different_rows_are_refused_and_both_are_named(tmp_path: Path) -> None:
    files = {}
    for name, dataset, split, exclude_seen in (
        ("test", DATASET, "test", False),
        ("masked", DATASET, "test", True),
        ("validation", DATASET, "validation", False),
        ("other", cycle_dataset(seed=1), "test", False),
        (
            "renamed",
            replace(
                DATASET,
                catalogue=replace(DATASET.catalogue, item_ids=[f"i{n}" for n in range(N_ITEMS)]),
            ),
            "test",
            False,
        ),
    ):
        identity = RowsIdentity.of(dataset, split, exclude_seen=exclude_seen)
        files[name] = tmp_path / f"{name}.parquet"
        write_per_row(files[name], of(*BASELINES, *STUDENTS, identity=identity), dataset)
    for name, words in {
        "masked": "seen items not masked, .*masked.parquet: seen items masked, .* candidates",
        "validation": "test rows, .*validation.parquet: validation rows, expected the same split",
        "other": r"120 test rows of cycle \(.*other.parquet: 120 test rows .*the same rows",
        "renamed": r"items \(.*renamed.parquet: .* items \(.*the same catalogue",
    }.items():
        with pytest.raises(InputError, match=f"test.parquet: .*{words}"):
            compare([files["test"], files[name]])
    assert compare([files["test"], files["test"]]).n_comparisons == 3


def test_what_cannot_be_compared_is_refused_before_any_work(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere.parquet"
    with pytest.raises(ConfigError, match="such as ndcg@20"):
        compare(missing, metrics="ndcg")
    with pytest.raises(ConfigError, match="no source"):
        compare([])
    with pytest.raises(ConfigError, match="no metric"):
        compare(missing, metrics=[])
    with pytest.raises(InputError, match="no such file"):
        compare(missing)
    with pytest.raises(ConfigError, match="popularity alone, expected a scorer"):
        compare(of(BASELINES[0]))
    with pytest.raises(ConfigError, match=f"a k of at most {N_ITEMS}"):
        compare(of(*BASELINES), metrics=f"hr@{N_ITEMS + 1}")


def test_a_comparison_shows_itself_and_is_json() -> None:
    found = compare(of(*BASELINES, *STUDENTS))
    text = repr(found)
    assert "cycle, test: 120 rows, full ranking over" in text
    assert "against window counts, the best by ndcg@20" in text
    told = found.as_json()
    assert told["n_comparisons"] == 3
    assert told["rows"][0]["difference"]["p"] == found.rows[0].difference.p  # type: ignore[union-attr]
    assert told["identity"]["rows"] == IDENTITY.rows


def test_users_are_drawn_only_where_a_source_says_whose_rows_they_are() -> None:
    scored = of(*BASELINES, *STUDENTS)
    asked: dict[str, Any] = {"against": None, "metrics": "ndcg@5", "seed": 0}
    with pytest.raises(InputError, match="does not say whose its rows are"):
        compare_rows([("a", scored)], **asked, by="user")
    known = replace(scored, users=np.arange(scored.identity.n_rows) // 3)
    by_user = compare_rows([("a", scored), ("b", known)], **asked, by="user")
    assert by_user.by == "user"
    assert "rows of one user drawn together" in by_user.protocol()
    by_row = compare_rows([("a", scored), ("b", known)], **asked)
    assert by_user.rows != by_row.rows
    assert compare(known, metrics="ndcg@5", by="user").rows == by_user.rows
    assert compare(known, metrics="ndcg@5").rows == by_row.rows
    with pytest.raises(ConfigError, match="by = 'users', expected one of row, user"):
        compare("nowhere", by="users")
