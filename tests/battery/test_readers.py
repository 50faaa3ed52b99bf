"""Mutated and cut files through every reader: read or refused, and never a crash."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import safetensors.numpy
from pyarrow import parquet

from dllm2rec.config.load import config_to_toml, load_config
from dllm2rec.errors import Dllm2RecError
from dllm2rec.evaluate.rows.per_row_file import write_per_row
from tests.battery.trials import Tell, Trials
from tests.evaluate.rows.test_per_row_file import DATASET, scored_rows
from tests.support.children import ended, forked
from tests.support.reading_cost import READERS

pytestmark = [
    pytest.mark.battery,
    pytest.mark.timeout(3600),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
    # What NumPy says of a header, and of a file without rows.
    pytest.mark.filterwarnings("ignore:Reading `.npy`:UserWarning"),
    pytest.mark.filterwarnings("ignore:loadtxt:UserWarning"),
]
RNG = np.random.default_rng(0)
FIRST_LOOK_S = 0.005
TOKENS = [
    *(b"", b"\0", b"\xff", b"\xef\xbb\xbf", b"\r", b"\r\n", b"\n\n", b'"', b",", b"\t", b"::"),
    *(b"nan", b"-1", b"1e400", b"9" * 40, b"0x10", b"1.5", b"#", b"[", b"{", b"}", b"null"),
    *(b"\x1f\x8b", b"PK\x03\x04", b"PAR1", b"\x93NUMPY", b"\\u0000"),
    *(b"\xed\xa0\x80", b"9223372036854775808"),
]  # fmt: skip


def text(*lines: str) -> bytes:
    return "\n".join([*lines, ""]).encode()


def saved(write: Callable[[Path], object], path: Path) -> bytes:
    write(path)
    return path.read_bytes()


def of_table(table: pa.Table, folder: Path) -> bytes:
    return saved(lambda path: parquet.write_table(table, path), folder / "made")


def files(folder: Path) -> dict[str, tuple[str, bytes]]:
    """For each reader, the name of a sound file and what is in it."""
    events = [f"u{n % 7},i{n % 11},{n % 5},{1_600_000_000 + n}" for n in range(60)]
    comma = text("user_id,item_id,rating,timestamp", *events)
    table = pa.table({"user_id": [f"u{n % 7}" for n in range(60)], "item_id": ["i"] * 60})
    lists = pa.table({"user_id": ["u1", "u2", "u3"], "history": [["i1", "i2"]] * 3})
    answers = pa.table({"user_id": ["u1", "u2"], "items": [["item-1", "item-2"]] * 2})
    rows = text(*(" ".join(str((n + k) % 1000) for k in range(10)) for n in range(30)))
    vectors = RNG.random((4, 8)).astype(np.float32)
    here = folder / "made"
    items = pa.array(["i1", "i2", "i3", "i4"])
    vectors_by_id = pa.table({"item_id": items, "vector": vectors.tolist()})
    titles = pa.table({"item_id": items, "title": ["A", "B", "C", "D"]})
    ranked = pa.table({"user_id": ["u1"] * 4, "item_id": items, "score": [4.0, 3.0, 2.0, 1.0]})
    return {
        "csv": ("log.csv", comma),
        "csv-int": ("log.csv", re.sub(rb"([ui])(?=\d)", b"1", comma)),
        "tsv": ("log.tsv", comma.replace(b",", b"\t")),
        "headerless": ("log.tsv", comma.split(b"\n", 1)[1].replace(b",", b"\t")),
        "colons": ("log.dat", comma.split(b"\n", 1)[1].replace(b",", b"::")),
        "json-lines": (
            "log.jsonl",
            text(*(f'{{"user_id": "u{n % 7}", "item_id": "i{n}"}}' for n in range(40))),
        ),
        "parquet": ("log.parquet", of_table(table, folder)),
        "titles-csv": ("titles.csv", text("item_id,title", *(f"i{n},T {n}" for n in range(40)))),
        "titles-pipes": ("u.item", text(*(f"{n}|T {n} (1995)|01-Jan-1995" for n in range(1, 40)))),
        "titles-amazon": (
            "meta.jsonl",
            text(*(f'{{"parent_asin": "i{n}", "title": "T {n}"}}' for n in range(40))),
        ),
        "histories": ("histories.jsonl", text(*['{"history": ["i1", "i2"]}'] * 30)),
        "windows": ("train_data.csv", text("seq", *['"[1, 2, 3]"'] * 30)),
        "ranking": ("myrank.txt", rows),
        "distances": ("confidence.txt", rows.replace(b" ", b".5 ")),
        "answers": (
            "answers.jsonl",
            text(*(f'{{"user_id": "u{n}", "items": ["item-1", "item-2"]}}' for n in range(30))),
        ),
        "embeddings": (
            "v.safetensors",
            safetensors.numpy.save({"v": vectors}),
        ),
        "embeddings npy": ("v.npy", saved(lambda path: np.save(path, vectors), folder / "v.npy")),
        "embeddings npz": (
            "v.npz",
            saved(lambda path: np.savez(path, v=vectors), folder / "v.npz"),
        ),
        "histories parquet": ("h.parquet", of_table(lists, folder)),
        "answers parquet": ("a.parquet", of_table(answers, folder)),
        "vectors parquet": ("v.parquet", of_table(vectors_by_id, folder)),
        "titles parquet": ("t.parquet", of_table(titles, folder)),
        "lists parquet": ("l.parquet", of_table(ranked, folder)),
        "lists csv": ("l.csv", text("user_id,item_id,score", *(f"u1,i{n},{n}" for n in range(9)))),
        "lists cells": ("l.csv", text("user_id,item_id_list", *(f"u{n},i1 i2" for n in range(9)))),
        "lists trec": ("l.trec", text(*(f"u{n % 3} Q0 i{n} {n} {9 - n}.5 t" for n in range(9)))),
        "lists json": ("l.json", b'{"u1": {"i1": 2.5, "i2": 1}, "u2": {"i3": 0.5}}'),
        "lists jsonl": ("l.jsonl", text(*['{"user_id": "u1", "items": ["i1", "i2"]}'] * 5)),
        "scores": ("s.npy", saved(lambda path: np.save(path, vectors), folder / "s.npy")),
        "scores safetensors": ("s.safetensors", safetensors.numpy.save({"scores": vectors})),
        "scores parquet": ("s.parquet", of_table(vectors_by_id.drop(["item_id"]), folder)),
        "per-row": (
            "rows.parquet",
            saved(lambda path: write_per_row(path, scored_rows(), DATASET), here),
        ),
        "config": ("config.toml", config_to_toml(load_config(recipe="light")).encode()),
    }


NAMES = [
    *("csv", "csv-int", "tsv", "headerless", "colons", "json-lines", "parquet", "titles-csv"),
    *("titles-pipes", "titles-amazon", "histories", "windows", "ranking", "distances", "answers"),
    *("embeddings", "embeddings npy", "embeddings npz", "histories parquet", "answers parquet"),
    *("vectors parquet", "titles parquet", "lists parquet"),
    *("lists csv", "lists cells", "lists trec", "lists json", "lists jsonl"),
    *("scores", "scores safetensors", "scores parquet", "per-row", "config"),
]


def mutated(content: bytes, chance: random.Random) -> bytes:
    """A copy with some bytes flipped, cut out, repeated, moved or put in."""
    data = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data) + 1)
        end = min(len(data), at + chance.choice([1, 2, 5, 40, 300]))
        what = chance.randrange(6)
        if what == 0 and at < len(data):
            data[at] ^= 1 << chance.randrange(8)
        elif what == 1:
            del data[at:end]
        elif what == 2:
            data[at:at] = data[at:end]
        elif what == 3:
            data[at:end] = chance.choice(TOKENS)
        elif what == 4:
            data[at:at] = chance.choice(TOKENS)
        else:
            del data[at:]
    return bytes(data)


@pytest.mark.parametrize("name", NAMES)
def test_a_mutated_file_is_read_or_refused(
    tmp_path: Path, name: str, trials: Trials, tell: Tell
) -> None:
    file, good = files(tmp_path)[name]
    read, path, told = READERS[name.split(" ")[0]], tmp_path / file, tmp_path / "told"
    path.write_bytes(good)
    read(path)  # it is sound

    def all_of_them() -> int:
        n_read = n_refused = 0
        for chance in trials.of(20_000):
            path.write_bytes(mutated(good, chance))
            told.write_text(f"trial {trials.now}")
            try:
                read(path)
                n_read += 1
            except Dllm2RecError:
                n_refused += 1
        told.write_text(json.dumps({"mutated files": n_read + n_refused, "refused": n_refused}))
        return 0

    # In a child: what crashes there is told here.
    code = ended(forked(all_of_them, tmp_path / "log"), within_s=3000.0)
    log = (tmp_path / "log").read_text(errors="replace")
    assert code == 0, f"{told.read_text()}: {code}\n{log[-3000:]}"
    tell({**json.loads(told.read_text()), "crashes": 0}, "readers", name)


def test_control_a_plain_reader_takes_what_ours_refuses(tmp_path: Path, trials: Trials) -> None:
    file, good = files(tmp_path)["ranking"]
    path, taken = tmp_path / file, 0
    for chance in trials.of(5000):
        path.write_bytes(mutated(good, chance))
        try:
            READERS["ranking"](path)
            continue
        except Dllm2RecError:
            pass
        try:
            taken += bool(np.loadtxt(path, ndmin=2).size)
        except ValueError:
            continue
    assert taken


LARGE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "csv": (
        "log.csv",
        lambda path: path.write_bytes(b"user_id,item_id,timestamp\n" + b"u1,i1,16\n" * 400_000),
    ),
    "parquet": (
        "log.parquet",
        lambda path: parquet.write_table(
            pa.table({"user_id": RNG.integers(0, 9999, 400_000), "item_id": ["i"] * 400_000}), path
        ),
    ),
    "ranking": ("r.txt", lambda path: path.write_bytes(b"1 2 3 4 5 6 7 8 9 10\n" * 200_000)),
    "distances": ("d.txt", lambda path: path.write_bytes(b"0.5 0.25 0.75 1.5\n" * 200_000)),
    "embeddings": (
        "v.safetensors",
        lambda path: safetensors.numpy.save_file({"v": np.ones((4, 2_000_000), np.float32)}, path),
    ),
    "embeddings npy": (
        "v.npy",
        lambda path: np.save(path, np.ones((4, 2_000_000), np.float32)),
    ),
}


def is_open(path: Path) -> bool:
    """Whether this process has a file open or mapped."""
    files = Path("/proc/self/fd")
    opened = [str(one.readlink()) for one in files.iterdir() if one.exists()]
    return str(path) in opened or str(path) in Path("/proc/self/maps").read_text()


@pytest.mark.parametrize("name", LARGE)
def test_a_file_cut_at_any_moment_is_read_whole_or_refused(
    tmp_path: Path, name: str, trials: Trials, tell: Tell
) -> None:
    file, write = LARGE[name]
    read, path, whole = READERS[name.split(" ")[0]], tmp_path / file, tmp_path / "whole"
    write(whole.with_suffix(path.suffix))
    good = whole.with_suffix(path.suffix).read_bytes()
    path.write_bytes(good)
    right = size_of(read(path))

    def one(after_s: float) -> int:
        cut_while_read: list[bool] = []

        def cut() -> None:
            # Told before the cut: a reader that has the interpreter may end before what follows it.
            cut_while_read.append(time.monotonic() > began + FIRST_LOOK_S and is_open(path))
            os.truncate(path, len(good) // 2 - 3)

        began = time.monotonic()
        cutter = threading.Timer(after_s, cut)
        cutter.start()
        try:
            if size_of(read(path)) == right:
                return 0
            # Cut before the reader's first look at it, a file may be whole as it is.
            return 7 if True in cut_while_read else 3
        except Dllm2RecError:
            return 3
        finally:
            cutter.join()

    codes = []
    for chance in trials.of(50):
        path.write_bytes(good)
        after_s = chance.uniform(0.0, 0.15)
        codes.append(ended(forked(lambda after_s=after_s: one(after_s), tmp_path / "log")))
        assert codes[-1] in {0, 3}, (tmp_path / "log").read_text()
    n_refused, n_whole = codes.count(3), codes.count(0)
    counts = {"cuts while it was read": len(codes), "refused": n_refused, "read whole": n_whole}
    tell(counts, "readers", name)


def test_control_a_mapped_file_that_is_cut_ends_the_process(tmp_path: Path) -> None:
    path = tmp_path / "v.npy"
    np.save(path, np.ones(2_000_000))

    def mapped() -> int:
        values = np.load(path, mmap_mode="r")
        os.truncate(path, 4096)
        return int(values.sum())

    assert ended(forked(mapped, tmp_path / "log")) == -signal.SIGBUS


def size_of(found: Any) -> int:
    """How much was read."""
    for part in ("users", "values", "vectors"):
        if hasattr(found, part):
            return len(getattr(found, part))
    return int(np.size(found[0] if isinstance(found, tuple) else found))
