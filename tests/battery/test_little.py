"""Too little: disks that are full or broken at any byte, and memory at any level."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from dllm2rec.cli import main
from tests.battery.test_kills import NAMES, writers
from tests.battery.trials import Tell, Trials
from tests.support.children import LONG_S, ended, forked

pytestmark = [
    pytest.mark.battery,
    pytest.mark.timeout(3600),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


def largest(folder: Path) -> int:
    return max(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="session")
def wholes(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What each command writes where nothing is wrong."""
    folder = tmp_path_factory.mktemp("wholes")
    for name, writer in writers(home).items():
        assert main([*writer.words, str(folder / name)]) == 0
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_files_that_may_not_grow_leave_nothing(
    home: Path,
    tmp_path: Path,
    wholes: Path,
    name: str,
    trials: Trials,
    tell: Tell,
) -> None:
    writer, log, out = writers(home)[name], tmp_path / "log", tmp_path / "made" / "out"
    size, full, n = largest(wholes / name), trials.count(50), 0

    def limited(n_bytes: int) -> int:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))
        return main([*writer.words, str(out)])

    # The last byte alone as well: `numpy.save` lost what was missing of the last 4 KiB.
    for n_bytes in [*(size * number // full for number in range(full)), size - 1]:
        child = forked(partial(limited, n_bytes), Path(os.devnull))
        assert ended(child) == 6, n_bytes
        assert not out.parent.exists() or list(out.parent.iterdir()) == []
        n += 1
    assert ended(forked(partial(main, [*writer.words, str(out)]), log)) == 0
    assert writer.read(out) == writer.read(wholes / name)
    tell({"limits of a file's size": n, "without exit 6": 0, "files left": 0}, "commands", name)


def test_control_plain_writing_leaves_a_part(tmp_path: Path) -> None:
    file = tmp_path / "plain.npy"

    def limited() -> int:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
        np.save(file, np.zeros(10_000))
        return 0

    assert ended(forked(limited, tmp_path / "log")) == 99
    assert file.stat().st_size == 5000


@contextmanager
def small_disk(place: Path, n_bytes: int) -> Iterator[Path]:
    """A file system in memory of that size."""
    place.mkdir(exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={n_bytes}", "tmpfs", str(place)]
    made = subprocess.run(words, capture_output=True, check=False)
    if made.returncode:
        pytest.skip("a file system cannot be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="root alone mounts")
@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_leaves_nothing(
    home: Path,
    tmp_path: Path,
    wholes: Path,
    name: str,
    trials: Trials,
    tell: Tell,
) -> None:
    writer = writers(home)[name]
    size = sum(path.stat().st_size for path in (wholes / name).rglob("*") if path.is_file())
    n_refused, full = 0, trials.count(50)
    for number in range(full):
        # Whole pages, as many as files and folders round up to and more.
        n_bytes = 4096 * max(1, (2 * size + 2**16) * number // full // 4096)
        with small_disk(tmp_path / "disk", n_bytes) as disk:
            code = ended(
                forked(partial(main, [*writer.words, str(disk / "out")]), Path(os.devnull))
            )
            assert code in {0, 6}, n_bytes
            n_refused += code == 6
            if code == 0:
                assert writer.read(disk / "out") == writer.read(wholes / name)
            else:
                assert list(disk.iterdir()) == []
    assert 0 < n_refused < full
    tell({"small disks": full, "full": n_refused, "files left": 0}, "commands", name)


@pytest.mark.parametrize("name", NAMES)
def test_a_broken_disk_leaves_nothing(
    home: Path, tmp_path: Path, name: str, trials: Trials, tell: Tell
) -> None:
    """EIO where the system tells of it: at each sync of a file or folder."""
    writer, out = writers(home)[name], tmp_path / "made" / "out"
    fsync = os.fsync

    def broken(at: int) -> int:
        calls = iter(range(10**6))

        def failing(descriptor: int) -> None:
            if next(calls) == at:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            fsync(descriptor)

        os.fsync = failing
        return main([*writer.words, str(out)])

    refused = 0
    for at in range(trials.count(50)):
        code = ended(forked(partial(broken, at), tmp_path / "log"))
        if code == 0:
            break  # it syncs less often
        assert code == 6, (tmp_path / "log").read_text()
        refused += 1
        if out.exists():  # the last sync is that of the folder above, which has the name by then
            assert writer.read(out)
        shutil.rmtree(out.parent, ignore_errors=True)
    assert refused
    tell({"failing syncs": refused, "without exit 6": 0}, "commands", name)


def test_control_plain_writing_does_not_see_a_broken_disk(tmp_path: Path) -> None:
    def broken() -> int:
        def failing(descriptor: int) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        os.fsync = failing
        np.save(tmp_path / "plain.npy", np.zeros(10_000))
        return 0

    assert ended(forked(broken, tmp_path / "log")) == 0


READING = {
    "evaluate": ["evaluate", "run", "--device", "cpu"],
    "recommend": ["recommend", "run", "--history", "item-1", "--device", "cpu"],
    "prepare": ["prepare", "log.csv", "--out", "made"],
    "teacher import": ["teacher", "import", "lists", "--dataset", "data", "--out", "made"],
    "report": ["report", "run"],
}


LIMITED = """
import resource, sys
from pathlib import Path
import pyarrow.parquet, torch
from dllm2rec import cli
from dllm2rec.cli.commands import evaluate, prepare, recommend, report, teacher

pages = int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * 4096 + int(sys.argv[1]),) * 2)
del sys.argv[1]
cli.run()
"""


@pytest.mark.parametrize("name", READING)
def test_little_memory_is_a_message(
    home: Path, tmp_path: Path, name: str, trials: Trials, tell: Tell
) -> None:
    """A process may have so much more than it holds before the command, up to 380 MiB.

    A process of its own: what libraries do at its end is a part of it.
    """
    counts = {"levels of memory": 0, "refused": 0, "ended by OpenMP with its own message": 0}
    full = trials.count(20)
    for number in range(full):
        words = [sys.executable, "-c", LIMITED, str(400 * 2**20 * number // full), *READING[name]]
        done = subprocess.run(
            words, cwd=home, capture_output=True, text=True, timeout=LONG_S, check=False
        )
        said = f"level {number}: {done.returncode}: {done.stderr[-2000:]}"
        counts["levels of memory"] += 1
        if done.returncode == 1 and "libgomp: Thread creation failed" in done.stderr:
            counts["ended by OpenMP with its own message"] += 1
        elif done.returncode:
            assert done.returncode == 6, said
            assert done.stderr.startswith("error: "), said
            counts["refused"] += 1
        shutil.rmtree(home / "made", ignore_errors=True)
    assert counts["refused"]
    tell(counts, "commands", name)


def test_control_a_plain_read_dies(tmp_path: Path) -> None:
    """What the limit does to code that does not expect it."""

    def plain() -> int:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * 4096 + 2**20,) * 2)
        return len(bytes(2**26)) and 0

    assert ended(forked(plain, tmp_path / "log")) == 99
