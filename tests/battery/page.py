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

Figure = dict[str, Any]  # its kind, its name and its counts
Figures = dict[str, dict[str, Any]]  # by test function
ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reliability.md"
FIGURES = Path(__file__).with_name("figures.json")
# ruff: noqa: E501 - a line of a page is a line
HEAD = """\
# Reliability

What you may rely on, and what the tests of it last showed. `make battery` runs all of them: bad inputs, killed processes, full
disks, flipped bits, signals, threads, little memory. `make battery PART=tests/battery/test_kills.py SHARE=0.2` runs a part, or
a share of the trials, and keeps what the other parts showed; `make battery-short` runs a twentieth of each number of trials and keeps
nothing. A trial that fails prints the command that repeats it.

A control does the same harm to a plain way of doing the work, which must show it.

"""
TABLE = "| promise | what the tests last showed |\n| --- | --- |\n"
DETAILS = """
## By reader, command and kernel

The trials behind the sentences above, each on its own. Where nothing was refused, the harm did not matter to the answer;
what was 0 everywhere has no column.
"""
TESTS = """
## The tests of each promise

Below `tests/`; `python -m pytest --battery 1 tests/FILE` runs those of a file.

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
        self.seen: Figures = {}

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
            found = [value for key, value in report.user_properties if key == "figure"]
            entry["figures"] += found

    def pytest_sessionfinish(self) -> None:
        kept = json.loads(self.file.read_text("utf-8")) if self.file.is_file() else {}
        when = {
            "date": datetime.now(UTC).date().isoformat(),
            "cores": os.process_cpu_count() if hasattr(os, "process_cpu_count") else os.cpu_count(),
        }
        kept |= {name: entry | when for name, entry in self.seen.items()}
        lines = [f"{json.dumps(name)}: {json.dumps(kept[name])}" for name in sorted(kept)]
        self.file.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def page(figures: Figures) -> str:
    """The page, of the figures that were kept."""
    rows = "".join(_row(promise, _of(promise, figures)) for promise in PROMISES)
    tests = "".join(_tests(promise) for promise in PROMISES)
    return HEAD + _when(figures) + TABLE + rows + DETAILS + _details(figures) + TESTS + tests


def _of(promise: Promise, figures: Figures) -> Figures:
    return {name: entry for name, entry in figures.items() if promise.name in shown_by(name)}


def _when(figures: Figures) -> str:
    days = sorted({entry["date"] for entry in figures.values()})
    cores = sorted({entry["cores"] for entry in figures.values()})
    if not days:
        return "Nothing was run yet.\n\n"
    between = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    return f"Figures of {between}, on {' or '.join(map(str, cores))} processor cores.\n\n"


def _row(promise: Promise, found: Figures) -> str:
    trials = [_sentence(entry["figures"]) for entry in found.values() if entry["figures"]]
    told = "; ".join([*trials, _outcomes(found)])
    lacks = f" Not tested: {promise.lacks}." if promise.lacks else ""
    return f"| **{promise.name}** {promise.says} | {told}.{lacks} |\n"


def _sentence(figures: list[Figure]) -> str:
    """What was counted over all tests of a function."""
    kinds = {figure["kind"] for figure in figures if figure["kind"]}
    head = f"{len(figures)} {' and '.join(sorted(kinds))}: " if kinds else ""
    counted = [figure["counts"] for figure in figures]
    names = dict.fromkeys(name for counts in counted for name in counts)
    each = ([counts[name] for counts in counted if name in counts] for name in names)
    return head + ", ".join(map(_counted, names, each))


def _counted(name: str, values: list[float]) -> str:
    if any(isinstance(value, float) for value in values):
        return f"at most {max(values):,.1f} {name}"
    return f"{sum(values):,} {name}"


def _outcomes(found: Figures) -> str:
    """How many tests passed, and how many controls showed the harm."""
    if not found:
        return "Not run"
    controls = {name: entry for name, entry in found.items() if "::test_control_" in name}
    tests = [entry for name, entry in found.items() if name not in controls]
    passed, failed, skipped = (
        sum(entry[outcome] for entry in tests) for outcome in ("passed", "failed", "skipped")
    )
    told = f"{passed:,} of {passed + failed:,} tests passed"
    told += f", {skipped:,} could not run here" if skipped else ""
    shown = sum(entry["passed"] for entry in controls.values())
    made = shown + sum(entry["failed"] for entry in controls.values())
    return told + (f", {shown} of {made} controls showed the harm" if made else "")


def _details(figures: Figures) -> str:
    """A table for each function that made trials of several things."""
    return "".join(
        _detail(name, entry["figures"])
        for name, entry in figures.items()
        if any(figure["name"] for figure in entry["figures"])
    )


def _detail(name: str, figures: list[Figure]) -> str:
    counted = (figure["counts"].items() for figure in figures)
    columns = list(dict.fromkeys(name for counts in counted for name, value in counts if value))
    words = name.partition("::test_")[2].replace("_", " ")
    head = f"\n### {words.capitalize()} ({', '.join(shown_by(name))})\n\n"
    head += f"| {figures[0]['kind']} | {' | '.join(columns)} |\n| --- |{' ---: |' * len(columns)}\n"
    return head + "".join(
        f"| {figure['name']} | "
        + " | ".join(_cell(figure["counts"].get(column)) for column in columns)
        + " |\n"
        for figure in figures
    )


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"


def _tests(promise: Promise) -> str:
    files: dict[str, list[str]] = {}
    for test in promise.tests:
        file, _, name = test.partition("::")
        files.setdefault(file, []).extend([name] if name else [])
    told = (
        f"`{file}`"
        + (
            f" ({', '.join(name.removeprefix('test_').replace('_', ' ') for name in names)})"
            if names
            else ""
        )
        for file, names in files.items()
    )
    return f"- **{promise.name}**: {'; '.join(told)}\n"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(json.loads(FIGURES.read_text("utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main()
