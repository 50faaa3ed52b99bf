"""What an item is called: the title files of the known layouts, read to one table."""

from __future__ import annotations

import csv
import html
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from dllm2rec.data.logs.titles.records import read_record
from dllm2rec.data.text.find_files import plain_name
from dllm2rec.data.text.lines import decoded, first_lines, read_lines
from dllm2rec.errors import InputError

Titled = Iterator[tuple[str, str]]

_ID_COLUMNS = ("item_id", "movieId", "parent_asin", "asin", "item")
_TITLE_COLUMNS = ("title", "item_title", "movie_title", "name", "item_name", "product_name")
_TITLE_FILES = {
    r"u\.item": "movielens-pipes",
    r".*\.dat": "movielens-colons",
    r".*\.item": "recbole",
    r".*\.csv": "csv",
    r".*\.tsv": "tsv",
    r".*\.jsonl?": "amazon",
    r"id2name\.txt": "bigrec",
}


@dataclass(frozen=True, eq=False)
class Titles:
    """The titles of items, by external id.

    Attributes:
        table: columns `item_id` and `title`, both large_string; ids are distinct, a title is ""
            where the file has an empty one.
        notes: what was counted while reading, one sentence each.
    """

    table: pa.Table
    notes: list[str]


def read_titles(path: Path, layout: str) -> Titles:
    """Read a title file.

    HTML entities are resolved (`&amp;` is `&`) and outer white space is dropped. An id that comes
    twice keeps its first title that is not empty.

    Args:
        path: the file, plain, gzipped or zstd.
        layout: "csv" or "tsv" (a header that names an id and a title), "recbole" (`.item`),
            "movielens-pipes" (`u.item`), "movielens-colons" (`movies.dat`), "amazon" (JSON or
            Python-literal lines), "bigrec" (`id2name.txt`).

    Raises:
        InputError: a line breaks the layout; the message names it.
    """
    titles: dict[str, str] = {}
    n_again = 0
    for item_id, raw in _READERS[layout](path):
        title = html.unescape(raw).strip() if "&" in raw else raw.strip()
        if item_id in titles:
            n_again += 1
            titles[item_id] = titles[item_id] or title
        else:
            titles[item_id] = title
    if not titles:
        raise InputError("no titles, expected one item a line", code="E-EMPTY", path=path)
    notes = []
    n_empty = sum(not title for title in titles.values())
    if n_empty:
        notes.append(f"{path.name}: {n_empty:,} of {len(titles):,} titles are empty")
    if n_again:
        notes.append(f"{path.name}: {n_again:,} lines repeat an item; its first title is kept")
    return Titles(_table(titles), notes)


def titles_layout_of(path: Path) -> str:
    """How `read_titles` is to read a file, by its name.

    Raises:
        InputError: the name says nothing.
    """
    name = plain_name(path)
    for pattern, layout in _TITLE_FILES.items():
        if re.fullmatch(pattern, name):
            return layout
    raise InputError(
        "unknown ending, expected one of .csv, .tsv, .item, .dat, .json, .jsonl, or id2name.txt",
        code="E-FORMAT",
        path=path,
    )


def has_titles(path: Path) -> bool:
    """Whether the header of a delimited file names a column of titles."""
    header = first_lines(path, 1)
    names = re.split(r"[,\t]", header[0]) if header else []
    return any(name.strip('"') in _TITLE_COLUMNS for name in names)


def _table(titles: dict[str, str]) -> pa.Table:
    text = pa.large_string()
    return pa.table({"item_id": pa.array(titles, text), "title": pa.array(titles.values(), text)})


def _headed(delimiter: str, *, typed: bool) -> Callable[[Path], Titled]:
    """A reader of delimited files (RFC 4180) whose header names an id and a title column."""

    def read(path: Path) -> Titled:
        records = _records(path, delimiter)
        _, header = next(records, (1, []))
        names = [name.partition(":")[0] for name in header] if typed else header
        places = [_find(path, names, wanted) for wanted in (_ID_COLUMNS, _TITLE_COLUMNS)]
        for number, record in records:
            if len(record) != len(header):
                message = f"{len(record)} columns, expected {len(header)} as in the header"
                raise InputError(message, code="E-RAGGED", path=path, line=number)
            item_id, title = (record[place] for place in places)
            yield item_id, title

    return read


def _records(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Records with the line that each ends on; a quoted line end belongs to its cell."""
    # csv wants the line ends back, to keep those inside quotes.
    lines = (decoded(path, number, line) + "\n" for number, line in read_lines(path))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        for record in reader:
            yield reader.line_num, record
    except csv.Error as err:
        raise InputError(
            f"{err}, expected {delimiter!r} between columns and quotes in pairs",
            code="E-CSV",
            path=path,
            line=reader.line_num,
        ) from err


def _find(path: Path, names: list[str], wanted: Iterable[str]) -> int:
    for name in wanted:
        if name in names:
            return names.index(name)
    raise InputError(
        f"no column among {', '.join(names)[:120]!r}, expected one of {', '.join(wanted)}",
        code="E-HEADER",
        path=path,
        line=1,
    )


def _movielens(delimiter: str) -> Callable[[Path], Titled]:
    """A reader of MovieLens' files without header and quotes: id, title, whatever."""

    def read(path: Path) -> Titled:
        for number, line in read_lines(path):
            try:
                text = line.decode()
            except UnicodeDecodeError:
                text = line.decode("latin-1")  # the encoding that the 100K and 1M sets are in
            cells = text.split(delimiter, 2)
            if len(cells) < 2 or not cells[0]:
                message = f"no {delimiter!r} after an id, expected id{delimiter}title"
                raise InputError(message, code="E-RAGGED", path=path, line=number)
            yield cells[0], cells[1]

    return read


def _bigrec(path: Path) -> Titled:
    """BIGRec's `title<TAB>id`; a title may hold a tab, an id does not."""
    for number, line in read_lines(path):
        title, tab, item_id = decoded(path, number, line).rpartition("\t")
        if not tab or not re.fullmatch(r"[0-9]{1,10}\s*", item_id):
            message = "no tab and id at the end, expected title<TAB>id"
            raise InputError(message, code="E-RAGGED", path=path, line=number)
        yield item_id.strip(), title


def _amazon(path: Path) -> Titled:
    """Metadata of the Amazon reviews: `asin` (2014, 2018) or `parent_asin` (2023), and `title`."""
    for number, line in read_lines(path):
        if not line.strip():
            raise InputError(
                "a blank line, expected a record", code="E-BLANK", path=path, line=number
            )
        record = read_record(path, number, decoded(path, number, line))
        item_id = record.get("parent_asin") or record.get("asin")
        title = record.get("title")
        if not isinstance(item_id, str) or not isinstance(title, str | None):
            raise InputError(
                "expected text in parent_asin or asin and, if any, in title",
                code="E-TOKEN",
                path=path,
                line=number,
                token=line[:40].decode("utf-8", "backslashreplace"),
            )
        yield item_id, title or ""


_READERS: dict[str, Callable[[Path], Titled]] = {
    "csv": _headed(",", typed=False),
    "tsv": _headed("\t", typed=False),
    "recbole": _headed("\t", typed=True),
    "movielens-pipes": _movielens("|"),
    "movielens-colons": _movielens("::"),
    "amazon": _amazon,
    "bigrec": _bigrec,
}
