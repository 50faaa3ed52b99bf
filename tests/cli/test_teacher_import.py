"""`dllm2rec teacher import`: what it tells, writes and refuses."""

from __future__ import annotations

import json

import pytest

from dllm2rec.cli import main

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
        "rows": 2, "items per row": 3, "distances": "one for each", "target distances": "none",
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
