"""The log and the titles of any known layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, cast

from dllm2rec.data.logs.interactions import Columns, Interactions
from dllm2rec.data.logs.layouts.layout_rules import Layout
from dllm2rec.data.logs.read import FileFormat, read_interactions
from dllm2rec.data.logs.titles.read_titles import Titles, read_titles, titles_layout_of
from dllm2rec.errors import ConfigError


@dataclass(frozen=True)
class LogOptions:
    """What a reader cannot know by itself.

    Attributes:
        columns: names of the `user`, `item`, `time`, `rating` and `split` column, where they are
            not those of the layout.
        file_order: take the order of the file for the order of events, whatever times it has.
        delimiter: what stands between columns, where it is not the layout's.
        id_type: "int" reads ids as whole numbers, so that 007 and 7 are one.
        strip: drop white space around ids instead of refusing it.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    file_order: bool = False
    delimiter: str | None = None
    id_type: Literal["string", "int"] = "string"
    strip: bool = False


def read_log(
    layout: Layout, options: LogOptions | None = None, *, ratings: bool = True
) -> Interactions:
    """Read the log that `recognise` found.

    Args:
        layout: where it is and how it is written.
        options: what the files do not say of themselves.
        ratings: read them too, where there are any; each event needs one then.

    Raises:
        ConfigError: an option does not go with the layout.
        InputError: the log breaks a rule.
    """
    options = options or LogOptions()
    if layout.header is not None and options.columns:
        raise ConfigError(
            f"{layout.logs[0]}: no header, its columns are {', '.join(layout.header)} by place, "
            "expected no names of columns"
        )
    columns = Columns(**{**layout.columns, **options.columns})
    columns = columns if ratings else replace(columns, rating=None)
    return read_interactions(
        layout.logs,
        columns=replace(columns, time=None) if options.file_order else columns,
        file_format=cast("FileFormat", layout.file_format),
        delimiter=options.delimiter or layout.delimiter,
        names=layout.header,
        id_type=options.id_type,
        strip=options.strip,
    )


def read_layout_titles(layout: Layout, path: Path | None = None) -> Titles | None:
    """Read the titles that go with a layout, or those of another file; None where there are none.

    Raises:
        InputError: the file breaks its layout.
    """
    if path is not None:
        return read_titles(path, titles_layout_of(path))
    return None if layout.titles is None else read_titles(layout.titles, layout.titles_layout)
