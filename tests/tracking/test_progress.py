"""What is told while a run waits."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

import pytest

from dllm2rec.tracking.progress import Silent, wait_at_stage


class Stages(Silent):
    """What was told, and an event for when it was told again."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.again = Event()

    def stage(self, text: str) -> None:
        self.texts.append(text)
        if len(self.texts) == 3:
            self.again.set()


def test_a_wait_is_told_again_until_it_ends() -> None:
    told = Stages()
    with ThreadPoolExecutor(1) as pool:
        wait_at_stage(pool.submit(told.again.wait, 60), told, "counting", every_s=0.01)
    assert told.texts[0] == "counting"
    assert all(text.startswith("counting, ") and "s so far" in text for text in told.texts[1:])
    assert len(told.texts) >= 3


def test_what_the_work_raised_is_raised() -> None:
    failed: Future[None] = Future()
    failed.set_exception(KeyError("x"))
    with pytest.raises(KeyError):
        wait_at_stage(failed, Silent(), "counting")
