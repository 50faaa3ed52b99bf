"""The first sentence of a report, and what a reader is warned of."""

from __future__ import annotations

from typing import Any

import pytest

from dllm2rec.report.conclusion import conclusion_of
from dllm2rec.runs.run_manifest import RunManifest
from dllm2rec.runs.run_result import RunResult
from dllm2rec.tracking.metric_table import ResultRow

KEY = "ndcg@20"
GRID = {"distillation": {"ranking_weight": [0.0, 0.25, 0.5]}, "train": {"max_epochs": 9}}


def row(name: str, test: float, validation: float | None = None, **detail: float) -> ResultRow:
    return ResultRow(name, {KEY: test if validation is None else validation}, {KEY: test}, detail)


def conclusion(
    *rows: ResultRow,
    n_seeds: int = 1,
    config: dict[str, Any] | None = None,
    teacher_ms: float | None = None,
) -> Any:
    result = RunResult(
        "runs/a",
        "a",
        9,
        9,
        9,
        9,
        exclude_seen=False,
        device="cpu",
        seconds=1.0,
        rows=list(rows),
        notes=[],
    )
    manifest = RunManifest(
        format=2,
        source=None,
        dataset="a",
        fingerprint="",
        seed=0,
        config=GRID if config is None else config,
        device="cpu",
        threads=1,
        python="3",
        platform="",
        versions={},
        n_seeds=n_seeds,
        teacher_ms=teacher_ms,
    )
    return conclusion_of(result, manifest)


UNTRAINED = row("popularity", 0.01), row("window counts", 0.05)
TAUGHT = row("sasrec + dllm2rec", 0.082, epoch=4.0, ranking_weight=0.25)
ALONE = row("sasrec", 0.06, epoch=4.0, ranking_weight=0.0)


def test_the_sentence_has_teacher_student_alone_and_counts() -> None:
    found = conclusion(*UNTRAINED, row("teacher", 0.1), ALONE, TAUGHT)
    assert found.sentence() == (
        "sasrec + dllm2rec reaches 82 % of the teacher's NDCG@20, +37 % over sasrec alone; "
        "above window counts by 64 %."
    )
    assert found.lines() == []


def test_the_time_stands_beside_the_share_where_both_times_are_known() -> None:
    teacher = row("teacher", 0.1)
    timed = row("sasrec + dllm2rec", 0.082, epoch=4.0, ranking_weight=0.25, answer_ms=0.05)
    told = conclusion(*UNTRAINED, teacher, ALONE, timed, teacher_ms=450.0).sentence()
    assert "82 % of the teacher's NDCG@20 at 1/9,000 of its time, scoring in batches" in told
    assert "time" not in conclusion(*UNTRAINED, teacher, ALONE, timed).sentence()
    assert "time" not in conclusion(*UNTRAINED, teacher, ALONE, TAUGHT, teacher_ms=450.0).sentence()


def test_the_student_is_chosen_on_validation_and_not_on_the_test_rows() -> None:
    other = row("gru4rec + dllm2rec", 0.09, 0.01, epoch=4.0, ranking_weight=0.25)
    assert conclusion(*UNTRAINED, ALONE, TAUGHT, other).student == "sasrec + dllm2rec"


def test_another_student_that_is_best_alone_is_named_as_that() -> None:
    better = row("gru4rec", 0.07, epoch=4.0, ranking_weight=0.0)
    text = conclusion(*UNTRAINED, ALONE, TAUGHT, better).sentence()
    assert "+17 % over gru4rec alone, the best without the teacher" in text


def test_a_student_above_its_teacher_says_so() -> None:
    text = conclusion(*UNTRAINED, row("teacher", 0.04), ALONE, TAUGHT).sentence()
    assert text.startswith("sasrec + dllm2rec is above its teacher by 105 % (NDCG@20), +37 %")


def test_a_loss_is_told_as_a_loss() -> None:
    text = conclusion(row("popularity", 0.01), row("sasrec", 0.1, epoch=4.0), TAUGHT).sentence()
    assert "-18 % over sasrec alone" in text


def test_without_a_teacher_the_figure_is_told() -> None:
    found = conclusion(*UNTRAINED, ALONE)
    assert found.sentence() == (
        "sasrec reaches NDCG@20 0.0600 on the test rows; above window counts by 20 %."
    )


@pytest.mark.parametrize(
    ("taught", "line"),
    [
        (row("sasrec + dllm2rec", 0.04, epoch=4.0), "is below window counts (ndcg@20)"),
        (row("sasrec + dllm2rec", 0.2, epoch=9.0), "is best at its last epoch (ndcg@20)"),
    ],
)
def test_no_percentage_of_a_student_that_is_not_yet_trained(taught: ResultRow, line: str) -> None:
    found = conclusion(*UNTRAINED, row("teacher", 0.1), ALONE, taught)
    assert "%" not in found.sentence()
    assert line in found.lines()[0]


def test_a_student_alone_that_is_not_yet_trained_is_no_measure() -> None:
    alone = row("sasrec", 0.06, epoch=9.0)
    assert conclusion(*UNTRAINED, row("teacher", 0.1), alone, TAUGHT).sentence() == (
        "sasrec + dllm2rec reaches 82 % of the teacher's NDCG@20; above window counts by 64 %."
    )


def test_one_seed_matters_where_a_difference_is_small_and_seeds_are_few() -> None:
    near = row("sasrec", 0.08, epoch=4.0)
    (line,) = conclusion(*UNTRAINED, near, TAUGHT).lines()
    assert line.startswith("one seed")
    assert conclusion(*UNTRAINED, near, TAUGHT, n_seeds=3).lines() == []


@pytest.mark.parametrize(
    ("grid", "weight", "said"),
    [
        ([0.0, 0.25, 0.5], 0.5, "larger"),
        ([0.25, 0.5, 0.75], 0.25, "smaller"),
        ([0.0, 0.25, 1.0], 1.0, None),  # 1 is all of a soft target
        ([0.0, 0.25, 1.0], 0.0, None),
        ([0.25], 0.25, None),
        (0.25, 0.25, None),
    ],
)
def test_a_value_at_the_edge_of_its_grid_is_named(grid: Any, weight: float, said: Any) -> None:
    taught = row("sasrec + dllm2rec", 0.082, epoch=4.0, ranking_weight=weight)
    config = {"distillation": {"ranking_weight": grid}}
    lines = conclusion(*UNTRAINED, ALONE, taught, config=config).lines()
    chose = f"validation chose ranking_weight {weight:g}, at the edge of its grid"
    expected = f"sasrec + dllm2rec: {chose}; {said} ones were not tried"
    assert lines == ([] if said is None else [expected])


def test_a_run_of_no_student_concludes_nothing() -> None:
    assert conclusion(*UNTRAINED).sentence() == "No student has been trained."
