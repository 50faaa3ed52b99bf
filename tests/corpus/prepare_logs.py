"""Rows L as a command meets them: `dllm2rec prepare` of the files in `logs.py`."""

# ruff: noqa: E501 - a case on a line of its own reads as a table

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np

from dllm2rec.batches.negative_sampler import sample_negatives
from dllm2rec.cli import main
from dllm2rec.data.logs.interactions import Columns
from tests.corpus import logs
from tests.corpus.case import Case, accepted, files, refused, settings
from tests.corpus.logs import CASES
from tests.corpus.logs import Case as LogCase

# Where the command does something else than the reader, as it looks for the log in a folder first:
# one kind of files is a log, and others may lie beside it.
LOOKED_FOR = {"folder-mixed-formats": "E-FORMAT", "folder-unknown-file": ""}


def prepare_words(case: LogCase) -> Callable[[Path], list[str]]:
    """The command line that reads a case: as it is, or to a dataset."""
    options = dict(case.options)
    columns = options.pop("columns", Columns())
    words = []
    for role in ("user", "item", "time"):
        name = getattr(columns, role)
        if name is None:
            words.append("--file-order")
        elif name != getattr(Columns(), role):
            words += [f"--{role}-column", name]
    for name, value in options.items():
        word = f"--{name.replace('_', '-')}"
        words += [word] if value is True else [word, value]
    form = {"authors": "authors", "prepare": "dataset", "read": "csv"}[case.entry]

    def write(folder: Path) -> list[str]:
        source = logs.place(case, folder / "in")
        return ["prepare", str(source), "--out", str(folder / "out"), *words, "--write", form]

    return write


def command(case: LogCase) -> Case:
    words, code = prepare_words(case), LOOKED_FOR.get(case.name, case.code)
    if code:
        # A folder of several formats is refused before any of them is read.
        says = case.says if case.name not in LOOKED_FOR else ""
        return refused(
            case.name, words, case.status or 3, says, code=code, line=case.line, column=case.column
        )
    said = case.notes if case.entry == "prepare" else ()
    return accepted(case.name, words, *said)


FORMULAS = next(case for case in CASES if case.name == "L26-formula")


def formula_words(*options: str) -> Callable[[Path], list[str]]:
    return lambda folder: [*prepare_words(FORMULAS)(folder), *options]


def written_ids(expected: list[str]) -> Callable[[Path], None]:
    def check(folder: Path) -> None:
        with (folder / "out" / "out.csv").open(newline="", encoding="utf-8") as file:
            assert [row["item_id"] for row in csv.DictReader(file)] == expected

    return check


def seen_everything(*more: str) -> Callable[[Path], list[str]]:
    """A training with sampled negatives where the user "all" has met each of the five items."""

    def words(folder: Path) -> list[str]:
        rows = [("all", f"i{k % 5}", k) for k in range(9)]
        rows += [(f"u{n}", f"i{(n + k) % 5}", k) for n in range(6) for k in range(4)]
        files(folder, {"log.csv": logs.events(*rows)})
        assert main(["prepare", str(folder / "log.csv"), "--out", str(folder / "data")]) == 0
        small = settings([
            "train.max_epochs=1", "student.hidden_size=8", "student.n_heads=1", "train.device=cpu",
            "loss.base=sampled_softmax", "loss.exclude=history", "evaluation.ks=[1,2]", "distillation.top_k=2", *more,
        ])  # fmt: skip
        return ["train", "--dataset", str(folder / "data"), "--out", str(folder / "out"), *small]

    return words


def all_but_none(_: Path) -> None:
    """Negatives from a catalogue above 2**24 items reach above it and stay inside."""
    n_items = 2**24 + 2**20
    begin, end = np.zeros(1, dtype=np.int64), np.full(1, 3, dtype=np.int64)
    drawn = sample_negatives(np.arange(3, dtype=np.uint32), begin, end, np.zeros(1, np.uint64),
                             n_items=n_items, n_negatives=4000, seed=0, epoch=0)  # fmt: skip
    assert 2**24 < drawn.max() < n_items


def long_line(folder: Path) -> list[str]:
    logs.long_json_line(folder / "log.jsonl", 40 * 2**20)
    return ["prepare", str(folder / "log.jsonl"), "--out", str(folder / "out")]


L = [
    *[command(case) for case in CASES],
    accepted("L26-bare", formula_words(), check=written_ids(FORMULAS.items or [])),
    accepted("L26-excel-safe", formula_words("--excel-safe"), check=written_ids(["'" + item for item in FORMULAS.items or []])),
    refused("L34-no-negative", seen_everything(), 3, "user 'all' has met all 5 items (3 such train rows)", code="E-NEG", begun=True),
    accepted("L34-passed-over", seen_everything("loss.neg_fallback=skip"), "sasrec"),
    Case(name="L36-above-2-to-24", call=all_but_none),
    refused("L39-line-of-40-MB", long_line, 3, code="E-LINE", line=2, column=1),
]  # fmt: skip
