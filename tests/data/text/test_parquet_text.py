"""Parquet text that is not UTF-8 is refused by whoever reads it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from dllm2rec.cli import main
from dllm2rec.cli.recommend_inputs import _of_parquet
from dllm2rec.errors import InputError

TIMES = pa.array([1_600_000_000, 1_600_000_001, 1_600_000_002])
GOOD = pa.array(["x", "y", "z"])


def broken() -> pa.Array:
    """Text whose second value is no UTF-8, as writers that trust their callers make it."""
    parts = pa.array([b"a", b"\xff\xfe", b"c"]).buffers()
    return pa.Array.from_buffers(pa.string(), 3, parts)


def write(path: Path, **columns: pa.Array) -> Path:
    parquet.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("column", ["user_id", "item_id"])
def test_a_log_is_refused(tmp_path, capsys, column):
    columns = {"user_id": GOOD, "item_id": GOOD, "timestamp": TIMES, column: broken()}
    log = write(tmp_path / "log.parquet", **columns)
    assert main(["prepare", str(log), "--out", str(tmp_path / "out")]) == 3
    said = f"E-ENC {log}: column '{column}', rows 1 to 3: a text that is not UTF-8"
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("column", ["item_id", "title"])
def test_titles_are_refused(tmp_path, capsys, column):
    log = write(tmp_path / "log.parquet", user_id=GOOD, item_id=GOOD, timestamp=TIMES)
    titles = write(tmp_path / "t.parquet", **{"item_id": GOOD, "title": GOOD, column: broken()})
    words = ["prepare", str(log), "--titles", str(titles), "--out", str(tmp_path / "out")]
    assert main(words) == 3
    assert f"E-ENC {titles}: column '{column}'" in capsys.readouterr().err


def test_ids_of_vectors_and_histories_are_refused(tmp_path):
    from dllm2rec.teacher.vector_tables import read_parquet_vectors

    vectors = write(tmp_path / "v.parquet", item_id=broken(), vector=pa.array([[1.0]] * 3))
    with pytest.raises(InputError, match=r"E-ENC .*'item_id'"):
        read_parquet_vectors(vectors)
    lists = pa.ListArray.from_arrays(pa.array([0, 3]), broken())
    histories = write(tmp_path / "h.parquet", history=lists)
    with pytest.raises(InputError, match=r"E-ENC .*'history'"):
        list(_of_parquet(histories))
