"""Fixtures of the battery, and what a failure says."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.battery.trials import Trials, trials_of

KEY = pytest.StashKey[Trials]()


@pytest.fixture
def trials(request: pytest.FixtureRequest) -> Trials:
    """How many trials a test makes."""
    request.node.stash[KEY] = made = trials_of(request)
    return made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and KEY in item.stash:
        report.sections.append(("how to repeat it", item.stash[KEY].repeat()))
    return report
