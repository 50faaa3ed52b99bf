"""The table of made-up trainings, against figures computed by hand."""

from __future__ import annotations

import statistics

import pytest

from dllm2rec.rerun.paper.cells import Cell, all_cells
from dllm2rec.rerun.paper.plan import Recipes, Record, plan
from dllm2rec.rerun.paper.table import PaperTable, make_table
from dllm2rec.rerun.paper.texts import HEADS, lines, markdown
from tests.rerun.paper.conftest import Fake

pytestmark = pytest.mark.usefixtures("small")
ALONE = (0.2, 0.25, 0.4)  # test HR of each seed; NDCG is half of it
TAUGHT = (0.3, 0.3, 0.6)


@pytest.fixture
def table(recipes: Recipes, fake: Fake) -> PaperTable:
    """Two datasets: on `a` validation likes the teacher, on `b` it does not."""
    cells = all_cells(["a", "b"], ["students", "controls"], "sasrec")
    done: dict[str, Record] = {}
    while ready := [job for cell in cells for job in plan(cell, recipes, done).ready]:
        for job in ready:
            seed = job.config.train.seed
            is_taught = job.teacher == "own" and job.dataset == "a"
            tests = TAUGHT if is_taught else ALONE
            validation = 0.6 if is_taught else 0.5 if job.teacher is None else 0.1
            done[job.key] = fake(job, validation, tests[seed])
    return make_table("runs/paper", cells, recipes, done)


def test_gains_are_those_of_a_plain_computation(table: PaperTable) -> None:
    gains = [ours / theirs - 1 for ours, theirs in zip(TAUGHT, ALONE, strict=True)]
    (row,) = (one for one in table.rows if (one.dataset, one.method) == ("a", "dllm2rec"))
    assert row.against == "alone"
    assert row.metrics["hr@20"].mean == pytest.approx(statistics.fmean(TAUGHT))
    assert row.metrics["ndcg@20"].deviation == pytest.approx(statistics.stdev(TAUGHT) / 2)
    for name in ("hr@20", "ndcg@20"):
        assert row.gains[name].mean == pytest.approx(statistics.fmean(gains))
        half = 4.302652729911275 * statistics.stdev(gains) / 3**0.5
        assert row.gains[name].high == pytest.approx(statistics.fmean(gains) + half)
    # Over two datasets, one student and two metrics; on b nothing was taken from the teacher.
    assert table.n_cells == 4
    assert table.mean_gain is not None
    assert table.mean_gain.mean == pytest.approx(statistics.fmean(gains) / 2)
    assert table.mean_gain.n_seeds == 3


def test_controls_that_change_nothing_are_noise(table: PaperTable) -> None:
    controls = table.of_part("controls")
    assert len(controls) == 4
    assert all(row.is_noise for row in controls)
    assert "beyond noise in 0 of 4 cells" in "\n".join(lines(table))
    assert table.n_left == 0


def test_the_page_has_a_line_for_each_row(table: PaperTable) -> None:
    page = markdown(table)
    heads = f"| {' | '.join(HEADS)} |"
    assert page.count(heads) == 2
    assert sum(line.startswith(("| a |", "| b |")) for line in page.splitlines()) == len(table.rows)


def test_a_table_that_is_not_done_says_what_is_missing(recipes: Recipes, fake: Fake) -> None:
    cells = all_cells(["a"], ["students"], "sasrec")
    done = {
        job.key: fake(job, 0.5, 0.2)
        for job in plan(Cell("students", "a", "sasrec", "alone"), recipes, {}).ready[:2]
    }
    table = make_table("runs/paper", cells, recipes, done)
    assert [(row.method, row.metrics["hr@20"].n_seeds) for row in table.rows] == [("alone", 2)]
    assert table.mean_gain is None
    assert table.n_left > 0
    assert "trainings are missing" in "\n".join(lines(table))
