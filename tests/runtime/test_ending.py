"""Ctrl-C and SIGTERM: wherever they come, the command ends, once, with their code."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

# Each of them loses an exception that is raised in it.
LOSING = {
    "finalizer": """
class Lost:
    def __del__(self):
        end = time.monotonic() + 0.5
        while time.monotonic() < end: pass
def work(words):
    print("ready", flush=True)
    Lost()
    time.sleep(20)
""",
    "caught": """
def work(words):
    print("ready", flush=True)
    try:
        time.sleep(0.5)
    except BaseException:
        pass
    time.sleep(20)
""",
    "another error": """
def work(words):
    print("ready", flush=True)
    try:
        time.sleep(0.5)
    except BaseException as err:
        raise ImportError("it could not be loaded") from None
""",
    "cleaning up": """
def work(words):
    print("ready", flush=True)
    try:
        time.sleep(20)
    finally:
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            try: raise OSError
            except OSError: pass
        print("cleaned", flush=True)
""",
    "at its end": """
def work(words):
    print("ready", flush=True)
    try:
        time.sleep(0.02)
    except BaseException:
        return 0
    time.sleep(20)
""",
}
PROGRAM = """
import sys, time
from dllm2rec import cli
{work}
cli._run = work
cli.run()
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", LOSING)
@pytest.mark.parametrize(
    ("signum", "code", "line"),
    [(signal.SIGTERM, 143, "terminated\n"), (signal.SIGINT, 130, "interrupted\n")],
)
def test_a_signal_is_not_lost(tmp_path: Path, name: str, signum: int, code: int, line: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(work=LOSING[name])],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.01)
        process.send_signal(signum)
        out, shown = process.communicate(timeout=15)
    assert (process.returncode, shown) == (code, line)
    assert out == ("cleaned\n" if name == "cleaning up" else "")
    assert list(tmp_path.iterdir()) == []  # what a signal broke is no bug to report


def test_ctrl_c_while_text_is_run_gives_130(tmp_path: Path) -> None:
    # Run as a module: of the ways to start a program the one after which Python itself would send
    # SIGINT once more.
    work = "def work(words):\n    exec('raise KeyboardInterrupt')\n"
    (tmp_path / "program.py").write_text(PROGRAM.format(work=work), encoding="utf-8")
    command = [sys.executable, "-m", "program"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (130, "interrupted\n")


def is_taken_over(pid: int) -> bool:
    """Whether the process handles SIGALRM, which it does as soon as it handles the others."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return False
    caught = next((line for line in status.splitlines() if line.startswith("SigCgt")), "0")
    return bool(int(caught.split()[-1], 16) >> (signal.SIGALRM - 1) & 1)


def interrupted_after(words: list[str], delay_s: float, folder: Path) -> tuple[int, str]:
    """Start a command, send it Ctrl-C so many seconds after its first line, and let it end."""
    with subprocess.Popen(
        [sys.executable, "-m", "dllm2rec", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    ) as process:
        while not is_taken_over(process.pid) and process.poll() is None:
            time.sleep(0.001)
        time.sleep(delay_s)
        process.send_signal(signal.SIGINT)
        _, shown = process.communicate(timeout=60)
    return process.returncode, shown


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(
    "words",
    [
        ["recommend", "nowhere", "--history", "a"],
        ["plan", "--set", "train.max_epochs=1"],
        ["train", "--set", "train.max_epochs=50", "--out", "run", "--overwrite"],
    ],
    ids=lambda words: words[0],
)
def test_ctrl_c_at_any_moment_gives_130(words: list[str], tmp_path: Path) -> None:
    chance = random.Random(len(words))
    for number in range(8):
        # Most of the first seconds are imports.
        code, shown = interrupted_after(
            words, 0.0 if number == 0 else chance.random() * 4, tmp_path
        )
        if "nowhere" in shown:
            continue  # it had ended
        lines = [line for line in shown.splitlines() if "interrupted" in line]
        assert (code, lines) == (130, ["interrupted"]), shown
        assert "Traceback" not in shown
        assert "KeyboardInterrupt" not in shown
