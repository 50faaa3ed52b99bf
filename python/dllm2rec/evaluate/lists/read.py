"""Files, frames and dicts of ranked lists, each read by what it is."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv

from dllm2rec.data.text.at_rest import at_rest
from dllm2rec.data.text.files import read_bytes
from dllm2rec.data.text.find_files import plain_name
from dllm2rec.data.text.json_objects import TwiceError, distinct
from dllm2rec.data.text.parquet_text import check_size, checked_batches, column_names, opened
from dllm2rec.errors import ArtifactError, InputError
from dllm2rec.evaluate.lists.columns import TREC_QRELS, TREC_RUN, ListColumns, list_columns
from dllm2rec.evaluate.lists.tables import ListTable, of_columns, of_mapping, of_records
from dllm2rec.teacher.answers.records import open_answers

_QRELS = ["qid", "iteration", "docno", "rel"]
_BATCH_ROWS = 1 << 18


def read_list_table(lists: object) -> ListTable:
    """Read ranked lists.

    - A file: a TREC run or qrels; CSV or TSV, Parquet, JSON lines; ranx's `.json`. Compressed text
      is inflated. Memory is that of its columns.
    - A pandas, polars or Arrow table with the same columns.
    - A dict: user -> items, best first, or user -> {item: score}.

    Raises:
        InputError: it cannot be read, lacks a column, or has a cell that cannot be meant.
        ArtifactError: a Parquet file is corrupt.
        TypeError: it is none of these.
    """
    try:
        return _table_of(lists)
    except UnicodeEncodeError as err:
        source = os.fspath(lists) if isinstance(lists, (str, os.PathLike)) else "lists"
        message = "an id with half a surrogate pair, expected Unicode text"
        raise InputError(message, code="E-ENC", path=source) from err


def _table_of(lists: object) -> ListTable:
    if isinstance(lists, Mapping):
        return of_mapping(lists, "lists")
    if isinstance(lists, (str, os.PathLike)):
        path = Path(os.fspath(lists))
        with at_rest(path):
            return _of_file(path)
    if hasattr(lists, "__arrow_c_stream__") or isinstance(lists, pa.Table):
        table = pa.table(lists)
        return of_columns(table, list_columns(table.column_names, "lists"), "lists")
    raise TypeError(f"lists: a {type(lists).__name__}, expected a file, a frame or a dict")


def _of_file(path: Path) -> ListTable:
    ending = Path(plain_name(path).lower()).suffix
    source = str(path)
    if ending == ".lz4":
        message = "an LZ4 file, expected a TREC run, JSON, CSV or Parquet"
        hint = "ranx writes these as well: run.save('run.json')"
        raise InputError(message, code="E-CONTENT", path=path, hint=hint)
    if ending in (".parquet", ".parq"):
        table = _parquet(path)
        return of_columns(table, list_columns(table.column_names, source), source)
    if ending == ".json" and (found := _one_object(path)) is not None:
        return of_mapping(found, source)
    file = open_answers(path)
    if file.kind == "jsonl":
        return of_records((record.cells for record in file.records()), file.names, source)
    if file.kind == "trec":
        return of_columns(_words(path, file.names, TREC_RUN), TREC_RUN, source)
    if _is_qrels(file.names, file.delimiter):
        return of_columns(_words(path, _QRELS, TREC_QRELS), TREC_QRELS, source)
    columns = list_columns(file.names, source)
    options = csv.ParseOptions(delimiter=file.delimiter, quote_char=_quote(file.delimiter))
    data = read_bytes(path).removeprefix(b"\xef\xbb\xbf")
    return of_columns(_csv(path, data, file.names, columns, options, 1), columns, source)


def _quote(delimiter: str) -> str | bool:
    return False if delimiter == "\t" else '"'


def _is_qrels(names: list[str], delimiter: str) -> bool:
    """A first line of `user 0 item 1`, which is no header."""
    words = " ".join(names).split() if len(names) == 1 or delimiter == "\t" else []
    return len(words) == len(_QRELS) and bool(re.fullmatch(r"-?\d+", words[3]))


def _one_object(path: Path) -> Mapping[str, Any] | None:
    """A file that is one JSON object of lists or objects, as ranx writes it."""
    try:
        found = json.loads(read_bytes(path), object_pairs_hook=distinct)
    except TwiceError as err:
        message = f"key {ascii(err.args[0])[:40]} twice, expected each key once"
        raise InputError(message, code="E-JSON-KEY", path=path) from err
    except (ValueError, RecursionError):
        return None
    is_run = isinstance(found, dict) and all(isinstance(v, (dict, list)) for v in found.values())
    return found if is_run else None


def _parquet(path: Path) -> pa.Table:
    try:
        with opened(path) as file:
            schema, metadata = file.schema_arrow, file.metadata
            check_size(path, file, column_names(path, schema.names))
        texts = [f.name for f in schema if pa.types.is_string(f.type)]
        with opened(path, metadata, texts) as file:
            batches = checked_batches(path, file.iter_batches(_BATCH_ROWS))
            return pa.Table.from_batches(batches, file.schema_arrow)
    except FileNotFoundError as err:
        raise InputError("No such file", code="E-FILE", path=path) from err
    except (pa.ArrowException, OSError) as err:
        if isinstance(err, InputError):
            raise
        reason = str(err).partition("\n")[0][:120]
        message = f"E-PARQUET {path}: {reason}, expected a whole Parquet file"
        raise ArtifactError(message) from err


def _words(path: Path, names: list[str], columns: ListColumns) -> pa.Table:
    """A file of words between blanks, without a header."""
    data = read_bytes(path).removeprefix(b"\xef\xbb\xbf")
    if any(gap in data for gap in (b"\t", b"  ", b" \n", b" \r", b"\n ")):
        data = re.sub(rb"(?m)^ | $|\r$", b"", re.sub(rb"[ \t]+", b" ", data))
    return _csv(path, data, names, columns, csv.ParseOptions(delimiter=" ", quote_char=False), 0)


def _csv(
    path: Path,
    data: bytes,
    names: list[str],
    columns: ListColumns,
    options: csv.ParseOptions,
    n_heads: int,
) -> pa.Table:
    numbers = {name: pa.float64() for name in (columns.rank, columns.score) if name is not None}
    wanted = {columns.owner: pa.string(), columns.items: pa.string(), **numbers}
    try:
        return csv.read_csv(
            pa.BufferReader(data.rstrip() + b"\n"),
            read_options=csv.ReadOptions(column_names=names, skip_rows=n_heads, use_threads=False),
            parse_options=options,
            convert_options=csv.ConvertOptions(
                column_types=wanted,
                include_columns=list(wanted),
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid as err:
        reason = str(err).partition("\n")[0][:160]
        message = f"{reason}, expected {len(names)} cells a line"
        raise InputError(message, code="E-CSV", path=path) from err
