"""Lists in another order are named, whether or not they repeat what was in the histories."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from dllm2rec.teacher.answers.fit import MIN_LISTS, permuted_notes
from tests.support.asked import IDS
from tests.teacher.test_answers import jsonl, read

Lists = list[npt.NDArray[np.int64]]


def answers(n: int, *, repeats: bool) -> tuple[Lists, Lists]:
    """Users of ten tastes, and lists of their taste: of any items, or of none in the history."""
    rng = np.random.default_rng(3)
    histories, lists = [], []
    for taste in rng.integers(0, 10, n):
        own = rng.permutation(40)
        drawn = rng.integers(0, 400, 10)  # of any taste
        history = np.unique(np.concatenate([own[:10] * 10 + taste, drawn]))
        listed = own[5:15] if repeats else own[10:20]
        histories.append(history)
        lists.append(np.setdiff1d(listed * 10 + taste, [] if repeats else history))
    return histories, lists


@pytest.mark.parametrize("repeats", [True, False])
def test_lists_in_another_order_are_named(repeats: bool):
    histories, lists = answers(200, repeats=repeats)
    assert permuted_notes(histories, lists) == []
    order = np.random.default_rng(5).permutation(len(lists))
    for wrong in (order, np.roll(np.arange(len(lists)), 1)):
        (note,) = permuted_notes(histories, [lists[n] for n in wrong])
        assert note.startswith("W-LISTS-PERMUTED 200 lists")
    few = MIN_LISTS - 1
    assert permuted_notes(histories[:few], [lists[n] for n in order[:few]]) == []


def test_one_list_for_everybody_is_named():
    histories, lists = answers(100, repeats=True)
    assert len(permuted_notes(histories, [lists[0]] * 100)) == 1


def test_it_is_said_on_import(tmp_path: Path):
    rng = np.random.default_rng(1)
    data = jsonl(
        *[
            {
                "history": [IDS[i] for i in rng.permutation(14)[:5]],
                "item_ids": [IDS[i] for i in rng.permutation(14)[:5]],
            }
            for _ in range(80)
        ]
    )
    assert any("W-LISTS-PERMUTED" in note for note in read(tmp_path, "a.jsonl", data).notes)
