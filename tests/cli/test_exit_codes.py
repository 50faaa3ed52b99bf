"""Exit codes, one line of error, and what a bug leaves behind."""

from __future__ import annotations

import errno
import logging
import signal
import subprocess
import sys

import pytest

from dllm2rec import cli
from dllm2rec.cli import main
from dllm2rec.cli.exit_codes import describe
from dllm2rec.errors import (
    ArtifactError,
    ConfigError,
    InputError,
    InternalError,
    NonFiniteError,
    ResourceError,
)


@pytest.fixture
def raising(monkeypatch):
    """Let the command line run into an error: `raising(err)`."""

    def arm(err: BaseException) -> None:
        def fail(words: list[str]) -> int:
            raise err

        monkeypatch.setattr(cli, "_run", fail)

    return arm


def because(err: Exception, cause: Exception) -> Exception:
    err.__cause__ = cause
    return err


@pytest.mark.parametrize(
    ("err", "code", "line"),
    [
        (ConfigError("a\nb"), 2, "error: a b"),
        (InputError("bad", path="x.csv", line=3), 3, "error: x.csv:3: bad"),
        (ArtifactError("bad"), 4, "error: bad"),
        (NonFiniteError("bad"), 5, "error: bad"),
        (ResourceError("bad"), 6, "error: bad"),
        (MemoryError(), 6, "error: out of memory or threads, expected more of them; raise the li"),
        (because(ArtifactError("bad"), MemoryError("x")), 6, "error: out of memory or threads (x)"),
        (because(ResourceError("bad"), MemoryError("x")), 6, "error: bad"),
        (RuntimeError("can't start new thread"), 6, "error: out of memory or threads (can't start"),
        (OSError(errno.ENOSPC, "No space left on device"), 6, "error: [Errno 28] No space left"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (BrokenPipeError(), 141, ""),
        (SystemExit(143), 143, "terminated"),
        (SystemExit(None), 0, ""),
    ],
)
def test_each_error_has_its_exit_code_and_one_line(raising, capsys, err, code, line):
    raising(err)
    assert main([]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(line)
    assert shown.err.count("\n") == (1 if line else 0)


@pytest.mark.parametrize("err", [ZeroDivisionError("by zero"), InternalError("a panic")])
def test_a_bug_leaves_a_report_and_no_traceback(raising, capsys, monkeypatch, tmp_path, err):
    monkeypatch.chdir(tmp_path)
    raising(err)
    assert main(["train", "--seed", "3"]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("error: this is a bug of dllm2rec (")
    assert "Traceback" not in shown
    (report,) = tmp_path.glob("dllm2rec-report-*.txt")
    assert str(report) in shown
    text = report.read_text()
    assert "Traceback" in text
    assert "'--seed' '3'" in text


def test_a_bug_is_told_even_where_no_report_can_be_written(monkeypatch):
    monkeypatch.setattr("tempfile.NamedTemporaryFile", lambda *a, **k: open("/proc/none/x"))  # noqa: PTH123, SIM115
    code, line = describe(ValueError("x"), [])
    assert code == 1
    assert "could not be written" in line


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["train", "--alph", "1"], "No such option: --alph"),
        (["train", "--see", "1"], "No such option: --see"),  # no abbreviations
        (["nope"], "No such command 'nope'"),
        (["train", "--seed", "1e3"], "'--seed'"),
        (["train", "--seed", "-1"], "'--seed'"),
        (["train", "--seed", str(2**63)], "'--seed'"),
        (["train", "--threads", "0"], "'--threads'"),
        (["train", "--device", "tpu"], "'--device'"),
        (["train", "--student", "bert"], "'--student'"),
        (["train", "--recipe", "papper"], "did you mean 'paper'?"),
        (["train", "--set", "train.max_epochs=1.5"], "--set train.max_epochs=1.5: 1.5, expected"),
        (["train", "--teacher", "x"], "--teacher without --dataset"),
        (["evaluate"], "expected one of RUN, --scores, --vectors and --lists"),
        (["evaluate", "x", "--k", "0"], "'--k'"),
        (["recommend", "x"], "expected one of --history and --input"),
        (["recommend", "x", "--history", "a", "--input", "b"], "one of --history and --input"),
        (["recommend", "x", "--history", "a,,b"], "an empty id"),
        (["recommend", "x", "--history", "a", "--out", "y.xls"], "expected an ending of"),
        (["teacher", "import", "x"], "Missing option '--dataset'"),
    ],
)
def test_usage_errors_exit_2_before_any_work(words, part, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    shown = capsys.readouterr()
    assert part in shown.err
    assert shown.err.startswith("error: ")
    assert shown.err.count("\n") == 1
    assert shown.out == ""
    assert list(tmp_path.iterdir()) == []


def test_no_command_shows_help_and_exits_2(capsys):
    assert main([]) == 2
    assert "Usage: dllm2rec" in capsys.readouterr().err


def test_signal_handler_is_put_back(raising):
    before = signal.getsignal(signal.SIGTERM)
    raising(ConfigError("x"))
    main([])
    assert signal.getsignal(signal.SIGTERM) is before


def test_notes_reach_stderr_and_the_handler_goes(capsys, monkeypatch):
    def talk(words: list[str]) -> int:
        logging.getLogger("dllm2rec.x").info("%d of %d", 1, 2)
        logging.getLogger("dllm2rec.x").warning("look")
        return 0

    monkeypatch.setattr(cli, "_run", talk)
    handlers = list(logging.getLogger("dllm2rec").handlers)
    assert main([]) == 0
    assert capsys.readouterr().err == "note: 1 of 2\nwarning: look\n"
    assert logging.getLogger("dllm2rec").handlers == handlers


AT_ITS_END = """
import atexit, os, signal
from dllm2rec import cli

def work(words):
    raise MemoryError

cli._run = work
atexit.register(os.kill, os.getpid(), signal.SIGSEGV)
print("shown")
cli.run()
"""


@pytest.mark.slow
def test_what_libraries_do_at_the_end_is_left_out_where_memory_ran_out():
    done = subprocess.run(
        [sys.executable, "-c", AT_ITS_END], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (6, "shown\n")
    assert done.stderr.startswith("error: out of memory or threads, expected more of them")
