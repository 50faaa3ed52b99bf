"""What commands write, and where: closed pipes, control characters, paths that cannot be."""

from __future__ import annotations

import ast
import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import pytest

from dllm2rec import cli
from dllm2rec.cli import main
from dllm2rec.cli.output.tables import print_table, recommendation_table
from dllm2rec.cli.streams import safe_streams
from dllm2rec.config.load import changed
from dllm2rec.data.dataset import Catalogue
from dllm2rec.runtime.visible import visible, visible_lines
from dllm2rec.tracking.metric_table import Recommendation
from dllm2rec.train.train_run import train_run
from tests.support.run_home import CONFIG
from tests.support.worlds import N_ITEMS, cycle_dataset

# Commands are started, and stopped, as processes.
pytestmark = pytest.mark.slow

# --- closed pipes --------------------------------------------------------------------------------


@pytest.fixture
def broken() -> Iterator[TextIO]:
    """A stream whose reader has gone, as that of `dllm2rec ... | true`."""
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "w")
    yield stream
    with suppress(OSError):
        stream.close()


COMMANDS = {
    "table": ["recommend", "run", "--history", "item-1", "--device", "cpu"],
    "JSON": ["recommend", "run", "--history", "item-1", "--device", "cpu", "--json"],
    "metrics": ["evaluate", "run", "--device", "cpu"],
    "metrics as JSON": ["evaluate", "run", "--device", "cpu", "--json"],
    "report": ["report", "run"],
    "prepare": ["prepare", "log.csv", "--out", "new"],
    "prepare as JSON": ["prepare", "log.csv", "--out", "newer", "--json"],
    "train": ["train", "--resume", "run", "--device", "cpu"],
    "plan": ["plan", "--dataset", "data", "--device", "cpu"],
    "help": ["--help"],
    "help of a command": ["train", "--help"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_standard_output_that_nobody_reads_is_141(
    home: Path,
    name: str,
    broken: TextIO,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setattr(sys, "stdout", broken)
    assert main(COMMANDS[name]) == 141
    assert "Traceback" not in capsys.readouterr().err
    assert not list(home.glob("dllm2rec-report-*"))


def test_messages_that_nobody_reads_end_no_command(
    home: Path, broken: TextIO, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setattr(sys, "stderr", broken)
    words = ["train", "--dataset", "data", "--out", "second", "--set", "train.max_epochs=2"]
    assert main([*words, "--device", "cpu"]) == 0
    assert "written to second" in capsys.readouterr().out
    assert main(["report", "nowhere"]) == 4


def test_streams_are_given_back(broken: TextIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", broken)
    with safe_streams():
        sys.stderr.write("x" * 100_000)
        sys.stderr.flush()
    assert sys.stderr is broken


# --- control characters --------------------------------------------------------------------------

HOSTILE = "a\x1b]0;title\x07\x1b[31m\x9b2J\u202eb\u2066c\r\nd\x00"
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def test_controls_are_spelt_out_and_nothing_else_is() -> None:
    assert visible(HOSTILE) == (r"a\x1b]0;title\x07\x1b[31m\x9b2J\u202eb\u2066c\x0d\x0ad\x00")
    plain = "Ünï \u05d0\u05d1 \u200f 日本 👩\u200d🚀 tab\\"
    assert visible(plain) == plain
    assert visible(visible(HOSTILE)) == visible(HOSTILE)
    assert visible_lines("a\n\tb\x1b") == "a\n\tb\\x1b"
    assert visible("\udcff") == r"\udcff"


@pytest.fixture(scope="module")
def hostile_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose dataset, ids and titles hold control characters, in a folder whose name does."""
    folder = tmp_path_factory.mktemp("runs") / "run\x1b[31m\u202e"
    ids = [f"{HOSTILE}{item}" for item in range(N_ITEMS)]
    dataset = dataclasses.replace(
        cycle_dataset(40),
        name=HOSTILE,
        catalogue=Catalogue(ids, [f"title {HOSTILE}" for _ in ids]),
        notes=[f"note {HOSTILE}"],
    )
    alone = changed(CONFIG, distillation={"ranking_weight": 0.0, "embedding_weight": 0.0})
    train_run(alone, dataset, None, folder, students=["sasrec"])
    return folder


def test_no_command_lets_data_control_the_terminal(
    hostile_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, item = str(hostile_run), f"{HOSTILE}1"
    histories = tmp_path / "histories.jsonl"
    histories.write_text(json.dumps({"user_id": HOSTILE, "history": [item]}))
    recommend = ["recommend", run, "--device", "cpu"]
    for words in (
        [*recommend, "--input", str(histories)],
        [*recommend, "--input", str(histories), "--out", str(tmp_path / "l\x1b[2J.csv")],
        [*recommend, "--history", HOSTILE],
        ["report", run],
        ["report", f"{run}/nowhere"],
        ["train", "--resume", run],
        ["evaluate", run, "--dataset", str(tmp_path / "\x9b2J")],
        ["train", "--set", "\x1b[31m=1"],
        ["\x1b[31m"],
    ):
        main(words)
        shown = capsys.readouterr()
        assert shown.out + shown.err
        assert not CONTROLS.search(shown.out + shown.err), words
    page = (hostile_run / "report.html").read_text(encoding="utf-8")
    assert r"note a\x1b]0;title" in page
    assert not CONTROLS.search(page)


def test_machines_get_data_as_it_is(
    hostile_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["recommend", str(hostile_run), "--history", f"{HOSTILE}1", "--device", "cpu"]
    assert main([*words, "--json"]) == 0
    shown = capsys.readouterr().out
    assert not CONTROLS.search(shown)
    (found,) = json.loads(shown)["lists"]
    assert all(item["title"] == f"title {HOSTILE}" for item in found["items"])
    assert main([*words, "--out", str(tmp_path / "lists.jsonl")]) == 0
    lines = (tmp_path / "lists.jsonl").read_text(encoding="utf-8").split("\n")
    assert json.loads(lines[0])["title"] == f"title {HOSTILE}"


def test_a_table_spells_out_what_any_cell_holds(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(recommendation_table([Recommendation(1, HOSTILE, HOSTILE, 0.5)]))
    shown = capsys.readouterr().out
    assert not CONTROLS.search(shown)
    assert len(shown.splitlines()) == 2


def test_lines_are_printed_in_one_place() -> None:
    """A bare print() would pass by what spells out control characters."""
    allowed = {"output/lines.py", "output/tables.py", "streams.py", "options.py", "app.py"}
    allowed |= {"output/progress_table.py"}
    room = Path(cli.__file__).parent
    found = [
        f"{file.relative_to(room)}:{node.lineno}"
        for file in room.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if node.func.id == "print" and file.relative_to(room).as_posix() not in allowed
    ]
    assert found == []


# --- paths ---------------------------------------------------------------------------------------

PATHS = {
    "prepare": ["prepare", "PATH", "--out", "x"],
    "prepare --out": ["prepare", "log.csv", "--out", "PATH"],
    "prepare --titles": ["prepare", "log.csv", "--out", "x", "--titles", "PATH"],
    "teacher import": ["teacher", "import", "PATH", "--dataset", "data", "--out", "x"],
    "teacher import --dataset": ["teacher", "import", "teacher", "--dataset", "PATH", "--out", "x"],
    "train --dataset": ["train", "--dataset", "PATH"],
    "train --teacher": ["train", "--dataset", "data", "--teacher", "PATH"],
    "train --config": ["train", "--config", "PATH"],
    "train --out": ["train", "--dataset", "data", "--out", "PATH"],
    "train --resume": ["train", "--resume", "PATH"],
    "plan": ["plan", "--dataset", "PATH"],
    "evaluate": ["evaluate", "PATH"],
    "evaluate --scores": ["evaluate", "--scores", "PATH", "--dataset", "data"],
    "recommend": ["recommend", "PATH", "--history", "a"],
    "recommend --input": ["recommend", "run", "--input", "PATH"],
    "recommend --out": ["recommend", "run", "--history", "a", "--out", "PATH"],
    "report": ["report", "PATH"],
    "bench": ["bench", "--benches", "PATH"],
}


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize(
    "path",
    ["a/" * 2500, "a" * 300, "\udcff\udcfe.csv", "link"],
    ids=["long", "name", "bytes", "link"],
)
def test_a_path_that_no_file_can_have_exits_2(
    home: Path, name: str, path: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(home)
    if not (home / "link").is_symlink():
        (home / "link").symlink_to("link")
    if path == "link":
        path = "link/x"  # a link to itself, and what would be below it
    assert main([path if word == "PATH" else word for word in PATHS[name]]) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert len(shown) < 400


ABSENT = {
    "train": ["train", "--dataset", "nowhere"],
    "train --teacher": ["train", "--dataset", ".", "--teacher", "nowhere"],
    "train --resume": ["train", "--resume", "nowhere"],
    "plan": ["plan", "--dataset", "nowhere"],
    "evaluate": ["evaluate", "nowhere"],
    "evaluate --dataset": ["evaluate", ".", "--dataset", "nowhere"],
    "recommend": ["recommend", "nowhere", "--history", "a"],
    "report": ["report", "nowhere"],
}
WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # importing it would fail
from dllm2rec.cli import main
lines = [line.split(" ", 1) for line in sys.argv[1:]]
sys.exit(sum(main(words.split()) != int(code) for code, words in lines))
"""


def test_a_path_that_is_not_there_is_told_before_torch_is_loaded(tmp_path: Path) -> None:
    lines = [
        f"{4 if name in {'evaluate', 'recommend', 'report', 'train --resume'} else 3} "
        f"{' '.join(words)}"
        for name, words in ABSENT.items()
    ]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *lines],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("nowhere: no such folder") == len(lines)


def test_a_folder_that_is_no_run_is_told_before_torch_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    commands = ("report empty", "train --resume empty", "evaluate empty")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *[f"4 {words}" for words in commands]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("empty: no trained student, expected a folder") == len(commands)
