"""Fixtures shared by all tests."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
import xdist

from tests.network import only_here

# No test needs another machine: one that asked for it would fail, wherever it runs.
sys.addaudithook(only_here)

# A shell that runs the tests in the background lets them ignore Ctrl-C, which some of them send.
signal.signal(signal.SIGINT, signal.default_int_handler)


REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection(session: pytest.Session) -> None:
    """Keep torch to one thread, in each process that runs tests and not in the one above them."""
    if xdist.is_xdist_controller(session):
        return
    import torch

    # The students are tiny: more threads would spend their time waiting for each other.
    torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked `gpu` where there is none."""
    import torch

    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data beside the repository; the test is skipped where it is absent."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"no real data at {REAL_DATA}")
    return REAL_DATA
