"""Parsing a teacher's text, against polars, pyarrow, pandas and numpy.

`DLLM2REC_BENCH_SCALE` scales the 150,000 x 100 table; the groups are `parse/<form>`. Ratios of the
minima count: the machine may do other things meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

from dllm2rec import _core

SCALE = float(os.environ.get("DLLM2REC_BENCH_SCALE", "1"))
N_ROWS, N_COLUMNS, N_ITEMS = max(10, round(150_000 * SCALE)), 100, 17_408

FORMS = {"items-d": "%d", "items-e18": "%.18e", "distances-e18": "%.18e"}
PEERS = ["dllm2rec", "polars", "pyarrow", "pandas", "numpy"]


@pytest.fixture(scope="module", params=FORMS)
def text(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    rng = np.random.default_rng(0)
    path: Path = tmp_path_factory.mktemp("parse") / request.param
    with path.open("wb") as file:
        for begin in range(0, N_ROWS, 1000):
            n_rows = min(1000, N_ROWS - begin)
            if request.param.startswith("items"):
                start = rng.integers(0, N_ITEMS, (n_rows, 1))
                rows = (start + np.arange(N_COLUMNS) * 61) % N_ITEMS
            else:
                rows = np.sort(rng.random((n_rows, N_COLUMNS)) * 1.5, axis=1)
            np.savetxt(file, rows, fmt=FORMS[request.param])
    yield path
    path.unlink()


def dllm2rec(path: Path) -> NDArray[np.generic]:
    if path.name.startswith("items"):
        return _core.parse_items(path, n_items=N_ITEMS)[0]
    return _core.parse_distances(path)[0]


def polars(path: Path) -> NDArray[np.generic]:
    import polars as pl

    return pl.read_csv(path, separator=" ", has_header=False).to_numpy()


def pyarrow(path: Path) -> NDArray[np.generic]:
    from pyarrow import csv

    names = [str(i) for i in range(N_COLUMNS)]
    options = csv.ReadOptions(column_names=names)
    table = csv.read_csv(path, options, csv.ParseOptions(delimiter=" "))
    return np.column_stack([column.to_numpy() for column in table.columns])


def pandas(path: Path) -> NDArray[np.generic]:
    import pandas as pd

    return pd.read_csv(path, sep=" ", header=None, engine="c").to_numpy()


def numpy(path: Path) -> NDArray[np.generic]:
    return np.loadtxt(path, ndmin=2)


READERS: dict[str, Callable[[Path], NDArray[np.generic]]] = {
    "dllm2rec": dllm2rec,
    "polars": polars,
    "pyarrow": pyarrow,
    "pandas": pandas,
    "numpy": numpy,
}


@pytest.mark.parametrize("peer", PEERS)
def test_parse(benchmark: BenchmarkFixture, text: Path, peer: str) -> None:
    if find_spec(peer) is None:
        pytest.skip(f"{peer} is not installed")
    ours = dllm2rec(text)
    theirs = READERS[peer](text)
    assert ours.shape == (N_ROWS, N_COLUMNS)
    # Some peers round decimals by less than a unit in the last place of a float64 wrongly.
    error = np.abs(theirs.astype(np.float64) - ours).max()
    assert error <= (0 if text.name.startswith("items") else 1e-7)
    del ours, theirs
    benchmark.group = f"parse/{text.name}"
    benchmark.name = peer
    benchmark.extra_info["peer"] = peer
    benchmark.extra_info["shape"] = [N_ROWS, N_COLUMNS]
    benchmark.pedantic(READERS[peer], args=(text,), rounds=5, warmup_rounds=1)
