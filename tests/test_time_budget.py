"""The account of a run's CPU seconds: what is added up, and what is said of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.time_budget import N_SHOWN, account

ROOT = Path(__file__).resolve().parents[1]


def test_a_run_within_its_budget_is_one_line() -> None:
    assert account({"a.py": 1.0, "b.py": 2.0}, 3.0) == ["tests: 3 CPU seconds, of a budget of 3"]


def test_beyond_it_the_longest_files_are_named_first() -> None:
    spent = {f"{n}.py": float(n) for n in range(20)}
    first, *files = account(spent, 100.0)
    assert first.startswith("tests: 190 CPU seconds, expected at most 100; ")
    assert files == [f"{n:6.1f} {n}.py" for n in range(19, 19 - N_SHOWN, -1)]


BUSY = """
import subprocess, sys, time
WORK = "import time\\nwhile time.process_time() < 0.4: pass"
def test_here(): exec(WORK.replace("time() <", "time() - began <"), {"began": time.process_time()})
def test_in_a_process(): subprocess.run([sys.executable, "-c", WORK], check=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("processes", ["0", "2"])
def test_work_is_added_up_over_processes(tmp_path: Path, processes: str) -> None:
    (tmp_path / "test_busy.py").write_text(BUSY)
    words = ["-m", "pytest", "-n", processes, "-p", "tests.conftest", "--budget", "0.5"]
    words += ["--rootdir", str(tmp_path), "-c", str(ROOT / "pyproject.toml"), str(tmp_path)]
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout
    assert "expected at most 0" in done.stdout, done.stdout
    (line,) = (line for line in done.stdout.splitlines() if line.endswith("test_busy.py"))
    assert float(line.split()[0]) >= 0.7
