"""What tests of the battery showed: kept from run to run, and written as docs/reliability.md.

python -m tests.battery.page
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.battery.promises import PROMISES, Promise, shown_by

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reliability.md"
FIGURES = Path(__file__).with_name("figures.json")
# ruff: noqa: E501 - a line of a page is a line
HEAD = """\
# Reliability

What you may rely on, and what the tests of it last showed. `make battery` runs all of them: bad inputs, killed processes, full
disks, flipped bits, signals, threads, little memory; `make battery-short` runs a twentieth of each number of trials. A trial that
fails prints the command that repeats it. The figures below are those of the last run, on the day and the processor cores named; what
did not run says so. Most trials have a control beside them: the same harm done to a plain way of doing the work, which must show it.

| | promise | what the last run showed | tests |
| --- | --- | --- | --- |
"""


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


def page(figures: dict[str, dict[str, Any]]) -> str:
    """The page, of the figures that were kept."""
    return HEAD + "".join(_row(promise, figures) for promise in PROMISES)


def _row(promise: Promise, figures: dict[str, dict[str, Any]]) -> str:
    found = {
        name: entry
        for name, entry in figures.items()
        if any(name == test or name.startswith(f"{test}::") for test in promise.tests)
    }
    told = [figure for entry in found.values() for figure in entry["figures"]]
    told.append(_outcomes(list(found.values())))
    if promise.lacks:
        told.append(f"not tested: {promise.lacks}")
    says = promise.says.replace("|", "\\|")
    tests = ", ".join(f"`{test.replace('::', ' ')}`" for test in promise.tests)
    return f"| {promise.name} | {says} | {'; '.join(told)} | {tests} |\n"


def _outcomes(entries: list[dict[str, Any]]) -> str:
    if not entries:
        return "not run"
    passed, failed, skipped = (
        sum(entry[outcome] for entry in entries) for outcome in ("passed", "failed", "skipped")
    )
    days = sorted({entry["date"] for entry in entries})
    cores = sorted({entry["cores"] for entry in entries})
    told = f"{passed:,} of {passed + failed:,} tests passed"
    told += f", {skipped:,} could not run here" if skipped else ""
    return f"{told} ({' and '.join(days)}, {' or '.join(map(str, cores))} cores)"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(json.loads(FIGURES.read_text("utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main()
