"""One opener under all text readers: the same refusals, in the same words."""

from __future__ import annotations

import gzip
import os
import threading

import pyarrow as pa
import pytest

from dllm2rec.cli.recommend_inputs import User
from dllm2rec.data.text.blocks import text_blocks
from dllm2rec.data.text.csv_table import read_csv
from dllm2rec.data.text.files import BLOCK_BYTES, BOM, RECORD_CAP, read_bytes, read_pieces
from dllm2rec.data.text.lines import first_lines, read_lines
from dllm2rec.errors import InputError
from tests.support.all_histories import read_histories

READERS = {
    "whole": read_bytes,
    "pieces": lambda path: list(read_pieces(path)),
    "blocks": lambda path: list(text_blocks(path, ",")),
    "lines": lambda path: list(read_lines(path)),
    "table": lambda path: read_csv(path, ("a",)),
    "histories": lambda path: list(read_histories(path)),
}
REFUSED = {
    "pickle": (b"\x80\x04\x95\x1c", "E-CONTENT", "a Python pickle, expected text"),
    "parquet": (b"PAR1\x15", "E-CONTENT", "a Parquet file, expected text"),
    "zip": (b"PK\x03\x04\n", "E-CONTENT", "a zip archive, expected text"),
    "bzip2": (b"BZh91AY", "E-CONTENT", "compressed in an unsupported way, expected text"),
    "utf-16": ("a,b\n".encode("utf-16"), "E-CONTENT", "UTF-16 text, expected text"),
    "git-lfs": (b"version https://git-lfs.github.com\n", "E-CONTENT", "hint: run git lfs pull"),
    "html": (b"\n <!DOCTYPE html>", "E-CONTENT", "an HTML page, expected text"),
    "xml": (b'<?xml version="1.0"?><Error/>', "E-CONTENT", "an XML page, expected text"),
    "pickle in gzip": (gzip.compress(b"\x80\x04\x95"), "E-CONTENT", "a Python pickle"),
    "cut": (gzip.compress(b"a,b\n1,2\n" * 999)[:-9], "E-TRUNC", "broken gzip stream"),
    "bomb": (gzip.compress(b"a,b\n" + b"1,2\n" * 10_000_000), "E-BOMB", "inflates to more than"),
    "not utf-8": (b'{"a":"\xff"}\n', "E-ENC", "byte 0xff is no UTF-8, expected UTF-8 text"),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", REFUSED)
def test_every_reader_refuses_with_one_code_and_in_one_wording(tmp_path, name, reader):
    data, code, says = REFUSED[name]
    if code == "E-ENC" and reader in ("whole", "pieces", "lines"):
        pytest.skip("bytes, which need not be text yet")
    if code == "E-BOMB" and reader == "histories":
        pytest.skip("its first line is no JSON")
    path = tmp_path / "file.csv"
    path.write_bytes(data)
    with pytest.raises(InputError, match=code) as caught:
        READERS[reader](path)
    assert says in str(caught.value)


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_refuses_a_missing_file_and_a_folder(tmp_path, reader):
    for path, reason in ((tmp_path / "no", "No such file"), (tmp_path, "")):
        with pytest.raises(InputError, match=f"E-FILE .*{reason}.*, expected"):
            READERS[reader](path)


def test_a_file_inflates_by_what_it_is_not_by_its_name(tmp_path):
    text = b"a,b\n1,2\n"
    for name, data in {
        "plain.gz": text,
        "gzip.csv": gzip.compress(text),
        "two.csv": gzip.compress(text[:3]) + gzip.compress(text[3:]),
        "zstd.csv": pa.compress(text, "zstd", asbytes=True),
    }.items():
        (tmp_path / name).write_bytes(data)
        assert read_bytes(tmp_path / name) == text
        assert READERS["table"](tmp_path / name).columns["a"].to_pylist() == ["1"]


def test_a_plain_file_may_be_as_large_as_it_is(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(b"x" * (BLOCK_BYTES + 5))
    assert [len(piece) for piece in read_pieces(path)] == [BLOCK_BYTES, 5]


def test_lines_are_numbered_and_lose_only_their_ends(tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(BOM + b"a\r\n\n b \nlast")
    assert list(read_lines(path)) == [(1, b"a"), (2, b""), (3, b" b "), (4, b"last")]
    long = b"y" * 300_000
    path.write_bytes(b"x\n" + long + b"\n" + long)
    assert [line for _, line in read_lines(path)] == [b"x", long, long]


def test_a_line_above_the_cap_is_refused_before_all_of_it_is_read(tmp_path):
    path = tmp_path / "lines"
    with path.open("wb") as file:
        file.write(b"a\n")
        file.truncate(8 * RECORD_CAP)  # NULs, no line end
    with pytest.raises(InputError, match=r"E-LINE .*:2:1: over 16,777,216 bytes"):
        list(read_lines(path))


def test_a_look_at_what_is_no_text_sees_nothing(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"PAR1")
    assert first_lines(path, 3) == []


def test_histories_may_come_through_a_pipe(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=[b'{"history": ["7"]}\n'])
    writer.start()
    assert list(read_histories(path)) == [User("1", ["7"], 1)]
    writer.join()
