"""What a run ends with: its table, as `results.json` holds it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from dllm2rec.errors import ArtifactError
from dllm2rec.runs.run_folder import RESULTS_FILE
from dllm2rec.tracking.metric_table import MetricRow, MetricTable, ResultRow


@dataclass(frozen=True)
class RunResult:
    """A finished run, as `results.json` holds it."""

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


def read_result(folder: Path) -> RunResult:
    """Read the table of a run that has ended.

    Raises:
        ArtifactError: it is not there, or not readable.
    """
    try:
        content = json.loads((folder / RESULTS_FILE).read_text(encoding="utf-8"))
        rows = [ResultRow(**row) for row in content.pop("rows")]
        return RunResult(rows=rows, **content)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as err:
        raise ArtifactError(f"{folder / RESULTS_FILE}: {err}, expected the table of a run") from err


def test_table(result: RunResult) -> MetricTable:
    """The test metrics of a run, as they are shown."""
    return MetricTable(
        f"{result.dataset}, test",
        tuple(MetricRow(row.name, row.test, row.deviation) for row in result.rows),
        result.n_test,
        result.n_items,
        result.exclude_seen,
    )
