"""Make dist/: the source archive and a wheel, each twice and without git, and compare the bytes.

    python .ci/make_dist.py [OPTION OF MATURIN...]

The tree is copied to two folders; from each an archive and a wheel are built, which must hold the
same bytes. A third wheel is built from the archive alone: it must hold the same files. It takes
some minutes and needs maturin. `--zig --compatibility manylinux2014` makes a wheel for any Linux
since 2014, and needs ziglang too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
NOT_SOURCES = (".git", "target", "dist", "site", "runs", ".venv", "*.so", "__pycache__", ".*_cache")
EPOCH = "1700000000"  # as in pyproject.toml, [tool.cibuildwheel]


def built(tree: Path, out: Path, *words: str) -> Path:
    """Run maturin in a tree; the one file that it made."""
    before = {*out.glob("*")}
    environment = os.environ | {
        "SOURCE_DATE_EPOCH": EPOCH,
        "CARGO_TARGET_DIR": str(tree / "target"),
    }
    command = ["maturin", *words, "--out", str(out)]
    subprocess.run(command, cwd=tree, env=environment, check=True)
    (made,) = {*out.glob("*")} - before
    return made


def names(wheel: Path) -> list[str]:
    """The files of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return sorted(archive.namelist())


def main(options: list[str]) -> None:
    """Build, compare, and keep."""
    with tempfile.TemporaryDirectory() as folder:
        work, made = Path(folder), {}
        for place in ("first", "a/second/place"):
            tree, out = work / place / "tree", work / place / "out"
            out.mkdir(parents=True)
            shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*NOT_SOURCES))
            wheel = ("build", "--release", *options)
            made[place] = built(tree, out, "sdist"), built(tree, out, *wheel)
        (source, wheel_1), (source_2, wheel_2) = made.values()
        for one, other in ((source, source_2), (wheel_1, wheel_2)):
            assert one.name == other.name
            assert one.read_bytes() == other.read_bytes(), f"{one.name}: two builds differ"
        with tarfile.open(source) as archive:
            archive.extractall(work / "unpacked", filter="data")
        (tree,) = (work / "unpacked").iterdir()
        (work / "from-source").mkdir()
        wheel_3 = built(tree, work / "from-source", "build", "--release", *options)
        assert names(wheel_3) == names(wheel_1), "the archive's wheel holds other files"
        DIST.mkdir(exist_ok=True)
        for path in (source, wheel_1):
            shutil.copy(path, DIST)
            print(f"{DIST.name}/{path.name}: {path.stat().st_size:,} bytes, twice the same")


if __name__ == "__main__":
    main(sys.argv[1:])
