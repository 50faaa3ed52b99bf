"""The authors' CSV files: what is accepted, and that every fault is refused where it stands."""

from __future__ import annotations

import gzip
import os
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.errors import InputError

HEADER = "seq,len_seq,next\n"
TRAIN = HEADER + '"[0, 1, 5]",2,3\n"[1, 3, 4]",3,2\n'
VALIDATION = HEADER + '"[3, 5, 5]",1,4\n'
TEST = HEADER + '"[2, 4, 1]",3,0.0\n'
ITEMS = "item,title\n" + "".join(f"{n},Title {n}\n" for n in range(5))


def write(folder: Path, **files: str | bytes | None) -> Path:
    """Write a sound small dataset (5 items, L = 3), some of its files replaced or left out."""
    texts: dict[str, str | bytes | None] = {
        "train_data": TRAIN,
        "val_data": VALIDATION,
        "test_data": TEST,
        "items": ITEMS,
    }
    for stem, text in (texts | files).items():
        if text is not None:
            content = text if isinstance(text, bytes) else text.encode()
            (folder / f"{stem}.csv").write_bytes(content)
    return folder


def test_rows_become_pseudo_users(tmp_path):
    dataset = load_dataset(write(tmp_path))
    assert dataset.events.tolist() == [0, 1, 3, 1, 3, 4, 2, 3, 4, 2, 4, 1, 0]
    assert dataset.train.start.tolist() == [0, 3]
    assert dataset.train.end.tolist() == [2, 6]
    assert (dataset.n_items, dataset.max_length, dataset.has_users) == (5, 3, False)
    assert dataset.catalogue.item_ids == ["0", "1", "2", "3", "4"]
    assert dataset.name == tmp_path.name
    windows = dataset.windows(dataset.train)
    assert windows.sequences.tolist() == [[0, 1, 5], [1, 3, 4]]
    assert windows.lengths.tolist() == [2, 3]
    assert windows.targets.tolist() == [3, 2]
    assert dataset.targets(dataset.test).tolist() == [0]


@pytest.mark.parametrize(
    "text",
    [
        TRAIN.replace("\n", "\r\n"),
        "\ufeff" + TRAIN,
        TRAIN.replace(", ", ","),
        TRAIN.replace(", ", " ,  ").replace("[", "[ ").replace("]", " ]"),
        TRAIN + "\n\n",
        TRAIN.removesuffix("\n"),
        TRAIN.replace("1,", "001,"),
        "next,seq,extra,len_seq\n" + '3,"[0, 1, 5]",x,2\n2.0,"[1, 3, 4]",y,"3"\n',
    ],
    ids=["crlf", "bom", "tight", "loose", "trailing-blank", "no-eol", "zeros", "other-columns"],
)
def test_other_spellings_of_the_same_rows_are_read_alike(tmp_path, text):
    expected = load_dataset(write(tmp_path)).fingerprint()
    assert load_dataset(write(tmp_path, train_data=text)).fingerprint() == expected


def test_gzip_is_read_by_content_and_in_members(tmp_path):
    expected = load_dataset(write(tmp_path)).fingerprint()
    middle = len(HEADER)
    members = gzip.compress(TRAIN[:middle].encode()) + gzip.compress(TRAIN[middle:].encode())
    write(tmp_path, train_data=members)
    (tmp_path / "test_data.csv").unlink()
    (tmp_path / "test_data.csv.gz").write_bytes(gzip.compress(TEST.encode()))
    assert load_dataset(tmp_path).fingerprint() == expected


def test_titles_follow_the_item_column_and_may_be_empty(tmp_path):
    items = 'title,item\n"Four, or ""so""\nmore",4\n,1\nZero,0\nÜ,2\nThree,3\n'
    dataset = load_dataset(write(tmp_path, items=items))
    assert dataset.catalogue.titles == ["Zero", "", "Ü", "Three", 'Four, or "so"\nmore']


def test_without_items_the_padding_index_says_how_many(tmp_path):
    dataset = load_dataset(write(tmp_path, items=None))
    assert dataset.n_items == 5
    assert dataset.catalogue.titles is None
    assert any("no items.csv: 5 items, known from the padding index" in n for n in dataset.notes)


def test_without_items_and_padding_the_highest_index_says_how_many(tmp_path):
    train, validation = HEADER + '"[0, 1, 2]",3,3\n', HEADER + '"[1, 2, 3]",3,7\n'
    dataset = load_dataset(
        write(tmp_path, items=None, train_data=train, val_data=validation, test_data=train)
    )
    assert dataset.n_items == 8


FAULTS = [
    # name, replaced file, its text, code, line, column
    ("code in seq", "train_data", HEADER + "\"[__import__('os')]\",1,2\n", "E-TOKEN", 2, 3),
    ("nested", "train_data", TRAIN + '"[[1, 2, 3]]",3,2\n', "E-TOKEN", 4, 3),
    ("deep", "train_data", HEADER + f'"{"[" * 100_000}1{"]" * 100_000}",1,2\n', "E-TOKEN", 2, 3),
    ("tuple", "train_data", TRAIN + '"(1, 2, 3)",3,2\n', "E-TOKEN", 4, 2),
    ("empty cell", "train_data", TRAIN + ",3,2\n", "E-TOKEN", 4, 1),
    ("empty list", "train_data", TRAIN + '"[]",3,2\n', "E-TOKEN", 4, 2),
    ("one bracket", "train_data", TRAIN + '"[",3,2\n', "E-TOKEN", 4, 2),
    ("two commas", "train_data", TRAIN + '"[1,, 2]",3,2\n', "E-TOKEN", 4, 4),
    ("last comma", "train_data", TRAIN + '"[1, 2, ]",3,2\n', "E-TOKEN", 4, 7),
    ("space in number", "train_data", TRAIN + '"[1, 2 3]",3,2\n', "E-TOKEN", 4, 8),
    ("negative item", "train_data", TRAIN + '"[1, -2, 3]",3,2\n', "E-TOKEN", 4, 6),
    ("fractional item", "train_data", TRAIN + '"[1, 2.5, 3]",3,2\n', "E-TOKEN", 4, 7),
    ("exponent", "train_data", TRAIN + '"[1, 2e1, 3]",3,2\n', "E-TOKEN", 4, 7),
    ("wide digits", "train_data", TRAIN + '"[1, \uff13, 3]",3,2\n', "E-TOKEN", 4, 6),
    ("newline in list", "train_data", TRAIN + '"[1,\n2, 3]",3,2\n', "E-TOKEN", 4, 5),
    ("huge item", "train_data", TRAIN + '"[1, 99999999999, 3]",3,2\n', "E-OVERFLOW", 4, 6),
    ("short list", "train_data", TRAIN + '"[1, 2]",2,2\n', "E-RAGGED", 4, 2),
    ("long list", "train_data", TRAIN + '"[1, 2, 3, 4]",3,2\n', "E-RAGGED", 4, 2),
    ("another L", "test_data", HEADER + '"[1, 2]",2,2\n', "E-RAGGED", 2, 2),
    ("item out of range", "train_data", TRAIN + '"[1, 6, 3]",3,2\n', "E-ITEM-RANGE", 4, 2),
    ("len 0", "train_data", TRAIN + '"[5, 5, 5]",0,2\n', "E-LEN-SEQ", 4, 13),
    ("len negative", "train_data", TRAIN + '"[1, 5, 5]",-1,2\n', "E-TOKEN", 4, 13),
    ("len above L", "train_data", TRAIN + '"[1, 2, 3]",4,2\n', "E-LEN-SEQ", 4, 13),
    ("len below items", "train_data", TRAIN + '"[1, 2, 3]",2,2\n', "E-LEN-SEQ", 4, 13),
    ("len above items", "train_data", TRAIN + '"[1, 2, 5]",3,2\n', "E-LEN-SEQ", 4, 13),
    ("len fractional", "train_data", TRAIN + '"[1, 2, 5]",1.5,2\n', "E-NOT-INTEGER", 4, 13),
    ("pad first", "train_data", TRAIN + '"[5, 1, 2]",2,2\n', "E-PAD", 4, 2),
    ("pad in the middle", "val_data", HEADER + '"[1, 5, 2]",2,2\n', "E-PAD", 2, 2),
    ("target is padding", "test_data", TEST + '"[1, 2, 3]",3,5\n', "E-TARGET-RANGE", 3, 15),
    ("target out of range", "test_data", TEST + '"[1, 2, 3]",3,77\n', "E-TARGET-RANGE", 3, 15),
    ("target fractional", "test_data", TEST + '"[1, 2, 3]",3,1.5\n', "E-NOT-INTEGER", 3, 15),
    ("target negative", "test_data", TEST + '"[1, 2, 3]",3,-1\n', "E-TOKEN", 3, 15),
    ("target missing", "test_data", TEST + '"[1, 2, 3]",3,\n', "E-TOKEN", 3, 15),
    ("target nan", "test_data", TEST + '"[1, 2, 3]",3,nan\n', "E-TOKEN", 3, 15),
    ("short row", "train_data", TRAIN + '"[1, 2, 3]",3\n', "E-RAGGED", 4, None),
    ("long row", "train_data", TRAIN + '"[1, 2, 3]",3,2,9\n', "E-RAGGED", 4, None),
    ("unquoted list", "train_data", TRAIN + "[1, 2, 3],3,2\n", "E-RAGGED", 4, None),
    ("open quote", "train_data", TRAIN + '"[1, 2, 3],3,2\n', "E-QUOTE", 4, None),
    ("blank line", "train_data", TRAIN + '\n"[1, 2, 3]",3,2\n', "E-BLANK", 4, None),
    ("no column", "train_data", TRAIN.replace("next", "target"), "E-HEADER", 1, None),
    ("two columns", "train_data", "seq,next,next\n[1],2,3\n", "E-HEADER", 1, None),
    ("no header", "train_data", TRAIN.removeprefix(HEADER), "E-HEADER", 1, None),
    ("empty", "train_data", "", "E-EMPTY", None, None),
    ("blank", "train_data", "\n\n", "E-EMPTY", None, None),
    ("header only", "train_data", HEADER, "E-EMPTY", None, None),
    ("latin-1", "items", ITEMS.replace("4", "é").encode("latin-1"), "E-ENC", 6, 1),
    ("NUL", "train_data", TRAIN + '"[1, 2, \0]",3,2\n', "E-NUL", 4, 9),
    ("lone CR", "train_data", TRAIN.replace("\n", "\r"), "E-EOL", 1, 17),
    ("pickle", "train_data", b"\x80\x04\x95\x1c", "E-CONTENT", None, None),
    ("LFS", "train_data", "version https://git-lfs.github.com/spec/v1\n", "E-CONTENT", None, None),
    ("HTML", "train_data", "<!DOCTYPE html><html>\n", "E-CONTENT", None, None),
    ("item twice", "items", ITEMS.replace("3,", "2,"), "E-ITEM-RANGE", 5, 1),
    ("item missing", "items", ITEMS.replace("2,", "9,"), "E-ITEM-RANGE", 5, 1),
    ("cut gzip", "train_data", gzip.compress(TRAIN.encode())[:-12], "E-TRUNC", None, None),
    ("broken gzip", "train_data", b"\x1f\x8b\x08\x00" + b"x" * 40, "E-TRUNC", None, None),
    ("bomb", "train_data", gzip.compress(b"0" * 40_000_000), "E-BOMB", None, None),
]


@pytest.mark.parametrize(
    ("stem", "text", "code", "line", "column"),
    [fault[1:] for fault in FAULTS],
    ids=[fault[0] for fault in FAULTS],
)
def test_fault_is_refused_where_it_stands(tmp_path, stem, text, code, line, column):
    write(tmp_path, **{stem: text})
    with pytest.raises(InputError) as caught:
        load_dataset(tmp_path)
    error = caught.value
    assert (error.code, error.line, error.column) == (code, line, column)
    assert error.path == str(tmp_path / f"{stem}.csv")
    assert len(str(error)) < 500 + len(error.path)
    if error.token is not None:
        assert len(error.token) <= 40


def test_items_of_another_set_are_noticed_by_the_padding(tmp_path):
    with pytest.raises(InputError, match="not the padding index 6") as caught:
        load_dataset(write(tmp_path, items=ITEMS + "5,More\n"))
    assert (caught.value.code, caught.value.line, caught.value.column) == ("E-LEN-SEQ", 2, 13)


def test_code_in_a_cell_never_runs(tmp_path):
    canary = tmp_path / "ran"
    cell = f"\"[open('{canary}', 'w')]\",1,2\n"
    write(tmp_path, train_data=HEADER + cell)
    with pytest.raises(InputError):
        load_dataset(tmp_path)
    assert not canary.exists()


def test_lines_are_counted_behind_a_quoted_newline(tmp_path):
    items = 'item,title\n0,"Two\nlines"\n1,One\nx,Two\n3,\n4,\n'
    with pytest.raises(InputError) as caught:
        load_dataset(write(tmp_path, items=items))
    assert (caught.value.line, caught.value.column) == (5, 1)


def test_token_and_byte_offset_are_those_of_the_fault(tmp_path):
    text = TRAIN + '"[1, 2x7, 3]",3,2\n'
    with pytest.raises(InputError) as caught:
        load_dataset(write(tmp_path, train_data=text))
    assert caught.value.byte_offset == text.index("x7")
    assert caught.value.token == "x7"  # noqa: S105 - a piece of text


@pytest.mark.parametrize("missing", ["train_data", "val_data", "test_data"])
def test_missing_file_is_named(tmp_path, missing):
    write(tmp_path, **{missing: None})
    with pytest.raises(InputError, match=rf"E-FILE .*no {missing}\.csv or {missing}\.csv\.gz"):
        load_dataset(tmp_path)


def test_missing_folder_says_what_is_expected(tmp_path):
    with pytest.raises(InputError, match="no such folder, expected a folder that dllm2rec"):
        load_dataset(tmp_path / "absent")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="a file, expected a folder"):
        load_dataset(tmp_path / "file")


def test_pickled_frame_is_refused_with_the_way_out(tmp_path):
    write(tmp_path, train_data=None)
    (tmp_path / "train_data.df").write_bytes(b"\x80\x04.")
    with pytest.raises(InputError, match=r"E-CONTENT .*pickled frame.*hint: if you trust it.*csv"):
        load_dataset(tmp_path)


def test_two_files_for_one_split_are_refused(tmp_path):
    write(tmp_path)
    (tmp_path / "val_data.csv.gz").write_bytes(gzip.compress(VALIDATION.encode()))
    with pytest.raises(InputError, match="expected one of them"):
        load_dataset(tmp_path)


def test_folder_in_place_of_a_file_is_refused(tmp_path):
    write(tmp_path, val_data=None)
    (tmp_path / "val_data.csv").mkdir()
    with pytest.raises(InputError, match="not a regular file"):
        load_dataset(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file_is_named(tmp_path):
    write(tmp_path)
    (tmp_path / "val_data.csv").chmod(0)
    with pytest.raises(InputError, match="Permission denied"):
        load_dataset(tmp_path)


def test_catalogue_of_one_item_is_refused(tmp_path):
    rows = HEADER + '"[0, 1]",1,0\n'
    write(tmp_path, train_data=rows, val_data=rows, test_data=rows, items="item,title\n0,One\n")
    with pytest.raises(InputError, match="E-CATALOGUE"):
        load_dataset(tmp_path)


def test_notes_count_what_moves_the_figures(tmp_path):
    twice = '"[0, 1, 5]",2,3\n'
    seen = '"[1, 2, 4]",3,4\n'
    write(tmp_path, test_data=TEST + twice + twice + seen)
    assert load_dataset(tmp_path).notes == [
        "W-LEAK: 2 of 4 test rows are train rows too",
        "1 of 4 test rows repeat another test row",
        "1 of 4 test targets are already in their window",
        "2 of 4 test targets (50.0%) are never a train target",
    ]
    with pytest.raises(InputError, match="E-LEAK"):
        load_dataset(tmp_path, strict=True)


def test_a_clean_dataset_passes_strictly(tmp_path):
    assert load_dataset(write(tmp_path), strict=True).notes != []
    assert not any("W-LEAK" in note for note in load_dataset(tmp_path).notes)


@given(st.lists(st.lists(st.integers(0, 2**32 - 1), min_size=3, max_size=3), min_size=1))
def test_int_lists_equal_what_was_written(tmp_path_factory, lists):
    from dllm2rec.data.text.csv_table import read_csv
    from dllm2rec.data.text.parse_int_lists import parse_int_lists

    path = tmp_path_factory.mktemp("lists") / "lists.csv"
    path.write_text("seq,other\n" + "".join(f'"{items}",x\n' for items in lists))
    assert parse_int_lists(read_csv(path, ("seq",)), "seq").tolist() == lists


@given(st.text(alphabet="[]0123456789, -.x\"'\n", max_size=30))
def test_int_lists_accept_exactly_the_grammar(tmp_path_factory, cell):
    """Whatever the cell: a list of numbers as a regular expression sees it, or an InputError."""
    import re

    from dllm2rec.data.text.csv_table import read_csv
    from dllm2rec.data.text.parse_int_lists import parse_int_lists

    path = tmp_path_factory.mktemp("cells") / "cells.csv"
    quoted = '"' + cell.replace('"', '""') + '"'
    path.write_text(f"seq,other\n{quoted},x\n")
    table = read_csv(path, ("seq",))
    number = r" *[0-9]{1,10} *"
    if re.fullmatch(rf"\[{number}(,{number})*\]", cell):
        assert parse_int_lists(table, "seq").tolist() == [
            [int(digits) for digits in re.findall("[0-9]+", cell)]
        ]
    else:
        with pytest.raises(InputError):
            parse_int_lists(table, "seq")


REAL = {
    "games": (17_408, 106_702, 14_980, 14_980),
    "toys": (11_924, 109_361, 19_412, 19_412),
    "ml1m": (3_416, 100_000, 10_000, 10_000),
}


@pytest.mark.real
@pytest.mark.parametrize("name", REAL)
def test_real_sets_have_their_published_sizes(real_data, name):
    dataset = load_dataset(real_data / name)
    sizes = [len(rows) for rows in dataset.splits().values()]
    assert (dataset.n_items, *sizes) == REAL[name]
    assert dataset.max_length == 10


@pytest.mark.real
def test_games_rows_are_those_a_plain_reader_sees(real_data):
    import ast
    import csv

    dataset = load_dataset(real_data / "games")
    with gzip.open(real_data / "games" / "test_data.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    windows = dataset.windows(dataset.test)
    assert windows.sequences.tolist() == [ast.literal_eval(row["seq"]) for row in rows]
    assert windows.lengths.tolist() == [int(row["len_seq"]) for row in rows]
    assert windows.targets.tolist() == [float(row["next"]) for row in rows]
    assert dataset.catalogue.titles is not None
    assert sum(title == "" for title in dataset.catalogue.titles) == 549


@pytest.mark.real
def test_games_notes_are_the_published_counts(real_data):
    notes = load_dataset(real_data / "games").notes
    assert "99 of 14,980 test rows repeat another test row" in notes
    assert "164 of 14,980 test targets are already in their window" in notes
    assert "3,753 of 14,980 test targets (25.1%) are never a train target" in notes


@pytest.mark.real
def test_games_load_in_seconds(real_data):
    load_dataset(real_data / "ml1m")  # imports
    begin = time.perf_counter()
    dataset = load_dataset(real_data / "games")
    assert time.perf_counter() - begin < 5  # 0.3 s where nothing else runs
    assert np.unique(dataset.events).size <= dataset.n_items
