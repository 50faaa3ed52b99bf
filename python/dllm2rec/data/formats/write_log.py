"""A log in the layouts of others: RecBole's `.inter`, plain CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import compute

from dllm2rec.data.formats.write_windows import Files, recbole_items
from dllm2rec.data.logs.interactions import SPLITS, Interactions
from dllm2rec.data.text.write_rows import BLOCK, joined, numbers, put_lines, quoted, texts

# A spreadsheet takes a cell that begins so for a formula, and may run it.
_FORMULA = r"^([=+\-@\t\r])"
_STEP = BLOCK // 4  # rows made into text at a time


def recbole_log_files(log: Interactions, name: str, titles: pa.Table | None = None) -> Files:
    """RecBole's `.inter` of a log, in its order, and `.item` where there are titles.

    Without times, `position:float` counts the rows: name it as RecBole's TIME_FIELD.
    """
    columns = {"timestamp": "timestamp:float", "rating": "rating:float"}
    files: Files = {f"{name}.inter": _log_writer(log, "\t", columns, excel_safe=False)}
    if titles is None:
        return files
    known = compute.index_in(
        pa.chunked_array([log.item_ids]).cast(pa.large_string()), titles["item_id"]
    )
    found = compute.fill_null(titles["title"].take(known), "")
    return files | recbole_items(name, log.item_ids.to_pylist(), found.to_pylist())


def csv_log_files(log: Interactions, name: str, *, excel_safe: bool = False) -> Files:
    """A log as one CSV file: user_id, item_id and what there is of timestamp, rating, split.

    Timestamps are seconds since 1970 UTC, with decimals where they need them.

    Args:
        log: the rows, written in their order.
        name: the file, without its ending.
        excel_safe: put `'` before an id that a spreadsheet would take for a formula (one that
            begins with `=`, `+`, `-`, `@`). Such a file no longer reads back equal.
    """
    return {f"{name}.csv": _log_writer(log, ",", {}, excel_safe=excel_safe)}


def _log_writer(
    log: Interactions, delimiter: str, names: dict[str, str], *, excel_safe: bool
) -> Callable[[Path], None]:
    """Write a log's columns; `names` is not empty for RecBole, whose headers tell the types."""
    typed = bool(names)
    header = ["user_id:token", "item_id:token"] if typed else ["user_id", "item_id"]
    if log.times is not None:
        header.append(names.get("timestamp", "timestamp"))
    elif typed:
        header.append("position:float")
    if log.ratings is not None:
        header.append(names.get("rating", "rating"))
    if log.splits is not None:
        header.append("split:token" if typed else "split")

    def cells(begin: int) -> Iterator[pa.Array]:
        block = slice(begin, begin + _STEP)
        for codes, ids in ((log.users, log.user_ids), (log.items, log.item_ids)):
            text = ids.take(pa.array(codes[block])).cast(pa.large_string())
            if excel_safe:
                text = compute.replace_substring_regex(text, _FORMULA, r"'\1")
            yield quoted(text, delimiter)
        if log.times is not None:
            yield _seconds(log.times[block])
        elif typed:
            yield numbers(np.arange(begin, begin + log.users[block].size))
        if log.ratings is not None:
            yield pa.array(log.ratings[block]).cast(pa.large_string())
        if log.splits is not None:
            yield texts(SPLITS).take(pa.array(log.splits[block]))

    def write(path: Path) -> None:
        with path.open("wb") as file:
            file.write(delimiter.join(header).encode() + b"\n")
            for begin in range(0, log.users.size, _STEP):
                put_lines(file, joined(list(cells(begin)), delimiter))

    return write


def _seconds(times: npt.NDArray[np.int64]) -> pa.Array:
    """Microseconds as decimal seconds; no digit is lost."""
    whole, rest = np.divmod(np.abs(times), 1_000_000)
    text = numbers(whole)
    if rest.any():
        decimals = joined([text, compute.utf8_lpad(numbers(rest), 6, "0")], ".")
        text = compute.if_else(pa.array(rest != 0), decimals, text)
    sign = texts(["", "-"]).take(pa.array((times < 0).astype(np.uint8)))
    return joined([sign, text], "")
