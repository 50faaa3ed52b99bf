"""Each option of `dllm2rec teacher import`: what is refused without it is read with it."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dllm2rec.cli import main
from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.errors import ConfigError
from dllm2rec.teacher.folder import load_teacher
from dllm2rec.teacher.import_options import TeacherOptions
from dllm2rec.teacher.knowledge import TeacherKnowledge

N_ITEMS = 5
ROWS = 'seq,len_seq,next\n"[0, 1]",2,2\n"[1, 5]",1,3\n'
LISTS = {"myrank_train.txt": "2 0 1\n3 4 0\n"}
DISTANCES = {"confidence_train.txt": "0 1 2\n0 1 2\n"}


def place(folder: Path, files: dict[str, Any]) -> tuple[Path, Path]:
    """A dataset of five items and two train rows, and a folder of the teacher's files."""
    data, teacher = folder / "data", folder / "teacher"
    data.mkdir()
    teacher.mkdir()
    for stem in ("train_data", "val_data", "test_data"):
        (data / f"{stem}.csv").write_text(ROWS)
    for name, content in files.items():
        if isinstance(content, str):
            (teacher / name).write_text(content)
        else:
            torch.save(content, teacher / name)
    return data, teacher


def run(folder: Path, files: dict[str, Any], words: list[str]) -> tuple[int, Path, Path]:
    data, teacher = place(folder, files)
    out = folder / "out"
    status = main(
        ["teacher", "import", str(teacher), "--dataset", str(data), "--out", str(out), *words]
    )
    return status, data, out


# name: files, words, code of the refusal without them, a check of what is imported with them
VECTORS = torch.arange(1.0, 13.0).reshape(6, 2)
CASES: dict[str, tuple[dict[str, Any], list[str], str, Any]] = {
    "id-base": (
        {"myrank_train.txt": "3 1 2\n4 5 1\n"},
        ["--teacher-id-base", "1"],
        "E-RANK-RANGE",
        lambda t: t.ranking.tolist() == [[2, 0, 1], [3, 4, 0]],
    ),
    "skip-rows": (
        {"myrank_train.txt": "first second third\n2 0 1\n3 4 0\n"},
        ["--skip-rows", "1"],
        "E-TOKEN",
        lambda t: t.ranking.tolist() == [[2, 0, 1], [3, 4, 0]],
    ),
    "keep": (
        {"myrank_train.txt": "2 0 2\n3 4 0\n"},
        ["--on-duplicate", "keep"],
        "E-RANK-DUP",
        lambda t: t.ranking[0].tolist() == [2, 0, 2],
    ),
    "keep-first": (
        {"myrank_train.txt": "2 0 2\n3 4 0\n"},
        ["--on-duplicate", "keep-first"],
        "E-RANK-DUP",
        lambda t: t.ranking[0].tolist() == [2, 0, N_ITEMS],
    ),
    "short-lists": (
        {"myrank_train.txt": "2 -1 -1\n3 4 0\n", "confidence_train.txt": "1 2 3\n0 1 2\n"},
        ["--short-lists"],
        "E-RANK-RANGE",
        lambda t: (
            t.ranking.tolist() == [[2, N_ITEMS, N_ITEMS], [3, 4, 0]]
            and t.distance.tolist() == [[1, 0, 0], [0, 1, 2]]
        ),
    ),
    "ragged-lists": (
        {"myrank_train.txt": "2\n3 4 0\n", "confidence_train.txt": "1 inf\n0 1 2\n"},
        ["--short-lists"],
        "E-RAGGED",
        lambda t: (
            t.ranking.tolist() == [[2, N_ITEMS, N_ITEMS], [3, 4, 0]]
            and t.distance.tolist() == [[1, 0, 0], [0, 1, 2]]
        ),
    ),
    "lists-of-a-frame": (
        {"myrank_train.txt": "2.0,,\n3.0,nan,0.0\n"},
        ["--short-lists"],
        "E-TOKEN",
        lambda t: t.ranking.tolist() == [[2, N_ITEMS, N_ITEMS], [3, N_ITEMS, 0]],
    ),
    "similarity": (
        LISTS | {"confidence_train.txt": "0.5 0 -1\n0.25 0 -1\n"},
        ["--confidence-kind", "similarity"],
        "E-CONF-NEGATIVE",
        lambda t: t.distance.tolist() == [[0, 0.5, 1.5], [0.25, 0.5, 1.5]],
    ),
    "tensor-key": (
        LISTS | {"all_embeddings.pt": {"items": VECTORS[:5], "users": VECTORS[:2]}},
        ["--tensor-key", "items"],
        "E-TENSOR",
        lambda t: np.array_equal(t.item_embeddings, VECTORS[:5]),
    ),
    "pad-row": (
        LISTS | {"all_embeddings.pt": VECTORS},
        ["--embeddings-have-pad-row"],
        "E-SHAPE",
        lambda t: np.array_equal(t.item_embeddings, VECTORS[:5]),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_refused_without_the_option_is_imported_with_it(tmp_path, capsys, name):
    files, words, code, check = CASES[name]
    (tmp_path / "without").mkdir()
    (tmp_path / "with").mkdir()
    assert run(tmp_path / "without", files, [])[0] == 3
    refusal = capsys.readouterr().err
    assert code in refusal
    if name != "keep":  # its hint has both words
        assert words[0] in refusal, "the hint names the option"
    status, data, out = run(tmp_path / "with", files, words)
    assert status == 0, capsys.readouterr().err
    teacher: TeacherKnowledge = load_teacher(out, load_dataset(data))
    assert check(teacher)


def test_short_lists_of_similarities_and_another_split(tmp_path):
    files = {
        "myrank_train.txt": "2 -1\n3 4\n",
        "confidence_train.txt": "0.25\n0.5 -1\n",
        "myrank_test.txt": "1\n0 2 3\n",
    }
    status, data, out = run(tmp_path, files, ["--short-lists", "--confidence-kind", "similarity"])
    assert status == 0
    teacher = load_teacher(out, load_dataset(data))
    assert teacher.distance.tolist() == [[0.25, 0], [0, 1.5]]
    assert teacher.ranking_test.tolist() == [[1, N_ITEMS, N_ITEMS], [0, 2, 3]]


@pytest.mark.parametrize(
    ("distances", "says"),
    [
        ("0 nan\n0 1 2\n", "row 1: no number for item 2 of its list (1 such items)"),
        ("0 1 2\n0 1\n", "row 2: no number for item 3"),
        ("0 1 2 3\n0 1\n", "4 columns, expected 3"),
    ],
)
def test_a_listed_item_without_its_distance_is_refused(tmp_path, capsys, distances, says):
    files = {"myrank_train.txt": "2 1\n3 4 0\n", "confidence_train.txt": distances}
    assert run(tmp_path, files, ["--short-lists"])[0] == 3
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("files", "words", "code"),
    [
        (LISTS, ["--min-columns", "4"], "E-RANK-COLS"),
        ({"myrank_train.txt": "2 0 1\n3 4 0"}, ["--strict"], "E-NO-EOL"),
    ],
)
def test_what_is_imported_without_the_option_is_refused_with_it(
    tmp_path, capsys, files, words, code
):
    (tmp_path / "without").mkdir()
    (tmp_path / "with").mkdir()
    assert run(tmp_path / "without", files, ["--json"])[0] == 0
    assert json.loads(capsys.readouterr().out)["facts"]["rows"] == 2
    assert run(tmp_path / "with", files, words)[0] == 3
    assert code in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["--teacher-id-base", "2"],
        ["--skip-rows", "-1"],
        ["--min-columns", "0"],
        ["--on-duplicate", "drop"],
        ["--confidence-kind", "odds"],
    ],
)
def test_a_value_that_cannot_be_meant_is_a_usage_error(tmp_path, words):
    assert run(tmp_path, LISTS, words)[0] == 2


@pytest.mark.parametrize(
    "changes", [{"on_duplicate": "drop"}, {"confidence_kind": "odds"}, {"skip_rows": -1}]
)
def test_a_value_that_cannot_be_meant_is_refused_in_python_too(changes):
    with pytest.raises(ConfigError, match=f"{next(iter(changes))} = .*, expected"):
        TeacherOptions(**changes)


@pytest.mark.parametrize("command", ["train", "plan"])
def test_the_import_that_a_refusal_shows_can_be_typed(tmp_path, capsys, monkeypatch, command):
    data, teacher = place(tmp_path, {"myrank_train.txt": "2 -1 -1\n3 4 0\n"})
    monkeypatch.chdir(tmp_path)
    assert main([command, "--dataset", str(data), "--teacher", str(teacher)]) == 3
    said = capsys.readouterr().err
    shown = re.search(r"run: dllm2rec (teacher import [^;]*); (\S+) is the teacher then", said)
    assert shown, said
    assert main(shlex.split(shown[1])) == 0
    assert load_teacher(shown[2], load_dataset(data)).top_n == 3


def test_a_refusal_with_several_ways_out_shows_the_import_without_them(tmp_path, capsys):
    data, teacher = place(tmp_path, {"myrank_train.txt": "2 5 1\n3 4 1\n"})
    assert main(["plan", "--dataset", str(data), "--teacher", str(teacher)]) == 3
    assert f"with such an option, run: dllm2rec teacher import {teacher}" in capsys.readouterr().err


def test_an_imported_teacher_takes_no_options_for_its_files(tmp_path):
    status, data, out = run(tmp_path, LISTS | DISTANCES, [])
    assert status == 0
    with pytest.raises(ConfigError, match="imported already, expected no options"):
        load_teacher(out, load_dataset(data), options=TeacherOptions(id_base=1))
