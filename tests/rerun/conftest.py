"""A run as folders, made once for the tests of a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.run_home import make_home


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of a dataset, its teacher and a run."""
    return make_home(tmp_path_factory.mktemp("home"))
