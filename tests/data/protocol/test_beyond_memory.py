"""A log in pieces, on the disk: the bits of one that memory holds, by every protocol."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from dllm2rec.data.device_rows import device_events
from dllm2rec.data.formats import mapped_files
from dllm2rec.data.formats.dataset_folder import _users, load_dataset_folder, save_dataset
from dllm2rec.data.logs.read import read_interactions
from dllm2rec.data.protocol import user_order
from dllm2rec.data.protocol.model import Protocol
from dllm2rec.data.protocol.prepare import Prepared, prepare
from dllm2rec.errors import ArtifactError
from dllm2rec.storage.scratch import scratch_beside

PROTOCOLS = {
    "default": Protocol(),
    "cores": Protocol(min_user_events=3, min_item_events=4),
    "rated": Protocol(min_rating=2.0, since="1970-01-01T00:00:20", min_user_events=2),
    "no duplicates": Protocol(duplicates="drop", repeats="last"),
    "no runs": Protocol(repeats="consecutive", leave=2, split="leave_k_out"),
    "first only": Protocol(repeats="first", split="user_ratio"),
    "by time": Protocol(split="global_time"),
    "in time": Protocol(split="global_time", row_order="time"),
    "full windows": Protocol(split="global_time", rows="full_windows", max_length=3),
    "windows": Protocol(rows="full_windows", max_length=3),
    "warm": Protocol(split="global_time", cold_items="drop", catalogue="kept"),
    "given": Protocol(split="given"),
    "cut": Protocol(split="given", cut_validation=True),
    "sampled": Protocol(sample=(40, 9, 9)),
}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two Parquet parts of 300 events each: users of one event and of many, many ties."""
    folder, rng = tmp_path_factory.mktemp("log"), np.random.default_rng(3)
    n = 600
    table = pa.table(
        {
            "user_id": pa.array([f"u{u}" for u in (30 * rng.random(n) ** 2).astype(int)]),
            "item_id": pa.array([f"i{i}" for i in (50 * rng.random(n) ** 2).astype(int)]),
            "timestamp": 100_000_000 + rng.integers(0, 50, n),
            "rating": rng.integers(1, 6, n).astype(np.float32),
            "split": np.where(rng.random(n) < 0.9, 0, 2).astype(np.int64),
        }
    )
    for number in range(2):
        pq.write_table(table.slice(number * 300, 300), folder / f"part-{number}.parquet")
    return folder


def facts(prepared: Prepared) -> list[object]:
    """Everything that a prepared dataset holds, comparable."""
    data = prepared.dataset
    times = None if prepared.times is None else prepared.times.tolist()
    rows = [(each.start.tolist(), each.end.tolist()) for each in data.splits().values()]
    names = data.catalogue.item_ids, prepared.user_ids.to_pylist(), prepared.user_start.tolist()
    return [data.fingerprint(), data.events.tolist(), rows, names, times, prepared.report]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_log_in_pieces_on_the_disk_has_the_bits_of_one_in_memory(
    name: str, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    protocol = PROTOCOLS[name]
    expected = facts(prepare(read_interactions(parts), protocol))
    for block, part in ((64, 200), (13, 37), (5, 1)):  # fewer than a user has, too
        monkeypatch.setattr(user_order, "_BLOCK", block)
        monkeypatch.setattr(user_order, "_PART", part)
        with scratch_beside(tmp_path / "out", from_bytes=1):
            prepared = prepare(read_interactions(parts), protocol)
            assert facts(prepared) == expected
            assert not isinstance(prepared.dataset.events.base, np.ndarray | None)  # a map
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_of_arrays_on_the_disk_is_written_as_any_other(
    parts: Path, tmp_path: Path
) -> None:
    save_dataset(prepare(read_interactions(parts)), tmp_path / "memory")
    with scratch_beside(tmp_path / "disk", from_bytes=1):
        save_dataset(prepare(read_interactions(parts)), tmp_path / "disk")
    for file in (tmp_path / "memory").iterdir():
        assert file.read_bytes() == (tmp_path / "disk" / file.name).read_bytes()
    assert len(load_dataset_folder(tmp_path / "disk").train) > 0


def test_a_large_dataset_is_read_from_mapped_files(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepare(read_interactions(parts), Protocol(max_length=5))
    save_dataset(prepared, tmp_path / "parquet")
    monkeypatch.setattr(mapped_files, "MAPPED_FROM", 1)
    save_dataset(prepared, tmp_path / "mapped")
    small, large = (load_dataset_folder(tmp_path / name) for name in ("parquet", "mapped"))
    assert large.fingerprint() == small.fingerprint()
    assert large.users is not None
    assert small.users is not None
    assert large.users.starts.tolist() == small.users.starts.tolist()
    # No event and no pointer is copied on the way to a training on the CPU.
    on_cpu = device_events(large, torch.device("cpu"))
    rows = on_cpu.rows(large.train)
    assert on_cpu.events.data_ptr() == large.events.ctypes.data
    assert rows.end.data_ptr() == large.train.end.ctypes.data
    assert not large.events.flags.writeable


def test_a_mapped_file_that_changed_is_refused(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped_files, "MAPPED_FROM", 1)
    save_dataset(prepare(read_interactions(parts)), tmp_path / "mapped")
    file = tmp_path / "mapped" / mapped_files.EVENTS
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ArtifactError, match="sha256"):
        load_dataset_folder(tmp_path / "mapped")


@pytest.mark.parametrize("starts", [[0, 4], [0, 4, 9, 10], [0, 4, 4], [1, 4, 10], [0, 4, 11], [0]])
def test_events_that_are_not_all_somebodys_are_refused(starts: list[int]) -> None:
    ids = pa.array(["a", "b"], pa.large_string())
    assert _users(ids, np.array([0, 4, 10]), 10).of_event(4) == "b"
    with pytest.raises(ValueError, match=r"2 users, .* expected that each has some of the 10"):
        _users(ids, np.array(starts), 10)


def test_mapped_numbers_in_another_order_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "rows.npy"
    np.save(file, np.zeros((2, 3), np.int64))
    assert mapped_files._mapped(file, np.int64, (2, 3)).shape == (2, 3)
    np.save(file, np.asfortranarray(np.zeros((2, 3), np.int64)))
    with pytest.raises(ValueError, match="in C order"):
        mapped_files._mapped(file, np.int64, (2, 3))
