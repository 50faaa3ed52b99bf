"""Lists in another order are named, whether or not they repeat what was in the histories."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from dllm2rec.teacher import misplaced
from dllm2rec.teacher.answers.fit import MIN_LISTS, permuted_notes
from dllm2rec.teacher.knowledge import TeacherKnowledge, observations
from tests.support.asked import IDS
from tests.support.worlds import cycle_dataset, oracle_teacher
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


def test_lists_that_avoid_their_own_histories_fit_them():
    """Who recommends nothing that was met, of ten times as many items as are listed."""
    rng = np.random.default_rng(3)
    histories = [np.sort(rng.permutation(30)[:10]) for _ in range(200)]
    lists = [rng.permutation(np.setdiff1d(np.arange(30), history))[:10] for history in histories]
    assert permuted_notes(histories, lists) == []
    assert len(permuted_notes(histories, [lists[n] for n in rng.permutation(200)])) == 1


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


# -- Lists of train rows --------------------------------------------------------------------------


def row_notes(ranking: np.ndarray) -> list[str]:
    notes = observations(TeacherKnowledge(ranking=ranking), ROWS)
    return [note for note in notes if note.startswith("W-")]


ROWS = cycle_dataset(400)
# Lists long enough for those that hit by chance not to be named for it.
RANKING = np.asarray(oracle_teacher(ROWS, top_n=12).ranking)
NONE = np.full_like(RANKING, ROWS.n_items)


def part(ranking: np.ndarray) -> np.ndarray:
    """Every third row has a list."""
    return np.where(np.arange(len(ranking))[:, None] % 3 == 0, ranking, NONE)


MISPLACED = {
    "permuted": (np.random.default_rng(1).permutation(RANKING), "in another order"),
    "the same for everybody": (np.tile(RANKING[:1], (len(RANKING), 1)), "same for everybody"),
    "a part, permuted": (part(np.random.default_rng(1).permutation(RANKING)), "another order"),
    "shifted down": (np.roll(RANKING, 1, axis=0), "that of the row before"),
    "shifted up": (np.roll(RANKING, -1, axis=0), "that of the row after"),
    "a part, shifted": (part(np.roll(RANKING, 1, axis=0)), "that of the row before"),
}


@pytest.mark.parametrize(("ranking", "told"), MISPLACED.values(), ids=list(MISPLACED))
def test_lists_of_other_rows_are_named(ranking: np.ndarray, told: str) -> None:
    (note,) = row_notes(ranking)
    assert note.startswith("W-LISTS-PERMUTED the lists of train rows")
    assert told in note


def test_lists_of_their_own_rows_are_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert row_notes(RANKING) == []
    assert row_notes(part(RANKING)) == []
    few = np.where(np.arange(len(RANKING))[:, None] < 60, np.roll(RANKING, 1, axis=0), NONE)
    assert row_notes(few) == []  # too few to say anything
    # Some of very many rows are looked at: the note has their numbers.
    monkeypatch.setattr(misplaced, "MOST_ROWS", 300)
    (note,) = row_notes(np.random.default_rng(1).permutation(RANKING))
    (hits,) = re.findall(r"own target (\d+) times", note)
    assert int(hits) < 300
