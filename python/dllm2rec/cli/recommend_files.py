"""Lists out: the files that `dllm2rec recommend --out` writes."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from dllm2rec.errors import ConfigError, InputError, ResourceError
from dllm2rec.storage.atomic_file import replace_file

if TYPE_CHECKING:
    from dllm2rec.serve.recommendations import Recommendations

Row: TypeAlias = tuple[Any, ...]  # of the columns
COLUMNS = ("user_id", "rank", "item_id", "title", "score")
_FORMULA = re.compile(r"[=+\-@\t\r]")  # how a cell begins that a spreadsheet runs


def check_file(out: Path, *, overwrite: bool, inputs: Iterable[Path]) -> None:
    """Refuse a file that must not be written, before any work.

    Raises:
        ConfigError: an unknown ending, an input, a folder, or a file without `overwrite`.
    """
    if out.suffix not in _ENDINGS:
        raise ConfigError(f"--out {out}: expected an ending of {', '.join(_ENDINGS)}")
    for source in inputs:
        if out.resolve() == source.resolve():
            raise ConfigError(f"--out {out}: is the input, expected another file")
    if out.is_dir() or (out.exists() and not overwrite):
        raise ConfigError(f"--out {out}: exists, expected a new file; or give --overwrite")


def write_lists(out: Path, parts: Iterable[Recommendations], *, excel_safe: bool = False) -> None:
    """Write a row for each place of each list, by the file's ending; whole or not at all.

    Memory is that of one part, whatever their number.

    Args:
        out: the file.
        parts: named lists, some at a time.
        excel_safe: in CSV, put `'` before a text that a spreadsheet would take for a formula.

    Raises:
        InputError: a TREC run cannot hold an id.
        ResourceError: the file cannot be written; what was there before is unchanged.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise ResourceError(f"{out}: {err.strerror or err}; nothing was written") from err
    if out.suffix == ".parquet":
        replace_file(out, lambda path: _write_parquet(path, parts))
        return
    rows: Iterator[Row] = chain.from_iterable(part.rows() for part in parts)
    if excel_safe:
        rows = (tuple(map(_disarmed, row)) for row in rows)
    if out.suffix == ".trec":
        rows = (_without_blanks(out, row) for row in rows)
    replace_file(out, lambda path: _WRITERS[out.suffix](path, rows))


def _without_blanks(out: Path, row: Row) -> Row:
    for name in (row[0], row[2]):
        if name.split() != [name]:
            raise InputError(
                f"the id {name!r}, expected one without blanks: a TREC run has blanks between its "
                "columns",
                code="E-TREC",
                path=out,
                hint="write .jsonl, .csv or .parquet",
            )
    return row


def shard_file(out: Path, shard: tuple[int, int]) -> Path:
    """The file of one shard: `lists.csv` is `lists-2-of-8.csv` for 2/8."""
    number, n_shards = shard
    digits = len(str(n_shards))
    return out if n_shards == 1 else out.with_stem(f"{out.stem}-{number:0{digits}}-of-{n_shards}")


def split_shard(text: str) -> tuple[int, int]:
    """Read `2/8`: the second of eight.

    Raises:
        ConfigError: it is no such thing.
    """
    number, slash, n_shards = text.partition("/")
    if slash and number.isdecimal() and n_shards.isdecimal():
        found = int(number), int(n_shards)
        if 1 <= found[0] <= found[1]:
            return found
    raise ConfigError(f"--shard {text!r}, expected I/N, such as 2/8 for the second of eight")


def _disarmed(cell: Any) -> Any:  # noqa: ANN401 - a cell of any column
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


def _write_csv(path: Path, rows: Iterator[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(rows)


def _write_jsonl(path: Path, rows: Iterator[Row]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(
            json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=False) + "\n"
            for row in rows
        )


def _write_parquet(path: Path, parts: Iterable[Recommendations]) -> None:
    import pyarrow as pa
    import pyarrow.parquet

    kinds = (pa.string(), pa.int32(), pa.string(), pa.string(), pa.float32())
    schema = pa.schema(list(zip(COLUMNS, kinds, strict=True)))
    with pyarrow.parquet.ParquetWriter(path, schema) as file:
        for part in parts:
            file.write_table(part.to_arrow().cast(schema))


def _write_trec(path: Path, rows: Iterator[Row]) -> None:
    """A run as trec_eval, ranx and ir-measures read it: user Q0 item rank score tag."""
    with path.open("w", encoding="utf-8") as file:
        for user, rank, item, _, score in rows:
            # repr: all digits, so that other programs sort as we do
            file.write(f"{user} Q0 {item} {rank} {score!r} dllm2rec\n")


_WRITERS: dict[str, Callable[[Path, Iterator[Row]], None]] = {
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
    ".trec": _write_trec,
}
_ENDINGS = (".parquet", *_WRITERS)
