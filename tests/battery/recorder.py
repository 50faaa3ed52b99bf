"""Keeps what each test of the battery showed, for the page."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.battery.promises import shown_by


def function_of(node: str) -> str:
    """A test without its parameters, below `tests/`."""
    return node.removeprefix("tests/").split("[")[0]


class Recorder:
    """A plugin of pytest: the outcomes of a run, by test function.

    Args:
        file: what is kept from run to run; a function that ran replaces what it showed before.
        share: the share of full counts that was run.
    """

    def __init__(self, file: Path, share: float) -> None:
        self.file, self.share = file, share
        self.seen: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = function_of(report.nodeid)
        if not shown_by(name):
            return
        new: dict[str, Any] = {"passed": 0, "failed": 0, "skipped": 0, "seconds": 0.0}
        entry = self.seen.setdefault(name, new | {"share": self.share, "figures": []})
        if report.when == "call" or not report.passed:
            entry[report.outcome] += 1
        entry["seconds"] = round(entry["seconds"] + report.duration, 1)
        if report.when == "call" and report.passed:
            found = [str(value) for key, value in report.user_properties if key == "figure"]
            entry["figures"] += found

    def pytest_sessionfinish(self) -> None:
        kept = json.loads(self.file.read_text("utf-8")) if self.file.is_file() else {}
        when = {
            "date": datetime.now(UTC).date().isoformat(),
            "cores": os.process_cpu_count() if hasattr(os, "process_cpu_count") else os.cpu_count(),
        }
        kept |= {name: entry | when for name, entry in self.seen.items()}
        self.file.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")
