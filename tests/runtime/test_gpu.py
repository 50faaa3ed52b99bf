"""A GPU is looked for at its driver, and a machine without one has none."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace

import pytest
import torch

from dllm2rec.runtime.gpu import has_gpu


def test_it_agrees_with_torch() -> None:
    assert has_gpu() == torch.cuda.is_available()


@pytest.mark.parametrize(("fails", "n", "expected"), [(0, 2, True), (0, 0, False), (100, 1, False)])
def test_the_driver_counts(
    monkeypatch: pytest.MonkeyPatch, fails: int, n: int, *, expected: bool
) -> None:
    def count(pointer: object) -> int:
        pointer._obj.value = n  # type: ignore[attr-defined]
        return 0

    driver = SimpleNamespace(cuInit=lambda _: fails, cuDeviceGetCount=count)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: driver)
    assert has_gpu() is expected


def test_a_library_that_is_no_driver_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace())
    assert not has_gpu()
