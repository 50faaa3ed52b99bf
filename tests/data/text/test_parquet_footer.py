"""Footers say what columns take, as `pyarrow` tells it, and a damaged one ends no process."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from dllm2rec.data.text import parquet_footer
from dllm2rec.data.text.parquet_footer import row_groups
from dllm2rec.errors import ArtifactError
from tests.support.children import ended, forked
from tests.support.reading_cost import READERS

LOG = pa.table({"user_id": ["u1", "u2"] * 30, "item_id": ["i"] * 60})


def written(path: Path, table: pa.Table, **options: object) -> Path:
    parquet.write_table(table, path, **options)
    return path


def with_footer(path: Path, footer: bytes) -> Path:
    """The same file with another footer."""
    content = path.read_bytes()
    length = int.from_bytes(content[-8:-4], "little")
    tail = len(footer).to_bytes(4, "little") + b"PAR1"
    path.write_bytes(content[: -8 - length] + footer + tail)
    return path


def footer_of(path: Path) -> bytes:
    content = path.read_bytes()
    return content[-8 - int.from_bytes(content[-8:-4], "little") : -8]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"row_group_size": 7, "compression": "zstd", "write_page_index": True},
        {"use_dictionary": False, "write_statistics": False, "version": "1.0"},
        {"row_group_size": 1, "sorting_columns": [parquet.SortingColumn(0)]},
    ],
)
def test_numbers_are_those_of_pyarrow(tmp_path, options):
    table = pa.table(
        {
            "user_id": [f"u{n}" for n in range(40)],
            "history": [list(range(n)) for n in range(40)],
            "cell": [{"a": n, "b": ["x"] * n} for n in range(40)],
            "truth": [True, None] * 20,
            "amount": pa.array(np.arange(40)).cast(pa.decimal128(30, 2)),
            "pairs": pa.array([[("k", 1)]] * 40, pa.map_(pa.string(), pa.int64())),
        }
    ).replace_schema_metadata({"note": "x" * 3000})
    metadata = parquet.read_metadata(written(tmp_path / "t.parquet", table, **options))
    groups = row_groups(tmp_path / "t.parquet", metadata.num_columns)
    assert len(groups) == metadata.num_row_groups > 0
    for number, group in enumerate(groups):
        right = metadata.row_group(number)
        assert (group.n_rows, group.n_bytes) == (right.num_rows, right.total_byte_size)
        for place, column in enumerate(group.columns):
            chunk = right.column(place)
            assert (column.n_values, column.n_bytes) == (
                chunk.num_values,
                chunk.total_uncompressed_size,
            )


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("name", ["parquet", "titles", "histories", "vectors", "lists", "answers"])
def test_statistics_that_are_forged_end_no_process(tmp_path, name):
    """`pyarrow` calls `terminate` where a column's statistics do not fit the schema."""
    table = pa.table(
        {
            "user_id": ["u1"],
            "item_id": ["item-1"],
            "title": ["T"],
            "history": [["a", "b"]],
            "items": [["a", "b"]],
        }
    )
    table = {
        "vectors": pa.table({"item_id": ["item-1"], "vector": [[1.0]]}),
        "lists": table.select(["user_id", "item_id"]),
        "answers": table.select(["user_id", "items"]),
    }.get(name, table)
    path = written(tmp_path / "t.parquet", table)
    column = b"item_id" if name in ("vectors", "titles") else b"user_id"
    good = b"\x02\x18\x07" + column  # how often a value may stand there, and the name
    footer = footer_of(path)
    assert footer.count(good) == 1
    with_footer(path, footer.replace(good, b"\x12" + good[1:]))

    def read() -> int:
        with pytest.raises(ArtifactError, match=f"E-PARQUET {path}: "):
            READERS[name](path)
        return 0

    code = ended(forked(read, tmp_path / "log"))  # in a child: pytest must live to tell
    assert code == 0, (tmp_path / "log").read_text()[:2000]


def test_damaged_footers_are_refused(tmp_path):
    path = written(tmp_path / "t.parquet", LOG)
    good = footer_of(path)
    right = row_groups(path, 2)
    n_refused = 0
    for seed in range(3000):
        chance = random.Random(seed)
        bad = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            bad[chance.randrange(len(bad))] = chance.randrange(256)
        cut = bytes(bad[: chance.randint(0, len(bad))] if seed % 3 == 0 else bad)
        with_footer(path, cut)
        with suppress(ArtifactError):
            row_groups(path, 2)
            continue
        n_refused += 1
    assert 300 < n_refused < 3000
    assert row_groups(with_footer(path, good), 2) == right


@pytest.mark.parametrize(
    ("footer", "said"),
    [
        (b"\x49" + b"\x1c" + b"\x00" * 9, "a row group without some of the columns"),
        (b"\x49" + b"\x1c" + b"\x19\x1c\x00\x00\x00", "a column without its numbers"),
        (b"\x49\x1c\x19\x1c\x3c\x56\x01\x00\x00\x00\x00", "a count of -1"),
        (b"\x49\x15\x02\x00", "a list of another kind"),
        (b"\x49\xfc\xff\xff\xff\xff\x0f", "a list that is cut off"),
        (b"\x18\xff\x7f", "a text that is cut off"),
        (b"\x16" + b"\xff" * 11, "a number of over 64 bits"),
        (b"\x1d\x00", "a value of no kind, 13"),
        (b"\x1c" * 99, "too deep"),
        (b"\x19\x19" * 99, "too deep"),
        (b"\x15", "index out of range"),
    ],
)
def test_forged_footers_are_refused(tmp_path, footer, said):
    path = with_footer(written(tmp_path / "t.parquet", LOG), footer)
    with pytest.raises(ArtifactError, match=f"a footer that is damaged .*{said}"):
        row_groups(path, 2)


def test_a_footer_that_is_not_there_or_too_large_is_refused(tmp_path, monkeypatch):
    path = written(tmp_path / "t.parquet", LOG)
    content = path.read_bytes()
    for bad in (b"", b"PAR1", content[:-1], content[:-8] + b"\xff\xff\xff\x7fPAR1"):
        path.write_bytes(bad)
        with pytest.raises(ArtifactError, match="not where the end of the file says"):
            row_groups(path, 2)
    path.write_bytes(content)
    monkeypatch.setattr(parquet_footer, "_LARGEST", 100)
    with pytest.raises(ArtifactError, match=r"expected at most 100\. hint: write the file"):
        row_groups(path, 2)
