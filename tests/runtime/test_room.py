"""Hardly any memory is refused with what is left, before threads are started in it."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from dllm2rec import load_dataset, read_interactions
from dllm2rec.errors import ResourceError
from dllm2rec.runtime import room
from dllm2rec.runtime.room import check_room


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch):
    """Say that the limit leaves so many bytes."""

    def leave(n_bytes: int) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + n_bytes
        monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))

    return leave


def test_without_a_limit_there_is_room() -> None:
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
    check_room()


def test_hardly_any_memory_is_refused(limited, tmp_path: Path) -> None:
    limited(room.LEAST + 2**26)
    check_room()
    limited(room.LEAST - 2**24)
    for reading in (check_room, lambda: load_dataset(tmp_path), lambda: read_interactions("x.csv")):
        with pytest.raises(ResourceError, match=r"^1\d\d MiB left of the memory .*\(ulimit -v\)$"):
            reading()
    limited(-(2**20))
    with pytest.raises(ResourceError, match=r"^0 MiB left"):
        check_room()


def test_a_system_that_does_not_tell_is_taken_to_have_room(limited, monkeypatch) -> None:
    limited(0)

    def missing(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    check_room()
