"""Files of any size that cost a careless reader far more than their bytes."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Callable

import numpy as np
import pyarrow as pa
from pyarrow import parquet

Shape = Callable[[int], bytes]
MEBIBYTE = 2**20


def _repeated(row: bytes) -> Shape:
    """Nothing but one row, with no head."""
    return lambda n: row * (n // len(row))


def _behind(head: bytes, shape: Shape) -> Shape:
    return lambda n: head + shape(n)


def _distinct(row: str) -> Shape:
    """A row again and again, each `#` the number of the row."""

    def make(n: int) -> bytes:
        width = len(row.replace("#", f"{n // len(row):x}")) + 1
        return "".join(row.replace("#", f"{i:x}") + "\n" for i in range(n // width)).encode()

    return make


# What any reader of lines may meet, behind a sound head.
ANY_LINES: dict[str, Shape] = {
    "blank lines": _repeated(b"\n"),
    "blank lines and a row": lambda n: b"\n" * n + b"u,i,1,1\n",
    "a long line": lambda n: b"x" * n + b"\n",
    "a line of commas": lambda n: b"," * n + b"\n",
    "lines of commas": _repeated(b",,,\n"),
    "spaces": _repeated(b" "),
    "carriage returns": _repeated(b"\r"),
    "NULs": _repeated(b"\0"),
    "a line of quotes": lambda n: b'"' * n + b"\n",
    "lines of quotes": _repeated(b'""\n'),
    "an open quote": lambda n: b'"' + b"a,b\n" * (n // 4),
    "brackets": _repeated(b"["),
    "pairs of brackets": lambda n: b"[" + b"[]," * (n // 3) + b"[]]\n",
    "objects": lambda n: b"[" + b"{}," * (n // 3) + b"{}]\n",
    "digits": lambda n: b"1" * n + b"\n",
    "beyond ASCII": lambda n: "é".encode() * (n // 2) + b"\n",
    "no UTF-8": _repeated(b"\xff"),
}


def delimited(delimiter: str, head: str = "user_id,item_id,rating,timestamp\n") -> dict[str, Shape]:
    """Shapes of a log or of titles with this delimiter; without a head there is no header."""

    def own(shape: Shape) -> Shape:
        return lambda n: shape(n).replace(b",", delimiter.encode())

    start = head.replace(",", delimiter).encode()
    shapes = {name: _behind(start, own(shape)) for name, shape in ANY_LINES.items()}
    shapes["rows"] = _behind(start, own(_distinct("u#,i#,5,1600000000")))
    shapes["rows with spaces"] = _behind(start, own(_distinct("u #,i #,5,1600000000")))
    shapes["rows with quotes"] = _behind(start, own(_distinct('"u#","i#",5,1600000000')))
    shapes["long ids"] = _behind(start, own(lambda n: b"%s,i,5,1\n" % (b"u" * 5000) * (n // 5007)))
    if head:
        shapes["a wide header"] = own(
            lambda n: start + b",".join(b"c%d" % i for i in range(n // 64)) + b"\n" + b"," * n
        )
        shapes["wide rows"] = own(lambda n: _wide(head, n))
        shapes["no header"] = own(lambda n: b"," * n)
    return shapes


def _wide(head: str, n: int) -> bytes:
    n_more = n // 64
    names = "".join(f",c{i}" for i in range(n_more))
    return f"{head.strip()}{names}\nu,i,5,1600000000{',1' * n_more}\n".encode()


LINES_OF_JSON = b'{"user_id": "u", "item_id": "i", "history": ["i"]}\n'
json_lines: dict[str, Shape] = {
    **{name: _behind(LINES_OF_JSON, shape) for name, shape in ANY_LINES.items()},
    "rows": _distinct('{"user_id": "u#", "item_id": "i#", "history": ["i#"]}'),
    "rows with text": _distinct(
        '{"user_id": "u#", "item_id": "i#", "history": ["#"], "x": "' + "y" * 900 + '"}'
    ),
    "many keys": lambda n: (
        b'{"user_id": "u", ' + b", ".join(b'"%x": 1' % i for i in range(n // 16)) + b"}\n"
    ),
    "an array of rows": lambda n: b"[" + LINES_OF_JSON[:-1] * (n // len(LINES_OF_JSON)) + b"]\n",
    "a long history": lambda n: b'{"history": [' + b"1, " * (n // 3) + b"1]}\n",
}

WINDOWS = b"seq,next\n"
windows: dict[str, Shape] = {
    **{name: _behind(WINDOWS, shape) for name, shape in ANY_LINES.items()},
    "rows": _behind(WINDOWS, _repeated(b'"[1, 2, 3]",4\n')),
    "a long list": lambda n: WINDOWS + b'"[' + b"1, " * (n // 3) + b'1]",4\n',
}

ROW_OF_NUMBERS = b"1 2 3\n"
numbers: dict[str, Shape] = {
    **{name: _behind(ROW_OF_NUMBERS, shape) for name, shape in ANY_LINES.items()},
    "rows": _repeated(ROW_OF_NUMBERS),
    "one row": lambda n: b"1 " * (n // 2) + b"1\n",
    "rows of one": _repeated(b"1\n"),
    "comments": _repeated(b"#\n"),
}


def _tiny_members(content: bytes) -> bytes:
    member = zlib.compressobj(1, wbits=31)
    data = member.compress(content) + member.flush()
    return data * 2


COMPRESSED: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip of blank lines": lambda head, n: gzip.compress(head + b"\n" * (1000 * n), 6),
    "gzip of the head": lambda head, n: gzip.compress(head + head[-1:] + b"0" * (1000 * n), 6),
    "many members of gzip": lambda head, n: gzip.compress(head) + gzip.compress(b"") * (n // 20),
    "many frames of zstd": lambda head, n: (
        pa.compress(head, "zstd", asbytes=True) + pa.compress(b"", "zstd", asbytes=True) * (n // 9)
    ),
}


def parquet_of(**columns: object) -> bytes:
    """A Parquet file of these columns."""
    sink = io.BytesIO()
    parquet.write_table(pa.table(columns), sink, compression="zstd")
    return sink.getvalue()


def safetensors_header(n: int) -> bytes:
    """A header of `n` bytes that names the same tensors again and again."""
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    pairs = ",".join(f'"{i:08x}":{json.dumps(entry)}' for i in range(n // 70))
    header = f"{{{pairs}}}".encode()
    return len(header).to_bytes(8, "little") + header


def npy_of_zeros(n: int) -> bytes:
    sink = io.BytesIO()
    np.save(sink, np.zeros((4, n // 16), np.float32))
    return sink.getvalue()
