"""A prepared dataset on disk: four Parquet files and a manifest, whole or not there.

`interactions.parquet` holds the events (user, item and, where known, time in microseconds) in the
order of users; `users.parquet` and `items.parquet` what their numbers stand for; `rows.parquet` the
rows: which split and where the target stands. A row's history begins with its user. Where there are
many events, `mapped_files` has them once more, as training reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dllm2rec.data.dataset import Catalogue, Int64Vector, Rows, SequenceDataset, Users
from dllm2rec.data.formats import mapped_files
from dllm2rec.data.logs.interactions import SPLITS
from dllm2rec.data.protocol.leakage import rows_leaked
from dllm2rec.data.protocol.prepare import Prepared
from dllm2rec.data.text.arrow_buffers import numbers_of
from dllm2rec.errors import ArtifactError, InputError
from dllm2rec.storage.atomic_folder import (
    Manifest,
    parse_manifest,
    read_manifest,
    write_folder,
)

PART = 1 << 20  # rows written at once
KIND = "dataset"
VERSION = 1
EVENTS, USERS, ITEMS, ROWS = (
    f"{name}.parquet" for name in ("interactions", "users", "items", "rows")
)


def save_dataset(prepared: Prepared, folder: str | Path) -> Manifest:
    """Write a prepared dataset as a folder that is there whole or not at all.

    Raises:
        ConfigError: `folder` exists and is not empty.
        ResourceError: the disk is full; nothing is left behind.
    """
    dataset = prepared.dataset
    items: dict[str, Any] = {"item_id": pa.array(dataset.catalogue.item_ids, pa.string())}
    if dataset.catalogue.titles is not None:
        items["title"] = pa.array(dataset.catalogue.titles, pa.string())
    facts = {
        "name": dataset.name,
        "max_length": dataset.max_length,
        "fingerprint": dataset.fingerprint(),
        "protocol": prepared.protocol.model_dump(mode="json"),
        "report": asdict(prepared.report),
    }
    writers = {
        EVENTS: _writer(lambda: _events(prepared)),
        USERS: _writer(lambda: iter([pa.table({"user_id": prepared.user_ids})])),
        ITEMS: _writer(lambda: iter([pa.table(items)])),
        ROWS: _writer(lambda: _rows(dataset)),
    }
    if dataset.events.size >= mapped_files.MAPPED_FROM:
        writers |= mapped_files.writers(dataset, prepared.user_start)
    return write_folder(folder, writers, kind=KIND, version=VERSION, facts=facts)


def protocol_of(folder: Path) -> dict[str, Any]:
    """The rules that made the rows of a prepared folder; {} of any other, or where it is gone."""
    try:
        manifest = parse_manifest(folder)
    except ArtifactError:
        return {}
    found = manifest.facts.get("protocol") if manifest.kind == KIND else None
    return found if isinstance(found, dict) else {}


def _writer(tables: Callable[[], Iterator[pa.Table]]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        parts = tables()
        first = next(parts)
        with pq.ParquetWriter(path, first.schema, compression="zstd") as file:
            file.write_table(first)
            for part in parts:
                file.write_table(part)

    return write


# Columns are made a part at a time: whole ones would double the memory of a large dataset.
def _events(prepared: Prepared) -> Iterator[pa.Table]:
    items, times = prepared.dataset.events, prepared.times
    for part in _parts(len(items)):
        places = np.arange(part.start, part.stop)
        users = np.searchsorted(prepared.user_start, places, side="right") - 1
        columns: dict[str, Any] = {"user": users.astype(np.uint32), "item": items[part]}
        if times is not None:
            columns["time"] = pa.array(times[part], pa.timestamp("us", "UTC"))
        yield pa.table(columns)


def _rows(dataset: SequenceDataset) -> Iterator[pa.Table]:
    for number, rows in enumerate(dataset.splits().values()):
        for part in _parts(len(rows)):
            end = rows.end[part]
            yield pa.table({"split": np.full(len(end), number, dtype=np.uint8), "end": end})


def _parts(n: int) -> Iterator[slice]:
    """Parts of `n` rows, one at least."""
    for begin in range(0, max(n, 1), PART):
        yield slice(begin, min(begin + PART, n))


def load_dataset_folder(folder: str | Path, *, strict: bool = False) -> SequenceDataset:
    """Read what `save_dataset` wrote, every file verified.

    Args:
        folder: where it is.
        strict: refuse rows that are in train and in another split, as they were counted then.

    Raises:
        InputError: strict, and there are such rows.
        ArtifactError: it is no such folder, a file is missing or changed, or it is of a newer
            version.
    """
    folder = Path(folder)
    manifest = read_manifest(folder, KIND, newest_version=VERSION)
    facts = manifest.facts
    try:
        sizes = [facts["report"]["rows"][name] for name in SPLITS]
        read = mapped_files.read if mapped_files.EVENTS in manifest.files else _read_parquet
        events, starts, parts = read(folder, sizes)
        items = pq.ParquetFile(folder / ITEMS).read()
        titles = items["title"].to_pylist() if "title" in items.column_names else None
        users = pq.ParquetFile(folder / USERS).read()["user_id"].combine_chunks()
        dataset = SequenceDataset(
            name=facts["name"],
            catalogue=Catalogue(items["item_id"].to_pylist(), titles),
            events=events,
            max_length=facts["max_length"],
            train=parts[0],
            validation=parts[1],
            test=parts[2],
            has_users=True,
            notes=list(facts["report"]["notes"]),
            users=_users(users, starts, len(events)),
        )
        fingerprint = str(facts["fingerprint"])
        leaked = int(facts["report"]["leaks"]["rows_in_train"])
    except (LookupError, TypeError, ValueError, OSError, pa.ArrowException, InputError) as err:
        raise ArtifactError(
            f"{folder}: {err}, expected a dataset that this version can read; prepare it again"
        ) from err
    if dataset.fingerprint() != fingerprint:
        raise ArtifactError(
            f"{folder}: fingerprint {dataset.fingerprint()[:12]}, expected {fingerprint[:12]}; "
            "prepare it again"
        )
    if strict and leaked:
        raise rows_leaked(str(folder), leaked)
    return dataset


def _users(ids: pa.Array, starts: Int64Vector, n_events: int) -> Users:
    """Whose events are whose, if each user of the list has some and all events are somebody's.

    Raises:
        ValueError: they do not fit.
    """
    rise = bool((np.diff(starts) > 0).all())
    if len(starts) != len(ids) + 1 or starts[0] != 0 or starts[-1] != n_events or not rise:
        raise ValueError(
            f"{len(ids)} users, {len(starts) - 1} of them with events, expected that each has "
            f"some of the {n_events} events"
        )
    return Users(ids, starts)


def _read_parquet(folder: Path, sizes: list[int]) -> mapped_files.Read:
    """Read events, where each user's begin, and the rows of each split into memory."""
    events = pq.ParquetFile(folder / EVENTS).read(columns=["user", "item"])
    rows = pq.ParquetFile(folder / ROWS).read()
    users = numbers_of(events["user"])
    end, split = numbers_of(rows["end"]), numbers_of(rows["split"])
    starts = _user_starts(users)
    start = starts[users[end]]
    parts = [Rows(start[split == n], end[split == n]) for n in range(len(sizes))]
    return np.ascontiguousarray(numbers_of(events["item"])), np.append(starts, len(users)), parts


def _user_starts(
    users: np.ndarray[Any, np.dtype[np.uint32]],
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Where each user's events begin, by number; users stand together and none is left out."""
    return np.flatnonzero(np.append(True, users[1:] != users[:-1]))
