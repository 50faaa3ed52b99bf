"""What each of the known layouts is recognised by: names of files, endings, first lines."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from dllm2rec.data.logs.layouts.layout import Given, Layout
from dllm2rec.data.logs.layouts.split_files import splits_of, stem_of
from dllm2rec.data.logs.log_form import LogForm, Quotes
from dllm2rec.data.logs.titles.read_titles import titles_layout_of
from dllm2rec.data.logs.titles.title_columns import has_titles
from dllm2rec.data.text.find_files import ENDINGS, plain_name
from dllm2rec.data.text.lines import first_lines
from dllm2rec.errors import InputError
from dllm2rec.storage.atomic_folder import MANIFEST

# The names that RecBole gives to the columns of its own data sets.
_RECBOLE_NAMES = {
    "user": "user_id",
    "item": "item_id",
    "time": "timestamp",
    "rating": "rating",
    "split": "split",
}
_ASIN = re.compile(r"[0-9A-Z]{10}")


def _named(files: Iterable[Path], pattern: str) -> list[Path]:
    return [path for path in files if re.fullmatch(pattern, plain_name(path))]


def _first(files: Iterable[Path], pattern: str) -> Path | None:
    return next(iter(_named(files, pattern)), None)


def _dataset(given: Given) -> Layout | None:
    path = _first(given.logs, r"manifest\.json")
    if path is None or _first(given.logs, r"interactions\.parquet") is None:
        return None
    return Layout("dataset", "manifest.json and interactions.parquet", [path.parent])


def _authors(given: Given) -> Layout | None:
    path = _first(given.logs, r"train_data\.(csv|df)")
    return None if path is None else Layout("authors", path.name, [path.parent])


def _bigrec(given: Given) -> Layout | None:
    path, names = _first(given.logs, r"train\.csv"), _first(given.logs, r"id2name\.txt")
    if path is None or names is None:
        return None
    return Layout("bigrec", f"{path.name} and {names.name}", [path.parent])


def written_by_us(path: Path) -> bool:
    """Whether a file stands in a folder that `prepare --write` wrote for RecBole."""
    try:
        manifest = json.loads((path.parent / MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(manifest, dict) and manifest.get("kind") in ("recbole", "inter")


def _recbole(given: Given) -> Layout | None:
    logs = _named(given.logs, r".*\.inter")
    if not logs:
        return None
    splits = splits_of(logs)
    if len(logs) > 1 and not (splits or given.named):
        names = ", ".join(path.name for path in logs)
        raise InputError(
            f"{names}: expected one .inter file, or NAME.train.inter, NAME.valid.inter and "
            "NAME.test.inter",
            code="E-FILE",
            path=logs[0].parent,
            hint="name the files to read",
        )
    logs = list(splits) or logs
    header = "".join(first_lines(logs[0], 1)).split("\t")
    typed = {name.partition(":")[0]: name for name in header}
    columns = {role: typed[name] for role, name in _RECBOLE_NAMES.items() if name in typed}
    stem = stem_of(logs[0]) if splits else plain_name(logs[0]).removesuffix(".inter")
    # RecBole's own files have quotes as letters; ours quote what holds a tab or a quote.
    quotes: Quotes = "double" if written_by_us(logs[0]) else "none"
    is_windows = any(name.endswith("_list:token_seq") for name in header)
    return Layout(
        "windows" if is_windows else "recbole",
        f"the ending of {logs[0].name}",
        logs,
        "tsv",
        form=LogForm(quotes=quotes, splits=tuple(splits.values())),
        columns=columns,
        full_names=typed,
        titles=_first(given.beside, rf"{re.escape(stem)}\.item"),
        titles_layout="recbole",
    )


def _movielens(given: Given) -> Layout | None:
    plain = LogForm(names=("user_id", "item_id", "rating", "timestamp"))
    if logs := _named(given.logs, r"u\.data"):
        titles = _first(given.beside, r"u\.item")
        why = f"{logs[0].name}: MovieLens 100K"
        return Layout(
            "movielens",
            why,
            logs,
            "tsv",
            form=plain,
            titles=titles,
            titles_layout="movielens-pipes",
        )
    if logs := _named(given.logs, r"ratings\.dat"):
        titles = _first(given.beside, r"movies\.dat")
        why = f"{logs[0].name}: MovieLens 1M or 10M"
        layout = "movielens-colons"
        return Layout(
            "movielens", why, logs, "csv", "::", plain, titles=titles, titles_layout=layout
        )
    logs = _named(given.logs, r"ratings\.csv")
    if not logs or first_lines(logs[0], 1)[:1] != ["userId,movieId,rating,timestamp"]:
        return None
    columns = {"user": "userId", "item": "movieId", "time": "timestamp", "rating": "rating"}
    titles = _first(given.beside, r"movies\.csv")
    why = f"the header of {logs[0].name}: MovieLens 20M or newer"
    return Layout(
        "movielens", why, logs, "csv", columns=columns, titles=titles, titles_layout="csv"
    )


def _amazon(given: Given) -> Layout | None:
    files = _named(given.logs, r".*\.(json|jsonl|csv)")
    found = {log: how for log in files if (how := _amazon_file(log)) is not None}
    if not found:
        return None
    logs = list(found)
    if len(logs) > 1 and not given.named:
        names = ", ".join(path.name for path in logs)
        message = f"{names}: several files of Amazon reviews, expected one"
        folder = logs[0].parent
        raise InputError(message, code="E-FILE", path=folder, hint="name the files to read")
    why, kind, form, columns = found[logs[0]]
    for log, other in found.items():
        if other[1:] != (kind, form, columns):
            message = f"{other[0]}, expected what {logs[0].name} has ({why})"
            raise InputError(message, code="E-FORMAT", path=log, hint="read them one by one")
    titles = _metadata(logs, given.beside)
    return Layout(
        "amazon", why, logs, kind, form=form, columns=columns, titles=titles, titles_layout="jsonl"
    )


_Found = tuple[str, str, LogForm, dict[str, str]]


def _amazon_file(log: Path) -> _Found | None:
    if log.name.startswith("meta_"):
        return None
    lines = first_lines(log, 100)
    return (_amazon_lines(log, lines) or _amazon_table(log, lines)) if lines else None


def _amazon_lines(log: Path, lines: list[str]) -> _Found | None:
    try:
        record = json.loads(lines[0])
    except (ValueError, RecursionError):
        return None
    keys = set(record) if isinstance(record, dict) else set()
    if {"reviewerID", "asin", "unixReviewTime"} <= keys:
        columns = {"user": "reviewerID", "item": "asin", "time": "unixReviewTime"}
        columns |= {"rating": "overall"} if "overall" in keys else {}
        return f"the keys of {log.name}: Amazon reviews 2014 or 2018", "jsonl", LogForm(), columns
    if {"user_id", "parent_asin", "timestamp"} <= keys:
        columns = {"item": "parent_asin"}
        return f"the keys of {log.name}: Amazon reviews 2023", "jsonl", LogForm(), columns
    return None


def _amazon_table(log: Path, lines: list[str]) -> _Found | None:
    if lines[0].split(",")[:4] == ["user_id", "parent_asin", "rating", "timestamp"]:
        columns = {"item": "parent_asin"}
        return f"the header of {log.name}: Amazon reviews 2023", "csv", LogForm(), columns
    rows = [line.split(",") for line in lines]
    if any(len(row) != 4 or not re.fullmatch(r"[1-5]\.0", row[2]) for row in rows):
        return None
    # Ratings without header: 2014 has the user first, 2018 the item; ASINs have ten characters.
    asins = [all(_ASIN.fullmatch(row[place]) for row in rows) for place in (0, 1)]
    if asins[0] == asins[1]:
        return None
    names = ("item_id", "user_id") if asins[0] else ("user_id", "item_id")
    year = "2018 (item first)" if asins[0] else "2014 (user first)"
    form = LogForm(names=(*names, "rating", "timestamp"))
    return f"the columns of {log.name}: Amazon ratings {year}", "csv", form, {}


def _metadata(logs: list[Path], files: list[Path]) -> Path | None:
    """The metadata of the log's category: `meta_<category>` whose category the log's name holds."""
    found = _named(files, r"meta_.*\.(json|jsonl)")
    if len(logs) == 1:
        fitting = [p for p in found if re.split(r"meta_|\.", p.name)[1] in logs[0].name]
        found = fitting or found
        return found[0] if fitting or len(found) == 1 else None
    return found[0] if len(found) == 1 else None


def table_layout(given: Given, kind: str | None = None) -> Layout | None:
    """Any columns: the files that were named, or a folder's `interactions.*`, or its one log.

    `kind` is what the files are whatever their ending; without it they are what they end in.
    """
    others = re.compile(r"(items|users|meta_|manifest)")
    endings = "|".join(re.escape(end) for end, of in ENDINGS.items() if kind in (None, of))
    if given.named:
        logs = given.logs if kind is not None else _named(given.logs, rf".*({endings})")
    else:
        logs = _named(given.logs, rf"interactions({endings})") or [
            path for path in _named(given.logs, rf".*({endings})") if not others.match(path.name)
        ]
    if given.named and len(logs) < len(given.logs):
        return None
    kinds = {kind or ENDINGS[Path(plain_name(path)).suffix] for path in logs}
    if len(kinds) != 1:
        return None
    splits = splits_of(logs)
    logs = list(splits) or logs
    why = f"the ending of {logs[0].name}" if kind is None else f"--format {kind}"
    items = _first(given.beside, r"items\.(csv|tsv)")
    if items in logs or (items is not None and not _names_titles(items)):
        items = None
    return Layout(
        "table",
        why,
        logs,
        kinds.pop(),
        form=LogForm(splits=tuple(splits.values())),
        titles=items,
        titles_layout="" if items is None else titles_layout_of(items),
    )


def _names_titles(path: Path) -> bool:
    """Whether the header of a delimited file names ids and titles."""
    names = re.split(r"[,\t]", "".join(first_lines(path, 1)))
    return has_titles([name.strip('"') for name in names])


Rule = Callable[[Given], Layout | None]
RULES: dict[str, Rule] = {
    "dataset": _dataset,
    "authors": _authors,
    "bigrec": _bigrec,
    "recbole": _recbole,
    "movielens": _movielens,
    "amazon": _amazon,
    "table": table_layout,
}
