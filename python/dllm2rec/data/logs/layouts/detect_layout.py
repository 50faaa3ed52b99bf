"""Which of the known layouts a file or folder is in, told by names and first lines."""

from __future__ import annotations

import glob
import shlex
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from dllm2rec.data.logs.layouts.hints import table_options
from dllm2rec.data.logs.layouts.layout import Given, Layout
from dllm2rec.data.logs.layouts.layout_rules import RULES, Rule, table_layout
from dllm2rec.data.logs.layouts.split_files import splits_of
from dllm2rec.data.logs.log_form import LogForm
from dllm2rec.errors import ConfigError, InputError

FORMATS = (
    "auto",
    "csv",
    "tsv",
    "jsonl",
    "parquet",
    "recbole",
    "movielens",
    "amazon",
    "bigrec",
    "authors",
)
# Layouts of windows that are already split: there is no log to apply a protocol to.
SPLIT_LAYOUTS = ("authors", "bigrec", "dataset", "windows")

# What the parts of one log need not have in common.
_OWN: dict[str, Any] = {
    "why": "",
    "logs": [],
    "form": LogForm(),
    "titles": None,
    "titles_layout": "",
    "unread": [],
}
_KINDS = ("csv", "tsv", "jsonl", "parquet")


def recognise(
    sources: Sequence[Path],
    file_format: str = "auto",
    *,
    header: bool = True,
    find_titles: bool = True,
) -> Layout:
    """Find out which layout some files, or the files of some folders, are in.

    Args:
        sources: folders, files and globs, all of one log.
        file_format: one of `FORMATS`; anything but "auto" allows that layout only.
        header: False where the caller names the columns by number: the files are then a table.
        find_titles: False where the caller names the file of titles.

    Raises:
        ConfigError: `file_format` is unknown, or there is no source.
        InputError: a source is missing, or in no known layout; the message lists what there is.
    """
    if file_format not in FORMATS:
        raise ConfigError(f"format {file_format!r}, expected one of {', '.join(FORMATS)}")
    if not sources:
        raise ConfigError("no source, expected a folder or files")
    rules = _rules(file_format, header=header)
    paths = list(chain.from_iterable(map(_there, sources)))
    _check_distinct(paths)
    if len(paths) > 1 and any(path.is_dir() for path in paths):
        parts = [_one([path], rules, file_format) for path in paths]
        return _together(parts, find_titles=find_titles)
    return _one(paths, rules, file_format)


def _rules(file_format: str, *, header: bool) -> tuple[Rule, ...]:
    if file_format in _KINDS:
        return (partial(table_layout, kind=file_format),)
    if file_format == "auto":
        return tuple(RULES.values()) if header else (table_layout,)
    return (RULES[file_format],)


def _there(source: Path) -> list[Path]:
    """Return what a source stands for: itself, or what a glob matches."""
    if source.exists():
        return [source]
    found = []
    if glob.has_magic(str(source)):
        found = sorted(map(Path, glob.glob(str(source))))  # noqa: PTH207 - absolute ones too
    if not found:
        message = "no such file or folder, expected a log"
        raise InputError(message, code="E-FILE", path=source)
    return found


def _check_distinct(paths: list[Path]) -> None:
    seen: set[Path] = set()
    for path in paths:
        if path.resolve() in seen:
            raise InputError("named twice, expected each path once", code="E-FILE", path=path)
        seen.add(path.resolve())


def _one(paths: list[Path], rules: tuple[Rule, ...], file_format: str) -> Layout:
    """Recognise one folder, or some files."""
    named = not paths[0].is_dir()
    folders = dict.fromkeys(path.parent if named else path for path in paths)
    beside = [path for folder in folders for path in _visible(folder) if path.is_file()]
    given = Given(paths if named else beside, beside, named)
    for rule in rules:
        if (found := rule(given)) is not None:
            return _with_unread(found, given)
    raise _unknown(given, next(iter(folders)), file_format)


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _with_unread(layout: Layout, given: Given) -> Layout:
    """Note what is in a folder besides the log; refuse a file that was named in vain."""
    if layout.name in SPLIT_LAYOUTS:
        return layout
    used = {*layout.logs, layout.titles}
    if not given.named:
        return replace(layout, unread=[p for p in _visible(layout.logs[0].parent) if p not in used])
    for path in given.logs:
        if path not in used:
            raise InputError(
                f"not in the layout of {layout.logs[0].name} ({layout.why}), expected files of one "
                "log",
                code="E-FORMAT",
                path=path,
                hint="name the files of the log only, and those of titles with --titles",
            )
    return layout


def _together(parts: list[Layout], *, find_titles: bool) -> Layout:
    """Return the layout of logs in several places, which are one log."""
    first = parts[0]
    for part in parts:
        if part.name in SPLIT_LAYOUTS:
            raise InputError(
                f"rows that are already split ({part.why}), expected one such folder alone",
                code="E-FORMAT",
                path=part.logs[0],
            )
        if replace(part, **_OWN) != replace(first, **_OWN):
            raise InputError(
                f"{part.name} ({part.why}), expected {first.name} as in {first.logs[0]}",
                code="E-FORMAT",
                path=part.logs[0],
                hint="name the files of one log, if need be with --format",
            )
    logs = [path for part in parts for path in part.logs]
    _check_distinct(logs)
    titles = [part for part in parts if part.titles is not None] if find_titles else []
    if len(titles) > 1:
        names = ", ".join(str(part.titles) for part in titles)
        raise InputError(
            f"{names}: several files of titles, expected one",
            code="E-FILE",
            hint=f"name one: --titles {shlex.quote(str(titles[0].titles))}",
        )
    splits = splits_of(logs)
    return replace(
        first,
        logs=list(splits) or logs,
        form=replace(first.form, splits=tuple(splits.values())),
        titles=titles[0].titles if titles else None,
        titles_layout=titles[0].titles_layout if titles else "",
        unread=[path for part in parts for path in part.unread],
    )


def _unknown(given: Given, folder: Path, file_format: str) -> InputError:
    files = given.logs if given.named else given.beside
    shown = ", ".join(path.name for path in files[:8]) or "no files"
    expected = "a known layout" if file_format == "auto" else f"the layout {file_format}"
    hint = "name the log's file and its --format, or see the page 'Your own data'"
    inner = [] if given.named else [path for path in _visible(folder) if path.is_dir()]
    if not files and inner:
        hint = f"name the folders in it: {' '.join(shlex.quote(str(path)) for path in inner[:3])}"
    elif len(files) == 1 and (words := table_options(files[0])):
        where = "" if given.named else f"name the file, {shlex.quote(str(files[0]))}, and "
        hint = f"{where}say how it is written, such as {words}"
    return InputError(f"{shown}: expected {expected}", code="E-FORMAT", path=folder, hint=hint)
