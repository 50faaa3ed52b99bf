"""Fixtures shared by all tests."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import xdist

from tests.battery.page import Recorder, function_of
from tests.battery.promises import shown_by
from tests.network import only_here
from tests.time_budget import TimeBudget

# No test needs another machine: one that asked for it would fail, wherever it runs.
sys.addaudithook(only_here)

# A shell that runs the tests in the background lets them ignore Ctrl-C, which some of them send.
signal.signal(signal.SIGINT, signal.default_int_handler)


REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

# Where the pictures of pages are tested, and where nothing may differ from what users have.
WITH_PICTURES = {"artefacts", "battery", "docs", "test_report.py"}


def pytest_collection(session: pytest.Session) -> None:
    """Keep torch to one thread, in each process that runs tests and not in the one above them."""
    if xdist.is_xdist_controller(session):
        return
    import torch

    # The students are tiny: more threads would spend their time waiting for each other.
    torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of `make test-fast` and `make battery`."""
    parser.addoption("--budget", type=float, metavar="SECONDS", help="say if tests took more CPU")
    group = parser.getgroup("the reliability battery")
    group.addoption("--battery", type=float, metavar="SHARE", help="run it: 1 is every trial")
    group.addoption("--battery-seed", type=int, default=0, help="of its trials")
    group.addoption("--battery-trial", type=int, help="make this trial alone")
    group.addoption("--battery-figures", type=Path, help="keep what it showed in this file")


def pytest_configure(config: pytest.Config) -> None:
    """Keep what the battery shows, and add up what tests take, if that is asked for."""
    budget = config.getoption("budget")
    if budget is not None:
        config.pluginmanager.register(TimeBudget(budget))
    file = config.getoption("battery_figures")
    if file is not None:
        config.pluginmanager.register(Recorder(file, config.getoption("battery")))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the battery or all else; skip what is marked `gpu` where there is none."""
    import torch

    is_battery = config.getoption("battery") is not None
    out = [item for item in items if is_left_out(item, is_battery=is_battery)]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in set(out)]
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


def is_left_out(item: pytest.Item, *, is_battery: bool) -> bool:
    """Trials in numbers are for the battery alone; it runs what shows a promise."""
    if is_battery:
        return not shown_by(function_of(item.nodeid))
    return item.get_closest_marker("battery") is not None


@pytest.fixture(scope="module", autouse=True)
def _few_pictures(request: pytest.FixtureRequest) -> Iterator[None]:
    """Pages of other tests' runs are as without matplotlib: it takes more than a tiny training."""
    with pytest.MonkeyPatch.context() as patch:
        if not WITH_PICTURES & {*request.path.parts}:
            patch.setattr("dllm2rec.report.page.can_draw", lambda: False)
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data beside the repository; the test is skipped where it is absent."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"no real data at {REAL_DATA}")
    return REAL_DATA
