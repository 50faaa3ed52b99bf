"""Objects on lines of their own: JSON, or what Python prints for a dict."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

from dllm2rec.data.text.files import shown
from dllm2rec.data.text.json_objects import TwiceError, distinct
from dllm2rec.errors import InputError

# A literal of Amazon's 2014 metadata is a flat dict with lists in it; Python's own parser is asked
# only below these bounds, where neither its stack nor its memory can run out.
LITERAL_LIMIT = 2**20
LITERAL_DEPTH = 16
# A string that is not triple-quoted; and what may stand between strings: no name, call or operator.
_STRING = re.compile(r"""'(?!'')(?:[^'\\]|\\.)*+'|"(?!"")(?:[^"\\]|\\.)*+\"""")
_PLAIN = re.compile(r"(?:True|False|None|u?''|[-+]?[0-9.]++(?:e[-+]?[0-9]++)?|[\s,:{}\[\]()])*+")


def read_record(path: Path, number: int, line: str) -> dict[str, Any]:
    """Read one line of JSON, or of what Python prints for a dict, as the 2014 files have it."""
    try:
        value = json.loads(line, object_pairs_hook=distinct)
    except TwiceError as err:
        message = f"key {ascii(err.args[0])[:40]} twice, expected each key once"
        raise InputError(message, code="E-JSON-KEY", path=path, line=number) from err
    except (ValueError, RecursionError):
        value = _literal(path, number, line)
    if not isinstance(value, dict):
        raise InputError(
            "no object, expected {...} on each line", code="E-TOKEN", path=path, line=number
        )
    return value


def _literal(path: Path, number: int, line: str) -> object:
    try:
        return plain_literal(line)
    except ValueError as err:
        raise InputError(
            str(err), code="E-JSON", path=path, line=number, token=shown(line[:40].encode())
        ) from err


def plain_literal(line: str) -> object:
    """Read what Python prints for a dict of texts, numbers and lists.

    Raises:
        ValueError: it is more than that, or too long or too deep; the message says so.
    """
    bare = _STRING.sub("''", line)
    depth = _depth(bare)
    if len(line) > LITERAL_LIMIT or depth > LITERAL_DEPTH:
        raise ValueError(
            f"{len(line):,} characters with brackets {depth} deep, expected JSON, or a Python "
            f"literal of at most {LITERAL_LIMIT:,} characters and {LITERAL_DEPTH} deep"
        )
    try:
        if _PLAIN.fullmatch(bare):
            tree = ast.parse(line.strip(), mode="eval")
            _check_keys(tree)
            return ast.literal_eval(tree)
    except TwiceError as err:
        raise ValueError(f"key {ascii(err.args[0])[:40]} twice, expected each key once") from err
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        pass
    raise ValueError("neither JSON nor a plain Python literal, expected {...} on each line")


def _check_keys(tree: ast.Expression) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
            distinct([(key, None) for key in keys if isinstance(key, str)])


def _depth(bare: str) -> int:
    depth = deepest = 0
    for bracket in re.findall(r"[{}\[\]()]", bare):
        depth += 1 if bracket in "{[(" else -1
        deepest = max(deepest, depth)
    return deepest
