"""What reading a file costs in processor time and memory, measured in a process of its own.

`python -m tests.support.reading_cost READER SMALL FILE...` first reads SMALL, a sound file, so that
imports and thread pools are not counted, then each FILE in a fork, so that no memory is left over
from the one before, and prints one line of JSON for each.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dllm2rec.errors import Dllm2RecError

if TYPE_CHECKING:  # imported when it is read
    from dllm2rec.data.dataset import SequenceDataset

MEBIBYTE = 2**20


def _log(path: Path, **options: Any) -> object:
    from dllm2rec.data.logs.log_form import LogForm
    from dllm2rec.data.logs.read import read_interactions

    names = options.pop("names", None)
    return read_interactions(path, form=LogForm(names=names), **options)


def _titles(path: Path, layout: str) -> object:
    from dllm2rec.data.logs.titles.read_titles import read_titles

    return read_titles(path, layout)


def _histories(path: Path) -> object:
    from tests.support.all_histories import read_histories

    return list(read_histories(path))


def _windows(path: Path) -> object:
    from dllm2rec.data.text.csv_table import read_csv
    from dllm2rec.data.text.parse_int_lists import parse_ragged_lists

    return parse_ragged_lists(read_csv(path, ("seq",)), "seq")


def _ranking(path: Path) -> object:
    from dllm2rec import _core

    return _core.parse_items(path, n_items=1000, on_duplicate="keep")


def _distances(path: Path) -> object:
    from dllm2rec import _core

    return _core.parse_distances(path)


def _answers(path: Path) -> object:
    from dllm2rec.teacher.answers.import_answers import import_answers

    return import_answers(path, _world())


@cache
def _world() -> SequenceDataset:
    import numpy as np
    import pyarrow as pa

    from dllm2rec.data.dataset import Users
    from tests.support.worlds import cycle_dataset

    users = Users(pa.array([f"u{n}" for n in range(3000)], pa.large_string()), np.arange(3001) * 10)
    return replace(cycle_dataset(3000), users=users)


def _vectors(path: Path) -> object:
    from dllm2rec.teacher.vector_tables import read_parquet_vectors

    return read_parquet_vectors(path)


def _lists(path: Path) -> object:
    from dllm2rec.evaluate.lists.read import read_list_table

    return read_list_table(path)


def _scores(path: Path) -> object:
    from dllm2rec.evaluate.matrices.open_matrix import open_matrix

    return [block for _, block in open_matrix(path, "").blocks(2, (0, 1))]


def _per_row(path: Path) -> object:
    from dllm2rec.evaluate.rows.per_row_file import read_per_row

    return read_per_row(path)


def _embeddings(path: Path) -> object:
    from dllm2rec.teacher.embedding_file import load_embeddings

    return load_embeddings(path, n_items=4)


def _config(path: Path) -> object:
    from dllm2rec.config.load import load_config

    return load_config(path=path)


def _run(path: Path) -> object:
    from dllm2rec.runs.run_result import read_run

    return read_run(path.parent)


NAMES = ("user_id", "item_id", "rating", "timestamp")
READERS: dict[str, Callable[[Path], object]] = {
    "csv": lambda path: _log(path, file_format="csv"),
    "csv-int": lambda path: _log(path, file_format="csv", id_type="int"),
    "tsv": lambda path: _log(path, file_format="tsv"),
    "headerless": lambda path: _log(path, file_format="tsv", names=NAMES),
    "colons": lambda path: _log(path, file_format="csv", delimiter="::", names=NAMES),
    "json-lines": lambda path: _log(path, file_format="jsonl"),
    "parquet": lambda path: _log(path, file_format="parquet"),
    "titles-csv": lambda path: _titles(path, "csv"),
    "titles-pipes": lambda path: _titles(path, "movielens-pipes"),
    "titles-amazon": lambda path: _titles(path, "jsonl"),
    "titles": lambda path: _titles(path, "parquet"),
    "titles-bigrec": lambda path: _titles(path, "bigrec"),
    "histories": _histories,
    "windows": _windows,
    "ranking": _ranking,
    "distances": _distances,
    "answers": _answers,
    "embeddings": _embeddings,
    "vectors": _vectors,
    "lists": _lists,
    "scores": _scores,
    "per-row": _per_row,
    "config": _config,
    "run": _run,
}


def peak_bytes() -> int:
    """The most memory that this process has held; since `forget_peak`, where the system can."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def forget_peak() -> None:
    """Begin the peak anew: a process inherits the peak of the one that started it."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def cost(read: Callable[[Path], object], path: Path) -> dict[str, Any]:
    """Read a file: how long, how much more memory than before, and what came of it."""
    forget_peak()
    before, began = peak_bytes(), time.process_time()
    try:
        kept = read(path)
        outcome = ""
    except Dllm2RecError as err:
        kept = err
        outcome = getattr(err, "code", "") or str(err).split()[0]
    seconds = time.process_time() - began
    grown = peak_bytes() - before
    del kept
    return {"seconds": seconds, "mebibytes": grown / MEBIBYTE, "outcome": outcome}


def main(reader: str, small: str, *files: str) -> None:
    """Print what reading each file costs."""
    READERS[reader](Path(small))
    for file in files:
        child = os.fork()
        if not child:
            try:
                sys.stdout.write(json.dumps(cost(READERS[reader], Path(file))) + "\n")
                sys.stdout.flush()
            except BaseException:  # noqa: BLE001 - the parent must not go on twice
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            sys.exit(f"{file}: reading it failed")


if __name__ == "__main__":
    main(*sys.argv[1:])
