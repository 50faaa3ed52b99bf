"""The bad-input corpus of interaction logs: one entry a case, made with a fixed seed.

`python -m tests.corpus.logs FOLDER` writes the files and an `expected.tsv` beside them.
"""

# ruff: noqa: E501 - a case on a line of its own reads as a table

from __future__ import annotations

import datetime as dt
import gzip
import io
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from dllm2rec.data.logs.interactions import Columns

SEED = 20240531
HEAD = b"user_id,item_id,timestamp,rating\n"
ROW = b"u1,i1,1600000000,5\n"
MICRO = 1_000_000
T = 1_600_000_000


@dataclass(frozen=True)
class Case:
    """Files and what must happen: a code at a line and a column, or ids, times and notes.

    Attributes:
        name: the row of the table in the brief, and what is special.
        files: name -> content; one file is read alone, several as a folder.
        entry: `read`, `authors` (a folder in the authors' layout) or `prepare` (read, then prepare).
        code: of the error; empty where the files are accepted.
        status: the exit code of a command.
        says: text that the error must have.
        items: external item ids, row after row, of an accepted log.
        times: microseconds, row after row.
        notes: what the notes must begin with, in order, apart from what the unit is.
        options: of the reader.
    """

    name: str
    files: dict[str, bytes]
    entry: str = "read"
    code: str = ""
    status: int = 0
    line: int | None = None
    column: int | None = None
    says: str = ""
    items: list[str] | None = None
    times: list[int] | None = None
    notes: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


def bad(name: str, data: bytes | dict[str, bytes], code: str, line: int | None = None,
        column: int | None = None, says: str = "", *, suffix: str = ".csv", status: int = 3,
        entry: str = "read", **options: Any) -> Case:  # fmt: skip
    """Files that must be refused with `code` at `line:column`, the text saying `says`."""
    files = data if isinstance(data, dict) else {f"log{suffix}": data}
    return Case(name, files, entry, code, status, line, column, says, options=options)


def good(name: str, data: bytes | dict[str, bytes], items: list[str] | None = None, *notes: str,
         times: list[int] | None = None, suffix: str = ".csv", entry: str = "read",
         **options: Any) -> Case:  # fmt: skip
    """Files that must be accepted."""
    files = data if isinstance(data, dict) else {f"log{suffix}": data}
    return Case(name, files, entry, items=items, times=times, notes=notes, options=options)


def items(*ids: str) -> bytes:
    """A log of one user who met these items, as they are written."""
    return HEAD + b"".join(f"u1,{i},{T + n},5\n".encode() for n, i in enumerate(ids))


def times(*texts: str) -> bytes:
    """A log of one user at these times, as they are written."""
    return HEAD + b"".join(f"u1,i{n},{text},5\n".encode() for n, text in enumerate(texts))


def json_lines(*lines: bytes) -> bytes:
    return b'{"user_id": "u1", "item_id": "i1"}\n' + b"".join(line + b"\n" for line in lines)


def table(**columns: Any) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(
        pa.table({"user_id": ["u1", "u2"], **columns}), sink, write_page_checksum=True
    )
    return sink.getvalue()


def typed(values: list[Any], kind: pa.DataType) -> bytes:
    return table(item_id=pa.array(values, kind))


def timed(values: list[Any], kind: pa.DataType) -> bytes:
    return table(item_id=["i1", "i2"], timestamp=pa.array(values, kind))


def flipped(data: bytes) -> bytes:
    """The same with one bit of its first page changed."""
    return data[:40] + bytes([data[40] ^ 1]) + data[41:]


def many_rows(at: int, item: str) -> bytes:
    """3,000 rows of whole numbers, one of another kind in data row `at`."""
    rng = random.Random(SEED)
    rows = [
        f"{rng.randrange(500)},{rng.randrange(900)},{T + n},{rng.randrange(1, 6)}"
        for n in range(3000)
    ]
    rows[at - 1] = f"7,{item},{T + at - 1},3"
    return HEAD + "\n".join(rows).encode() + b"\n"


def authors(**changed: str) -> dict[str, bytes]:
    """A sound small folder in the authors' layout (5 items, L = 3), some of its files replaced."""
    head = "seq,len_seq,next\n"
    texts = {
        "train_data": head + '"[0, 5, 5]",1,1\n"[0, 1, 5]",2,2\n',
        "val_data": head + '"[3, 5, 5]",1,4\n',
        "test_data": head + '"[2, 4, 1]",3,0.0\n',
        "items": "item,title\n" + "".join(f"{n},Title {n}\n" for n in range(5)),
    }
    return {f"{stem}.csv": text.encode() for stem, text in (texts | changed).items()}


AUTHORS_HEAD = "seq,len_seq,next\n"


def authors_row(row: str) -> dict[str, bytes]:
    return authors(train_data=f"{AUTHORS_HEAD}{row}\n")


def events(*rows: tuple[str, str, int]) -> bytes:
    return HEAD + "".join(f"{user},{item},{T + time},5\n" for user, item, time in rows).encode()


PATHS = events(*((f"u{n}", f"i{(n + k) % 6}", k) for n in range(4) for k in range(4)))
PATHS_ITEMS = [f"i{(n + k) % 6}" for n in range(4) for k in range(4)]
DAY = dt.datetime(2024, 5, 31, 8, tzinfo=dt.UTC)
DAY_US = int(DAY.timestamp()) * MICRO

CASES = [
    good("L01-zeros-are-kept", items("007", "7"), ["007", "7"]),
    good("L01-int-ids-merge", HEAD + b"1,007,1600000000,5\n1,7,1600000001,5\n", ["7", "7"], id_type="int"),
    good("L02-missing-words", items("NA", "null", "None", "nan", "N/A", "NULL", "-"), ["NA", "null", "None", "nan", "N/A", "NULL", "-"]),
    bad("L03-empty-item", HEAD + ROW + b"u1,,1600000001,5\n", "E-LOG-MISSING", 3, 4),
    bad("L03-empty-user", HEAD + ROW + b",i2,1600000001,5\n", "E-LOG-MISSING", 3, 1),
    bad("L03-empty-quoted", HEAD + ROW + b'u1,"",1600000001,5\n', "E-LOG-MISSING", 3, 5),
    bad("L03-empty-last", b"timestamp,user_id,item_id\n1600000000,u1,i1\n1600000000,u1,\n", "E-LOG-MISSING", 3, 15),
    bad("L03-empty-rating", HEAD + ROW + b"u1,i2,1600000001,\n", "E-LOG-MISSING", 3, 18),
    good("L04-beyond-2-to-53", items("9007199254740993", "9007199254740992"), ["9007199254740993", "9007199254740992"]),
    good("L04-beyond-2-to-53-int", HEAD + b"1,9007199254740993,1600000000,5\n", ["9007199254740993"], id_type="int"),
    good("L04-json", json_lines(b'{"user_id": "u1", "item_id": 9007199254740993}'), ["i1", "9007199254740993"], "no column of times", suffix=".jsonl"),
    good("L05-exponent", items("1e5", "100000"), ["1e5", "100000"]),
    bad("L05-exponent-int", HEAD + b"1,2,1600000000,5\n1,1e5,1600000001,5\n", "E-NOT-INTEGER", 3, 3, "'1e5'", id_type="int"),
    bad("L05-json-float-id", json_lines(b'{"user_id": "u1", "item_id": 5.0}'), "E-DTYPE", 2, 30, suffix=".jsonl"),
    good("L06-booleans", items("True", "False", "true"), ["True", "False", "true"]),
    bad("L07-space-before", items("5", " 5"), "E-LOG-SPACE", 3, 4, "--strip"),
    bad("L07-space-behind", items("5", "5 "), "E-LOG-SPACE", 3, 4),
    bad("L07-tab-behind", items("5", "5\t"), "E-LOG-SPACE", 3, 4),
    bad("L07-no-break-space", items("5", "5\u00a0"), "E-LOG-SPACE", 3, 4),
    bad("L07-quoted-space", items("5", '" 5"'), "E-LOG-SPACE", 3, 5),
    bad("L07-only-space", items("5", " "), "E-LOG-MISSING", 3, 4, strip=True),
    bad("L07-json", json_lines(b'{"user_id": "u1", "item_id": " 5"}'), "E-LOG-SPACE", 2, 30, suffix=".jsonl"),
    bad("L07-parquet", typed(["5", "5 "], pa.string()), "E-LOG-SPACE", says="row 2, column 'item_id'", suffix=".parquet"),
    good("L07-strip", items(" 5", "5 ", "5"), ["5", "5", "5"], strip=True),
    good("L07-space-inside", items("a b", "a  b"), ["a b", "a  b"]),
    bad("L08-seconds-and-ms", times(*map(str, range(T, T + 9)), str(T * 1000)), "E-TS-UNIT", 11, 7, "milliseconds"),
    bad("L08-ms-and-seconds", times(str(T * 1000), str(T * 1000 + 1), str(T)), "E-TS-UNIT", 4, 7, "seconds"),
    bad("L08-us-and-ns", times(f"{T}000000", f"{T}000001", f"{T}000000000"), "E-TS-UNIT", 4, 7, "nanoseconds"),
    bad("L08-in-json", json_lines(b'{"user_id": "u1", "item_id": "i2"}').replace(b"}", b', "timestamp": 1600000000}') + b'{"user_id": "u1", "item_id": "i3", "timestamp": 1600000000000}\n', "E-TS-UNIT", 3, 49, suffix=".jsonl"),
    good("L08-ms", times(f"{T}123"), ["i0"], times=[T * MICRO + 123_000]),
    good("L08-us", times(f"{T}123456"), ["i0"], times=[T * MICRO + 123_456]),
    good("L08-ns", times(f"{T}123456000"), ["i0"], times=[T * MICRO + 123_456]),
    good("L08-ns-cut", times(f"{T}123456789"), ["i0"], "W-TS-CUT: 1", times=[T * MICRO + 123_456]),
    good("L08-float-seconds", times(f"{T}", f"{T}.5"), ["i0", "i1"], times=[T * MICRO, T * MICRO + 500_000]),
    good("L08-exponent", times("1.6e9"), ["i0"], times=[T * MICRO]),
    good("L09-offsets", times("2024-05-31T08:00:00Z", "2024-05-31T10:00:00+02:00", "2024-05-31T13:30:00.25+0530"), ["i0", "i1", "i2"], times=[DAY_US, DAY_US, DAY_US + 250_000]),
    good("L09-no-offset", times("2024-05-31 08:00:00", "2024-05-31"), ["i0", "i1"], "W-TS-ZONE: 2", times=[DAY_US, DAY_US - 8 * 3600 * MICRO]),
    good("L09-nine-digits", times("2024-05-31T08:00:00.123456789Z"), ["i0"], "W-TS-CUT: 1", times=[DAY_US + 123_456]),
    bad("L09-offset-sometimes", times("2024-05-31T08:00:00Z", "2024-05-31T08:00:00"), "E-TS", 3, 7, "offset"),
    bad("L09-no-such-day", times("2024-05-31", "2024-02-30"), "E-TS", 3, 7, "'2024-02-30'"),
    bad("L09-other-date", times("31.05.2024"), "E-TS", 2, 7, "ISO 8601"),
    bad("L09-date-among-numbers", times(str(T), "2024-05-31"), "E-TS", 3, 7),
    bad("L09-number-among-dates", times("2024-05-31", str(T)), "E-TS", 3, 7),
    bad("L10-time-missing", times(str(T), ""), "E-LOG-MISSING", 3, 7, "give --file-order"),
    bad("L10-time-missing-first", times("", str(T)), "E-LOG-MISSING", 2, 7),
    bad("L10-time-NaN", times(str(T), "nan"), "E-TS", 3, 7),
    bad("L10-time-hex", times(str(T), "0x5F5E1000"), "E-TS", 3, 7),
    bad("L10-time-space", times(str(T), f" {T}"), "E-TS", 3, 7),
    bad("L10-time-plus-inf", times("1.5", "inf"), "E-TS", 3, 7),
    bad("L10-time-beyond-64-bits", times(str(T), "9999999999999999999"), "E-TS", 3, 7),
    bad("L10-null-in-parquet", timed([T, None], pa.int64()), "E-LOG-MISSING", says="row 2, column 'timestamp'", suffix=".parquet"),
    good("L10-no-time-asked-for", times(str(T), ""), ["i0", "i1"], "no column of times", columns=Columns(time=None)),
    good("L10-no-time-column", b"user_id,item_id\nu1,i1\n", ["i1"], "no column of times"),
    good("L10-negative", times(str(T), "-1"), ["i0", "i1"], "W-TS-RANGE: 1", times=[T * MICRO, -MICRO]),
    good("L10-1970", times(str(T), "0"), ["i0", "i1"], "W-TS-RANGE: 1", times=[T * MICRO, 0]),
    good("L10-9999", times(str(T), "253402300799"), ["i0", "i1"], "W-TS-RANGE: 1", times=[T * MICRO, 253402300799 * MICRO]),
    good("L10-9999-iso", times("2024-05-31", "9999-12-31"), ["i0", "i1"], "W-TS-RANGE: 1", "W-TS-ZONE: 2"),
    good("L11-ties", events(("u1", "i3", 5), ("u1", "i1", 5), ("u1", "i2", 5), ("u1", "i4", 9)), ["i3", "i1", "i2", "i4"], "W-TIES 2", entry="prepare"),
    good("L12-unsorted", events(("u1", "i3", 9), ("u1", "i1", 1), ("u1", "i2", 5)), ["i1", "i2", "i3"], "W-ORDER 1 times", entry="prepare"),
    good("L12-ties-stay", events(("u1", "i3", 5), ("u1", "i1", 1), ("u1", "i2", 5), ("u1", "i0", 5)), ["i1", "i3", "i2", "i0"], "W-ORDER 1 times", "W-TIES 2", entry="prepare"),
    bad("L13-header-twice", b"user_id,item_id,user_id\nu1,i1,u2\n", "E-HEADER", 1, None, "two columns 'user_id'"),
    bad("L13-unused-twice", b"user_id,item_id,x,x\nu1,i1,1,2\n", "E-HEADER", 1, None, "two columns 'x'"),
    bad("L14-no-header", ROW, "E-HEADER", 1, 1, "first row looks like data"),
    bad("L15-empty-name", b"user_id,,item_id\nu1,x,i1\n", "E-HEADER", 1, None, "column 2 has no name"),
    bad("L15-case", b"User_ID,item_id\nu1,i1\n", "E-HEADER", 1, None, "'User_ID' is near"),
    bad("L15-space", b"user_id, item_id\nu1,i1\n", "E-HEADER", 1, None, "' item_id' is near"),
    bad("L15-optional-case", b"user_id,item_id,TimeStamp\nu1,i1,1\n", "E-HEADER", 1, None, "'TimeStamp' is near"),
    bad("L15-typo", b"user_id,itme_id\nu1,i1\n", "E-HEADER", 1, None, "'itme_id' is near"),
    bad("L15-named-and-missing", HEAD + ROW, "E-HEADER", 1, None, "no column 'when'", columns=Columns(time="when")),
    bad("L16-long-first-row", HEAD + b"u1,i1,1600000000,5,9\n" + ROW, "E-RAGGED", 2, 20, "5 columns, expected 4"),
    bad("L16-long-all-rows", HEAD + b"u1,i1,1600000000,5,9\n" * 3, "E-RAGGED", 2, 20),
    bad("L16-long-later", HEAD + ROW * 5 + b"u1,i1,1600000000,5,\n", "E-RAGGED", 7, 20),
    bad("L17-short", HEAD + ROW + b"u1,i2\n" + ROW, "E-RAGGED", 3, 6, "2 columns, expected 4"),
    bad("L17-cut", HEAD + ROW + b"u1,i", "E-RAGGED", 3, 5),
    bad("L17-blank-line", HEAD + ROW + b"\n" + ROW, "E-BLANK", 3, 1),
    bad("L17-blank-line-crlf", (HEAD + ROW + b"\n" + ROW).replace(b"\n", b"\r\n"), "E-BLANK", 3, 1),
    bad("L17-blank-line-of-one-column", b"user_id\nu1\n\nu2\n", "E-BLANK", 3, 1, columns=Columns(item="user_id")),
    good("L17-blank-end", HEAD + ROW + b"\n\r\n\n", ["i1"]),
    good("L17-many-blank-ends", HEAD + ROW + b"\n" * 700, ["i1"]),
    bad("L17-many-blank-lines", HEAD + ROW + b"\n" * 700 + ROW, "E-BLANK", 3, 1),
    good("L18-quoted-newline", items('"a\nb"', "c"), ["a\nb", "c"]),
    good("L18-quoted-all", HEAD + b'"u""1","i,1","1600000000","5"\n', ["i,1"]),
    bad("L18-line-behind-it", items('"a\nb"', '"a\r\nb"', "") + ROW, "E-LOG-MISSING", 6, 4),
    bad("L19-quote-inside", items("5", 'a"b'), "E-QUOTE", 3, 5, "inside an unquoted field"),
    bad("L19-inch", items("5", '21"'), "E-QUOTE", 3, 6),
    bad("L19-behind-quote", items("5", '"a"b'), "E-QUOTE", 3, 7, "behind a closing quote"),
    bad("L20-open-at-end", items("5", '"6'), "E-QUOTE", 3, 4, "never closed"),
    bad("L20-open-before-others", items("5", '"6', '"7"', "8"), "E-QUOTE", 3, 4, "never closed"),
    bad("L20-open-long-ago", items("5", '"6', *map(str, range(5000))), "E-QUOTE", 3, 4, "never closed"),
    bad("L21-semicolon", (HEAD + ROW).replace(b",", b";"), "E-DELIM", 1, 1, "--delimiter ';'"),
    bad("L21-tab-in-csv", (HEAD + ROW).replace(b",", b"\t"), "E-DELIM", 1, 1, "--delimiter '\\t'"),
    good("L21-semicolon-said", (HEAD + ROW).replace(b",", b";"), ["i1"], delimiter=";"),
    good("L21-tsv", (HEAD + ROW).replace(b",", b"\t"), ["i1"], suffix=".tsv"),
    good("L22-bom", b"\xef\xbb\xbf" + HEAD + ROW, ["i1"]),
    good("L22-bom-quoted", b"\xef\xbb\xbf" + HEAD.replace(b"user_id", b'"user_id"') + ROW, ["i1"]),
    good("L22-crlf", (HEAD + ROW).replace(b"\n", b"\r\n"), ["i1"], times=[T * MICRO]),
    good("L22-crlf-last-column", b"user_id,item_id\r\nu1,i1\r\nu1,i2\r\n", ["i1", "i2"], "no column of times"),
    good("L22-no-last-newline", (HEAD + ROW)[:-1], ["i1"]),
    bad("L22-lone-cr", (HEAD + ROW).replace(b"\n", b"\r"), "E-EOL", 1, 33),
    bad("L23-latin-1", HEAD + ROW + b"u1,caf\xe9,1600000000,5\n", "E-ENC", 3, 7, "0xe9"),
    bad("L23-latin-1-header", b"user_id,item_id,pr\xe9f\nu1,i1,2\n", "E-ENC", 1, 19),
    bad("L23-utf-16", (HEAD + ROW).decode().encode("utf-16"), "E-CONTENT", says="UTF-16"),
    bad("L23-nul", HEAD + ROW + b"u1,i\x002,1600000000,5\n", "E-NUL", 3, 5),
    bad("L23-nul-in-json", json_lines(b'{"user_id": "u1", "item_id": "i\\u0000"}'), "E-NUL", 2, 30, suffix=".jsonl"),
    good("L23-utf-8", items("caf\u00e9", "\u65e5\u672c"), ["caf\u00e9", "\u65e5\u672c"]),
    good("L24-text-at-2001", many_rows(2001, "x7")),
    bad("L24-text-at-2001-int", many_rows(2001, "x7"), "E-NOT-INTEGER", 2002, 3, "'x7'", id_type="int"),
    bad("L25-empty", b"", "E-EMPTY"),
    bad("L25-header-only", HEAD, "E-EMPTY", says="only a header"),
    bad("L25-header-no-newline", HEAD[:-1], "E-EMPTY", says="only a header"),
    bad("L25-blank", b"\n\n", "E-EMPTY"),
    bad("L25-bom-only", b"\xef\xbb\xbf", "E-EMPTY"),
    bad("L25-empty-json", b"", "E-EMPTY", suffix=".jsonl"),
    bad("L25-empty-parquet", table(item_id=["i1", "i2"])[:0], "E-PARQUET", status=4, suffix=".parquet"),
    good("L26-formula", items("=cmd|' /C calc'!A0", "@x", "+1", "-1"), ["=cmd|' /C calc'!A0", "@x", "+1", "-1"]),
    bad("L27-code-in-seq", authors_row("\"[__import__('os')]\",1,1"), "E-TOKEN", 2, 3, entry="authors"),
    bad("L28-deep-list", authors_row(f'"{"[" * 100_000}1{"]" * 100_000}",1,1'), "E-TOKEN", 2, 3, entry="authors"),
    bad("L29-length-0", authors_row('"[5, 5, 5]",0,1'), "E-LEN-SEQ", 2, 13, entry="authors"),
    bad("L29-length-negative", authors_row('"[0, 5, 5]",-1,1'), "E-TOKEN", 2, 13, entry="authors"),
    bad("L29-length-above-L", authors_row('"[0, 1, 2]",4,1'), "E-LEN-SEQ", 2, 13, entry="authors"),
    bad("L29-length-of-others", authors_row('"[0, 1, 2]",2,1'), "E-LEN-SEQ", 2, 13, entry="authors"),
    bad("L30-padding-first", authors_row('"[5, 0, 1]",2,1'), "E-PAD", 2, 2, entry="authors"),
    bad("L30-padding-inside", authors_row('"[0, 5, 1]",2,1'), "E-PAD", 2, 2, entry="authors"),
    bad("L31-target-padding", authors_row('"[0, 1, 2]",3,5'), "E-TARGET-RANGE", 2, 15, entry="authors"),
    bad("L31-target-beyond", authors_row('"[0, 1, 2]",3,77'), "E-TARGET-RANGE", 2, 15, entry="authors"),
    good("L31-target-float", authors_row('"[0, 1, 2]",3,4.0'), entry="authors"),
    good("L32-target-in-history", authors(test_data=f'{AUTHORS_HEAD}"[1, 2, 4]",3,4\n'), None, "1 of 1 test targets are already in their window", entry="authors"),
    good("L33-one-event", PATHS + events(("lone", "i1", 1)).split(b"\n", 1)[1], PATHS_ITEMS, "W-SHORT 1 users", entry="prepare"),
    good("L33-two-events", PATHS + events(("a", "i1", 1), ("a", "i2", 2), ("b", "i1", 1)).split(b"\n", 1)[1], PATHS_ITEMS, "W-SHORT 2 users", entry="prepare"),
    bad("L33-nobody-else", events(("a", "i1", 1), ("a", "i2", 2), ("b", "i1", 1)), "E-EMPTY", entry="prepare", says="users with enough events"),
    bad("L35-one-item", {"train_data.csv": b'seq,len_seq,next\n"[0, 1]",1,0\n', "val_data.csv": b'seq,len_seq,next\n"[0, 1]",1,0\n', "test_data.csv": b'seq,len_seq,next\n"[0, 1]",1,0\n', "items.csv": b"item,title\n0,One\n"}, "E-CATALOGUE", entry="authors"),
    bad("L35-one-item-log", events(("u1", "i1", 1), ("u1", "i1", 2), ("u1", "i1", 3)), "E-CATALOGUE", entry="prepare"),
    good("L37-cold-item", PATHS + events(("u0", "new", 9)).split(b"\n", 1)[1], [*PATHS_ITEMS[:4], "new", *PATHS_ITEMS[4:]], "W-COLD 1 validation, 2 test targets", entry="prepare"),
    good("L37-cold-validation", PATHS + events(("u0", "new", 9), ("u0", "i1", 10)).split(b"\n", 1)[1], [*PATHS_ITEMS[:4], "new", "i1", *PATHS_ITEMS[4:]], "W-COLD 2 validation, 1 test targets", entry="prepare"),
    good("L38-leak", authors(test_data=f'{AUTHORS_HEAD}"[0, 1, 5]",2,2\n'), None, "W-LEAK: 1", entry="authors"),
    bad("L38-leak-strict", authors(test_data=f'{AUTHORS_HEAD}"[0, 1, 5]",2,2\n'), "E-LEAK", entry="authors", strict=True),
    bad("L39-NaN", json_lines(b'{"user_id": "u1", "item_id": "NaN", "x": NaN}'), "E-JSON", 2, 42, "NaN", suffix=".jsonl"),
    bad("L39-infinity", json_lines(b'{"user_id": "u1", "item_id": "i2", "rating": -Infinity}'), "E-JSON", 2, 46, suffix=".jsonl"),
    bad("L39-overflow", json_lines(b'{"user_id": "u1", "item_id": "i2", "rating": 1e999}').replace(b'"i1"', b'"i1", "rating": 5'), "E-RATING", 2, 46, suffix=".jsonl"),
    bad("L39-trailing-comma", json_lines(b'{"user_id": "u1", "item_id": "i2",}'), "E-JSON", 2, 35, suffix=".jsonl"),
    bad("L39-key-twice", json_lines(b'{"user_id": "u1", "item_id": "i2", "item_id": "i3"}'), "E-JSON-KEY", 2, 36, suffix=".jsonl"),
    bad("L39-key-twice-inside", json_lines(b'{"user_id": "u1", "item_id": "i2", "x": {"a": 1, "a": 2}}'), "E-JSON-KEY", 2, 50, suffix=".jsonl"),
    bad("L39-nested-a-million", json_lines(b'{"user_id": "u1", "item_id": ' + b"[" * 1_000_000), "E-JSON-DEPTH", 2, 93, suffix=".jsonl"),
    good("L39-nested-a-little", json_lines(b'{"user_id": "u1", "item_id": "i2", "x": ' + b"[" * 60 + b"]" * 60 + b"}"), ["i1", "i2"], "no column of times", suffix=".jsonl"),
    good("L39-brackets-in-text", json_lines(b'{"user_id": "u1", "item_id": "i2", "x": "' + b"[{" * 100 + b'"}'), ["i1", "i2"], "no column of times", suffix=".jsonl"),
    bad("L39-blank-line", json_lines(b"", b'{"user_id": "u1", "item_id": "i2"}'), "E-BLANK", 2, 1, suffix=".jsonl"),
    bad("L39-array", b'[{"user_id": "u1", "item_id": "i1"},\n{"user_id": "u1", "item_id": "i2"}]\n', "E-JSON", 1, 37, "one object per line", suffix=".jsonl"),
    bad("L39-array-on-a-line", b'[{"user_id": "u1", "item_id": "i1"}]\n', "E-JSON", 1, 1, "one object per line", suffix=".jsonl"),
    bad("L39-two-objects", json_lines(b'{"user_id": "u1", "item_id": "i2"} {"user_id": "u1"}'), "E-JSON", 2, 36, suffix=".jsonl"),
    bad("L39-cut", json_lines(b'{"user_id": "u1", "item_i')[:-1], "E-JSON", 2, 19, suffix=".jsonl"),
    bad("L39-latin-1", json_lines(b'{"user_id": "u1", "item_id": "\xe9"}'), "E-ENC", 2, 31, suffix=".jsonl"),
    bad("L39-half-surrogate", json_lines(b'{"user_id": "u1", "item_id": "\\ud800"}'), "E-ENC", 2, 30, suffix=".jsonl"),
    bad("L39-key-missing", json_lines(b'{"user_id": "u1"}'), "E-LOG-MISSING", 2, 1, suffix=".jsonl"),
    bad("L39-null", json_lines(b'{"user_id": "u1", "item_id": null}'), "E-LOG-MISSING", 2, 30, suffix=".jsonl"),
    bad("L39-boolean", json_lines(b'{"user_id": "u1", "item_id": true}'), "E-DTYPE", 2, 30, suffix=".jsonl"),
    bad("L39-list", json_lines(b'{"user_id": "u1", "item_id": ["i2"]}'), "E-DTYPE", 2, 30, suffix=".jsonl"),
    bad("L39-ten-thousand-digits", json_lines(b'{"user_id": "u1", "item_id": ' + b"9" * 10_000 + b"}"), "E-JSON", 2, 1, suffix=".jsonl"),
    good("L39-crlf", json_lines(b'{"user_id": "u1", "item_id": "i2"}').replace(b"\n", b"\r\n"), ["i1", "i2"], "no column of times", suffix=".jsonl"),
    good("L39-gzip", gzip.compress(json_lines()), ["i1"], "no column of times", suffix=".jsonl.gz"),
    good("L40-dictionary", typed(["b", "a"], pa.dictionary(pa.int8(), pa.string())), ["b", "a"], "no column of times", suffix=".parquet"),
    good("L40-int32", typed([7, -8], pa.int32()), ["7", "-8"], "no column of times", suffix=".parquet"),
    good("L40-uint64", typed([2**64 - 1, 1], pa.uint64()), [str(2**64 - 1), "1"], "no column of times", suffix=".parquet"),
    good("L40-decimal", typed([Decimal(70), Decimal(8)], pa.decimal128(20, 0)), ["70", "8"], "no column of times", suffix=".parquet"),
    good("L40-large-string", typed(["b", "a"], pa.large_string()), ["b", "a"], "no column of times", suffix=".parquet"),
    good("L40-timestamp-ns-tz", timed([DAY, DAY], pa.timestamp("ns", "Asia/Kolkata")), ["i1", "i2"], times=[DAY_US, DAY_US], suffix=".parquet"),
    good("L40-timestamp-s", timed([DAY, DAY], pa.timestamp("s")), ["i1", "i2"], "W-TS-ZONE: 2", times=[DAY_US, DAY_US], suffix=".parquet"),
    good("L40-date", timed([DAY.date()] * 2, pa.date32()), ["i1", "i2"], "W-TS-ZONE: 2", times=[DAY_US - 8 * 3600 * MICRO] * 2, suffix=".parquet"),
    good("L40-decimal-time", timed([Decimal(T), Decimal(T)], pa.decimal128(20, 0)), ["i1", "i2"], times=[T * MICRO] * 2, suffix=".parquet"),
    bad("L40-null-item", typed(["a", None], pa.string()), "E-LOG-MISSING", says="row 2, column 'item_id'", suffix=".parquet"),
    bad("L40-null-in-dictionary", typed(["a", None], pa.dictionary(pa.int8(), pa.string())), "E-LOG-MISSING", says="row 2", suffix=".parquet"),
    bad("L40-float-id", typed([1.0, 2.0], pa.float64()), "E-DTYPE", says="double", suffix=".parquet"),
    bad("L40-boolean-id", typed([True, False], pa.bool_()), "E-DTYPE", says="bool", suffix=".parquet"),
    bad("L40-binary-id", typed([b"a", b"b"], pa.binary()), "E-DTYPE", says="binary", suffix=".parquet"),
    bad("L40-decimal-with-scale", typed([Decimal("1.5"), Decimal("2.5")], pa.decimal128(5, 1)), "E-DTYPE", suffix=".parquet"),
    bad("L40-list-id", typed([["a"], ["b"]], pa.list_(pa.string())), "E-DTYPE", suffix=".parquet"),
    bad("L40-all-null", typed([None, None], pa.null()), "E-LOG-MISSING", suffix=".parquet"),
    bad("L40-boolean-time", timed([True, False], pa.bool_()), "E-DTYPE", says="bool", suffix=".parquet"),
    good("L41-folder", {"part-0.parquet": table(item_id=["i1", "i2"]), "part-1.parquet": table(item_id=["i2", "i3"]), "_SUCCESS": b""}, ["i1", "i2", "i2", "i3"], "no column of times"),
    bad("L41-zeros", {"part-0.parquet": table(item_id=["i1", "i2"]), "part-1.parquet": b"PAR1" + b"\0" * 200 + b"PAR1"}, "E-PARQUET", says="part-1.parquet", status=4),
    bad("L41-bit-in-a-page", {"part-0.parquet": table(item_id=["i1", "i2"]), "part-1.parquet": flipped(table(item_id=["i1", "i2"]))}, "E-PARQUET", says="part-1.parquet", status=4),
    bad("L41-cut-part", {"part-0.parquet": table(item_id=["i1", "i2"]), "part-1.parquet": table(item_id=["i1", "i2"])[:-30]}, "E-PARQUET", says="part-1.parquet", status=4),
    bad("L41-empty-part", {"part-0.parquet": table(item_id=["i1", "i2"]), "part-1.parquet": b""}, "E-PARQUET", says="part-1.parquet", status=4),
    bad("L41-text-part", {"part-0.parquet": table(item_id=["i1", "i2"]), "part-1.parquet": HEAD + ROW}, "E-PARQUET", says="part-1.parquet", status=4),
    bad("folder-other-columns", {"a.csv": HEAD + ROW, "b.csv": b"user_id,item_id\nu1,i1\n"}, "E-HEADER", says="b.csv"),
    good("folder-mixed-formats", {"a.csv": b"user_id,item_id\nu1,i1\n", "b.jsonl": b'{"user_id": "u1", "item_id": "i2"}\n', "c.parquet": table(item_id=["i1", "i3"])}, ["i1", "i2", "i1", "i3"], "no column of times"),
    bad("folder-unknown-file", {"a.csv": HEAD + ROW, "b.xlsx": b"x"}, "E-FILE", says="b.xlsx"),
    bad("fault-in-the-second-file", {"a.csv": HEAD + ROW, "b.csv": HEAD + b"u1,,1,5\n"}, "E-LOG-MISSING", 2, 4, "b.csv"),
    bad("unit-of-the-second-file", {"a.csv": HEAD + ROW * 3, "b.csv": HEAD + b"u1,i1,1600000000000,5\n"}, "E-TS-UNIT", 2, 7, "b.csv"),
    bad("rating-nan", HEAD + ROW + b"u1,i1,1600000000,nan\n", "E-RATING", 3, 18),
    bad("rating-text", HEAD + ROW + b"u1,i1,1600000000,good\n", "E-RATING", 3, 18, "'good'"),
    bad("rating-beyond-float32", HEAD + ROW + b"u1,i1,1600000000,1e39\n", "E-RATING", 3, 18),
    good("split-words", b"user_id,item_id,split\nu1,i1,train\nu1,i2,val\nu1,i3,test\n", ["i1", "i2", "i3"], "no column of times"),
    bad("split-unknown", b"user_id,item_id,split\nu1,i1,train\nu1,i2,dev\n", "E-SPLIT", 3, 7, "'dev'"),
    bad("gzip-cut", gzip.compress(HEAD + ROW * 2000)[:-12], "E-TRUNC", suffix=".csv.gz"),
    bad("gzip-bomb", gzip.compress(HEAD) + gzip.compress(ROW * 20_000) * 100, "E-BOMB", suffix=".csv.gz"),
    bad("pickle", b"\x80\x04\x95\x1c", "E-CONTENT", says="pickle"),
    bad("html", b"<!DOCTYPE html><html>\n", "E-CONTENT", says="HTML"),
    bad("git-lfs", b"version https://git-lfs.github.com/spec/v1\n", "E-CONTENT", says="git lfs pull"),
    bad("parquet-named-csv", table(item_id=["i1", "i2"]), "E-CONTENT", says="Parquet"),
]  # fmt: skip


def place(case: Case, folder: Path) -> Path:
    """Write the files of a case and return what a command is given: the file, or the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in case.files.items():
        (folder / name).write_bytes(data)
    return folder if len(case.files) > 1 else folder / next(iter(case.files))


def long_json_line(path: Path, n_bytes: int) -> None:
    """Write a file whose second line is `n_bytes` long, most of it a hole on disk, filled with NUL."""
    with path.open("wb") as file:
        file.write(json_lines(b'{"user_id": "u1", "item_id": "')[:-1])
        block = b"x" * (1 << 20)
        for _ in range(n_bytes >> 20):
            file.write(block)
        file.write(b'"}\n')


def write(
    folder: Path, cases: list[Case] = CASES, put: Callable[[Case, Path], Path] = place
) -> None:
    """Write every file and the table of what must happen."""
    lines = ["id\tcommand\texit\tcode\tline\tcolumn"]
    for case in cases:
        put(case, folder / case.name)
        lines.append(
            f"{case.name}\t{case.entry}\t{case.status}\t{case.code}\t{case.line or ''}\t{case.column or ''}"
        )
    (folder / "expected.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
