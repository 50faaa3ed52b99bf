"""Readers of the files that say what items are called: each yields ids and titles as written."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from dllm2rec.data.logs.columns import is_text
from dllm2rec.data.logs.titles.records import read_record
from dllm2rec.data.logs.titles.title_columns import (
    DELIMITERS,
    TITLE_NAMES,
    TitlesForm,
    find_column,
    id_names,
    title_columns,
)
from dllm2rec.data.text.files import JSON_CAP, MAX_COLUMNS, RECORD_CAP
from dllm2rec.data.text.json_objects import half_pair
from dllm2rec.data.text.lines import decoded, first_lines, read_lines
from dllm2rec.data.text.parquet_text import bounded_batches, opened
from dllm2rec.errors import ArtifactError, InputError

_N_LINES = 50
_BATCH_ROWS = 1 << 16
Titled = Iterator[tuple[str, str]]


@dataclass(frozen=True, eq=False)
class Source:
    """A file of titles, how it is written, and what was noted while it was read."""

    path: Path
    form: TitlesForm
    item_column: str | None
    notes: list[str] = field(default_factory=list)

    def lines(self, cap: int = RECORD_CAP) -> Iterator[tuple[int, str]]:
        """Yield the lines with their numbers; none may have more than `cap` bytes."""
        for number, line in read_lines(self.path, cap=cap, form=self.form.text):
            yield number, decoded(self.path, number, line, option="--titles-encoding")

    def columns(self, names: Sequence[str]) -> tuple[str, str]:
        """Return the columns of ids and of titles, and note them where they were not plain."""
        columns = title_columns(self.path, names, self.form, self.item_column)
        self._note(*columns)
        return columns

    def key(self, record: dict[str, Any], role: Literal["id", "title"]) -> str | None:
        """Return the key of a record's id or title; None where it has none."""
        asked = self.form.id_column if role == "id" else self.form.title_column
        usual = id_names(self.item_column) if role == "id" else TITLE_NAMES
        found = find_column(list(record), usual if asked is None else (asked,))
        return found[0] if found else None

    def _note(self, item: str, title: str) -> None:
        plain = {"item_id", self.item_column, self.form.id_column}
        if item not in plain or title not in {"title", self.form.title_column}:
            told = f"ids from {item!r}, titles from {title!r}"
            self.notes.append(f"{self.path.name}: {told}")


def _headed(delimiter: str, *, typed: bool = False) -> Callable[[Source], Titled]:
    """A reader of delimited files whose header, or numbers, name an id and a title column."""

    def read(source: Source) -> Titled:
        path, form = source.path, source.form
        between = delimiter if form.delimiter is None else form.delimiter
        quotes = "none" if typed and form.quotes == "auto" else form.quotes
        records = _records(source, between, quotes)
        number, header = next(records, (1, []))
        names = [name.partition(":")[0] for name in header] if typed else header
        if not form.header:
            names = [str(place) for place in range(1, len(header) + 1)]
            records = chain([(number, header)], records)
        places = [names.index(name) for name in source.columns(names)]
        for number, record in records:
            if quotes == "none" and places[1] == len(header) - 1 < len(record) - 1:
                # The title stands last, and holds the delimiter, as in Netflix' movie_titles.csv.
                record[places[1] :] = [between.join(record[places[1] :])]
            if len(record) != len(header):
                message = f"{len(record)} columns, expected {len(header)} as in the first line"
                hint = "give --titles-quotes none where the title is last and holds the delimiter"
                raise InputError(message, code="E-RAGGED", path=path, line=number, hint=hint)
            item_id, title = (record[place] for place in places)
            yield item_id, title

    return read


def _records(source: Source, delimiter: str, quotes: str) -> Iterator[tuple[int, list[str]]]:
    """Records with the line that each ends on; a quoted line end belongs to its cell."""
    if quotes == "none" or delimiter == "::":
        for number, text in _narrow(source, delimiter):
            yield number, text.split(delimiter)
        return
    # csv wants the line ends back, to keep those inside quotes.
    lines = (text + "\n" for _, text in _narrow(source, delimiter))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        for record in reader:
            # Of tab-separated files, most do not mean quotes so: two titles may have become one.
            if delimiter == "\t" and quotes == "auto" and any("\n" in cell for cell in record):
                raise InputError(
                    "quotes that open on one line and close on another, expected to be told "
                    "what quotes mean",
                    code="E-CSV",
                    path=source.path,
                    line=reader.line_num,
                    hint="give --titles-quotes none where they mean nothing, else "
                    "--titles-quotes double",
                )
            yield reader.line_num, record
    except csv.Error as err:
        raise InputError(
            f"{err}, expected {delimiter!r} between columns and quotes in pairs",
            code="E-CSV",
            path=source.path,
            line=reader.line_num,
            hint=f"if it is written so, give {_options(source, delimiter)}",
        ) from err


def _narrow(source: Source, delimiter: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers; one of so many cells is refused before each takes memory."""
    for number, text in source.lines():
        if text.count(delimiter) >= MAX_COLUMNS:
            raise InputError(
                f"over {MAX_COLUMNS:,} columns, expected an id and a title among a few",
                code="E-HEADER" if number == 1 else "E-RAGGED",
                path=source.path,
                line=number,
            )
        yield number, text


def _options(source: Source, delimiter: str) -> str:
    """Return the options that may be right for a file whose quotes are not as RFC 4180 has them."""
    lines = first_lines(source.path, _N_LINES, source.form.text)
    counts = {other: lines[0].count(other) for other in (delimiter, *DELIMITERS)}
    likely = max(counts, key=counts.__getitem__)
    words = "" if likely == delimiter else f"--titles-delimiter {likely!r} "
    escaped = any('\\"' in line for line in lines)
    return f"{words}--titles-quotes {'backslash' if escaped else 'none'}"


def _movielens(delimiter: str) -> Callable[[Source], Titled]:
    """A reader of MovieLens' files without header and quotes: id, title, whatever."""

    def read(source: Source) -> Titled:
        for number, line in read_lines(source.path, form=source.form.text):
            try:
                text = line.decode()
            except UnicodeDecodeError:
                text = line.decode("latin-1")  # the encoding that the 100K and 1M sets are in
            cells = text.split(delimiter, 2)
            if len(cells) < 2 or not cells[0]:
                message = f"no {delimiter!r} after an id, expected id{delimiter}title"
                raise InputError(message, code="E-RAGGED", path=source.path, line=number)
            yield cells[0], cells[1]

    return read


def _bigrec(source: Source) -> Titled:
    """BIGRec's `title<TAB>id`; a title may hold a tab, an id does not."""
    for number, line in source.lines():
        title, tab, item_id = line.rpartition("\t")
        if not tab or not re.fullmatch(r"[0-9]{1,10}\s*", item_id):
            message = "no tab and id at the end, expected title<TAB>id"
            raise InputError(message, code="E-RAGGED", path=source.path, line=number)
        yield item_id.strip(), title


def _objects(source: Source) -> Titled:
    """One object per line, as the metadata of the Amazon reviews, of Yelp, Steam and Goodreads."""
    id_key = title_key = None
    keys: dict[str, None] = {}
    for number, line in source.lines(JSON_CAP):
        if not line.strip():
            raise InputError(
                "a blank line, expected a record", code="E-BLANK", path=source.path, line=number
            )
        record = read_record(source.path, number, line)
        if id_key not in record:
            id_key = source.key(record, "id")
        if title_key not in record:
            title_key = source.key(record, "title") or title_key
        keys |= dict.fromkeys(record) if title_key is None or id_key is None else {}
        item_id, title = record.get(id_key or ""), record.get(title_key or "")
        if type(item_id) not in (str, int) or not isinstance(title, str | None):
            raise InputError(
                f"expected text or a whole number in {id_key or 'an id'} and, if any, text in "
                f"{title_key or 'title'}",
                code="E-TOKEN",
                path=source.path,
                line=number,
                token=line[:40],
                hint="name the keys: --titles-id-column NAME --titles-title-column NAME",
            )
        if half_pair(f"{item_id}{title}"):
            message = "half a surrogate pair in an id or a title, expected Unicode text"
            raise InputError(message, code="E-ENC", path=source.path, line=number)
        yield str(item_id), title or ""
    if title_key is None and keys:
        source.columns(list(keys))  # says which keys there are


def _parquet(source: Source) -> Titled:
    """The columns of a Parquet file."""
    path = source.path
    try:
        with opened(path) as file:
            columns = source.columns(file.schema_arrow.names)
        for batch in bounded_batches(path, columns, _BATCH_ROWS):
            yield from _pairs(path, *(batch.column(name) for name in columns))
    except (pa.ArrowException, OSError) as err:
        if isinstance(err, InputError):
            raise
        reason = str(err).partition("\n")[0][:120]
        message = f"E-PARQUET {path}: {reason}, expected a whole Parquet file"
        raise ArtifactError(message) from err


def _pairs(path: Path, ids: pa.Array, titles: pa.Array) -> Titled:
    for name, array in (("ids", ids), ("titles", titles)):
        kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
        if not (is_text(kind) or pa.types.is_integer(kind)):
            message = f"{name} of type {array.type}, expected text or whole numbers"
            raise InputError(message, code="E-DTYPE", path=path)
    if ids.null_count:
        message = "a row without an id, expected one in each"
        raise InputError(message, code="E-LOG-MISSING", path=path)
    for item_id, title in zip(ids.to_pylist(), titles.to_pylist(), strict=True):
        yield str(item_id), "" if title is None else str(title)


READERS: dict[str, Callable[[Source], Titled]] = {
    "csv": _headed(","),
    "tsv": _headed("\t"),
    "recbole": _headed("\t", typed=True),
    "movielens-pipes": _movielens("|"),
    "movielens-colons": _movielens("::"),
    "jsonl": _objects,
    "parquet": _parquet,
    "bigrec": _bigrec,
}
