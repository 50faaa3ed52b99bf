"""The command line: exit codes, one line of error, and output that survives any terminal."""

from __future__ import annotations

import errno
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import tomllib
import tracemalloc
from pathlib import Path

import pytest

from dllm2rec import cli
from dllm2rec.cli import main
from dllm2rec.cli.commands.recommend import split_ids
from dllm2rec.cli.exit_codes import describe
from dllm2rec.cli.output.tables import metric_table, print_table, recommendation_table
from dllm2rec.cli.recommend_files import COLUMNS, write_lists
from dllm2rec.cli.recommend_inputs import read_histories
from dllm2rec.cli.train_options import names_student
from dllm2rec.errors import (
    ArtifactError,
    ConfigError,
    InputError,
    InternalError,
    NonFiniteError,
    ResourceError,
)
from dllm2rec.storage.output_folder import check_output, clear_output, next_run
from dllm2rec.tracking.metric_table import MetricRow, MetricTable, Recommendation, shown_metrics

DLLM2REC = [sys.executable, "-m", "dllm2rec"]
TABLE = MetricTable(
    "games, test",
    (
        MetricRow("popularity", {"hr@10": 0.01, "ndcg@10": 0.005, "hr@20": 0.02, "ndcg@20": 0.01}),
        MetricRow("sasrec + DLLM2Rec [k=.3]", {"hr@10": 0.08, "hr@20": 0.1, "ndcg@20": 0.04}),
    ),
    n_rows=14980,
    n_items=17408,
)
LIST = [Recommendation(1, "a,1", "Ünder [b]", 0.5), Recommendation(2, "b", None, 0.25)]


def run(*words: str, env: dict[str, str] | None = None, **kwargs) -> subprocess.CompletedProcess:
    kwargs = {"capture_output": True, "text": True, "timeout": 60} | kwargs
    return subprocess.run([*DLLM2REC, *words], check=False, env=os.environ | (env or {}), **kwargs)


@pytest.fixture
def raising(monkeypatch):
    """Let the command line run into an error: `raising(err)`."""

    def arm(err: BaseException) -> None:
        def fail(words: list[str]) -> int:
            raise err

        monkeypatch.setattr(cli, "_run", fail)

    return arm


# --- exit codes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("err", "code", "line"),
    [
        (ConfigError("a\nb"), 2, "error: a b"),
        (InputError("bad", path="x.csv", line=3), 3, "error: x.csv:3: bad"),
        (ArtifactError("bad"), 4, "error: bad"),
        (NonFiniteError("bad"), 5, "error: bad"),
        (ResourceError("bad"), 6, "error: bad"),
        (MemoryError(), 6, "error: out of memory"),
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
        (["evaluate"], "expected one of RUN and --scores"),
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


def test_cuda_is_never_replaced_in_silence(capsys, monkeypatch, tmp_path):
    import torch

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["train", "--device", "cuda"]) == 2
    assert "device cuda: none is present" in capsys.readouterr().err
    assert main(["train", "--set", "train.device=cuda"]) == 2
    assert main(["evaluate", "x", "--device", "cuda"]) == 2


def test_too_many_threads_are_brought_down_with_a_note(monkeypatch, caplog):
    import torch

    from dllm2rec import _core
    from dllm2rec.cli.options import use_threads

    seen = []
    monkeypatch.setattr(_core, "set_threads", seen.append)
    monkeypatch.setattr(torch, "set_num_threads", seen.append)
    with caplog.at_level(logging.INFO, "dllm2rec"):
        use_threads(10**6)
    assert seen == [os.cpu_count()] * 2
    assert "--threads 1000000" in caplog.text
    use_threads(1)
    assert seen[2:] == [1, 1]


# --- as a process --------------------------------------------------------------------------------

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

    # CPU seconds, the best of several: the command is tested, not what else the machine does. On
    # a quiet machine it is 0.2; with torch, which must not be imported, some seconds.
    assert min(seconds() for _ in range(5)) < 0.6


# As a person's shell runs it: what is printed is written when the command ends.
BUFFERED = {"PYTHONUNBUFFERED": ""}


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


# --- folders -------------------------------------------------------------------------------------


def test_next_run_takes_the_first_free_number(tmp_path):
    assert next_run("games", tmp_path) == tmp_path / "games-1"
    (tmp_path / "games-1").mkdir()
    (tmp_path / "games-2").symlink_to("nowhere")
    assert next_run("games", tmp_path) == tmp_path / "games-3"


def test_output_that_holds_something_is_refused_and_kept(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    assert main(["train", "--out", "run"]) == 2
    assert "not empty" in capsys.readouterr().err
    assert main(["train", "--out", "run", "--overwrite"]) == 2
    assert "expected a folder that dllm2rec wrote" in capsys.readouterr().err
    assert (tmp_path / "run" / "mine.txt").read_text() == "mine"
    assert main(["train", "--out", "run/mine.txt"]) == 2


def test_output_of_ours_may_be_overwritten(tmp_path):
    run_folder = tmp_path / "run"
    run_folder.mkdir()
    (run_folder / "config.toml").write_text("")
    check_output(run_folder, overwrite=True)
    assert (run_folder / "config.toml").exists()
    clear_output(run_folder)
    assert list(run_folder.iterdir()) == []


def test_output_may_not_be_or_hold_an_input(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    with pytest.raises(ConfigError, match="is or holds the input"):
        check_output(data, overwrite=True, inputs=[data])
    with pytest.raises(ConfigError, match="is or holds the input"):
        check_output(tmp_path, overwrite=True, inputs=[data])
    (tmp_path / "link").symlink_to(data)
    with pytest.raises(ConfigError, match="is or holds the input"):
        check_output(tmp_path / "link", overwrite=True, inputs=[data])
    check_output(data / "runs", overwrite=False, inputs=[data])
    assert list(data.iterdir()) == []


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs a place that nobody can write to")
def test_a_place_that_cannot_be_written_to_exits_6(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--out", "/proc/dllm2rec"]) == 6
    assert "expected a place that can be written to" in capsys.readouterr().err


# --- tables --------------------------------------------------------------------------------------


def printed(capsys, table) -> list[str]:
    print_table(table)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_metric_table_is_aligned_and_marks_the_best(capsys):
    title, header, first, second = printed(capsys, metric_table(TABLE))
    assert (
        title == "games, test: 14,980 rows, full ranking over 17,408 items, seen items not masked"
    )
    assert header.split() == ["hr@10", "ndcg@10", "hr@20", "ndcg@20"]
    assert first.split() == ["popularity", "0.0100", "*0.0050", "0.0200", "0.0100"]
    assert second.split() == ["sasrec", "+", "DLLM2Rec", "[k=.3]", "*0.0800", "-", "*0.1000",
                              "*0.0400"]  # fmt: skip
    assert first.index("0.0200") == second.index("0.1000")
    assert first.index("0.0200") + len("0.0200") == header.index("hr@20") + len("hr@20")


def test_the_line_above_a_table_is_not_wrapped(capsys):
    table = MetricTable("a dataset with a long name, validation", TABLE.rows, 10**9, 10**9)
    assert printed(capsys, metric_table(table))[0].endswith("seen items not masked")


def test_a_single_scorer_is_best_of_nothing(capsys):
    table = MetricTable("t", TABLE.rows[:1], 1, 2)
    assert "*" not in "".join(printed(capsys, metric_table(table)))


def test_metric_table_says_when_seen_items_are_masked():
    table = MetricTable("t", TABLE.rows, 1, 2, exclude_seen=True)
    assert table.protocol() == "1 rows, full ranking over 2 items, seen items masked"


def test_metric_table_marks_every_scorer_that_is_equal_to_four_digits(capsys):
    rows = tuple(MetricRow(name, {"hr@1": 0.5}) for name in "ab")
    lines = printed(capsys, metric_table(MetricTable("t", rows, 1, 2)))
    assert [line.split()[-1] for line in lines[2:]] == ["*0.5000", "*0.5000"]


def test_shown_metrics_are_hr_and_ndcg_at_the_two_largest_k():
    keys = [f"{name}@{k}" for k in (1, 100, 20) for name in ("hr", "mrr", "ndcg")]
    row = MetricRow("a", dict.fromkeys([*keys, "tie_rate"], 0.0))
    assert shown_metrics([row]) == ["hr@20", "ndcg@20", "hr@100", "ndcg@100"]


def test_tables_are_whole_on_a_terminal_of_one_column(capsys, monkeypatch):
    wide = printed(capsys, metric_table(TABLE))
    monkeypatch.setenv("COLUMNS", "1")
    assert printed(capsys, metric_table(TABLE)) == wide


def test_recommendation_table_shows_ids_and_titles_as_they_are(capsys):
    header, first, second = printed(capsys, recommendation_table(LIST))
    assert header.split() == ["rank", "item", "title", "score"]
    assert first.split() == ["1", "a,1", "Ünder", "[b]", "0.5000"]
    assert second.split() == ["2", "b", "0.2500"]
    header, _ = printed(capsys, recommendation_table(LIST[1:]))
    assert "title" not in header


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


# --- histories and lists -------------------------------------------------------------------------


def test_histories_are_read_with_their_names(tmp_path):
    path = tmp_path / "h.jsonl"
    path.write_text('{"user_id": "u", "history": ["1", 2]}\n\n{"history": []}\n')
    users = list(read_histories(path))
    assert [(user.name, user.history) for user in users] == [("u", ["1", "2"]), ("3", [])]


@pytest.mark.parametrize(
    "line",
    [
        *("{", "[1]", '{"history": "1,2"}', '{"history": [1.5]}', '{"history": [true]}'),
        *("[" * 10**5, '{"user_id": null, "history": []}', '{"user_id": [], "history": []}'),
        r'{"user_id": "\ud800", "history": []}',
        '{"history": ["1"], "history": ["2"]}',
        '{"user_id": "a", "history": [], "user_id": "b"}',
    ],
)
def test_a_bad_history_is_refused_with_its_line(tmp_path, line):
    path = tmp_path / "h.jsonl"
    path.write_text(f'{{"history": ["1"]}}\n{line}\n')
    with pytest.raises(InputError, match=r"h\.jsonl:2") as caught:
        list(read_histories(path))
    assert caught.value.line == 2


def test_missing_or_binary_histories_are_input_errors(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        list(read_histories(tmp_path / "none.jsonl"))
    (tmp_path / "b.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="UTF-8"):
        list(read_histories(tmp_path / "b.jsonl"))


def rows_of(path: Path) -> list[dict[str, object]]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if path.suffix == ".csv":
        import csv

        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return [
            row | {"rank": int(row["rank"]), "score": float(row["score"]),
                   "title": row["title"] or None}
            for row in rows
        ]  # fmt: skip
    import pyarrow.parquet

    return pyarrow.parquet.read_table(path).to_pylist()


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".jsonl"])
def test_lists_are_written_as_they_are(tmp_path, ending):
    path = tmp_path / "new" / f"lists{ending}"
    write_lists(path, [("u1", LIST), ("u2", LIST[:1])])
    rows = rows_of(path)
    assert [tuple(row.values()) for row in rows] == [
        ("u1", 1, "a,1", "Ünder [b]", 0.5), ("u1", 2, "b", None, 0.25),
        ("u2", 1, "a,1", "Ünder [b]", 0.5),
    ]  # fmt: skip
    assert tuple(rows[0]) == COLUMNS
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    write_lists(path, [])
    assert rows_of(path) == []


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_lists_are_written_without_holding_them(tmp_path, ending):
    lists = ((f"u{n}", [Recommendation(1, f"item-{n}", "t" * 40, 0.5)] * 5) for n in range(30_000))
    tracemalloc.start()
    write_lists(tmp_path / f"lists{ending}", lists)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40e6  # bytes; a tuple for each of the 150,000 places alone would take more


def test_cells_that_look_like_formulas_are_disarmed_if_asked_for(tmp_path):
    rows = [Recommendation(1, "=1+1", "@SUM(A1)", -0.5), Recommendation(2, "a=b", None, 0.25)]
    plain, safe = tmp_path / "plain.csv", tmp_path / "safe.csv"
    write_lists(plain, [("-u", rows)])
    write_lists(safe, [("-u", rows)], excel_safe=True)
    assert plain.read_text().splitlines()[1:] == ["-u,1,=1+1,@SUM(A1),-0.5", "-u,2,a=b,,0.25"]
    assert safe.read_text().splitlines()[1:] == ["'-u,1,'=1+1,'@SUM(A1),-0.5", "'-u,2,a=b,,0.25"]
    assert main(["recommend", "run", "--history", "a", "--excel-safe"]) == 2


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "lists.csv"
    path.write_text("old")

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResourceError, match="No space left"):
        write_lists(path, [("u", LIST)])
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_existing_list_or_the_input_is_not_overwritten(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("h.jsonl").write_text('{"history": ["1"]}\n')
    words = ["recommend", "run", "--input", "h.jsonl", "--out"]
    assert main([*words, "h.jsonl", "--overwrite"]) == 2
    assert "is the input" in capsys.readouterr().err
    Path("x.csv").write_text("mine")
    assert main([*words, "x.csv"]) == 2
    assert Path("x.csv").read_text() == "mine"


def test_ids_of_one_history_are_split_at_commas():
    assert split_ids(" a b, c ") == ["a b", "c"]


def test_train_knows_whether_an_override_names_the_student():
    assert names_student(["train.seed=1", " student.name = caser"])
    assert not names_student(["student.hidden_size=8"])


# --- teacher import ------------------------------------------------------------------------------

# Four items, padded with 4 to windows of two; the teacher ranks the target first, then third.
SPLITS = {
    "train": 'seq,len_seq,next\n"[0, 1]",2,2\n"[1, 4]",1,3\n',
    "val": 'seq,len_seq,next\n"[0, 4]",1,1\n',
    "test": 'seq,len_seq,next\n"[0, 4]",1,1\n"[1, 2]",2,3\n',
}


@pytest.fixture
def authors_folder(tmp_path):
    """A dataset in the authors' layout, with a teacher in its folder `teacher`."""
    pytest.importorskip("dllm2rec.data.formats.authors")
    folder = tmp_path / "tiny"
    (folder / "teacher").mkdir(parents=True)
    for split, text in SPLITS.items():
        (folder / f"{split}_data.csv").write_text(text)
    (folder / "items.csv").write_text("item,title\n0,A\n1,B\n2,C\n3,D\n")
    (folder / "teacher" / "myrank_train.txt").write_text("2 0 3\n0 1 2\n")
    (folder / "teacher" / "myrank_test.txt").write_text("1 0 2\n0 1 3\n")
    (folder / "teacher" / "confidence_train.txt").write_text("0.1 0.2 0.3\n0.1 0.2 0.3\n")
    return folder


def test_teacher_import_tells_what_it_wrote(authors_folder, tmp_path, capsys):
    out = tmp_path / "teacher"
    words = ["teacher", "import", str(authors_folder / "teacher"), "--dataset",
             str(authors_folder), "--out", str(out)]  # fmt: skip
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["facts"] == {
        "rows": 2, "items a row": 3, "distances": "one for each", "target distances": "none",
        "item vectors": "none",
    }  # fmt: skip
    (table,) = told["tables"]
    assert table["title"] == "tiny, test"
    assert table["rows"][0]["metrics"]["hr@1"] == 0.5
    assert (out / "manifest.json").is_file()

    assert main(words) == 2
    assert "not empty" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0
    shown = capsys.readouterr().out
    assert "tiny, test: 2 rows, full ranking over 4 items, seen items not masked" in shown
    assert f"written to {out}" in shown


def test_teacher_import_of_bad_files_exits_3_and_writes_nothing(authors_folder, tmp_path, capsys):
    ranking = authors_folder / "teacher" / "myrank_train.txt"
    ranking.write_text("2 0 3\n0 1 4\n")
    words = ["teacher", "import", str(ranking.parent), "--dataset", str(authors_folder)]
    assert main([*words, "--out", str(tmp_path / "teacher")]) == 3
    assert f"{ranking}:2:5" in capsys.readouterr().err
    assert not (tmp_path / "teacher").exists()
