"""Logs in the layouts of others."""

from __future__ import annotations

import csv

import numpy as np
import pyarrow as pa

from dllm2rec.data.formats.write_log import csv_log_files, recbole_log_files
from dllm2rec.data.logs.interactions import Interactions
from dllm2rec.storage.atomic_folder import write_folder


def written(tmp_path, files):
    write_folder(tmp_path / "out", files, kind="test", version=1)
    return tmp_path / "out"


def a_log(**changes):
    columns = {
        "user_ids": pa.array(["u1", "=cmd|x", 'a "b", c'], pa.large_string()),
        "item_ids": pa.array(["7", "007", "é\tf"], pa.large_string()),
        "users": np.array([0, 1, 0, 2], np.uint32),
        "items": np.array([2, 1, 0, 0], np.uint32),
        "times": np.array([1_500_000, -2_000_001, 978_300_019_000_000, 0], np.int64),
        "ratings": np.array([5, 0.5, 3, 1], np.float32),
        "splits": np.array([0, 0, 1, 2], np.uint8),
        "name": "log",
        "notes": [],
    }
    return Interactions(**(columns | changes))


def table_of(path, delimiter):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter=delimiter, strict=True))


def test_a_log_as_csv_holds_every_value(tmp_path):
    out = written(tmp_path, csv_log_files(a_log(), "log"))
    assert table_of(out / "log.csv", ",") == [
        ["user_id", "item_id", "timestamp", "rating", "split"],
        ["u1", "é\tf", "1.500000", "5", "train"],
        ["=cmd|x", "007", "-2.000001", "0.5", "train"],
        ["u1", "7", "978300019", "3", "validation"],
        ['a "b", c', "7", "0", "1", "test"],
    ]


def test_excel_safe_quotes_what_a_spreadsheet_would_run(tmp_path):
    ids = pa.array(["=1", "+1", "-1", "@x", "a=1"], pa.large_string())
    codes = np.arange(5, dtype=np.uint32)
    bare = {"times": None, "ratings": None, "splits": None}
    log = a_log(user_ids=ids, item_ids=ids, users=codes, items=codes, **bare)
    rows = table_of(written(tmp_path, csv_log_files(log, "log", excel_safe=True)) / "log.csv", ",")
    assert [row[0] for row in rows[1:]] == ["'=1", "'+1", "'-1", "'@x", "a=1"]
    assert [row[1] for row in rows[1:]] == ["'=1", "'+1", "'-1", "'@x", "a=1"]


def test_a_recbole_log_without_times_counts_its_rows(tmp_path):
    log = a_log(times=None, ratings=None, splits=None)
    titles = pa.table({"item_id": ["007", "x"], "title": ["Bond", "nobody's"]})
    out = written(tmp_path, recbole_log_files(log, "log", titles))
    rows = table_of(out / "log.inter", "\t")
    assert rows[0] == ["user_id:token", "item_id:token", "position:float"]
    assert [row[2] for row in rows[1:]] == ["0", "1", "2", "3"]
    assert table_of(out / "log.item", "\t")[1:] == [["7", ""], ["007", "Bond"], ["é\tf", ""]]


def test_blocks_do_not_show(tmp_path, monkeypatch):
    files = csv_log_files(a_log(), "log") | recbole_log_files(a_log(), "log")
    whole = written(tmp_path / "a", files)
    monkeypatch.setattr("dllm2rec.data.formats.write_log._STEP", 3)
    parts = written(tmp_path / "b", files)
    for name in files:
        assert (whole / name).read_bytes() == (parts / name).read_bytes()
