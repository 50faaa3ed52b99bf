"""Arrays are written whole or with an error; damaged ones are a ValueError, whatever NumPy says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dllm2rec.storage.npy_file import load_npy, save_npy, save_npy_parts


@pytest.fixture
def file(tmp_path: Path) -> Path:
    np.save(tmp_path / "v.npy", np.arange(6, dtype=np.float32).reshape(2, 3))
    return tmp_path / "v.npy"


@pytest.mark.parametrize("mapped", [False, True])
def test_an_array_is_read(file: Path, mapped: bool) -> None:
    assert load_npy(file, mapped=mapped).tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.filterwarnings("ignore:Reading `.npy`:UserWarning")
@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (b"}", b"{"),  # brackets that do not close: the tokenizer's own error
        (b"{'descr'", b"['descr'"),
        (b"'<f4'", b"'<x4'"),
        (b"(2, 3)", b"(2,-3)"),
        (b"(2, 3)", b"(9, 9)"),  # longer than the file
        (b"\x93NUMPY", b"\x93NUMPI"),
    ],
)
def test_a_damaged_header_is_a_value_error(
    file: Path, good: bytes, bad: bytes, mapped: bool
) -> None:
    content = file.read_bytes()
    assert content.count(good) == 1
    file.write_bytes(content.replace(good, bad))
    with pytest.raises(ValueError, match=r"\S"):
        load_npy(file, mapped=mapped)


@pytest.mark.parametrize("mapped", [False, True])
def test_a_file_that_is_cut_is_a_value_error(file: Path, mapped: bool) -> None:
    content = file.read_bytes()
    for size in (0, 3, 7, 9, 40, len(content) - 1):
        file.write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"\S"):
            load_npy(file, mapped=mapped)


def test_too_little_memory_for_an_array_is_no_damage(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(np, "load", fail)
    with pytest.raises(MemoryError):
        load_npy(file)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=">f4").reshape(3, 4),
        np.zeros((0, 3), np.uint32),
        np.array(2.5),
        np.arange(6, dtype=np.float16),
        np.arange(12).reshape(3, 4)[:, ::2],
    ],
)
def test_what_is_saved_is_what_numpy_saves(tmp_path: Path, array: np.ndarray) -> None:
    save_npy(tmp_path / "ours.npy", array)
    np.save(tmp_path / "theirs.npy", np.ascontiguousarray(array).reshape(array.shape))
    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "theirs.npy").read_bytes()


def test_parts_are_one_array(tmp_path: Path) -> None:
    parts = [np.arange(3), np.arange(3, 5, dtype=np.uint8)]
    save_npy_parts(tmp_path / "v.npy", parts, (5,), "<u4")
    found = load_npy(tmp_path / "v.npy")
    assert (found.tolist(), found.dtype) == ([0, 1, 2, 3, 4], np.dtype("<u4"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("n", [1, 100, 3000, 100_000])
def test_a_full_disk_is_an_error_for_the_last_bytes_as_well(n: int) -> None:
    with pytest.raises(OSError, match="No space left"):
        save_npy(Path("/dev/full"), np.zeros(n))
