"""Logs without a header: MovieLens 100K to 10M, the Amazon ratings."""

from __future__ import annotations

import gzip

import pytest

from dllm2rec.data.headless import read_headless
from dllm2rec.errors import InputError

NAMES = ("user_id", "item_id", "rating", "timestamp")


@pytest.mark.parametrize("delimiter", ["\t", "::", ","])
@pytest.mark.parametrize("packed", [False, True])
def test_columns_are_told_by_place(tmp_path, delimiter, packed):
    rows = [["07", "b", "3.5", "978300019"], ["7", "a", "5", "0"], ["07", "a", "1", "5"]]
    data = "".join(delimiter.join(row) + "\n" for row in rows).encode()
    path = tmp_path / "log.dat"
    path.write_bytes(gzip.compress(data) if packed else data)
    log = read_headless(path, NAMES, delimiter)
    assert (log.user_ids.to_pylist(), log.item_ids.to_pylist()) == (["07", "7"], ["b", "a"])
    assert (log.users.tolist(), log.items.tolist()) == ([0, 1, 0], [0, 1, 1])
    assert log.ratings.tolist() == [3.5, 5, 1]
    assert log.times.tolist() == [978300019_000_000, 0, 5_000_000]


def test_items_may_come_first(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("b,07,5.0,1\n")
    log = read_headless(path, ("item_id", "user_id", "rating", "timestamp"), ",")
    assert (log.user_ids.to_pylist(), log.item_ids.to_pylist()) == (["07"], ["b"])


@pytest.mark.parametrize(
    ("data", "code", "line"),
    [
        (b"1::2::3::4\n1::2::3\n", "E-RAGGED", 2),
        (b"1::2::3::4\n1::2::3::4::5\n", "E-RAGGED", 2),
        (b"1::2::3::4\n1::2\t3::4\n", "E-ENCODING", 2),
        (b"1::2::3::4\n1::2\x00::3::4\n", "E-ENCODING", 2),
        (b"1::2::3::4\n\n1::2::3::4\n", "E-TOKEN", 2),
        (b"1::2::3::4\n1::::3::4\n", "E-LOG-MISSING", 2),
        (b"1::2::3::4\n1::2::x::4\n", "E-TOKEN", 2),
        (b"1::2::3::4\n1::2::nan::4\n", "E-TOKEN", 2),
        (b"1::2::3::4\n1::2::3::4.5\n", "E-TOKEN", 2),
        (b"1::2::3::978300019000\n", "E-TOKEN", 1),
        (b"1::2::3::-1\n", "E-TOKEN", 1),
        (b"1::\xff::3::4\n", "E-TOKEN", 1),
        (b"", "E-EMPTY", None),
    ],
)
def test_what_breaks_a_row_is_refused_with_its_line(tmp_path, data, code, line):
    path = tmp_path / "log.dat"
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        read_headless(path, NAMES, "::")
    assert (caught.value.code, caught.value.line) == (code, line)


def test_a_cut_file_is_refused(tmp_path):
    path = tmp_path / "log.dat.gz"
    path.write_bytes(gzip.compress(b"1::2::3::4\n" * 9999)[:-20])
    with pytest.raises(InputError) as caught:
        read_headless(path, NAMES, "::")
    assert caught.value.code == "E-FILE"
