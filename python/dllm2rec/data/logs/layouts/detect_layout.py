"""Which of the known layouts a file or folder is in, told by names and first lines."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from dllm2rec.data.logs.layouts.layout_rules import RULES, Layout, Rule, table_layout
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
SPLIT_LAYOUTS = ("authors", "bigrec", "dataset")

_KINDS = ("csv", "tsv", "jsonl", "parquet")


def recognise(sources: Sequence[Path], file_format: str = "auto") -> Layout:
    """Find out which layout some files, or the files of one folder, are in.

    Args:
        sources: one folder, or files of one log.
        file_format: one of `FORMATS`; anything but "auto" allows that layout only.

    Raises:
        ConfigError: `file_format` is unknown, or there is no source.
        InputError: a source is missing, or in no known layout; the message lists what there is.
    """
    if file_format not in FORMATS:
        raise ConfigError(f"format {file_format!r}, expected one of {', '.join(FORMATS)}")
    if not sources:
        raise ConfigError("no source, expected a folder or files")
    for path in sources:
        if not path.exists():
            message = "no such file or folder, expected a log"
            raise InputError(message, code="E-FILE", path=path)
    folder = sources[0] if sources[0].is_dir() else sources[0].parent
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    given = files if sources[0].is_dir() else list(sources)
    if file_format in _KINDS:
        rules: tuple[Rule, ...] = (partial(table_layout, kind=file_format),)
    else:
        rules = tuple(RULES.values()) if file_format == "auto" else (RULES[file_format],)
    for rule in rules:
        if (found := rule(given, files)) is not None:
            return found
    shown = ", ".join(p.name for p in files[:8]) or "no files"
    expected = "a known layout" if file_format == "auto" else f"the layout {file_format}"
    raise InputError(
        f"{shown}: expected {expected}",
        code="E-FORMAT",
        path=folder,
        hint="name the log's file and its --format, or see 'Your own data' in the README",
    )
