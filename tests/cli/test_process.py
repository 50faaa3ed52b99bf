"""The command line as a process: help, closed and full streams, signals."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from dllm2rec import cli
from dllm2rec.cli import main

DLLM2REC = [sys.executable, "-m", "dllm2rec"]


def run(*words: str, env: dict[str, str] | None = None, **kwargs) -> subprocess.CompletedProcess:
    kwargs = {"capture_output": True, "text": True, "timeout": 60} | kwargs
    return subprocess.run([*DLLM2REC, *words], check=False, env=os.environ | (env or {}), **kwargs)


EVERY = [[], ["train"], ["evaluate"], ["recommend"], ["teacher"], ["teacher", "import"]]


@pytest.mark.slow
@pytest.mark.parametrize("words", EVERY, ids=lambda words: " ".join(words) or "root")
def test_help_has_an_example_and_is_the_same_on_every_terminal(words):
    plain = run(*words, "--help")
    assert plain.returncode == 0
    assert "Example" in plain.stdout
    assert f"dllm2rec {' '.join(words)}".strip() in plain.stdout
    bare = {"NO_COLOR": "1", "LANG": "C", "LC_ALL": "C", "TERM": "dumb"}
    assert run(*words, "--help", env=bare).stdout == plain.stdout
    assert run(*words, "--help", env={"COLUMNS": "1"}).returncode == 0


def test_threads_of_torch_sleep_soon_unless_the_user_has_other_ideas(monkeypatch, capsys):
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert main(["--version"]) == 0
    assert os.environ["GOMP_SPINCOUNT"] == "7"
    monkeypatch.delenv("GOMP_SPINCOUNT")
    assert main(["--version"]) == 0
    assert os.environ["GOMP_SPINCOUNT"] == str(cli.SPINS)
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert main(["--version"]) == 0
    assert "GOMP_SPINCOUNT" not in os.environ


def test_version_is_the_package_s():
    from dllm2rec import _core

    manifest = tomllib.loads((Path(__file__).parents[2] / "Cargo.toml").read_text())
    done = run("--version")
    assert done.stdout == f"dllm2rec {_core.__version__}\n"
    assert _core.__version__ == manifest["workspace"]["package"]["version"]


def test_help_is_quick():
    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert run("--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    # CPU seconds in one of several tries: the command is tested, not what else the machine does.
    # On a quiet machine it is 0.2; with torch, which must not be imported, some seconds.
    assert any(seconds() < 0.6 for _ in range(5))


# As a person's shell runs it: what is printed is written when the command ends.
BUFFERED = {"PYTHONUNBUFFERED": ""}


@pytest.mark.slow
@pytest.mark.parametrize("words", ["--help", "--version"])
def test_a_closed_standard_output_exits_141_without_a_traceback(words):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run(
            words, env=BUFFERED, stdout=writing, stderr=subprocess.PIPE, capture_output=False
        )
    finally:
        os.close(writing)
    assert done.returncode == 141
    assert done.stderr == ""


def test_no_standard_streams_at_all_is_no_error():
    done = subprocess.run(
        ["sh", "-c", '"$0" -m dllm2rec --version >&- 2>&-', sys.executable], check=False
    )
    assert done.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.slow
@pytest.mark.parametrize("words", ["--help", "--version"])
def test_a_full_standard_output_exits_6(words):
    with Path("/dev/full").open("w") as full:
        done = run(words, env=BUFFERED, stdout=full, stderr=subprocess.PIPE, capture_output=False)
    assert done.returncode == 6
    assert "No space left" in done.stderr
    assert done.stderr.count("\n") == 1


WAITING = """
import sys, time
from dllm2rec import cli
def wait(words):
    print("ready", flush=True)
    time.sleep(30)
cli._run = wait
sys.exit(cli.main([]))
"""


@pytest.mark.parametrize(
    ("signum", "code", "line"),
    [(signal.SIGTERM, 143, "terminated\n"), (signal.SIGINT, 130, "interrupted\n")],
)
def test_signals_end_in_order(signum, code, line):
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signum)
    _, shown = process.communicate(timeout=10)
    assert process.returncode == code
    assert shown == line


@pytest.mark.slow
def test_titles_survive_an_ascii_terminal():
    code = (
        "from dllm2rec.cli.streams import safe_streams as s\n"
        "from dllm2rec.cli.output.tables import *\n"
        "from dllm2rec.tracking.metric_table import Recommendation as R\n"
        "with s(): print_table(recommendation_table([R(1, 'a', 'Ünder', .5)]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"\\xdcnder" in done.stdout
