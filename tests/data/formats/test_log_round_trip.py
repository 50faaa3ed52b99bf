"""What is written is what is read, and every reader makes the same of the same rows."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from dllm2rec.data.logs.interactions import SPLITS, Interactions
from dllm2rec.data.logs.read import from_frame, read_interactions
from dllm2rec.data.text import blocks as text_blocks

# Any text but NUL and a lone return, which delimited files may not hold.
LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0\r")
IDS = st.one_of(
    st.sampled_from(["007", "7", "NA", "null", "nan", "None", "True", "1e5", "9007199254740993"]),
    st.text(LETTERS, min_size=1, max_size=6).filter(lambda text: text == text.strip()),
    st.integers(-(2**70), 2**70).map(str),
)
RATINGS = st.floats(width=32, allow_nan=False, allow_infinity=False)
# In each unit, its numbers of 1980 to 2099, so that the unit can be told.
YEARS = (315_532_800, 4_102_444_799)
PER_SECOND = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6}


@dataclass(frozen=True)
class Table:
    """Rows to write: ids, times in microseconds and as numbers of some unit, ratings, splits."""

    users: list[str]
    items: list[str]
    times: list[int]
    micros: list[int]
    ratings: list[float]
    splits: list[int]

    def columns(self) -> dict[str, list]:
        return {
            "user_id": self.users,
            "item_id": self.items,
            "timestamp": self.times,
            "rating": self.ratings,
            "split": [SPLITS[split] for split in self.splits],
        }


@st.composite
def tables(draw: st.DrawFn) -> Table:
    per_second = PER_SECOND[draw(st.sampled_from(sorted(PER_SECOND)))]
    low, high = (year * per_second for year in YEARS)
    row = st.tuples(IDS, IDS, st.integers(low, high), RATINGS, st.integers(0, len(SPLITS) - 1))
    users, items, times, ratings, splits = map(
        list, zip(*draw(st.lists(row, min_size=1, max_size=25)), strict=True)
    )
    micros = [time * 10**6 // per_second for time in times]
    return Table(users, items, times, micros, ratings, splits)


def delimited(table: Table, delimiter: str, end: str) -> bytes:
    columns, text = table.columns(), io.StringIO()
    # repr keeps every float32; csv quotes what needs it.
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end)
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue().encode()


def json_lines(table: Table, *, ascii_only: bool) -> bytes:
    columns = table.columns()
    rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    lines = [json.dumps(row, ensure_ascii=ascii_only) for row in rows]
    return "".join(line + "\n" for line in lines).encode()


def arrow_table(table: Table) -> pa.Table:
    return pa.table(table.columns() | {"rating": pa.array(table.ratings, pa.float32())})


def parquet_bytes(table: Table) -> bytes:
    out = pa.BufferOutputStream()
    parquet.write_table(arrow_table(table), out, row_group_size=7)
    return out.getvalue().to_pybytes()


def pandas_frame(table: Table) -> object:
    return arrow_table(table).to_pandas()


def polars_frame(table: Table) -> object:
    import polars as pl

    return pl.from_arrow(arrow_table(table))


FILES: dict[str, Callable[[Table], bytes]] = {
    "log.csv": lambda table: delimited(table, ",", "\n"),
    "crlf.csv": lambda table: delimited(table, ",", "\r\n"),
    "log.csv.gz": lambda table: gzip.compress(delimited(table, ",", "\n")),
    "log.csv.zst": lambda table: pa.compress(
        delimited(table, ",", "\n"), codec="zstd", asbytes=True
    ),
    "log.tsv": lambda table: delimited(table, "\t", "\n"),
    "log.jsonl": lambda table: json_lines(table, ascii_only=False),
    "ascii.jsonl": lambda table: json_lines(table, ascii_only=True),
    "log.parquet": parquet_bytes,
}
FRAMES: dict[str, Callable[[Table], object]] = {
    "arrow": arrow_table,
    "pandas": pandas_frame,
    "polars": polars_frame,
}


def check(log: Interactions, table: Table) -> None:
    """Against the rows as Python has them; ids are numbered by their first appearance."""
    for ids, codes, written in (
        (log.user_ids, log.users, table.users),
        (log.item_ids, log.items, table.items),
    ):
        names = list(dict.fromkeys(written))
        assert ids.to_pylist() == names
        assert codes.tolist() == [names.index(name) for name in written]
    assert log.times is not None
    assert log.times.tolist() == table.micros
    assert log.ratings is not None
    assert log.ratings.tobytes() == np.array(table.ratings, dtype=np.float32).tobytes()
    assert log.splits is not None
    assert log.splits.tolist() == table.splits


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
@settings(deadline=None)  # the first file loads the libraries
@given(table=tables(), n_bytes=st.sampled_from([64, 200, 1 << 20]))
def test_a_file_reads_back_as_it_was_written(name: str, table: Table, n_bytes: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(FILES[name](table))
        with mock.patch.object(text_blocks, "BLOCK_BYTES", n_bytes):
            check(read_interactions(path), table)


@pytest.mark.parametrize("name", FRAMES)
@settings(deadline=None)
@given(table=tables())
def test_a_frame_reads_back_as_it_was_made(name: str, table: Table) -> None:
    check(from_frame(FRAMES[name](table)), table)


@pytest.mark.slow
@settings(deadline=None)
@given(delimiter=st.sampled_from(";|:^~ "), table=tables())
def test_any_delimiter_reads_back(delimiter: str, table: Table) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.csv"
        path.write_bytes(delimited(table, delimiter, "\n"))
        check(read_interactions(path, delimiter=delimiter), table)


@pytest.mark.slow
@settings(deadline=None)
@given(table=tables())
def test_files_of_several_formats_follow_each_other(table: Table) -> None:
    twice = Table(
        *(list(column) * 2 for column in (table.users, table.items, table.times, table.micros)),
        *(list(column) * 2 for column in (table.ratings, table.splits)),
    )
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / "1.csv", Path(folder) / "2.jsonl"]
        for path, data in zip(
            paths, (FILES["log.csv"](table), FILES["log.jsonl"](table)), strict=True
        ):
            path.write_bytes(data)
        check(read_interactions(paths), twice)
