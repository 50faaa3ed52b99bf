"""RecBole's files of windows that are already split: NAME.train.inter, NAME.test.inter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import compute, csv

from dllm2rec.data.dataset import Catalogue, Rows, SequenceDataset
from dllm2rec.data.logs.delimited_header import fields
from dllm2rec.data.logs.interactions import SPLITS
from dllm2rec.data.logs.layouts.layout import Layout
from dllm2rec.data.logs.layouts.read_layout import read_layout_titles
from dllm2rec.data.text.blocks import TextBlock, check_text
from dllm2rec.data.text.files import BOM, read_bytes
from dllm2rec.errors import InputError

_LIST = "_list:token_seq"


def load_recbole_windows(layout: Layout) -> SequenceDataset:
    """Read files of windows, and `.item`, if there.

    Each row holds `item_id_list:token_seq` (ids between spaces, oldest first) and `item_id:token`
    (the target); it becomes a pseudo-user. Items are numbered in the order of `.item`, then in that
    of the rows; max_length is the longest list. A split without a file has no rows.

    Raises:
        InputError: a file breaks a rule.
    """
    if "train" not in layout.form.splits:
        raise InputError(
            "rows of windows, expected NAME.train.inter and NAME.valid.inter or NAME.test.inter",
            code="E-SPLIT",
            path=layout.logs[0],
            hint="name all files of the dataset, or their folder",
        )
    quotes = layout.form.quotes == "double"
    files = [_read(path, quotes=quotes) for path in layout.logs]
    titles = read_layout_titles(layout)
    listed = [] if titles is None else titles.table["item_id"].to_pylist()
    met = [ids for file in files for ids in (file.items, file.targets)]
    ids = pa.chunked_array([pa.array(listed, pa.large_string()), *met]).unique()
    events, rows = _events(files, layout.form.splits, ids)
    notes = [] if titles is None else titles.notes
    missing = [name for name in SPLITS if not len(rows[name])]
    notes += [f"W-SPLIT no {name} rows, and dllm2rec train needs some" for name in missing]
    return SequenceDataset(
        name=layout.logs[0].name.partition(".")[0],
        catalogue=_catalogue(ids, None if titles is None else titles.table),
        events=events,
        max_length=max(int(file.counts.max()) for file in files),
        train=rows["train"],
        validation=rows["validation"],
        test=rows["test"],
        has_users=False,
        notes=notes,
    )


@dataclass(frozen=True, eq=False)
class _File:
    """One file's ids: the items of all histories, how many each row has, and the targets."""

    items: pa.Array
    counts: npt.NDArray[np.int64]
    targets: pa.Array


def _events(
    files: list[_File], splits: tuple[str, ...], ids: pa.Array
) -> tuple[npt.NDArray[np.uint32], dict[str, Rows]]:
    """Lay the rows out one after the other, train first: the history, then the target."""
    none = np.empty(0, np.int64)
    events: list[npt.NDArray[np.uint32]] = []
    rows = {}
    for split in SPLITS:
        own = [file for file, of in zip(files, splits, strict=True) if of == split]
        counts = np.concatenate([none, *(file.counts for file in own)])
        before = sum(part.size for part in events)
        ends = before + np.cumsum(counts + 1) - 1
        rows[split] = Rows(ends - counts, ends)
        for file in own:
            items, targets = (
                compute.index_in(each, ids).to_numpy() for each in (file.items, file.targets)
            )
            numbers = np.insert(items, np.cumsum(file.counts), targets)
            events.append(numbers.astype(np.uint32))
    return np.concatenate(events), rows


def _catalogue(ids: pa.Array, titles: pa.Table | None) -> Catalogue:
    names: list[str] = ids.to_pylist()
    if titles is None:
        return Catalogue(names)
    of = dict(zip(titles["item_id"].to_pylist(), titles["title"].to_pylist(), strict=True))
    return Catalogue(names, [of.get(name, "") for name in names])


def _read(path: Path, *, quotes: bool) -> _File:
    data = read_bytes(path).removeprefix(BOM).rstrip(b"\r\n")
    check_text(TextBlock(path, data, 0), "\t", quotes=quotes)
    header = fields(data.partition(b"\n")[0], "\t", quotes=quotes)
    column = next((name for name in header if name.endswith(_LIST)), "")
    target = f"{column.removesuffix(_LIST)}:token"
    if target not in header:
        raise InputError(
            f"columns {', '.join(header)[:120]!r}, expected item_id_list:token_seq and "
            "item_id:token",
            code="E-HEADER",
            path=path,
            line=1,
        )
    table = _parsed(path, data, header, [column, target], quotes=quotes)
    if not len(table):
        raise InputError("only a header, expected rows", code="E-EMPTY", path=path)
    lists = compute.split_pattern(table[column].combine_chunks(), " ")
    targets = table[target].combine_chunks()
    bad = compute.or_(compute.equal(table[column], ""), compute.equal(targets, "")).index(True)
    if bad.as_py() >= 0:
        message = f"row {bad.as_py() + 1}: no history or no target, expected both in each row"
        raise InputError(message, code="E-LEN-SEQ", path=path)
    counts = compute.list_value_length(lists).to_numpy().astype(np.int64)
    return _File(lists.flatten(), counts, targets)


def _parsed(
    path: Path, data: bytes, header: list[str], columns: list[str], *, quotes: bool
) -> pa.Table:
    try:
        return csv.read_csv(
            pa.BufferReader(data + b"\n"),
            read_options=csv.ReadOptions(column_names=header, skip_rows=1, use_threads=False),
            parse_options=csv.ParseOptions(
                delimiter="\t",
                quote_char='"' if quotes else False,
                newlines_in_values=quotes,
                ignore_empty_lines=False,
            ),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.large_string()),
                include_columns=columns,
                null_values=[],
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as err:
        reason = str(err).partition("\n")[0][:120]
        raise InputError(f"unreadable rows ({reason})", code="E-CSV", path=path) from err
