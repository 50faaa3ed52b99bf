"""JSON lines as chunks of a log: one object per line, each key once, no NaN, little nesting."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from dllm2rec import _core
from dllm2rec.data.logs.columns import Chunk, Fault
from dllm2rec.data.logs.interactions import Columns
from dllm2rec.data.logs.roles import roles_of
from dllm2rec.data.logs.titles.records import plain_literal
from dllm2rec.data.text.blocks import TextBlock, text_blocks
from dllm2rec.data.text.files import JSON_CAP, shown
from dllm2rec.data.text.json_objects import TwiceError, distinct
from dllm2rec.data.text.text_form import PLAIN, TextForm
from dllm2rec.errors import InputError, InternalError

_CHUNK_ROWS = 1 << 16
_MAX_DEPTH = 64


class _NotFiniteError(ValueError):
    """NaN or an infinity; the argument is its text."""


def read_json_lines(path: Path, columns: Columns, form: TextForm = PLAIN) -> Iterator[Chunk]:
    """Yield the chunks of a file of JSON lines.

    Ids are strings or whole numbers; keys that are not asked for are passed over.

    Raises:
        InputError: a line is no such object; the message names line and column.
    """
    rows: list[tuple[Any, ...]] = []
    roles: dict[str, str] | None = None
    done = 0
    for block in text_blocks(path, "\0", quotes=False, form=form):
        for start, end in _lines(block):
            entry = _parsed(block, start, end)
            if roles is None:
                roles = roles_of(list(entry), columns, path, line=1)
            rows.append(tuple(map(entry.get, roles.values())))
            if len(rows) == _CHUNK_ROWS:
                yield _chunk(path, roles, rows, done, form)
                done += len(rows)
                rows = []
    if roles is None:
        raise InputError("empty file, expected one object per line", code="E-EMPTY", path=path)
    if rows:
        yield _chunk(path, roles, rows, done, form)


def _lines(block: TextBlock) -> Iterator[tuple[int, int]]:
    """Yield where each line begins and ends, its line feed included."""
    start = 0
    while start < len(block.data):
        end = block.data.find(b"\n", start) + 1 or len(block.data)
        yield start, end
        start = end


def _parsed(block: TextBlock, start: int, end: int) -> dict[str, Any]:
    line = block.data[start:end].rstrip(b"\r\n")
    if not line:
        raise block.blank(start)
    array = line.lstrip().startswith(b"[")
    hint = "write one object per line, not an array" if array else ""
    if len(line) > JSON_CAP:
        message = f"over {JSON_CAP:,} bytes, expected a line with one JSON object"
        raise block.fault(start, message, "E-LINE", hint)
    if line.count(b"[") + line.count(b"{") > _MAX_DEPTH:
        _check_depth(block, start, line)
    text = line.decode()
    try:
        entry = json.loads(text, object_pairs_hook=distinct, parse_constant=_not_finite)
    except json.JSONDecodeError as err:
        if re.match(r"\{u?'", text):  # what Python prints for a dict, as the reviews of Steam
            return _literal(block, start, text)
        place = start + len(text[: err.pos].encode())
        message = f"{err.msg[:1].lower()}{err.msg[1:]}, expected a JSON object"
        raise block.fault(place, message, "E-JSON", hint) from err
    except TwiceError as err:
        key = json.dumps(err.args[0], ensure_ascii=False).encode("utf-8", "replace")
        found = [match.start() for match in re.finditer(re.escape(key) + rb"\s*:", line)]
        place = start + (found[1] if len(found) > 1 else 0)
        message = f"key {shown(key)} twice, expected each key once"
        raise block.fault(place, message, "E-JSON-KEY") from err
    except _NotFiniteError as err:
        place = start + _constant_place(line, err.args[0].encode())
        message = f"{err.args[0]}, expected a finite number"
        raise block.fault(place, message, "E-JSON") from err
    except ValueError as err:  # Python's own limit on the digits of an integer
        raise block.fault(start, f"{str(err)[:80]}, expected a JSON object", "E-JSON") from err
    if not isinstance(entry, dict):
        kind = "an array" if isinstance(entry, list) else f"a {type(entry).__name__}"
        message = f"{kind}, expected a JSON object"
        raise block.fault(start, message, "E-JSON", "write one object per line")
    return entry


def _literal(block: TextBlock, start: int, text: str) -> dict[str, Any]:
    try:
        entry = plain_literal(text)
    except ValueError as err:
        raise block.fault(start, str(err), "E-JSON") from err
    if not isinstance(entry, dict) or not all(isinstance(key, str) for key in entry):
        raise block.fault(start, "no names of columns, expected {'name': ...}", "E-JSON")
    return entry


def _not_finite(text: str) -> None:
    raise _NotFiniteError(text)


def _constant_place(line: bytes, name: bytes) -> int:
    """Find a constant outside the strings of a line."""
    outside = re.sub(rb'"(?:[^"\\]|\\.)*"', lambda m: b'"' * len(m.group()), line)
    return max(0, outside.find(name))


def _check_depth(block: TextBlock, start: int, line: bytes) -> None:
    depth, outside = 0, re.sub(rb'"(?:[^"\\]|\\.)*"', lambda m: b'"' * len(m.group()), line)
    for match in re.finditer(rb"[\[\]{}]", outside):
        depth += 1 if match.group() in b"[{" else -1
        if depth > _MAX_DEPTH:
            message = f"nested more than {_MAX_DEPTH} deep, expected a flat object"
            raise block.fault(start + match.start(), message, "E-JSON-DEPTH")


def _chunk(
    path: Path, roles: dict[str, str], rows: list[tuple[Any, ...]], first: int, form: TextForm
) -> Chunk:
    def fault(row: int, role: str, message: str, code: str, hint: str) -> InputError:
        return _value_fault(path, form, first + row, roles[role], message, code, hint)

    values = map(list, zip(*rows, strict=True))
    columns = {role: _column(cells, role, fault) for role, cells in zip(roles, values, strict=True)}
    return Chunk(columns, fault)


def _column(values: list[Any], role: str, fault: Fault) -> pa.Array:
    is_id = role in ("user", "item", "split")
    allowed = {int, str} if is_id else {int, float, str} if role == "time" else {int, float}
    kinds = set(map(type, values)) - {type(None)}
    if not kinds <= allowed:
        row = next(n for n, v in enumerate(values) if v is not None and type(v) not in allowed)
        wanted = " or ".join(
            sorted({int: "a whole number", float: "a number", str: "a text"}[k] for k in allowed)
        )
        got = type(values[row]).__name__
        raise fault(row, role, f"a {got} as {role}, expected {wanted}", "E-DTYPE", "")
    if str in kinds:
        return _texts(values, role, kinds, fault)
    if is_id:
        return pa.array([None if v is None else str(v) for v in values], pa.large_string())
    if role == "rating":
        return pa.array([None if v is None else float(v) for v in values], pa.float64())
    try:
        return pa.array(values, pa.float64() if float in kinds else pa.int64())
    except (pa.ArrowInvalid, OverflowError):
        row = next(n for n, v in enumerate(values) if v is not None and abs(v) >= 2**63)
        raise fault(row, role, f"time above {2**63 - 1}, expected less", "E-TS", "") from None


def _texts(values: list[Any], role: str, kinds: set[type], fault: Fault) -> pa.Array:
    if kinds != {str} and role == "time":
        first = type(next(v for v in values if v is not None))
        row = next(n for n, v in enumerate(values) if v is not None and type(v) is not first)
        raise fault(row, role, "numbers and texts as times, expected one of them", "E-TS", "")
    texts = [None if v is None else str(v) for v in values]
    for row, text in enumerate(texts):
        if text is None or (text.isprintable() and text.isascii()):
            continue
        if "\0" in text:
            raise fault(row, role, "a NUL in a text, expected none", "E-NUL", "")
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise fault(row, role, "half a surrogate pair, expected Unicode text", "E-ENC", "")
    return pa.array(texts, pa.large_string())


def _value_fault(
    path: Path, form: TextForm, row: int, key: str, message: str, code: str, hint: str
) -> InputError:
    """Return the error for a value, placed where it begins, or where its line does."""
    for block in text_blocks(path, "\0", quotes=False, form=form):
        start, n_rows = _core.row_start(block.data, row, quotes=False)
        if start is not None:
            line = block.data[start : block.data.find(b"\n", start) + 1 or None]
            name = re.escape(json.dumps(key, ensure_ascii=False).encode())
            found = re.search(name + rb"\s*:\s*", line)
            place = start + (found.end() if found else 0)
            return block.fault(place, f"{key}: {message}", code, hint)
        row -= n_rows
    raise InternalError(f"{path}: a row behind the end is at fault")
