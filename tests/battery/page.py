"""Write docs/reliability.md from the promises and from what the battery's last run showed.

python -m tests.battery.page
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.battery.promises import PROMISES, Promise

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
