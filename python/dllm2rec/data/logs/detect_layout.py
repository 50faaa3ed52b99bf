"""Which of the known layouts a file or folder is in, told by names and first lines."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from dllm2rec.data.logs.titles import has_titles
from dllm2rec.data.text.find_files import ENDINGS
from dllm2rec.data.text.lines import first_lines
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
# The names that RecBole gives to the columns of its own data sets.
_RECBOLE_NAMES = {
    "user": "user_id",
    "item": "item_id",
    "time": "timestamp",
    "rating": "rating",
    "split": "split",
}
_TITLE_FILES = {
    r"u\.item": "movielens-pipes",
    r".*\.dat": "movielens-colons",
    r".*\.item": "recbole",
    r".*\.csv": "csv",
    r".*\.tsv": "tsv",
    r".*\.jsonl?": "amazon",
    r"id2name\.txt": "bigrec",
}
_ASIN = re.compile(r"[0-9A-Z]{10}")


@dataclass(frozen=True)
class Layout:
    """Where a log and its titles are, and how they are written.

    Attributes:
        name: "recbole", "movielens", "amazon", "bigrec", "authors", "dataset" (a prepared folder)
            or "table" (columns of any origin).
        why: what it was recognised by, for people.
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
        rules: tuple[_Rule, ...] = (partial(_table, kind=file_format),)
    else:
        rules = tuple(_RULES.values()) if file_format == "auto" else (_RULES[file_format],)
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


def plain_name(path: Path) -> str:
    """The name of a file without what only tells its compression."""
    return re.sub(r"\.(gz|zst)$", "", path.name)


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
            hint="name the one that is meant",
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


def _table(given: list[Path], files: list[Path], kind: str | None = None) -> Layout | None:
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


_Rule = Callable[[list[Path], list[Path]], Layout | None]
_RULES: dict[str, _Rule] = {
    "dataset": _dataset,
    "authors": _authors,
    "bigrec": _bigrec,
    "recbole": _recbole,
    "movielens": _movielens,
    "amazon": _amazon,
    "table": _table,
}
