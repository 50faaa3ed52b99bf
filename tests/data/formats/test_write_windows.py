"""Datasets in the layouts of others, and back."""

from __future__ import annotations

import csv
import gzip

import numpy as np
import pytest

from dllm2rec.data.dataset import Catalogue, Rows, SequenceDataset
from dllm2rec.data.formats.authors import load_authors_dataset
from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.data.formats.write_windows import authors_files, recbole_window_files
from dllm2rec.errors import InputError
from dllm2rec.storage.atomic_folder import write_folder
from tests.support.worlds import cycle_dataset


def written(tmp_path, files):
    write_folder(tmp_path / "out", files, kind="test", version=1)
    return tmp_path / "out"


def table_of(path, delimiter):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter=delimiter, strict=True))


def test_authors_files_read_back_as_the_same_rows(tmp_path):
    dataset = cycle_dataset()
    again = load_dataset(written(tmp_path, authors_files(dataset)))
    for split, rows in dataset.splits().items():
        ours, theirs = dataset.windows(rows), again.windows(again.splits()[split])
        assert np.array_equal(ours.sequences, theirs.sequences)
        assert np.array_equal(ours.lengths, theirs.lengths)
        assert np.array_equal(ours.targets, theirs.targets)
    assert again.catalogue.titles == dataset.catalogue.titles
    items = table_of(tmp_path / "out" / "items.csv", ",")
    assert items[0] == ["item", "title", "item_id"]
    assert items[3] == ["2", "Title 2", "item-2"]


def test_authors_files_of_authors_files_are_the_same_bytes(tmp_path):
    first = written(tmp_path / "a", authors_files(cycle_dataset()))
    dataset = load_authors_dataset(first)
    second = written(tmp_path / "b", authors_files(dataset))
    third = written(tmp_path / "c", authors_files(load_authors_dataset(second)))
    for name in ("train_data.csv", "val_data.csv", "test_data.csv"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert (second / "items.csv").read_bytes() == (third / "items.csv").read_bytes()
    assert load_authors_dataset(third).fingerprint() == dataset.fingerprint()


@pytest.mark.real
@pytest.mark.parametrize("name", ["toys", "games"])
def test_authors_files_are_written_as_the_authors_wrote_them(tmp_path, real_data, name):
    source = real_data / name
    out = written(tmp_path, authors_files(load_authors_dataset(source)))
    for file in ("train_data.csv", "val_data.csv", "test_data.csv", "items.csv"):
        with gzip.open(source / f"{file}.gz") as stream:
            theirs = stream.read().replace(b"\r\n", b"\n")
        ours = (out / file).read_bytes()
        assert ours.count(b"\n") == theirs.count(b"\n"), file
        if file.startswith("train") or name == "toys":
            assert ours == theirs, file


def test_recbole_windows_are_the_rows_by_external_id(tmp_path):
    dataset = cycle_dataset(5)
    out = written(tmp_path, recbole_window_files(dataset, "c"))
    for split, stem in (("train", "train"), ("validation", "valid"), ("test", "test")):
        header, *rows = table_of(out / f"c.{stem}.inter", "\t")
        assert header == ["user_id:token", "item_id_list:token_seq", "item_id:token"]
        windows = dataset.windows(dataset.splits()[split])
        ids = dataset.catalogue.item_ids
        for r, (user, history, target) in enumerate(rows):
            assert int(user) == dataset.splits()[split].start[r]
            real = windows.sequences[r, : windows.lengths[r]]
            assert history.split(" ") == [ids[i] for i in real]
            assert target == ids[windows.targets[r]]
        assert len(rows) == len(windows)
    assert table_of(out / "c.item", "\t")[:2] == [
        ["item_id:token", "title:token_seq"],
        ["item-0", "Title 0"],
    ]


def test_recbole_windows_refuse_ids_that_would_split(tmp_path):
    rows = Rows(np.array([0]), np.array([1]))
    dataset = SequenceDataset(
        "x",
        Catalogue(["a", "b c"]),
        np.array([0, 1], np.uint32),
        2,
        rows,
        rows,
        rows,
        has_users=True,
    )
    with pytest.raises(InputError, match="'b c', expected ids without white space"):
        recbole_window_files(dataset, "x")


def test_blocks_do_not_show(tmp_path, monkeypatch):
    dataset = cycle_dataset()
    files = authors_files(dataset) | recbole_window_files(dataset, "c")
    whole = written(tmp_path / "a", files)
    monkeypatch.setattr("dllm2rec.data.formats.write_windows.BLOCK", 15)
    parts = written(tmp_path / "b", files)
    for name in files:
        assert (whole / name).read_bytes() == (parts / name).read_bytes()
