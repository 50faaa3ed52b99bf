"""Lists for many histories, in blocks, and for histories longer than the student reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from dllm2rec.serve import histories as reading
from dllm2rec.serve.recommend import recommend
from tests.support.worlds import LENGTH, N_ITEMS
from tests.train.test_train_run import CONFIG, changed, train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serve") / "cycle-1"
    train(folder, changed(CONFIG, train={"max_epochs": 1}), baseline=False)
    return folder


def ids(*items: int) -> list[str]:
    return [f"item-{item % N_ITEMS}" for item in items]


def test_the_number_of_items_is_taken_by_its_former_name(run: Path) -> None:
    (named,) = recommend(run, [[*ids(1, 2)]], n=2, device="cpu")  # type: ignore[call-arg]
    assert len(named) == 2
    with pytest.raises(TypeError, match="'n'"):
        recommend(run, [ids(1)], k=1, n=2)  # type: ignore[call-arg]


def test_lists_do_not_depend_on_the_blocks(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    histories = [ids(*range(first, first + 1 + first % 4)) for first in range(7)]
    whole = recommend(run, histories, k=3, device="cpu")
    monkeypatch.setattr(reading, "BLOCK_ROWS", 3)
    blocks = recommend(run, histories, k=3, device="cpu")
    assert [[place.item_id for place in row] for row in blocks] == [
        [place.item_id for place in row] for row in whole
    ]
    assert len(whole) == 7


def test_every_item_of_a_long_history_is_left_out(run: Path) -> None:
    history = ids(*range(LENGTH + 4))
    (listed,) = recommend(run, [history], k=N_ITEMS, device="cpu")
    assert {place.item_id for place in listed} == set(ids(*range(N_ITEMS))) - set(history)


def test_only_the_last_items_of_a_history_count(run: Path) -> None:
    last = range(10, 10 + LENGTH)
    lists = [
        recommend(run, [ids(*first, *last)], k=4, exclude_seen=False, device="cpu")
        for first in ((), (1, 2, 3))
    ]
    assert lists[0] == lists[1]
