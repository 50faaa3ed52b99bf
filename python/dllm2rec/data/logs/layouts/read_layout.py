"""The log and the titles of any known layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Literal, cast

from dllm2rec.data.logs.interactions import Columns, Interactions
from dllm2rec.data.logs.layouts.layout import Layout
from dllm2rec.data.logs.layouts.layout_rules import written_by_us
from dllm2rec.data.logs.log_form import LogForm
from dllm2rec.data.logs.read import FileFormat, read_interactions
from dllm2rec.data.logs.titles.read_titles import Titles, read_titles, titles_layout_of
from dllm2rec.data.logs.titles.title_columns import TitlesForm
from dllm2rec.errors import ConfigError


@dataclass(frozen=True)
class LogOptions:
    """What a reader cannot know by itself.

    Attributes:
        columns: names of the `user`, `item`, `time`, `rating` and `split` column, where they are
            not those of the layout; numbers from "1" where the files have no header.
        file_order: take the order of the file for the order of events, whatever times it has.
        delimiter: what stands between columns, where it is not the layout's.
        form: header, encoding, quotes and times, where they are not the layout's.
        id_type: "int" reads ids as whole numbers, so that 007 and 7 are one.
        strip: drop white space around ids instead of refusing it.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    file_order: bool = False
    delimiter: str | None = None
    form: LogForm = field(default_factory=LogForm)
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
    if layout.form.names is not None and options.columns:
        raise ConfigError(
            f"{layout.logs[0]}: no header, its columns are {', '.join(layout.form.names)} by "
            "place, expected no names of columns; or give --no-header and their numbers"
        )
    asked = {role: layout.full_names.get(name, name) for role, name in options.columns.items()}
    columns = Columns(**{**layout.columns, **asked})
    columns = columns if ratings else replace(columns, rating=None)
    return read_interactions(
        layout.logs,
        columns=replace(columns, time=None) if options.file_order else columns,
        file_format=cast("FileFormat", layout.file_format),
        delimiter=options.delimiter or layout.delimiter,
        form=_merged(layout.form, options.form),
        id_type=options.id_type,
        strip=options.strip,
    )


def _merged(known: LogForm, asked: LogForm) -> LogForm:
    """Return the layout's form with what was asked for."""
    usual = LogForm()
    names = (each.name for each in fields(LogForm))
    changed = {n: getattr(asked, n) for n in names if getattr(asked, n) != getattr(usual, n)}
    return replace(known, **changed)


def read_layout_titles(
    layout: Layout,
    path: Path | None = None,
    form: TitlesForm | None = None,
    *,
    item_column: str | None = None,
) -> Titles | None:
    """Read the titles that go with a layout, or those of another file; None where there are none.

    Args:
        layout: where the log is.
        path: the file of titles, where it is not beside the log.
        form: how it is written, where it does not say so itself.
        item_column: how the log calls its items, where that is not the layout's name.

    Raises:
        ConfigError: a form, and no file of titles.
        InputError: the file breaks its layout.
    """
    form = form or TitlesForm()
    found = path or layout.titles
    if found is None:
        if form != TitlesForm():
            raise ConfigError("options for titles, but no file of titles, expected --titles FILE")
        return None
    kind = layout.titles_layout if path is None else titles_layout_of(found, form)
    if kind == "recbole" and form.quotes == "auto" and written_by_us(found):
        form = replace(form, quotes="double")
    return read_titles(found, kind, form, item_column=item_column or layout.columns.get("item"))
