"""`dllm2rec recommend`: the histories that it reads and the lists that it writes."""

from __future__ import annotations

import errno
import json
import os
import tracemalloc
from pathlib import Path

import pytest

from dllm2rec.cli import main
from dllm2rec.cli.commands.recommend import split_ids
from dllm2rec.cli.recommend_files import COLUMNS, write_lists
from dllm2rec.errors import InputError, ResourceError
from dllm2rec.tracking.metric_table import Recommendation
from tests.support.all_histories import read_histories
from tests.support.made_lists import made_lists

LIST = [Recommendation(1, "a,1", "Ünder [b]", 0.5), Recommendation(2, "b", None, 0.25)]


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
            row | {"rank": int(row["rank"]), "score": float(row["score"])}
            for row in rows
        ]  # fmt: skip
    import pyarrow.parquet

    return pyarrow.parquet.read_table(path).to_pylist()


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".jsonl"])
def test_lists_are_written_as_they_are(tmp_path, ending):
    path = tmp_path / "new" / f"lists{ending}"
    write_lists(path, [made_lists(("u1", LIST)), made_lists(("u2", LIST[:1]))])
    rows = rows_of(path)
    assert [tuple(row.values()) for row in rows] == [
        ("u1", 1, "a,1", "Ünder [b]", 0.5), ("u1", 2, "b", "", 0.25),
        ("u2", 1, "a,1", "Ünder [b]", 0.5),
    ]  # fmt: skip
    assert tuple(rows[0]) == COLUMNS
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    write_lists(path, [])
    assert rows_of(path) == []


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_lists_are_written_without_holding_them(tmp_path, ending):
    one = [Recommendation(n, f"item-{n}", "t" * 40, 0.5) for n in range(1, 6)]
    lists = (
        made_lists(*((f"u{n}", one) for n in range(first, first + 1000)))
        for first in range(0, 30_000, 1000)
    )
    tracemalloc.start()
    write_lists(tmp_path / f"lists{ending}", lists)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40e6  # bytes; a tuple for each of the 150,000 places alone would take more


def test_cells_that_look_like_formulas_are_disarmed_if_asked_for(tmp_path):
    rows = [Recommendation(1, "=1+1", "@SUM(A1)", -0.5), Recommendation(2, "a=b", None, 0.25)]
    plain, safe = tmp_path / "plain.csv", tmp_path / "safe.csv"
    write_lists(plain, [made_lists(("-u", rows))])
    write_lists(safe, [made_lists(("-u", rows))], excel_safe=True)
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
        write_lists(path, [made_lists(("u", LIST))])
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


def listed(home: Path, capsys: pytest.CaptureFixture[str], *options: str) -> list[str]:
    words = ["recommend", str(home / "run"), "--history", "item-3,item-4", "--json", *options]
    assert main(words) == 0
    (answer,) = json.loads(capsys.readouterr().out)["lists"]
    return [place["item_id"] for place in answer["items"]]


@pytest.mark.slow
def test_lists_hold_the_candidates_alone_and_nothing_that_is_filtered(home, tmp_path, capsys):
    some, never = tmp_path / "some.txt", tmp_path / "never.txt"
    some.write_text("item-9\n\n  item-7 \nitem-3\nitem-12\n", encoding="utf-8")
    never.write_text("\ufeffitem-12\n", encoding="utf-8")
    everything = listed(home, capsys, "--top", "40")
    among = [item for item in everything if item in {"item-7", "item-9", "item-12"}]
    assert listed(home, capsys, "--candidates", str(some)) == among
    less = [item for item in among if item != "item-12"]
    assert listed(home, capsys, "--candidates", str(some), "--filter", str(never)) == less
    kept = [item for item in everything if item != "item-12"]
    assert listed(home, capsys, "--filter", str(never), "--top", "40") == kept


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "options", "code", "message"),
    [
        ("item-1\ngone\n", [], 3, "candidates: unknown item id 'gone'"),
        ("gone\nitem-8\n", ["--unknown", "skip"], 0, "W-ITEMS-SKIPPED 1 unknown in candidates"),
        ("\n \n", [], 3, "no id, expected one per line"),
        (None, [], 3, "E-FILE"),
    ],
)
def test_candidates_that_cannot_be_meant_are_refused(
    home, tmp_path, capsys, content, options, code, message
):
    some = tmp_path / "some.txt"
    if content is not None:
        some.write_text(content, encoding="utf-8")
    words = ["recommend", str(home / "run"), "--history", "item-3", "--candidates", str(some)]
    assert main([*words, *options]) == code
    assert message in capsys.readouterr().err
