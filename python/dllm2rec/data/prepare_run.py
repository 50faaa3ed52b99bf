"""Prepare a dataset: read log files, apply a protocol, write a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.data.formats.bigrec import load_bigrec_dataset
from dllm2rec.data.formats.dataset_folder import save_dataset
from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.data.formats.recbole_windows import load_recbole_windows
from dllm2rec.data.formats.write_log import csv_log_files, recbole_log_files
from dllm2rec.data.formats.write_windows import Files, authors_files, recbole_window_files
from dllm2rec.data.logs.interactions import Interactions
from dllm2rec.data.logs.layouts.detect_layout import SPLIT_LAYOUTS, recognise
from dllm2rec.data.logs.layouts.layout import Layout
from dllm2rec.data.logs.layouts.read_layout import LogOptions, read_layout_titles, read_log
from dllm2rec.data.logs.titles.read_titles import Titles
from dllm2rec.data.logs.titles.title_columns import TitlesForm
from dllm2rec.data.protocol.model import Protocol
from dllm2rec.data.protocol.prepare import PrepareReport, prepare
from dllm2rec.errors import ConfigError
from dllm2rec.storage.atomic_folder import write_folder
from dllm2rec.storage.output_folder import check_output, clear_output
from dllm2rec.storage.scratch import scratch_beside

Form = Literal["dataset", "authors", "recbole", "inter", "csv"]
Watch = Callable[[str], AbstractContextManager[object]]

# Version of the folders that hold the layouts of others; their manifest is all that is ours.
_VERSION = 1
_LOG_FORMS = ("inter", "csv")
_SPLIT_FORMS = ("authors", "recbole")
_LISTED = 6  # names in a note


@dataclass(frozen=True)
class PrepareResult:
    """What was read and written.

    Attributes:
        out: the folder.
        form: what it holds.
        read_as: the layout of the source, and by what it was recognised.
        counts: how much there is of everything, by name.
        report: what each rule did; None where no protocol was applied.
        notes: what else should be known, one sentence each.
    """

    out: Path
    form: Form
    read_as: str
    counts: dict[str, int]
    report: PrepareReport | None
    notes: list[str]

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {**asdict(self), "out": str(self.out)}


@dataclass(frozen=True)
class PrepareRequest:
    """What is to be read, by which rules, and what is to be written.

    Attributes:
        sources: folders, files and globs, all of one log.
        out: folder to write.
        file_format: one of `detect_layout.FORMATS`; "auto" goes by names and first lines.
        titles: file of titles, where they are not beside the log.
        titles_form: how the titles are written, where their file does not say so itself.
        options: what the files do not say of themselves.
        protocol: the rules; by default leave-one-out of everything, or the split that the names
            of the files give.
        strict: refuse rows that are in train and in another split.
        form: "dataset"; its rows as "authors" or "recbole" have them; or the log itself, before
            any rule, as "inter" (RecBole) or "csv". A source that is already split becomes
            "authors" or "recbole" only.
        excel_safe: disarm ids that a spreadsheet would run, in "csv".
        overwrite: replace a folder that this package wrote.
    """

    sources: Sequence[Path]
    out: Path
    file_format: str = "auto"
    titles: Path | None = None
    titles_form: TitlesForm | None = None
    options: LogOptions | None = None
    protocol: Protocol | None = None
    strict: bool = False
    form: Form = "dataset"
    excel_safe: bool = False
    overwrite: bool = False


def prepare_run(request: PrepareRequest, *, watch: Watch = nullcontext) -> PrepareResult:
    """Read a log in any known layout, apply a protocol, and write a folder, whole or not at all.

    Args:
        request: what is to be done.
        watch: entered around each stretch of work, with its name.

    Raises:
        ConfigError: the parts do not go together, or `out` must not be written.
        InputError: a file breaks a rule, or nothing is left.
        ArtifactError: a prepared folder changed since it was written.
        ResourceError: the disk is full.
    """
    out, titles = request.out, request.titles
    inputs = [*request.sources, *([] if titles is None else [titles])]
    check_output(out, overwrite=request.overwrite, inputs=inputs)
    # What is read and ordered goes to the disk where memory would not hold it with ease.
    with scratch_beside(out):
        return _run(request, watch)


def _run(request: PrepareRequest, watch: Watch) -> PrepareResult:
    out, titles = request.out, request.titles
    header = request.options is None or request.options.form.header
    layout = recognise(
        request.sources, request.file_format, header=header, find_titles=titles is None
    )
    _check_parts(layout, request)
    if layout.name in SPLIT_LAYOUTS:
        with watch("reading"):
            written = _split_rows(layout, request)
    else:
        with watch("reading titles"):
            found = _titles(layout, request)
        if request.form in _LOG_FORMS:
            with watch("reading"):
                written = _log(read_log(layout, request.options), found, request)
        else:
            with watch("reading and preparing"):
                written = _prepared(layout, found, request)
    with watch("writing"):
        if request.overwrite:
            clear_output(out)
        written.save(out)
    return PrepareResult(
        out,
        request.form,
        _read_as(layout),
        written.counts,
        written.report,
        [*_what_was_read(layout, titles), *written.notes],
    )


@dataclass(frozen=True)
class _Written:
    """A result and how to write it."""

    save: Callable[[Path], object]
    counts: dict[str, int]
    notes: list[str]
    report: PrepareReport | None = None


def _check_parts(layout: Layout, request: PrepareRequest) -> None:
    form, options = request.form, request.options
    if request.excel_safe and form != "csv":
        raise ConfigError(f"excel-safe with the form {form}, expected csv")
    if layout.name not in SPLIT_LAYOUTS:
        return
    if form not in _SPLIT_FORMS:
        raise ConfigError(
            f"the form {form} of {layout.logs[0]}, whose rows are already split, "
            f"expected {' or '.join(_SPLIT_FORMS)}; --write authors makes a folder to train on"
        )
    given = (request.titles, request.titles_form, request.protocol)
    if any(part is not None for part in given) or options not in (None, LogOptions()):
        raise ConfigError(
            f"{layout.logs[0]}: its rows are already split, expected no protocol, no titles "
            "and no columns"
        )


def _read_as(layout: Layout) -> str:
    titles = "" if layout.titles is None else f"; titles from {layout.titles.name}"
    return f"{layout.name} ({layout.why}{titles})"


def _what_was_read(layout: Layout, titles: Path | None) -> list[str]:
    """Say which files were read, where there are several, and which were not."""
    notes = []
    splits = layout.form.splits
    if splits:
        told = (f"{path.name} as {split}" for path, split in zip(layout.logs, splits, strict=True))
        notes.append(f"read {_listed(list(told))}")
    elif len(layout.logs) > 1:
        notes.append(f"read {_listed(list(map(str, layout.logs)))}")
    unread = [path for path in layout.unread if titles is None or path != titles]
    if titles is not None and layout.titles not in (None, titles):
        unread.append(layout.titles)
    if unread:
        notes.append(f"not read: {_listed([path.name for path in unread])}")
    return notes


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _titles(layout: Layout, request: PrepareRequest) -> Titles | None:
    item_column = None if request.options is None else request.options.columns.get("item")
    return read_layout_titles(layout, request.titles, request.titles_form, item_column=item_column)


def _split_rows(layout: Layout, request: PrepareRequest) -> _Written:
    if layout.name == "windows":
        data = load_recbole_windows(layout)
    elif layout.name == "bigrec":
        data = load_bigrec_dataset(layout.logs[0])
    else:
        data = load_dataset(layout.logs[0], strict=request.strict)
    return _Written(_row_writer(data, request), _counts(data), data.notes)


def _log(log: Interactions, titles: Titles | None, request: PrepareRequest) -> _Written:
    name = request.out.name
    if request.form == "csv":
        files = csv_log_files(log, name, excel_safe=request.excel_safe)
    else:
        files = recbole_log_files(log, name, None if titles is None else titles.table)
    counts = {"events": len(log), "users": log.n_users, "items": log.n_items}
    notes = [*log.notes, *([] if titles is None else titles.notes)]
    return _Written(partial(_write, files, request.form), counts, notes)


def _prepared(layout: Layout, titles: Titles | None, request: PrepareRequest) -> _Written:
    protocol, notes = _protocol(layout, request.protocol)
    # Ratings that no rule looks at may be missing.
    rated = protocol is not None and protocol.min_rating is not None
    # The log is let go of as soon as it is ordered: no name may hold it here.
    prepared = prepare(
        replace(read_log(layout, request.options, ratings=rated), name=request.out.resolve().name),
        protocol,
        None if titles is None else titles.table,
        strict=request.strict,
    )
    data, save = prepared.dataset, partial(save_dataset, prepared)
    writer = save if request.form == "dataset" else _row_writer(data, request)
    counts = {"users": len(prepared.user_ids), **_counts(data)}
    notes += [*prepared.report.notes, *([] if titles is None else titles.notes)]
    if titles is not None and prepared.report.untitled_items == data.n_items:
        notes.append("W-TITLES no item of the log has a title: are the ids of both files the same?")
    return _Written(writer, counts, notes, prepared.report)


def _protocol(layout: Layout, protocol: Protocol | None) -> tuple[Protocol | None, list[str]]:
    """Return the protocol, with the split of the files where they are splits, if it sets none."""
    if not layout.form.splits or (protocol is not None and protocol.split == "given"):
        return protocol, []
    if protocol is None or "split" not in protocol.model_fields_set:
        fields = {} if protocol is None else protocol.model_dump(exclude_unset=True)
        return Protocol(**fields, split="given"), ["the split is that of the files (split=given)"]
    told = f"the split of the files is not used, as split={protocol.split}; --set split=given does"
    return protocol, [told]


def _row_writer(data: SequenceDataset, request: PrepareRequest) -> Callable[[Path], object]:
    if request.form == "authors":
        files = authors_files(data)
    else:
        files = recbole_window_files(data, request.out.name)
    return partial(_write, files, request.form)


def _write(files: Files, form: Form, out: Path) -> None:
    write_folder(out, files, kind=form, version=_VERSION)


def _counts(data: SequenceDataset) -> dict[str, int]:
    rows = {f"{name} rows": len(each) for name, each in data.splits().items()}
    n_events, longest = data.events.size, data.max_length
    return {"items": data.n_items, "events": n_events, "longest window": longest, **rows}
