"""Arrays on the disk: their values are those in memory, nothing stays, a full disk is said."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dllm2rec.errors import ResourceError
from dllm2rec.storage import scratch


def test_arrays_lie_on_the_disk_only_inside_and_from_their_size_on(tmp_path: Path) -> None:
    with scratch.scratch_beside(tmp_path / "out", from_bytes=80):
        small, large = scratch.full(9, 7, np.int64), scratch.full(10, 7, np.int64)
        assert scratch.empty(0, np.int64).shape == (0,)
    assert small.base is None
    assert large.base is not None
    assert large.tolist() == [7] * 10
    large[3] = 1  # it outlives the block, and can be written
    assert large.sum() == 64
    assert scratch.empty(10, np.int64).base is None


@pytest.mark.parametrize("from_bytes", [0, 1, 100, 1 << 30])
def test_a_growing_array_goes_to_the_disk_as_it_grows(tmp_path: Path, from_bytes: int) -> None:
    with scratch.scratch_beside(tmp_path, from_bytes=from_bytes):
        values = scratch.GrowingArray(np.int64)
        for begin in range(0, 60, 20):
            values.append(np.arange(begin, begin + 20))
            values.append(np.empty(0, np.int64))
        values.as_floats()
        values.append(np.array([0.5]))
        assert values.finish().tolist() == [*map(float, range(60)), 0.5]
        assert len(values) == 61


def test_a_full_disk_is_said_before_an_array_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int, _begin: int, _size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with (
        scratch.scratch_beside(tmp_path, from_bytes=1),
        pytest.raises(ResourceError, match="No space left"),
    ):
        scratch.empty(1000, np.int64)


def test_nothing_is_left_of_a_process_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; import numpy as np\n"
        "from dllm2rec.storage import scratch\n"
        "with scratch.scratch_beside(Path(sys.argv[1]), from_bytes=1):\n"
        "    grown = scratch.GrowingArray(np.uint8); grown.append(np.ones(5000, np.uint8))\n"
        "    held = scratch.full(5000, 1, np.uint8)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "out")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []
