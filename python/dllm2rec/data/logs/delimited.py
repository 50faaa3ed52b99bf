"""CSV, TSV and their like as chunks of a log.

A kernel splits blocks without anything rare in them. The others are parsed and converted by Arrow;
what it would let through (quotes inside a field, white space around numbers, hexadecimal) is found
in the bytes beforehand, and where a row is at fault the block is looked at again to say where. A
blank line is a row of empty cells to Arrow, so that its user is missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa

from dllm2rec import _core
from dllm2rec.data.logs.columns import Chunk, SplitIds
from dllm2rec.data.logs.delimited_arrow import is_plain, number_types, parse
from dllm2rec.data.logs.delimited_header import DelimitedLog, numbered, opened
from dllm2rec.data.logs.id_encoding import texts_of
from dllm2rec.data.logs.interactions import Columns
from dllm2rec.data.logs.log_form import LogForm
from dllm2rec.data.logs.roles import REQUIRED, check_numbers, roles_of
from dllm2rec.data.text.blocks import TextBlock, check_text, unchecked_blocks
from dllm2rec.errors import ConfigError, InputError

_COLONS = "::"  # of MovieLens
_PLAIN = LogForm()
_KERNEL_KINDS = {pa.int64(): "int", pa.float32(): "float"}


def read_delimited(
    path: Path,
    columns: Columns,
    delimiter: str,
    *,
    form: LogForm = _PLAIN,
    with_kernel: bool = True,
) -> Iterator[Chunk]:
    """Yield the chunks of a delimited file (RFC 4180, any one-byte delimiter, or `::`).

    Args:
        path: the file.
        columns: how its columns are called, or their numbers, "1" the first, without a header.
        delimiter: what stands between columns.
        form: whether there is a header, what quotes mean, and the encoding.
        with_kernel: let the kernel take what it can, ids as strings.

    Raises:
        InputError: the file breaks a rule; the message names line and column.
        ConfigError: the delimiter is none, or columns without a header have names.
    """
    check_delimiter(delimiter)
    quotes, log = form.has_quotes(delimiter), None
    if form.names is not None:
        roles = roles_of(form.names, columns, path, line=None)
        log = DelimitedLog(path, delimiter, list(form.names), roles, form)
    elif not form.header:
        check_numbers(columns)
    done = first_record = 0 if log or not form.header else 1
    for block in unchecked_blocks(path, delimiter, quotes=quotes, form=form.text):
        body = block
        if log is None:
            check_text(block, delimiter, quotes=quotes)
            if form.header:
                log, body = opened(block, columns, delimiter, form)
            else:
                log = numbered(block, columns, delimiter, form)
            if not body.data:
                continue
        for chunk, n_rows in _chunks(log, body, done, with_kernel=with_kernel):
            done += n_rows
            yield chunk
    if log is None or done == 0:
        raise InputError("empty file, expected rows", code="E-EMPTY", path=path)
    if done == first_record:
        raise InputError("only a header, expected rows", code="E-EMPTY", path=path)


def check_delimiter(delimiter: str) -> None:
    """Refuse what cannot stand between columns.

    Raises:
        ConfigError: it is neither one ASCII character, other than a letter, digit, quote or line
            end, nor `::`.
    """
    if delimiter != _COLONS and (
        len(delimiter) != 1
        or not delimiter.isascii()
        or delimiter in '"\r\n\0'
        or delimiter.isalnum()
    ):
        raise ConfigError(
            f"delimiter {delimiter!r}, expected one ASCII character such as ',', or '::'"
        )


def _chunks(
    log: DelimitedLog, block: TextBlock, done: int, *, with_kernel: bool
) -> Iterator[tuple[Chunk, int]]:
    """Yield the chunks of a block and how many rows each has; `done` records are before it."""
    data, delimiter, numbers = block.data, log.delimiter, number_types(log, block)
    tab = -1
    if delimiter == _COLONS:
        # Delimiters have one byte to Arrow and the kernel: a tab stands in, if there is none.
        tab, delimiter = data.find(b"\t"), "\t"
        data = data.replace(b"::", b"\t")
    if with_kernel and tab < 0 and (split := _split(log, data, delimiter, numbers)) is not None:
        ids, cells = split
        fault = partial(_fault, log, done)
        yield Chunk(cells, fault, plain=True, ids=ids), len(ids.block)
        return
    check_text(block, log.delimiter, quotes=log.quotes)
    if tab >= 0:
        raise block.fault(tab, "a tab, expected columns between '::'", "E-DELIM")
    plain = is_plain(data, delimiter)
    for batch in parse(log, block, data, delimiter, numbers).to_batches():
        cells = {role: batch.column(name) for role, name in log.roles.items()}
        yield Chunk(cells, partial(_fault, log, done), plain), batch.num_rows
        done += batch.num_rows


def _fault(
    log: DelimitedLog, first: int, row: int, role: str, message: str, code: str, hint: str
) -> InputError:
    return log.fault(first + row, role, message, code, hint)


def _split(
    log: DelimitedLog, data: bytes, delimiter: str, numbers: dict[str, pa.DataType]
) -> tuple[SplitIds, dict[str, pa.Array]] | None:
    """Let the kernel split a block; None where it leaves it alone."""
    fields = {role: log.header.index(name) for role, name in log.roles.items()}
    kinds = ["skip"] * len(log.header)
    for role, field in fields.items():
        kind = "id" if role in REQUIRED else _KERNEL_KINDS.get(numbers.get(role), "text")
        if kinds[field] not in ("skip", kind):
            return None  # one column in two roles
        kinds[field] = kind
    block = _core.split_rows(data, ord(delimiter), kinds)
    if block is None:
        return None
    read = [field for field, kind in enumerate(kinds) if kind != "skip"]
    place = {role: read.index(field) for role, field in fields.items()}
    cells = {}
    for role in fields.keys() - set(REQUIRED):
        kind = kinds[fields[role]]
        if kind == "text":
            cells[role] = texts_of(*block.texts(place[role]))
        else:
            cells[role] = pa.array((block.ints if kind == "int" else block.floats)(place[role]))
    return SplitIds(block, place["user"], place["item"]), cells
