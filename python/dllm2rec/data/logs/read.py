"""Log files and data frames to Interactions: nothing is guessed, dropped or rounded."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dllm2rec import _core
from dllm2rec.caller import in_words_of_caller
from dllm2rec.data.logs.arrow import read_frame, read_parquet
from dllm2rec.data.logs.columns import (
    Chunk,
    Fault,
    IdType,
    checked_ids,
    checked_ratings,
    checked_splits,
)
from dllm2rec.data.logs.delimited import read_delimited
from dllm2rec.data.logs.id_encoding import IdCodes
from dllm2rec.data.logs.interactions import SPLITS, Columns, Interactions
from dllm2rec.data.logs.json_lines import read_json_lines
from dllm2rec.data.logs.log_form import LogForm
from dllm2rec.data.logs.time_units import MixedUnitsError, count_implausible, in_microseconds
from dllm2rec.data.logs.timestamps import CUT_NOTE, Kind, RawTimes, raw_times
from dllm2rec.data.text.at_rest import at_rest
from dllm2rec.data.text.find_files import PathLike, find_logs, format_of
from dllm2rec.errors import ConfigError, InputError
from dllm2rec.runtime.room import check_room
from dllm2rec.storage.scratch import GrowingArray

FileFormat = Literal["auto", "csv", "tsv", "jsonl", "parquet"]
_FORMATS = ("auto", "csv", "tsv", "jsonl", "parquet")
_ID_TYPES = ("string", "int")
_DEFAULT_COLUMNS = Columns()
_DEFAULT_FORM = LogForm()
_DAYS = (1970_01_01, 2100_12_31)


def read_interactions(
    paths: PathLike | Iterable[PathLike],
    *,
    columns: Columns = _DEFAULT_COLUMNS,
    file_format: FileFormat = "auto",
    delimiter: str | None = None,
    form: LogForm = _DEFAULT_FORM,
    id_type: IdType = "string",
    strip: bool = False,
    name: str | None = None,
) -> Interactions:
    """Read a log from CSV, TSV, JSON lines or Parquet, plain, gzip or zstd.

    The rows of several files follow each other. The same files give the same numbers everywhere,
    whatever the number of threads. Memory is the result's and some 300 MB.

    Args:
        paths: files, folders (their files by name) or globs.
        columns: how the columns are called.
        file_format: `auto` goes by each file's suffix.
        delimiter: of delimited files, one character or "::"; None: a comma, in .tsv files a tab.
        form: header, encoding, quotes, times and splits of the files.
        id_type: `string` keeps ids as they are written; `int` takes integers only, so that `007`
            is `7`.
        strip: whether to take white space off the ends of ids, which is refused otherwise.
        name: how reports call the log; None: the first path's name.

    Raises:
        InputError: a file breaks a rule; the message names line and column, or the row.
        ArtifactError: a Parquet file is corrupt.
        ConfigError: an option has no such value.
        ResourceError: hardly any memory is left.
    """
    check_room()
    if file_format not in _FORMATS:
        raise ConfigError(f"file format {file_format!r}, expected one of {', '.join(_FORMATS)}")
    files = find_logs(paths)
    if form.splits and len(form.splits) != len(files):
        raise ConfigError(
            f"{len(form.splits)} splits for {len(files)} files, expected one for each"
        )
    # Ids that are integers are brought into one form, which the kernel does not do.
    delimited = partial(read_delimited, form=form, with_kernel=id_type == "string")
    columns = replace(columns, split=None) if form.splits else columns
    sources = []
    for file in files:
        kind = format_of(file) if file_format == "auto" else file_format
        if kind == "parquet":
            chunks = read_parquet(file, columns)
        elif kind == "jsonl":
            chunks = read_json_lines(file, columns, form.text)
        else:
            usual = "\t" if kind == "tsv" else ","
            chunks = delimited(file, columns, usual if delimiter is None else delimiter)
        sources.append((file, chunks))
    first = Path(os.fspath(paths)) if isinstance(paths, str | os.PathLike) else files[0]
    return _assemble(
        sources,
        name=first.name.partition(".")[0] or "interactions" if name is None else name,
        form=form,
        id_type=id_type,
        strip=strip,
    )


def from_frame(
    frame: Any,  # noqa: ANN401 - any library's
    *,
    columns: Columns = _DEFAULT_COLUMNS,
    form: LogForm = _DEFAULT_FORM,
    id_type: IdType = "string",
    strip: bool = False,
    name: str = "frame",
) -> Interactions:
    """Take a log from a pandas, polars or Arrow table, or whatever has `__arrow_c_stream__`.

    Args:
        frame: the table; its rows are events, in order.
        columns: how the columns are called.
        form: the format of times, and the zone of those without an offset.
        id_type: as in `read_interactions`.
        strip: as in `read_interactions`.
        name: how reports and errors call the log.

    Raises:
        TypeError: it is no table.
        InputError: a column is missing or of another type, or a cell breaks a rule.
    """
    sources = [(name, read_frame(frame, name, columns))]
    return _assemble(sources, name=name, form=form, id_type=id_type, strip=strip)


def as_interactions(log: Any) -> Interactions:  # noqa: ANN401 - a log in any form
    """Return a log that was read already, or read one from a table or from paths.

    Raises:
        TypeError: it is neither.
        InputError: as in `read_interactions` and `from_frame`.
    """
    if isinstance(log, Interactions):
        return log
    paths = log if isinstance(log, list | tuple) else [log]
    if paths and all(isinstance(path, str | os.PathLike) for path in paths):
        return read_interactions(log)
    return from_frame(log)


def _ahead(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """Yield the same chunks, the next one being read by another thread meanwhile."""
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(next, chunks, None)
        while (chunk := waiting.result()) is not None:
            waiting = thread.submit(next, chunks, None)
            yield chunk


class _Log:
    """What has been read so far."""

    def __init__(self, roles: Iterable[str], form: LogForm) -> None:
        self.roles, self.form = set(roles), form
        self.users, self.items = IdCodes(), IdCodes()
        self.times: GrowingArray | None = None
        self.time_kind: Kind = "numbers"
        self.ratings = GrowingArray(np.float32)
        self.splits = GrowingArray(np.uint8)
        self.notes: dict[str, int] = {}
        self.n_rows = 0

    def append(self, chunk: Chunk, split: str | None, *, id_type: IdType, strip: bool) -> None:
        n_before = self.n_rows
        if chunk.ids is None:
            for role, codes in (("user", self.users), ("item", self.items)):
                codes.append(checked_ids(chunk, role, id_type=id_type, strip=strip))
        else:
            tables = (chunk.ids.user, self.users.table, chunk.ids.item, self.items.table)
            users, items = _core.number_ids(chunk.ids.block, *tables)
            self.users.append_numbers(users)
            self.items.append_numbers(items)
        self.n_rows = len(self.users)
        if "time" in self.roles:
            self._append_times(chunk, raw_times(chunk, self.form))
        if "rating" in self.roles:
            self.ratings.append(checked_ratings(chunk))
        if split is not None:
            numbers = np.full(self.n_rows - n_before, SPLITS.index(split), np.uint8)
            self.splits.append(numbers)
        elif "split" in self.roles:
            self.splits.append(checked_splits(chunk))

    def _append_times(self, chunk: Chunk, times: RawTimes) -> None:
        for note, count in times.notes.items():
            self.notes[note] = self.notes.get(note, 0) + count
        if self.times is None:
            self.times, self.time_kind = GrowingArray(times.values.dtype), times.kind
        if times.kind != self.time_kind:
            message = f"{times.kind}, expected {self.time_kind} as in the rows before"
            raise chunk.fault(0, "time", message, "E-TS", "")
        values = times.values
        if values.dtype != self.times.dtype:
            if values.dtype == np.float64:
                self.times.as_floats()
            values = values.astype(np.float64)
        self.times.append(values)


def _assemble(
    sources: Sequence[tuple[PathLike, Iterator[Chunk]]],
    *,
    name: str,
    form: LogForm,
    id_type: IdType,
    strip: bool,
) -> Interactions:
    if id_type not in _ID_TYPES:
        raise ConfigError(f"id type {id_type!r}, expected one of {', '.join(_ID_TYPES)}")
    log: _Log | None = None
    faults: list[tuple[int, Fault]] = []
    splits: Sequence[str | None] = form.splits or [None] * len(sources)
    for (path, chunks), split in zip(sources, splits, strict=True):
        with at_rest(path) if isinstance(path, Path) else nullcontext():
            for chunk in _ahead(chunks):
                if log is None:
                    log = _Log(chunk.roles, form)
                elif log.roles != chunk.roles:
                    missing = ", ".join(sorted(log.roles ^ chunk.roles))
                    message = f"the columns for {missing} are not in all files, expected the same"
                    raise InputError(message, code="E-HEADER", path=path)
                # The functions alone are kept, never the rows.
                faults.append((log.n_rows, chunk.fault))
                log.append(chunk, split, id_type=id_type, strip=strip)
    if log is None:
        raise InputError(f"{name}: no rows, expected some", code="E-EMPTY")
    return _finished(log, name, faults)


def _finished(log: _Log, name: str, faults: list[tuple[int, Fault]]) -> Interactions:
    times, notes = _finished_times(log, faults)
    user_ids, users = log.users.finish()
    item_ids, items = log.items.finish()
    return Interactions(
        user_ids,
        item_ids,
        users,
        items,
        times,
        log.ratings.finish() if "rating" in log.roles else None,
        log.splits.finish() if len(log.splits) else None,
        name,
        notes,
    )


def _finished_times(
    log: _Log, faults: list[tuple[int, Fault]]
) -> tuple[npt.NDArray[np.int64] | None, list[str]]:
    if log.times is None:
        return None, ["no column of times: the order of the file is the order of events"]
    times, counts = log.times.finish(), dict(log.notes)
    unit = "as dates"
    if log.time_kind == "numbers":
        try:
            times, unit, n_cut = in_microseconds(times)
        except MixedUnitsError as err:
            raise _fault(faults, err.row, str(err), "E-TS-UNIT") from None
        except OverflowError as err:
            message = "a time behind the year 9999, expected an earlier one"
            raise _fault(faults, err.args[0], message, "E-TS") from None
        if n_cut:
            counts[CUT_NOTE] = n_cut
        unit = f"in {unit}"
    notes = [f"times were read {unit}"]
    n_far = count_implausible(times)
    if n_far:
        told = f"W-TS-RANGE: {n_far:,} times lie before 1980 or after 2099"
        # Seconds that all read like 20240531 are days.
        first, last = (day * 1_000_000 for day in _DAYS)
        if n_far == times.size and times.min() >= first and times.max() <= last:
            days = in_words_of_caller("--time-format %Y%m%d")
            told += f"; if they are days such as 20240531, give {days}"
        notes.append(told)
    return times, notes + [note.format(count) for note, count in counts.items()]


def _fault(faults: list[tuple[int, Fault]], row: int, message: str, code: str) -> InputError:
    first, fault = next(entry for entry in reversed(faults) if entry[0] <= row)
    return fault(row - first, "time", message, code, "write all times in one unit")
