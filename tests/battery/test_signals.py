"""SIGTERM and Ctrl-C at any moment of each command: its code, soon, and no bug told."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from dllm2rec import cli
from tests.battery.test_kills import NAMES, writers
from tests.battery.test_little import READING
from tests.battery.trials import Tell, Trials
from tests.support.children import ended, forked

pytestmark = [
    pytest.mark.battery,
    pytest.mark.timeout(3600),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]
ENDS = {signal.SIGTERM: 143, signal.SIGINT: 130}
SOON_S = 10.0  # beside other work


@pytest.mark.parametrize("name", [*READING, "export", "train"])
def test_a_signal_at_any_moment_ends_a_command(
    home: Path, tmp_path: Path, name: str, trials: Trials, tell: Tell
) -> None:
    words = READING.get(name) or [*writers(home)[NAMES[-1]].words, "made"]
    if name == "train":
        words = ["train", "--out", "made", "--device", "cpu", "--set", "train.max_epochs=2"]
    ready = tmp_path / "ready"

    def command() -> int:
        os.chdir(home)
        sys.argv = ["dllm2rec", *words]
        own = cli._command

        def telling(*arguments: object) -> int:
            ready.touch()
            return own(*arguments)  # type: ignore[arg-type]

        cli._command = telling
        try:
            cli.run()
        except SystemExit as end:
            return int(end.code or 0)

    shutil.rmtree(home / "made", ignore_errors=True)
    began = time.monotonic()
    if name != "train":
        assert ended(forked(command, tmp_path / "log")) == 0
    seconds = time.monotonic() - began if name != "train" else 5.0
    n_ended = 0
    slowest = 0.0
    for number, chance in enumerate(trials.of(40)):
        shutil.rmtree(home / "made", ignore_errors=True)
        ready.unlink(missing_ok=True)
        log = tmp_path / f"log-{number}"
        child = forked(command, log)
        while not ready.exists():
            time.sleep(0.0005)
        time.sleep(chance.uniform(0.0, seconds))
        sent = chance.choice([*ENDS])
        asked = time.monotonic()
        os.kill(child, sent)
        code = ended(child)
        slowest = max(slowest, time.monotonic() - asked)
        shown = log.read_text()
        assert code in {0, ENDS[sent]}, shown
        assert "Traceback" not in shown
        n_ended += code != 0
    shutil.rmtree(home / "made", ignore_errors=True)
    assert slowest < SOON_S
    counts = {"signals": n_ended, "with another exit code": 0, "s to the end": slowest}
    tell(counts, "commands", name)


@pytest.mark.parametrize("sent", ENDS)
def test_control_a_plain_command_ends_with_another_code(sent: int, tmp_path: Path) -> None:
    ready = tmp_path / "ready"

    def plain() -> int:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        ready.touch()
        while True:
            time.sleep(0.01)

    child = forked(plain, tmp_path / "log")
    while not ready.exists():
        time.sleep(0.001)
    os.kill(child, sent)
    assert ended(child) not in {0, ENDS[signal.Signals(sent)]}
    assert ("Traceback" in (tmp_path / "log").read_text()) == (sent == signal.SIGINT)
