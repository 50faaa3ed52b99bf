"""Fixtures of the battery, and what a failure says."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from dllm2rec.cli import main
from dllm2rec.data.formats import mapped_files
from dllm2rec.data.formats.load_dataset import load_dataset
from tests.battery.trials import Tell, Trials, trials_of
from tests.support.run_home import make_home
from tests.support.worlds import oracle_teacher

KEY = pytest.StashKey[Trials]()


@pytest.fixture
def trials(request: pytest.FixtureRequest) -> Trials:
    """How many trials a test makes."""
    request.node.stash[KEY] = made = trials_of(request)
    return made


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Keep what a test counted."""

    def keep(counts: Mapping[str, float], kind: str = "", name: str = "") -> None:
        record_property("figure", {"kind": kind, "name": name, "counts": dict(counts)})

    return keep


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log, its dataset, a teacher as files and as a folder, a run and its export."""
    home = make_home(tmp_path_factory.mktemp("home"))
    knowledge = oracle_teacher(load_dataset(home / "data"))
    (home / "lists").mkdir()
    np.savetxt(home / "lists" / "myrank_train.txt", knowledge.ranking, fmt="%d")
    assert (
        main(["export", str(home / "run"), "--student", "sasrec", "--out", str(home / "export")])
        == 0
    )
    with patch.object(mapped_files, "MAPPED_FROM", 1):
        assert main(["prepare", str(home / "log.csv"), "--out", str(home / "mapped")]) == 0
    return home


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and KEY in item.stash:
        report.sections.append(("how to repeat it", item.stash[KEY].repeat()))
    return report
