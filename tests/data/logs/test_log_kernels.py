"""Splitting rows and numbering ids: the kernels against their slow twins, and Arrow's reading."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dllm2rec import _core
from dllm2rec.data.logs import delimited
from dllm2rec.data.logs.read import read_interactions
from dllm2rec.errors import InputError
from tests.reference import log as reference

KINDS = ["id", "skip", "int", "float", "text"]
PIECES = ["u", "7", "-1", ".5", "4.5", " ", "é", "\u00a0", "\t", "\r", '"', "\0", "x" * 9, "1" * 8]
CELL = st.lists(st.sampled_from(PIECES), max_size=3).map("".join)
PLAIN_ROW = st.tuples(
    st.sampled_from(["u", "u é 7", "0" * 30]),
    CELL.filter(lambda cell: not set(cell) & set('\r"\0')),
    st.integers(-(2**63) + 1, 2**63 - 1).map(str),
    st.sampled_from(["1", "-4.5", ".5", "5.", "0000001", "123.4567"]),
    st.sampled_from(["", " ", "é", "train"]),
)
ROW = st.one_of(PLAIN_ROW, PLAIN_ROW, PLAIN_ROW, st.lists(CELL, min_size=4, max_size=6))


@pytest.mark.slow
@given(
    st.lists(ROW, min_size=1, max_size=12), st.sampled_from(["\n", "\r\n"]), st.sampled_from([0, 1])
)
@example([("u", "", "9223372036854775808", "1", "")], "\n", 1)
@example([("u", "", "1", "1", "\r")], "\n", 0)
@settings(deadline=None, max_examples=400)
def test_rows_are_split_as_the_twin_splits_them(rows, end, is_ended):
    text = end.join(",".join(row) for row in rows).encode() + end.encode() * is_ended
    block = _core.split_rows(text, ord(","), KINDS)
    expected = reference.split_rows(text, b",", KINDS)
    assert (block is None) == (expected is None)
    if block is None:
        return
    assert len(block) == len(rows)
    assert texts(*block.texts(0)) == expected[0]
    assert block.ints(1).tolist() == expected[1]
    assert block.floats(2).tolist() == np.array(expected[2], np.float32).tolist()
    assert texts(*block.texts(3)) == expected[3]
    users, items = _core.IdTable(), _core.IdTable()
    for twice in range(2):
        numbers = _core.number_ids(block, 0, users, 3, items)
        assert numbers[0].tolist() == reference.number(expected[0])[0]
        assert numbers[1].tolist() == reference.number(expected[3])[0], twice
    assert texts(*items.ids()) == reference.number(expected[3])[1]


def texts(data, offsets):
    data = data.tobytes()
    return [data[a:b] for a, b in itertools.pairwise(offsets)]


@pytest.mark.slow
@given(st.lists(st.text(max_size=20), max_size=60))
@settings(deadline=None)
def test_texts_are_numbered_by_first_appearance(ids):
    encoded = [text.encode("utf-8", "replace") for text in ids]
    data = np.frombuffer(b"".join(encoded), np.uint8)
    offsets = np.cumsum([0, *map(len, encoded)])
    table = _core.IdTable()
    numbers, known = reference.number(encoded)
    for _ in range(2):
        assert table.number(data, offsets).tolist() == numbers
    assert (texts(*table.ids()), len(table)) == (known, len(known))


def test_wrong_arguments_are_refused():
    block = _core.split_rows(b"u,1\n", ord(","), ["id", "int"])
    with pytest.raises(ValueError, match="read as another kind"):
        block.floats(1)
    with pytest.raises(ValueError, match="read as another kind"):
        _core.number_ids(block, 0, _core.IdTable(), 1, _core.IdTable())
    with pytest.raises(IndexError, match="column 2 was not read"):
        block.ints(2)
    with pytest.raises(ValueError, match='kind "date", expected skip, id'):
        _core.split_rows(b"u\n", ord(","), ["date"])
    with pytest.raises(InputError, match="offsets row 1"):
        _core.IdTable().number(np.zeros(3, np.uint8), np.array([0, 2, 1]))


def a_log(n_rows, seed=0):
    rng = np.random.default_rng(seed)
    lines = [
        f"u{user:x},extra {n},i{item},{1_600_000_000 + n},{rating / 2:g}"
        for n, (user, item, rating) in enumerate(rng.integers(1, 400, (n_rows, 3)).tolist())
    ]
    return "user_id,x,item_id,timestamp,rating\n" + "\n".join(lines) + "\n"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_kernel_reads_what_arrow_reads(tmp_path, monkeypatch, end):
    path = tmp_path / "log.csv"
    path.write_bytes(a_log(5000).replace("\n", end).encode())
    split = []

    def spied(*arguments):
        split.append(_core.split_rows(*arguments))
        return split[-1]

    monkeypatch.setattr(delimited, "_core", Spy(spied))
    ours = read_interactions(path)
    assert [len(block) for block in split] == [5000]
    monkeypatch.setattr(delimited, "_core", Spy(lambda *_: None))
    arrows = read_interactions(path)
    for name in ("users", "items", "times", "ratings"):
        assert np.array_equal(getattr(ours, name), getattr(arrows, name)), name
    assert ours.user_ids.equals(arrows.user_ids)
    assert ours.item_ids.equals(arrows.item_ids)
    assert ours.notes == arrows.notes


class Spy:
    def __init__(self, split_rows):
        self.split_rows = split_rows
