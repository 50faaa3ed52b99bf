"""Rows R and C as a command meets them: `dllm2rec teacher import` of the files in `lists.py`.

The rows that are about more than one file stand here, too.
"""

# ruff: noqa: E501 - a case on a line of its own reads as a table

from __future__ import annotations

import gzip
import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.teacher.folder import load_teacher
from tests.corpus.case import Case, accepted, files, refused
from tests.corpus.lists import DISTANCES, GOOD, N_ITEMS, RANKING
from tests.corpus.lists import Case as ListCase

OPTIONS = {
    "min_columns": "--min-columns",
    "id_base": "--teacher-id-base",
    "skip_rows": "--skip-rows",
    "on_duplicate": "--on-duplicate",
    "kind": "--confidence-kind",
}


def dataset(folder: Path, n_train: int, n_items: int = N_ITEMS, history: str = "1") -> Path:
    """A dataset in the authors' layout: `n_train` rows, each of one window and one target, 2."""
    window = f'"[{history}, {n_items}]",1'
    known = f'"[{n_items - 1}, {n_items}]",1,{n_items - 1}\n'
    rows = {"train": f"{window},2\n" * n_train, "val": known, "test": known}
    return files(
        folder / "data",
        {f"{split}_data.csv": f"seq,len_seq,next\n{text}" for split, text in rows.items()},
    )


def import_words(folder: Path, *words: str) -> list[str]:
    """The command that imports `folder/teacher` for `folder/data` into `folder/out`."""
    base = ["teacher", "import", str(folder / "teacher"), "--dataset", str(folder / "data")]
    return [*base, "--out", str(folder / "out"), *words]


def n_lines(case: ListCase) -> int:
    """How many rows the dataset has: as many as the case says, or as its file seems to have."""
    if "expected_rows" in case.options:
        return int(case.options["expected_rows"])
    if case.rows is not None:
        return len(case.rows)
    zipped = case.data[:2] == b"\x1f\x8b"
    ends = case.data.count(b"\n") + (not case.data.endswith(b"\n"))
    return 1000 if zipped else max(ends, 1)


def option_words(case: ListCase) -> list[str]:
    words = [w for key, option in OPTIONS.items() if key in case.options
             for w in (option, str(case.options[key]))]  # fmt: skip
    flags = {"strict": "--strict", "short_lists": "--short-lists"}
    return [*words, *(flag for key, flag in flags.items() if case.options.get(key))]


def ending(suffix: str) -> str:
    """What follows `NAME.txt`: only `.gz` is looked for, all else is told by its first bytes."""
    return ".gz" if suffix.endswith(".gz") else ""


def ranking_words(case: ListCase) -> Callable[[Path], list[str]]:
    def words(folder: Path) -> list[str]:
        dataset(folder, n_lines(case), case.options.get("n_items", N_ITEMS))
        files(folder, {f"teacher/myrank_train.txt{ending(case.suffix)}": case.data})
        return import_words(folder, *option_words(case))

    return words


def distance_words(case: ListCase) -> Callable[[Path], list[str]]:
    def words(folder: Path) -> list[str]:
        n_rows, first = n_lines(case), case.data.split(b"\n")[0]
        width = len(case.rows[0]) if case.rows else len(first.split())
        width = int(case.options.get("expected_columns", width))
        dataset(folder, n_rows)
        lists = " ".join(str(5000 + k) for k in range(width)) + "\n"
        files(
            folder / "teacher",
            {
                "myrank_train.txt": lists * n_rows,
                f"confidence_train.txt{ending(case.suffix)}": case.data,
            },
        )
        return import_words(folder, *option_words(case))

    return words


def holds(case: ListCase, field: str) -> Callable[[Path], None]:
    """Check the numbers that were imported."""

    def check(folder: Path) -> None:
        assert case.rows is not None
        teacher = load_teacher(folder / "out", load_dataset(folder / "data"))
        values = getattr(teacher, field)
        expected = np.array(case.rows, dtype=values.dtype)
        if case.options.get("kind") == "similarity":
            expected = expected.max() - expected
        assert np.array_equal(values, expected)

    return check


def command(case: ListCase, words: Callable[[Path], list[str]], field: str) -> Case:
    if case.rows is None:
        return refused(case.name, words, 3, case.says, code=case.code, line=case.line,
                       column=case.column)  # fmt: skip
    said = tuple(part for note in case.warns for part in note.split(" ", 1))
    return accepted(case.name, words, *said, check=holds(case, field))


def lists_of(
    content: bytes, *words: str, n_train: int = 3, more: dict[str, bytes | str] | None = None
) -> Callable[[Path], list[str]]:
    """An import of a ranking file for a dataset of windows [1] and targets 2."""

    def write(folder: Path) -> list[str]:
        dataset(folder, n_train)
        files(folder / "teacher", {"myrank_train.txt": content, **(more or {})})
        return import_words(folder, *words)

    return write


def linked_to(target: str) -> Callable[[Path], list[str]]:
    """A ranking file that is a link to something else."""

    def words(folder: Path) -> list[str]:
        dataset(folder, 3)
        (folder / "teacher").mkdir()
        (folder / "teacher" / "myrank_train.txt").symlink_to(target)
        return import_words(folder)

    return words


def link_beside(name: str) -> Callable[[Path], list[str]]:
    """A sound ranking file, and a link to nothing under the name of another file."""

    def words(folder: Path) -> list[str]:
        found = lists_of(GOOD)(folder)
        (folder / "teacher" / name).symlink_to("nowhere")
        return found

    return words


def forbidden(folder: Path) -> list[str]:
    words = lists_of(GOOD)(folder)
    (folder / "teacher" / "myrank_train.txt").chmod(0)
    return words


def missing(folder: Path) -> list[str]:
    dataset(folder, 3)
    (folder / "teacher").mkdir()
    return import_words(folder)


def same_file(*, linked: bool) -> Callable[[Path], list[str]]:
    """One content under both names, as a copy or a link."""

    def words(folder: Path) -> list[str]:
        found = lists_of(GOOD)(folder)
        distances = folder / "teacher" / "confidence_train.txt"
        if linked:
            distances.symlink_to("myrank_train.txt")
        else:
            distances.write_bytes(GOOD)
        return found

    return words


def directory(folder: Path) -> list[str]:
    dataset(folder, 3)
    (folder / "teacher" / "myrank_train.txt").mkdir(parents=True)
    return import_words(folder)


def pipe(folder: Path) -> list[str]:
    dataset(folder, 3)
    (folder / "teacher").mkdir()
    path = folder / "teacher" / "myrank_train.txt"
    os.mkfifo(path)
    threading.Thread(target=path.write_bytes, args=(GOOD,), daemon=True).start()
    return import_words(folder)


def bomb(folder: Path) -> list[str]:
    """200 MB of rows in half a megabyte, for a dataset of three."""
    dataset(folder, 3)
    member = gzip.compress(b"1 2 3 4 5 6 7 8 9 10\n" * 100_000, mtime=0)
    files(folder, {"teacher/myrank_train.txt.gz": member * 100})
    return import_words(folder)


FAR = "".join(f"{5000 + n} {6000 + n}\n" for n in range(200))
DIGEST = hashlib.sha256(GOOD).hexdigest()

LISTS = [
    *[command(case, ranking_words(case), "ranking") for case in RANKING],
    *[command(case, distance_words(case), "distance") for case in DISTANCES],
]
R = [
    *[case for case in LISTS if case.row.startswith("R")],
    refused("R60-bomb", bomb, 3, "row 4 starts here, expected 3 rows", code="E-ROWS", line=4, column=1),
    refused("R62-digest-of-the-whole", lists_of(GOOD[:-2], more={"myrank_train.txt.sha256": DIGEST}), 3, "sha256", code="E-DIGEST"),
    accepted("R64-target-listed", lists_of(b"2 7\n2 8\n9 7\n"), "lists the target in 2 of 3 train rows"),
    accepted("R65-window-listed", lists_of(b"1 7\n1 8\n9 7\n"), "2 of 6 list places (33.3%) repeat an item of the window"),
    accepted("R68-right-digest", lists_of(GOOD, more={"myrank_train.txt.sha256": DIGEST})),
    refused("R68-other-digest", lists_of(GOOD, more={"myrank_train.txt.sha256": DIGEST[::-1]}), 3, "sha256", code="E-DIGEST"),
    accepted("R68-no-target-anywhere", lists_of(FAR.encode(), n_train=200), "W-TEACHER-RANDOM"),
    refused("R69-missing", missing, 3, "no myrank_train.txt", code="E-OPEN"),
    refused("R69-link-to-nothing", linked_to("nowhere"), 3, "No such file", code="E-OPEN"),
    *[refused(f"R69-link-to-nothing-{name}", link_beside(name), 3, f"{name}: No such file", code="E-OPEN")
      for name in ("confidence_train.txt", "myrank_test.txt", "all_embeddings.pt", "myrank_train.txt.sha256")],
    refused("R69-directory", directory, 3, "directory", code="E-OPEN"),
    refused("R69-symlink-loop", linked_to("myrank_train.txt"), 3, "symbolic link", code="E-OPEN"),
    refused("R70-dev-zero", linked_to("/dev/zero"), 3, "not completely written", code="E-TRUNC"),
    accepted("R70-fifo", pipe),
    *([] if os.geteuid() == 0 else [refused("R69-forbidden", forbidden, 3, "denied", code="E-OPEN")]),
]  # fmt: skip

C = [
    *[case for case in LISTS if not case.row.startswith("R")],
    refused("C15-link", same_file(linked=True), 2, code="E-SAME-FILE"),
    refused("C15-copy", same_file(linked=False), 2, code="E-SAME-FILE"),
    refused("C16-swapped", lists_of(b"0.4 0.5 0.7\n" * 3, more={"confidence_train.txt": GOOD}), 3, "the file of distances", code="E-NOT-INTEGER", line=1, column=1),
]  # fmt: skip
