"""What is looked at to find a layout, and what is found."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from dllm2rec.data.logs.log_form import LogForm


@dataclass(frozen=True)
class Given:
    """What there is to look at.

    Attributes:
        logs: the files that may be the log: those that were named, or all of a folder.
        beside: all files that stand in the folders of these.
        named: whether the files were named.
    """

    logs: list[Path]
    beside: list[Path]
    named: bool


@dataclass(frozen=True)
class Layout:
    """Where a log and its titles are, and how they are written.

    Attributes:
        name: "recbole", "movielens", "amazon", "bigrec", "authors", "dataset" (a prepared folder),
            "windows" (RecBole's files of windows) or "table" (columns of any origin).
        why: what it was recognised by, in words.
        logs: the files of the log; for layouts that are already split, their folder or files.
        file_format: "csv", "tsv", "jsonl" or "parquet"; "" for layouts that are already split.
        delimiter: what stands between columns, where it is not the format's own.
        form: how the files are written: the names of columns that no header names, what quotes
            mean, which file is which split.
        columns: the name of the `user`, `item`, `time` and `rating` column; what is missing goes by
            its default name.
        full_names: what a column is called in the file, by its name without RecBole's type.
        titles: the file of titles, if there is one.
        titles_layout: how `read_titles` is to read it.
        unread: what else is in a folder, and is not read.
    """

    name: str
    why: str
    logs: list[Path]
    file_format: str = ""
    delimiter: str | None = None
    form: LogForm = field(default_factory=LogForm)
    columns: dict[str, str] = field(default_factory=dict)
    full_names: dict[str, str] = field(default_factory=dict)
    titles: Path | None = None
    titles_layout: str = ""
    unread: list[Path] = field(default_factory=list)
