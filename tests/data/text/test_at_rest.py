"""A file that is cut, grown, rewritten or replaced while it is read is refused by every reader."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import safetensors.numpy
from pyarrow import parquet

from dllm2rec.data.logs import arrow, delimited, json_lines
from dllm2rec.data.logs.read import read_interactions
from dllm2rec.data.logs.titles import title_readers
from dllm2rec.data.logs.titles.read_titles import read_titles
from dllm2rec.data.text import files
from dllm2rec.data.text.at_rest import at_rest
from dllm2rec.errors import InputError
from dllm2rec.evaluate import score_file
from dllm2rec.evaluate.score_file import evaluate_scores
from dllm2rec.teacher import embedding_file
from dllm2rec.teacher.embedding_file import load_embeddings
from tests.support.all_histories import read_histories
from tests.support.worlds import cycle_dataset

CSV = b"user_id,item_id,timestamp\n" + b"".join(b"u%d,i%d,%d\n" % (n, n, n) for n in range(99))
JSON = b'{"user_id": "u", "item_id": "i", "history": ["i"]}\n' * 99
TITLES = b"item_id,title\n" + b"".join(b"i%d,Title %d\n" % (n, n) for n in range(99))


def parquet_file(path: Path) -> None:
    parquet.write_table(pa.table({"user_id": ["u"] * 99, "item_id": ["i"] * 99}), path)


def vectors() -> np.ndarray:
    return np.ones((5, 4), np.float32)


def scores() -> np.ndarray:
    data = cycle_dataset()
    return np.zeros((len(data.test), data.n_items), np.float32)


def written(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


# name -> how it is written, how it is read, and what is called in the midst of reading.
READERS = {
    "log.csv": (written(CSV), read_interactions, (delimited, "_chunks")),
    "log.jsonl": (written(JSON), read_interactions, (json_lines, "_chunk")),
    "log.parquet": (parquet_file, read_interactions, (arrow, "_chunk")),
    "titles.csv": (written(TITLES), read_titles, (title_readers, "title_columns")),
    "histories.jsonl": (
        written(JSON),
        lambda path: list(read_histories(path)),
        (files, "foreign_content"),
    ),
    "v.npy": (
        lambda path: np.save(path, vectors()),
        lambda path: load_embeddings(path, n_items=5),
        (embedding_file, "read_npy"),
    ),
    "v.safetensors": (
        lambda path: safetensors.numpy.save_file({"v": vectors()}, path),
        lambda path: load_embeddings(path, n_items=5),
        (embedding_file, "read_safetensors"),
    ),
    "scores.npy": (
        lambda path: np.save(path, scores()),
        lambda path: evaluate_scores(path, cycle_dataset(), ks=(1,)),
        (score_file, "_check_numbers"),
    ),
}
CHANGES: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "cut to nothing": lambda path: os.truncate(path, 0),
    "grown": lambda path: path.write_bytes(path.read_bytes() * 2),
    "replaced": lambda path: replace(path, path.read_bytes()),
    "removed": lambda path: path.unlink(),
}


def replace(path: Path, data: bytes) -> None:
    other = path.with_name("other")
    other.write_bytes(data)
    other.replace(path)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", READERS)
def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch, name, change):
    write, read, (module, step) = READERS[name]
    path = tmp_path / name
    write(path)
    read(path)  # at rest it is sound
    real, left = getattr(module, step), [CHANGES[change]]

    def changing(*arguments, **options):
        while left:
            left.pop()(path)
        return real(*arguments, **options)

    monkeypatch.setattr(module, step, changing)
    with pytest.raises(InputError, match="E-CHANGED") as caught:
        read(path)
    assert caught.value.code == "E-CHANGED"
    assert "wait until its writer has finished" in str(caught.value)


def test_a_file_that_is_replaced_before_it_is_opened_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "log.csv"
    path.write_bytes(CSV)
    real = files.identity

    def late(file):
        found = real(file)
        if isinstance(file, int):
            replace(path, CSV)
        return found

    monkeypatch.setattr(files, "identity", late)
    with pytest.raises(InputError, match="E-CHANGED"):
        read_interactions(path)


def test_what_is_wrong_with_a_file_at_rest_is_told_as_it_is(tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes(CSV)
    with pytest.raises(InputError, match="E-EMPTY"), at_rest(path):
        raise InputError("nothing", code="E-EMPTY", path=path)


def outcome_of_a_truncation(path: Path, data: bytes, after_s: float) -> str:
    """Cut a log while it is read; the code of the refusal, or nothing if it came too late."""
    path.write_bytes(data)
    cutter = threading.Timer(after_s, os.truncate, (path, len(data) // 2 - 3))
    cutter.start()
    try:
        log = read_interactions(path)
    except InputError as err:
        return err.code
    finally:
        cutter.join()
    assert len(log.users) == 600_000, "neither all rows nor an error"
    return ""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_log_cut_at_any_moment_is_read_whole_or_refused(tmp_path, suffix):
    rows = {
        ".csv": b"user_id,item_id,timestamp\n" + b"u1,i1,1600000000\n" * 600_000,
        ".jsonl": b'{"user_id": "u1", "item_id": "i1"}\n' * 600_000,
    }
    whole_s = {".csv": 0.1, ".jsonl": 1.5}[suffix]
    chance = random.Random(7)
    outcomes = [
        outcome_of_a_truncation(tmp_path / f"log{suffix}", rows[suffix], chance.uniform(0, whole_s))
        for _ in range(50 if suffix == ".csv" else 10)
    ]
    assert set(outcomes) <= {"", "E-CHANGED"}
    assert "E-CHANGED" in outcomes
