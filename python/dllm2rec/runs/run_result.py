"""`results.json`: the table that a run ends with, and `result.json`, a student's row of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import TypeAdapter

from dllm2rec.runs.read_json import read_json
from dllm2rec.storage.atomic_file import replace_bytes
from dllm2rec.storage.sealed_json import seal
from dllm2rec.tracking.metric_table import MetricRow, MetricTable, ResultRow

RESULTS_FILE = "results.json"  # of a run
RESULT_FILE = "result.json"  # of one seed of a student


@dataclass(frozen=True)
class RunResult:
    """A finished run, as `results.json` holds it.

    Attributes:
        folder: the run's, as it was given.
        dataset: its name.
        n_items: N.
        n_train: rows of the train split.
        n_validation: rows that settings were chosen by.
        n_test: rows that each test metric is a mean over.
        exclude_seen: whether the items of a row's history were no candidates.
        device: where it was trained.
        seconds: how long it took, from its start or the last time that it was resumed.
        rows: baselines, the teacher and students, in the order of the table.
        notes: what a reader of the results should know.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    folder: str
    dataset: str
    n_items: int
    n_train: int
    n_validation: int
    n_test: int
    exclude_seen: bool
    device: str
    seconds: float
    rows: list[ResultRow]
    notes: list[str]

    def __repr__(self) -> str:
        """Where the run is, and its table of the test rows."""
        place = f"RunResult: {self.folder}, {self.seconds:.0f} s on {self.device}"
        return f"{place}\n{self.table('test')!r}"

    def table(self, split: str) -> MetricTable:
        """The metrics of "validation" or "test"; over seeds, those of test with their deviation."""
        rows = [
            MetricRow(row.name, row.test, row.deviation)
            if split == "test"
            else MetricRow(row.name, row.validation)
            for row in self.rows
        ]
        return MetricTable(
            f"{self.dataset}, {split}",
            tuple(row for row in rows if row.metrics),
            self.n_test if split == "test" else self.n_validation,
            self.n_items,
            self.exclude_seen,
        )


_RESULT, _ROW = TypeAdapter(RunResult), TypeAdapter(ResultRow)


def write_result(folder: Path, result: RunResult) -> None:
    """Write `results.json` into a run's folder, whole or not at all."""
    _write(folder / RESULTS_FILE, result)


def read_result(folder: Path) -> RunResult:
    """Read the table of a run that has ended.

    Raises:
        ArtifactError: it is not there, or a key is missing, unknown or of another type.
    """
    return read_json(folder / RESULTS_FILE, _RESULT, "the table of a run")


def write_row(folder: Path, row: ResultRow) -> None:
    """Write `result.json` into the folder of one seed of a student, whole or not at all."""
    _write(folder / RESULT_FILE, row)


def read_row(folder: Path) -> ResultRow:
    """Read the row of one seed of a student that has been trained and tested.

    Raises:
        ArtifactError: it is not there, or a key is missing, unknown or of another type.
    """
    return read_json(folder / RESULT_FILE, _ROW, "the results of a student")


def _write(file: Path, value: RunResult | ResultRow) -> None:
    replace_bytes(file, seal(asdict(value)))
