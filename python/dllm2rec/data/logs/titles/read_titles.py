"""What an item is called: the title files of the known layouts, read to one table."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from dllm2rec.data.logs.titles.title_columns import TitlesForm
from dllm2rec.data.logs.titles.title_readers import READERS, Source
from dllm2rec.data.text.at_rest import at_rest
from dllm2rec.data.text.find_files import PathLike, plain_name
from dllm2rec.data.text.lines import first_lines
from dllm2rec.errors import InputError

_ENDINGS = {
    r"u\.item": "movielens-pipes",
    r"id2name\.txt": "bigrec",
    r".*\.item": "recbole",
    r".*\.csv": "csv",
    r".*\.(tsv|tab)": "tsv",
    r".*\.(jsonl?|ndjson)": "jsonl",
    r".*\.parquet": "parquet",
}
_PLAIN = TitlesForm()


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


def read_titles(
    path: PathLike,
    layout: str | None = None,
    form: TitlesForm = _PLAIN,
    *,
    item_column: str | None = None,
) -> Titles:
    """Read a file of titles.

    HTML entities are resolved (`&amp;` is `&`) and outer white space is dropped. An id that comes
    twice keeps its first title that is not empty.

    Args:
        path: the file, plain, gzipped or zstd.
        layout: "csv" or "tsv" (a header that names an id and a title), "recbole" (`.item`),
            "movielens-pipes" (`u.item`), "movielens-colons" (`movies.dat`), "jsonl" (JSON or
            Python-literal lines), "parquet", "bigrec" (`id2name.txt`); None: what its name says.
        form: names of the columns, delimiter, encoding and quotes.
        item_column: how the log calls its items, looked for first.

    Raises:
        InputError: a line breaks the layout; the message names it.
        ArtifactError: a Parquet file is corrupt.
    """
    path = Path(path)
    layout = titles_layout_of(path, form) if layout is None else layout
    titles: dict[str, str] = {}
    n_again = 0
    source = Source(path, form, None if item_column is None else item_column.partition(":")[0])
    with at_rest(path):
        for item_id, raw in READERS[layout](source):
            title = html.unescape(raw).strip() if "&" in raw else raw.strip()
            if item_id in titles:
                n_again += 1
                titles[item_id] = titles[item_id] or title
            else:
                titles[item_id] = title
    if not titles:
        raise InputError("no titles, expected one item per line", code="E-EMPTY", path=path)
    notes = source.notes
    n_empty = sum(not title for title in titles.values())
    if n_empty:
        notes.append(f"{path.name}: {n_empty:,} of {len(titles):,} titles are empty")
    if n_again:
        notes.append(f"{path.name}: {n_again:,} lines repeat an item; its first title is kept")
    return Titles(_table(titles), notes)


def titles_layout_of(path: Path, form: TitlesForm = _PLAIN) -> str:
    """How `read_titles` is to read a file, by its name and, of `.dat` and `.txt`, its first line.

    Raises:
        InputError: they say nothing.
    """
    name = plain_name(path).lower()
    found = next((of for pattern, of in _ENDINGS.items() if re.fullmatch(pattern, name)), None)
    if form.delimiter is not None and found not in ("jsonl", "parquet"):
        return "csv"
    if found is not None:
        return found
    line = "".join(first_lines(path, 1, form.text))
    if "::" in line:
        return "movielens-colons"
    if "\t" in line:
        return "tsv"
    raise InputError(
        "unknown ending, expected one of .csv, .tsv, .item, .dat, .json, .jsonl, .parquet, or "
        "id2name.txt",
        code="E-FORMAT",
        path=path,
        hint="if it has columns, say what stands between them: --titles-delimiter ','",
    )


def _table(titles: dict[str, str]) -> pa.Table:
    text = pa.large_string()
    return pa.table({"item_id": pa.array(titles, text), "title": pa.array(titles.values(), text)})
