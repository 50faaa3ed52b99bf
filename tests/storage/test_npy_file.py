"""A damaged `.npy` file is a ValueError, whatever NumPy makes of its header."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dllm2rec.storage.npy_file import load_npy


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
