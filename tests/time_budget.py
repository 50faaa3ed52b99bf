"""What a run of tests cost in CPU seconds, said at its end: `--budget`, as `make test-fast` asks.

CPU seconds, which other work on the machine changes by a tenth, not severalfold. It fails nothing.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator, Mapping

import pytest

N_SHOWN = 8


class TimeBudget:
    """A plugin that adds up what each file's tests took, in every process that runs tests."""

    __test__ = False

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._spent: Counter[str] = Counter()
        self._last = 0.0

    def pytest_collection_finish(self) -> None:
        self._last = cpu_seconds()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        now = cpu_seconds()
        report.cpu_s = now - self._last  # xdist carries it to the process that tells
        self._last = now
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._spent[report.nodeid.partition("::")[0]] += getattr(report, "cpu_s", 0.0)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for line in account(self._spent, self._seconds):
            terminalreporter.write_line(line)


def cpu_seconds() -> float:
    """What this process and those that it waited for have taken."""
    taken = os.times()
    return taken.user + taken.system + taken.children_user + taken.children_system


def account(spent: Mapping[str, float], budget: float) -> list[str]:
    """Say what files took; where it is more than the budget, which to look at first."""
    total = sum(spent.values())
    if total <= budget:
        return [f"tests: {total:.0f} CPU seconds, of a budget of {budget:.0f}"]
    what = "make these cheaper, or mark as slow what starts processes or trains for seconds"
    longest = Counter(spent).most_common(N_SHOWN)
    return [
        f"tests: {total:.0f} CPU seconds, expected at most {budget:.0f}; {what}:",
        *(f"{seconds:6.1f} {file}" for file, seconds in longest),
    ]
