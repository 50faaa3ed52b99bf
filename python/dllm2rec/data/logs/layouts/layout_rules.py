"""What each of the known layouts is recognised by: names of files, endings, first lines."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from dllm2rec.data.logs.titles.read_titles import has_titles, titles_layout_of
from dllm2rec.data.text.find_files import ENDINGS, plain_name
from dllm2rec.data.text.lines import first_lines
from dllm2rec.errors import InputError

# The names that RecBole gives to the columns of its own data sets.
_RECBOLE_NAMES = {
    "user": "user_id",
    "item": "item_id",
    "time": "timestamp",
    "rating": "rating",
    "split": "split",
}
_ASIN = re.compile(r"[0-9A-Z]{10}")


@dataclass(frozen=True)
class Layout:
    """Where a log and its titles are, and how they are written.

    Attributes:
        name: "recbole", "movielens", "amazon", "bigrec", "authors", "dataset" (a prepared folder)
            or "table" (columns of any origin).
        why: what it was recognised by, in words.
        logs: the files of the log; for layouts that are already split, their folder.
        file_format: "csv", "tsv", "jsonl" or "parquet"; "" for layouts that are already split.
        delimiter: what stands between columns, where it is not the format's own.
        header: the names of the columns of a file that has no header.
        columns: the name of the `user`, `item`, `time` and `rating` column; what is missing goes by
            its default name.
        titles: the file of titles, if there is one.
        titles_layout: how `read_titles` is to read it.
    """

    name: str
    why: str
    logs: list[Path]
    file_format: str = ""
    delimiter: str | None = None
    header: tuple[str, ...] | None = None
    columns: dict[str, str] = field(default_factory=dict)
    titles: Path | None = None
    titles_layout: str = ""


def _named(files: Iterable[Path], pattern: str) -> list[Path]:
    return [path for path in files if re.fullmatch(pattern, plain_name(path))]


def _first(files: Iterable[Path], pattern: str) -> Path | None:
    return next(iter(_named(files, pattern)), None)


def _dataset(given: list[Path], files: list[Path]) -> Layout | None:
    path = _first(given, r"manifest\.json")
    if path is None or _first(given, r"interactions\.parquet") is None:
        return None
    return Layout("dataset", "manifest.json and interactions.parquet", [path.parent])


def _authors(given: list[Path], files: list[Path]) -> Layout | None:
    path = _first(given, r"train_data\.(csv|df)")
    return None if path is None else Layout("authors", path.name, [path.parent])


def _bigrec(given: list[Path], files: list[Path]) -> Layout | None:
    path, names = _first(given, r"train\.csv"), _first(given, r"id2name\.txt")
    if path is None or names is None:
        return None
    return Layout("bigrec", f"{path.name} and {names.name}", [path.parent])


def _recbole(given: list[Path], files: list[Path]) -> Layout | None:
    logs = _named(given, r".*\.inter")
    if not logs:
        return None
    if len(logs) > 1:
        names = ", ".join(path.name for path in logs)
        raise InputError(
            f"{names}: expected one .inter file",
            code="E-FILE",
            path=logs[0].parent,
            hint="name the file to read",
        )
    (log,) = logs
    header = first_lines(log, 1)
    typed = {name.partition(":")[0]: name for name in (header[0] if header else "").split("\t")}
    columns = {role: typed[name] for role, name in _RECBOLE_NAMES.items() if name in typed}
    stem = re.escape(plain_name(log).removesuffix(".inter"))
    titles = _first(files, rf"{stem}\.item")
    return Layout(
        "recbole",
        f"the ending of {log.name}",
        logs,
        "tsv",
        columns=columns,
        titles=titles,
        titles_layout="recbole",
    )


def _movielens(given: list[Path], files: list[Path]) -> Layout | None:
    plain = ("user_id", "item_id", "rating", "timestamp")
    if log := _first(given, r"u\.data"):
        titles = _first(files, r"u\.item")
        why = f"{log.name}: MovieLens 100K"
        return Layout("movielens", why, [log], "tsv", None, plain, {}, titles, "movielens-pipes")
    if log := _first(given, r"ratings\.dat"):
        titles = _first(files, r"movies\.dat")
        why = f"{log.name}: MovieLens 1M or 10M"
        return Layout("movielens", why, [log], "csv", "::", plain, {}, titles, "movielens-colons")
    log = _first(given, r"ratings\.csv")
    if log is None or first_lines(log, 1)[:1] != ["userId,movieId,rating,timestamp"]:
        return None
    columns = {"user": "userId", "item": "movieId", "time": "timestamp", "rating": "rating"}
    titles = _first(files, r"movies\.csv")
    why = f"the header of {log.name}: MovieLens 20M or newer"
    return Layout("movielens", why, [log], "csv", None, None, columns, titles, "csv")


def _amazon(given: list[Path], files: list[Path]) -> Layout | None:
    logs = [p for p in _named(given, r".*\.(json|jsonl|csv)") if not p.name.startswith("meta_")]
    for log in logs:
        lines = first_lines(log, 100)
        found = lines and (_amazon_lines(log, lines) or _amazon_table(log, lines))
        if not found:
            continue
        why, kind, header, columns = found
        titles = _metadata(log, files)
        return Layout("amazon", why, [log], kind, None, header, columns, titles, "amazon")
    return None


_Found = tuple[str, str, tuple[str, ...] | None, dict[str, str]]


def _amazon_lines(log: Path, lines: list[str]) -> _Found | None:
    try:
        record = json.loads(lines[0])
    except (ValueError, RecursionError):
        return None
    keys = set(record) if isinstance(record, dict) else set()
    if {"reviewerID", "asin", "unixReviewTime"} <= keys:
        columns = {"user": "reviewerID", "item": "asin", "time": "unixReviewTime"}
        columns |= {"rating": "overall"} if "overall" in keys else {}
        return f"the keys of {log.name}: Amazon reviews 2014 or 2018", "jsonl", None, columns
    if {"user_id", "parent_asin", "timestamp"} <= keys:
        columns = {"item": "parent_asin"}
        return f"the keys of {log.name}: Amazon reviews 2023", "jsonl", None, columns
    return None


def _amazon_table(log: Path, lines: list[str]) -> _Found | None:
    if lines[0].split(",")[:4] == ["user_id", "parent_asin", "rating", "timestamp"]:
        columns = {"item": "parent_asin"}
        return f"the header of {log.name}: Amazon reviews 2023", "csv", None, columns
    rows = [line.split(",") for line in lines]
    if any(len(row) != 4 or not re.fullmatch(r"[1-5]\.0", row[2]) for row in rows):
        return None
    # Ratings without header: 2014 has the user first, 2018 the item; ASINs have ten characters.
    asins = [all(_ASIN.fullmatch(row[place]) for row in rows) for place in (0, 1)]
    if asins[0] == asins[1]:
        return None
    names = ("item_id", "user_id") if asins[0] else ("user_id", "item_id")
    year = "2018 (item first)" if asins[0] else "2014 (user first)"
    header = (*names, "rating", "timestamp")
    return f"the columns of {log.name}: Amazon ratings {year}", "csv", header, {}


def _metadata(log: Path, files: list[Path]) -> Path | None:
    """The metadata of the log's category: `meta_<category>` whose category the log's name holds."""
    found = _named(files, r"meta_.*\.(json|jsonl)")
    fitting = [p for p in found if re.split(r"meta_|\.", p.name)[1] in log.name]
    return next(iter(fitting), found[0] if len(found) == 1 else None)


def table_layout(given: list[Path], files: list[Path], kind: str | None = None) -> Layout | None:
    """Any columns: the files that were named, or a folder's `interactions.*`, or its one log.

    `kind` is what the files are whatever their ending; without it they are what they end in.
    """
    others = re.compile(r"(items|users|meta_|manifest)")
    endings = "|".join(re.escape(end) for end, of in ENDINGS.items() if kind in (None, of))
    logs = _named(given, rf"interactions({endings})") or [
        path for path in _named(given, rf".*({endings})") if not others.match(path.name)
    ]
    if not logs and kind is not None and given != files:
        logs = given
    kinds = {kind or ENDINGS[Path(plain_name(path)).suffix] for path in logs}
    if len(kinds) != 1:
        return None
    why = f"the ending of {logs[0].name}" if kind is None else f"--format {kind}"
    items = _first(files, r"items\.(csv|tsv)")
    if items is not None and not has_titles(items):
        items = None
    titles_layout = "" if items is None else titles_layout_of(items)
    return Layout("table", why, logs, kinds.pop(), titles=items, titles_layout=titles_layout)


Rule = Callable[[list[Path], list[Path]], Layout | None]
RULES: dict[str, Rule] = {
    "dataset": _dataset,
    "authors": _authors,
    "bigrec": _bigrec,
    "recbole": _recbole,
    "movielens": _movielens,
    "amazon": _amazon,
    "table": table_layout,
}
