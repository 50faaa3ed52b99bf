"""What any reader of a Parquet file may meet: no UTF-8, a column twice, far more than its size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from dllm2rec.cli import main
from dllm2rec.cli.recommend_inputs import _of_parquet
from dllm2rec.data.logs.titles.read_titles import read_titles
from dllm2rec.data.text.parquet_text import bounded_batches
from dllm2rec.errors import ArtifactError, InputError
from dllm2rec.teacher.answers.import_answers import import_answers
from dllm2rec.teacher.vector_tables import read_parquet_vectors
from tests.support.all_histories import read_histories
from tests.support.asked import asked_dataset

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
    vectors = write(tmp_path / "v.parquet", item_id=broken(), vector=pa.array([[1.0]] * 3))
    with pytest.raises(InputError, match=r"E-ENC .*'item_id'"):
        read_parquet_vectors(vectors)
    lists = pa.ListArray.from_arrays(pa.array([0, 3]), broken())
    histories = write(tmp_path / "h.parquet", history=lists)
    with pytest.raises(InputError, match=r"E-ENC .*'history'"):
        list(_of_parquet(histories))


READERS = {
    "histories": lambda path: list(read_histories(path)),
    "titles": read_titles,
    "vectors": read_parquet_vectors,
    "answers": lambda path: import_answers(path, asked_dataset()),
}
COLUMNS = {
    "histories": {"user_id": ["a", "b"], "history": [["x"], ["y"]]},
    "titles": {"item_id": ["x", "y"], "title": ["X", "Y"]},
    "vectors": {"item_id": ["x", "y"], "vector": [[1.0], [2.0]]},
    "answers": {"user_id": ["ann", "bob"], "item_id": ["m12", "m13"]},
}


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("reader", READERS)
def test_a_column_that_is_there_twice_is_refused(tmp_path, reader, place):
    columns = COLUMNS[reader]
    READERS[reader](write(tmp_path / "once.parquet", **columns))
    name = [*columns][place]
    names, arrays = [*columns, name], [pa.array(values) for values in columns.values()]
    twice = pa.Table.from_arrays([*arrays, arrays[place]], names=names)
    parquet.write_table(twice, tmp_path / "twice.parquet")
    with pytest.raises(InputError, match=rf"E-HEADER .*two columns '{name}'"):
        READERS[reader](tmp_path / "twice.parquet")


def shared(text: str, n_rows: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(np.zeros(n_rows, np.int32), [text])


@pytest.mark.parametrize("reader", READERS)
def test_a_text_that_all_rows_share_is_told_before_each_row_holds_it(tmp_path, reader):
    n = 400
    columns = COLUMNS[reader] | {next(iter(COLUMNS[reader])): None}
    columns = {
        name: shared("x" * 2**20, n) if values is None else pa.array(values * (n // 2))
        for name, values in columns.items()
    }
    path = write(tmp_path / "a.parquet", **columns)
    assert path.stat().st_size < 60_000
    with pytest.raises(ArtifactError, match=r"E-BOMB .*texts of over 33,554,432 bytes"):
        READERS[reader](path)


@pytest.mark.parametrize("reader", ["histories", "answers"])
def test_long_lists_of_one_value_are_judged_by_the_footer(tmp_path, reader):
    n, length = 1000, 5000
    lists = pa.ListArray.from_arrays(
        np.arange(0, (n + 1) * length, length, dtype=np.int32), np.zeros(n * length, np.int64)
    )
    name = [*COLUMNS[reader]][1] if reader == "histories" else "item_ids"
    path = write(tmp_path / "a.parquet", user_id=pa.array(map(str, range(n))), **{name: lists})
    assert path.stat().st_size < 100_000
    with pytest.raises(ArtifactError, match=r"E-BOMB .*1,000 rows that take"):
        READERS[reader](path)


def test_a_column_that_is_not_read_may_hold_anything(tmp_path):
    columns = {"user_id": pa.array(["ann", "bob"] * 2), "item_id": pa.array(["m12", "m13"] * 2)}
    path = write(tmp_path / "a.parquet", **columns, prompt=shared("x" * 2**24, 4))
    READERS["answers"](path)


def test_texts_that_are_shared_come_in_pieces_below_the_bound(tmp_path):
    inner = shared("x" * 2**20, 24)
    lists = pa.ListArray.from_arrays(np.arange(13, dtype=np.int32) * 2, inner)
    path = write(tmp_path / "a.parquet", text=lists)
    batches = list(bounded_batches(path, ["text"], 100))
    assert [batch.num_rows for batch in batches] == [3] * 4
    assert sum(len(row["text"]) for batch in batches for row in batch.to_pylist()) == 24


def test_a_column_whose_name_is_no_utf_8_is_refused(tmp_path):
    path = write(tmp_path / "v.parquet", item_id=GOOD, vector=pa.array([[1.0]] * 3))
    content = path.read_bytes()
    assert b"item_id" in content
    path.write_bytes(content.replace(b"item_id", b"item\xff\xfed"))
    with pytest.raises(InputError, match=r"E-ENC .*: a column's name that is not UTF-8, expected"):
        read_parquet_vectors(path)
