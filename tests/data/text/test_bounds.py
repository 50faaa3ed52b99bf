"""Reading n bytes costs 64 MiB and a small multiple of n of memory, and time that grows as n."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from dllm2rec.errors import ArtifactError, InputError
from tests.support import reading_shapes as shapes
from tests.support.reading_cost import READERS
from tests.support.reading_shapes import MEBIBYTE, Shape

# Costs are measured in processes of their own.
pytestmark = pytest.mark.slow

FREE = 64.0  # mebibytes
PER_BYTE = 12  # of memory
SMALL = 2 * MEBIBYTE

SOUND = {
    "csv": b"user_id,item_id,rating,timestamp\nu1,i1,5,1600000000\n",
    "csv-int": b"user_id,item_id,rating,timestamp\n1,2,5,1600000000\n",
    "tsv": b"user_id\titem_id\trating\ttimestamp\nu1\ti1\t5\t1600000000\n",
    "headerless": b"u1\ti1\t5\t1600000000\n",
    "colons": b"u1::i1::5::1600000000\n",
    "json-lines": shapes.LINES_OF_JSON,
    "titles-csv": b"item_id,title\ni1,One\n",
    "titles-pipes": b"1|One|x\n",
    "titles-amazon": b'{"asin": "a", "title": "One"}\n',
    "titles-bigrec": b"One\t1\n",
    "histories": b'{"history": ["1"]}\n',
    "windows": b'seq,next\n"[1, 2, 3]",4\n',
    "ranking": shapes.ROW_OF_NUMBERS,
    "distances": shapes.ROW_OF_NUMBERS,
}
SHAPES: dict[str, Mapping[str, Shape]] = {
    "csv": shapes.delimited(","),
    "csv-int": shapes.delimited(","),
    "tsv": shapes.delimited("\t"),
    "headerless": shapes.delimited("\t", ""),
    "colons": shapes.delimited("::", ""),
    "json-lines": shapes.json_lines,
    "titles-csv": shapes.delimited(",", "item_id,title\n"),
    "titles-pipes": shapes.delimited("|", ""),
    "titles-amazon": shapes.json_lines,
    "titles-bigrec": shapes.delimited("\t", ""),
    "histories": shapes.json_lines,
    "windows": shapes.windows,
    "ranking": shapes.numbers,
    "distances": shapes.numbers,
}


def costs(reader: str, folder: Path, contents: list[bytes]) -> list[dict[str, float]]:
    """What reading each of these contents costs."""
    files = [folder / f"{number}" for number in range(len(contents))]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    (folder / "sound").write_bytes(SOUND[reader])
    command = [sys.executable, "-m", "tests.support.reading_cost", reader, folder / "sound", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def excess(n: int, single: dict[str, float], double: dict[str, float]) -> str:
    """What is beyond the bounds for files of `n` and of 2 n bytes, or nothing."""
    allowed = FREE + PER_BYTE * 2 * n / MEBIBYTE
    if double["mebibytes"] > allowed:
        return f"{double['mebibytes']:.0f} MiB, allowed {allowed:.0f}"
    # Twice the time, and some for what else the machine does; the square would be four times.
    if double["seconds"] > 3 * single["seconds"] + 0.3:
        return f"{single['seconds']:.2f} s, then {double['seconds']:.2f} s"
    return ""


def check_shapes(reader: str, folder: Path, made: Mapping[str, Shape], n: int) -> None:
    contents = [shape(size) for shape in made.values() for size in (n, 2 * n)]
    found = costs(reader, folder, contents)
    sizes = [len(content) for content in contents[::2]]
    pairs = zip(made, sizes, found[::2], found[1::2], strict=True)
    beyond = {name: excess(size, one, two) for name, size, one, two in pairs}
    assert not {name: why for name, why in beyond.items() if why}


@pytest.mark.parametrize(
    "reader",
    [r if r in ("csv", "histories", "ranking") else pytest.param(r, marks=pytest.mark.slow)
     for r in SHAPES],
)  # fmt: skip
@pytest.mark.timeout(900)  # many processes, one after the other
def test_text_of_any_shape_is_read_or_refused_within_the_bounds(tmp_path, reader):
    check_shapes(reader, tmp_path, SHAPES[reader], SMALL)


@pytest.mark.parametrize("reader", SHAPES)
@pytest.mark.parametrize("packing", shapes.COMPRESSED)
def test_compressed_text_is_read_or_refused_within_the_bounds(tmp_path, reader, packing):
    pack = shapes.COMPRESSED[packing]
    made = {packing: lambda n: pack(SOUND[reader], n)}
    check_shapes(reader, tmp_path, made, 100_000)


@pytest.mark.parametrize("reader", ["csv", "json-lines", "titles-pipes"])
def test_valid_rows_beyond_the_limit_are_counted_before_they_are_held(tmp_path, reader):
    row = SOUND[reader].splitlines(keepends=True)[-1]
    bomb = gzip.compress(SOUND[reader] + row * (400 * MEBIBYTE // len(row)), 1)
    assert len(bomb) < 4 * MEBIBYTE
    (found,) = costs(reader, tmp_path, [bomb])
    assert found["outcome"] == "E-BOMB"
    assert found["mebibytes"] < FREE


def test_rows_that_are_much_alike_are_read_all_the_same(tmp_path):
    path = tmp_path / "log.csv.gz"
    row = b"u1,i1,1600000000\n"
    path.write_bytes(gzip.compress(b"user_id,item_id,timestamp\n" + row * 1_500_000))
    assert path.stat().st_size * 20 < 1_500_000 * len(row)
    assert len(READERS["csv"](path).users) == 1_500_000


@pytest.mark.parametrize("n_columns", [10_000, 80_000])
def test_a_log_may_have_many_columns(tmp_path, n_columns):
    path = tmp_path / "log.csv"
    names = ",".join(f"c{n}" for n in range(n_columns))
    path.write_text(f"user_id,item_id,{names}\n" + f"u,i{',1' * n_columns}\n" * 3)
    assert len(READERS["csv"](path).users) == 3


def parquet(tmp_path: Path, **columns: object) -> Path:
    path = tmp_path / "log.parquet"
    path.write_bytes(shapes.parquet_of(**columns))
    return path


def test_a_parquet_file_is_judged_by_its_footer(tmp_path):
    n = 20_000_000
    path = parquet(tmp_path, user_id=np.zeros(n, np.int32), item_id=np.zeros(n, np.int32))
    assert path.stat().st_size < 600_000
    with pytest.raises(ArtifactError, match=r"E-BOMB .*20,000,000 rows"):
        READERS["parquet"](path)


def test_a_text_that_all_rows_of_a_parquet_file_share_is_held_once(tmp_path):
    long = pa.DictionaryArray.from_arrays(np.zeros(100_000, np.int32), ["x" * MEBIBYTE])
    ids = np.arange(100_000) % 7
    assert len(READERS["parquet"](parquet(tmp_path, user_id=long, item_id=ids)).users) == 100_000
    for role in ("rating", "timestamp"):
        path = parquet(tmp_path, user_id=ids, item_id=ids, **{role: long})
        with pytest.raises(InputError, match=r"row 1, column .*a text of over 256 bytes"):
            READERS["parquet"](path)


def _answered(head: str, line: str, n: int) -> bytes:
    """Lists of 40 items for as many train rows as come to `n` bytes."""
    rows = n // (40 * len(line.format(row=10_000, item=10, rank=10)))
    lines = (
        line.format(row=row, item=(row + rank) % 40, rank=rank)
        for row in range(rows)
        for rank in range(1, 41)
    )
    return (head + "".join(lines)).encode()


@pytest.mark.parametrize(
    ("head", "line"),
    [
        ("row,item_id,rank\n", "{row},item-{item},{rank}\n"),
        ("", '{{"row": {row}, "item_id": "item-{item}", "rank": {rank}}}\n'),
    ],
    ids=["csv", "json-lines"],
)
def test_answers_written_a_line_per_item_stay_within_the_bounds(tmp_path, head, line):
    sizes = (4000, 6 * MEBIBYTE, 12 * MEBIBYTE)
    check_answers(tmp_path, [_answered(head, line, size) for size in sizes])


def test_answers_for_very_many_histories_stay_within_the_bounds(tmp_path):
    """A list of one item each: most of what is kept says whose it is."""
    lines = [
        f'{{"history": ["item-{n % 40}", "item-{n // 40 % 40}", "item-{n // 1600}"], '
        f'"item_ids": ["item-{n % 39}"]}}\n'
        for n in range(64_000)
    ]
    contents = ["".join(lines[:n]).encode() for n in (100, 32_000, 64_000)]
    check_answers(tmp_path, contents)


def test_answers_of_very_many_users_are_refused_within_the_bounds(tmp_path):
    lines = [f"u{n},item-{n % 40}\n" for n in range(200_000)]
    contents = ["user_id,item_id\n" + "".join(lines[:n]) for n in (100, 100_000, 200_000)]
    check_answers(tmp_path, [content.encode() for content in contents], "E-FOREIGN")


def check_answers(folder: Path, contents: list[bytes], outcome: str = "") -> None:
    """What reading each costs; the first warms up."""
    small, *files = (folder / f"{number}.txt" for number in range(3))
    for file, content in zip((small, *files), contents, strict=True):
        file.write_bytes(content)
    command = [sys.executable, "-m", "tests.support.reading_cost", "answers", small, *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr[-2000:]
    one, two = (json.loads(text) for text in done.stdout.splitlines())
    assert one["outcome"] == two["outcome"] == outcome
    assert not excess(files[0].stat().st_size, one, two)
