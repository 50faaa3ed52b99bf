"""Logs without a header: MovieLens 100K to 10M, the Amazon ratings."""

from __future__ import annotations

import gzip

import pytest

from dllm2rec.data.logs.log_form import LogForm
from dllm2rec.data.logs.read import read_interactions
from dllm2rec.data.text import blocks as text_blocks
from dllm2rec.errors import ConfigError, InputError

NAMES = ("user_id", "item_id", "rating", "timestamp")
T = 978300019


def read(path, delimiter, names=NAMES, **options):
    return read_interactions(
        path, file_format="csv", delimiter=delimiter, form=LogForm(names=names), **options
    )


@pytest.mark.parametrize("delimiter", ["\t", "::", ","])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("n_bytes", [48, 1 << 20])
def test_columns_are_told_by_place(tmp_path, monkeypatch, delimiter, packed, n_bytes):
    monkeypatch.setattr(text_blocks, "BLOCK_BYTES", n_bytes)
    rows = [["07", "b", "3.5", f"{T}"], ["7", "a", "5", "0"], ["07", 'a "b', "1", "5"]]
    data = "".join(delimiter.join(row) + "\n" for row in rows).encode()
    path = tmp_path / "log.dat"
    path.write_bytes(gzip.compress(data) if packed else data)
    log = read(path, delimiter)
    assert (log.user_ids.to_pylist(), log.item_ids.to_pylist()) == (["07", "7"], ["b", "a", 'a "b'])
    assert (log.users.tolist(), log.items.tolist()) == ([0, 1, 0], [0, 1, 2])
    assert log.ratings.tolist() == [3.5, 5, 1]
    assert log.times.tolist() == [T * 1_000_000, 0, 5_000_000]


def test_items_may_come_first_and_ids_be_integers(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("3,07,5.0,1\n3,7,5.0,1\n")
    names = ("item_id", "user_id", "rating", "timestamp")
    log = read(path, ",", names)
    assert (log.user_ids.to_pylist(), log.item_ids.to_pylist()) == (["07", "7"], ["3"])
    assert read(path, ",", names, id_type="int").user_ids.to_pylist() == ["7"]


@pytest.mark.parametrize(
    ("data", "code", "line", "column"),
    [
        (b"1::2::3::4\n1::2::3\n", "E-RAGGED", 2, 8),
        (b"1::2::3::4\n1::2::3::4::5\n", "E-RAGGED", 2, 13),
        (b"1::2::3::4\n1::2\t3::4\n", "E-DELIM", 2, 5),
        (b"1::2::3::4\n1::2\x00::3::4\n", "E-NUL", 2, 5),
        (b"1::2::3::4\n\n1::2::3::4\n", "E-BLANK", 2, 1),
        (b"1::2::3::4\n1::::3::4\n", "E-LOG-MISSING", 2, 4),
        (b"1::2::3::4\n1:: 2::3::4\n", "E-LOG-SPACE", 2, 4),
        (b"1::2::3::4\n1::2::x::4\n", "E-RATING", 2, 7),
        (b"1::2::3::4\n1::2::nan::4\n", "E-RATING", 2, 7),
        (b"1::2::3::4\n1::2::3::x\n", "E-TS", 2, 10),
        (b"1::2::3::1e18\n1::2::3::1e300\n", "E-TS", 2, 10),  # nanoseconds, behind 9999
        (b"1::2::3::4\n1::2::3::\n", "E-LOG-MISSING", 2, 10),
        (b"1::\xff::3::4\n", "E-ENC", 1, 4),
        (b"", "E-EMPTY", None, None),
        (b"\n\n", "E-EMPTY", None, None),
    ],
)
def test_what_breaks_a_row_is_refused_with_its_place(tmp_path, data, code, line, column):
    path = tmp_path / "log.dat"
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        read(path, "::")
    assert (caught.value.code, caught.value.line, caught.value.column) == (code, line, column)


def test_a_cut_file_is_refused(tmp_path):
    path = tmp_path / "log.dat.gz"
    path.write_bytes(gzip.compress(b"1::2::3::4\n" * 9999)[:-20])
    with pytest.raises(InputError) as caught:
        read(path, "::")
    assert caught.value.code == "E-TRUNC"


@pytest.mark.parametrize("delimiter", ["", ":::", "é", '"', "a", "\n"])
def test_a_delimiter_that_is_none_is_refused(tmp_path, delimiter):
    path = tmp_path / "log.csv"
    path.write_text("1,2,3,4\n")
    with pytest.raises(ConfigError, match="expected one ASCII character such as ',', or '::'"):
        read(path, delimiter)


def test_integer_ids_of_a_log_without_a_row_are_no_bug(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("user_id,item_id\n" + "\n" * 3)
    with pytest.raises(InputError) as caught:
        read_interactions(path, id_type="int")
    assert caught.value.code in {"E-EMPTY", "E-BLANK"}
