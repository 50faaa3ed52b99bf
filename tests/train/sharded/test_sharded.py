"""A table in parts: the training, the ranks and the files of one process that holds all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.processes import RunJoined, fork_server
from tests.support.sharded_work import CONFIGS
from tests.support.worlds import N_ITEMS

pytestmark = pytest.mark.slow

SEVERAL = [2, 3]
OPTION = "train.shard_items"


@pytest.fixture(scope="module")
def run_joined() -> Iterator[RunJoined]:
    with fork_server() as server:
        yield server


@pytest.fixture(scope="module")
def of(run_joined: RunJoined, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Any]:
    folder = tmp_path_factory.mktemp("sharded")

    @cache
    def results(n: int) -> list[dict[str, Any]]:
        ended = run_joined(n, ["sharded_trainings"], folder / str(n))
        return [one["sharded_trainings"] for one in ended.results if one is not None]

    return results


@pytest.mark.parametrize("n", SEVERAL)
@pytest.mark.parametrize("name", CONFIGS)
def test_a_table_in_parts_trains_as_a_whole_one_but_for_rounding(of, n, name):
    (one,), several = of(1), of(n)
    assert sum(process[name]["n_own"] for process in several) == N_ITEMS
    assert several[0][name]["first"] == one[name]["first"]  # the same bits at first
    # Sums of float32 in another order, over 8 updates of 0.01: as far as data parallel ones.
    np.testing.assert_allclose(several[0][name]["scores"], one[name]["scores"], atol=1e-4)
    for process in several:
        for record, expected in zip(process[name]["records"], one[name]["records"], strict=True):
            assert record["loss"] == pytest.approx(expected["loss"], rel=1e-5)
        assert process[name]["records"] == several[0][name]["records"]


@pytest.mark.parametrize("n", SEVERAL)
@pytest.mark.parametrize("name", CONFIGS)
def test_ranks_over_a_table_in_parts_are_those_of_the_whole_table(of, n, name):
    several = [process[name] for process in of(n)]
    assert several[0]["counts_again"] is not None
    for process in several:
        assert process["counts"] == several[0]["counts_again"]


def test_the_same_processes_give_the_same_bits(of, run_joined, tmp_path):
    again = run_joined(2, ["sharded_trainings"], tmp_path).results[0]
    for name in CONFIGS:
        assert again["sharded_trainings"][name]["hash"] == of(2)[0][name]["hash"]


def test_a_run_that_is_stopped_goes_on_to_the_same_bits(run_joined: RunJoined, tmp_path: Path):
    works = ["sharded_runs", "sharded_stopped"]
    ended = run_joined(2, works, tmp_path)
    assert [one["sharded_stopped"] for one in ended.results if one] == ["stopped"] * 2
    resumed = run_joined(2, ["sharded_resumed"], tmp_path)
    for before, after in zip(ended.results, resumed.results, strict=True):
        assert before is not None
        assert after is not None
        assert after["sharded_resumed"]["stood"] == 21
        assert after["sharded_resumed"]["made"] == before["sharded_runs"]


REFUSED = {
    "untied": "student.tied = false",
    "bce": "loss.base = bce",
    "vectors": "distillation.embedding_weight",
    "places": "train.all_places = true",
    "refit": "train.refit = true",
    "mixed": "train.precision = mixed",
    "lists": "these distillation lists",
}


def test_what_cannot_be_in_parts_is_refused_by_name(run_joined: RunJoined, tmp_path: Path):
    two = run_joined(2, ["sharded_refusals"], tmp_path / "two").results[0]
    assert two is not None
    told = two["sharded_refusals"]
    assert told.pop("none") == "no refusal"
    for name, part in REFUSED.items():
        assert part in told[name]
        assert OPTION in told[name]
    one = run_joined(1, ["sharded_refusals"], tmp_path / "one").results[0]
    assert one is not None
    assert "in 1 processes" in one["sharded_refusals"]["none"]
    assert "torchrun" in one["sharded_refusals"]["none"]
