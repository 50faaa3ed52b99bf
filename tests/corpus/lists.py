"""The bad-input corpus of the teacher's text files: one entry a case, made with a fixed seed.

`python -m tests.corpus.lists FOLDER` writes the files and an `expected.tsv` beside them.
"""

# ruff: noqa: E501 - a case on a line of its own reads as a table

from __future__ import annotations

import bz2
import gzip
import lzma
import pickle
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

N_ITEMS = 17_408
GOOD = b"1 2 3\n4 5 6\n7 8 9\n"
ROWS = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]


@dataclass(frozen=True)
class Case:
    """One file and what must happen: either a code at a line and a column, or rows and warnings."""

    name: str
    data: bytes
    code: str = ""
    line: int | None = None
    column: int | None = None
    says: str = ""
    rows: list[list[float]] | None = None
    warns: tuple[str, ...] = ()
    suffix: str = ".txt"
    options: dict[str, Any] = field(default_factory=dict)


def bad(name: str, data: bytes, code: str, line: int | None, column: int | None, says: str = "",
        suffix: str = ".txt", **options: Any) -> Case:  # fmt: skip
    """A file that must be refused with `code` at `line:column`, the text saying `says`."""
    return Case(name, data, code, line, column, says, suffix=suffix, options=options)


def good(name: str, data: bytes, rows: list[list[float]] | None = None, *warns: str,
         suffix: str = ".txt", **options: Any) -> Case:  # fmt: skip
    """A file that must be accepted."""
    return Case(name, data, rows=rows or ROWS, warns=warns, suffix=suffix, options=options)


def in_row_2(token: bytes) -> bytes:
    """A file whose second row has `token` in its second column, at 2:3."""
    return b"1 2 3\n4 " + token + b" 6\n7 8 9\n"


def spelled(form: str) -> bytes:
    return b"".join(b" ".join((form % v).encode() for v in row) + b"\n" for row in ROWS)


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
HTML = b"<!DOCTYPE html>\n<html><body>404</body></html>\n"
MANY = b"".join(b"%d %d %d\n" % (i, i + 1, i + 2) for i in range(1000))
LINE_900 = len(b"".join(MANY.splitlines(keepends=True)[:899]))
MANY_GZ = gzip.compress(MANY, mtime=0)

RANKING = [
    bad("R01-empty", b"", "E-EMPTY", None, None),
    bad("R02-blank-lines", b"\n\n \n", "E-EMPTY", None, None),
    bad("R03-comment-only", b"# nothing\n", "E-EMPTY", None, None),
    good("R04-one-row", b"1 2 3\n", [[1, 2, 3]]),
    good("R05-one-value", b"7\n", [[7]]),
    bad("R05-one-value-of-10", b"7\n", "E-RANK-COLS", 1, 1, "1 columns, expected at least 10", min_columns=10),
    bad("R06-one-column", b"1\n2\n3\n", "E-RANK-COLS", 1, 1, "1 columns", min_columns=10),
    bad("R06-before-later-faults", b"1\nx\n", "E-RANK-COLS", 1, 1, min_columns=10),
    good("R07-savetxt", spelled("%.18e")),
    good("R07-other-forms", spelled("%.3f") ),
    good("R08-crlf", GOOD.replace(b"\n", b"\r\n")),
    bad("R09-lone-cr", b"1 2 3\r4 5 6\r7 8 9\r", "E-EOL", 1, 6),
    bad("R09-lone-cr-inside", b"1 2 3\n4 5 6\r7 8 9\n", "E-EOL", 2, 6),
    good("R10-mixed-ends", b"1 2 3\r\n4 5 6\n7 8 9\r\n"),
    good("R11-bom", b"\xef\xbb\xbf" + GOOD),
    bad("R12-utf16", GOOD.decode().encode("utf-16"), "E-ENC", 1, 1, "re-save as UTF-8"),
    bad("R12-utf16-no-bom", GOOD.decode().encode("utf-16-le"), "E-ENC", 1, 1, "UTF-16"),
    bad("R13-latin1", in_row_2(b"5\xe9"), "E-ENC", 2, 4),
    bad("R14-latin1-comment", b"# caf\xff\n" + GOOD, "E-ENC", 1, 6),
    bad("R15-nul", in_row_2(b"5\x005"), "E-NUL", 2, 4),
    bad("R16-nul-end", GOOD + bytes(64), "E-TRUNC", 4, 1, "not completely written"),
    bad("R16-nul-in-last-row", GOOD + b"1 2" + bytes(64), "E-TRUNC", 4, 4, "not completely written"),
    bad("R16-nul-only", bytes(64), "E-TRUNC", 1, 1, "not completely written"),
    good("R17-trailing-spaces", GOOD.replace(b"\n", b"  \t\n")),
    good("R18-leading-spaces", b"  1 2 3\n\t4 5 6\n 7 8 9\n"),
    good("R19-tabs", b"1\t2  3\n4 \t5\t6\n7  8 9\n"),
    good("R19-tabs-only", GOOD.replace(b" ", b"\t")),
    good("R20-commas", GOOD.replace(b" ", b",")),
    good("R20-commas-spaces", GOOD.replace(b" ", b" , ")),
    bad("R20-trailing-comma", b"1,2,3\n4,5,\n", "E-TOKEN", 2, 5),
    bad("R21-semicolon", GOOD.replace(b" ", b";"), "E-DELIM", 1, 1, "separate all numbers"),
    bad("R22-delimiter-changes", MANY[:LINE_900] + MANY[LINE_900:].replace(b" ", b","), "E-DELIM", 900, 1),
    bad("R22-comma-then-space", b"1,2,3\n4 5 6\n", "E-DELIM", 2, 1),
    bad("R23-nbsp", in_row_2(b"5\xc2\xa05"), "E-CHAR", 2, 4, "U+00A0"),
    bad("R23-vertical-tab", in_row_2(b"5\x0b5"), "E-CHAR", 2, 4, "U+000B"),
    bad("R23-form-feed", in_row_2(b"\x0c"), "E-CHAR", 2, 3, "U+000C"),
    bad("R24-short-row", b"1 2 3\n4 5\n7 8 9\n", "E-RAGGED", 2, 4, "row 2: 2 columns, expected 3 as in line 1"),
    bad("R24-short-row-hint", b"1 2 3\n4 5\n", "E-RAGGED", 2, 4, "--short-lists"),
    good("R24-short-lists", b"1 2 3\n4 5\n7\n", [[1, 2, 3], [4, 5, N_ITEMS], [7, N_ITEMS, N_ITEMS]], short_lists=True),
    good("R24-short-lists-the-longest-last", b"1\n4,5\n7 ,8, 9\n".replace(b"1\n", b"1,\n"), [[1, N_ITEMS, N_ITEMS], [4, 5, N_ITEMS], [7, 8, 9]], short_lists=True),
    bad("R25-long-row", b"1 2 3\n4 5 6 7\n", "E-RAGGED", 2, 7, "row 2: 4 columns, expected 3 as in line 1"),
    bad("R26-blank-line", b"1 2 3\n\n7 8 9\n", "E-BLANK", 2, 1),
    bad("R26-blank-first", b"\n1 2 3\n", "E-BLANK", 1, 1),
    good("R26-blank-end", GOOD + b"\n \r\n"),
    bad("R27-comment-line", b"1 2 3\n# x\n7 8 9\n", "E-COMMENT", 2, 1),
    bad("R28-comment-behind", b"1 2 3\n7 8 9 # x\n", "E-COMMENT", 2, 7),
    bad("R28-comment-instead", b"1 2 3\n7 8 # x\n", "E-COMMENT", 2, 5),
    good("R29-comment-head", b"# a\n#b\n" + GOOD),
    bad("R30-header", b"a b c\n" + GOOD, "E-TOKEN", 1, 1, "--skip-rows 1"),
    good("R30-header-skipped", b"a b c\n" + GOOD, skip_rows=1),
    bad("R31-nan", in_row_2(b"nan"), "E-TOKEN", 2, 3),
    bad("R31-nan-hint", in_row_2(b"nan"), "E-TOKEN", 2, 3, "--short-lists"),
    good("R31-nan-in-short-lists", in_row_2(b"NaN"), [[1, 2, 3], [4, N_ITEMS, 6], [7, 8, 9]], short_lists=True),
    bad("R32-NA", in_row_2(b"NA"), "E-TOKEN", 2, 3),
    bad("R32-null", in_row_2(b"null"), "E-TOKEN", 2, 3),
    bad("R32-None", in_row_2(b"None"), "E-TOKEN", 2, 3),
    bad("R33-inf", in_row_2(b"inf"), "E-TOKEN", 2, 3),
    bad("R33-Infinity", in_row_2(b"-Infinity"), "E-TOKEN", 2, 3),
    bad("R34-1e400", in_row_2(b"1e400"), "E-OVERFLOW", 2, 3),
    bad("R35-1e-400", in_row_2(b"1e-400"), "E-NOT-INTEGER", 2, 3),
    bad("R35-4.9e-324", in_row_2(b"4.9e-324"), "E-NOT-INTEGER", 2, 3),
    bad("R36-1.5", in_row_2(b"1.5"), "E-NOT-INTEGER", 2, 3),
    bad("R36-savetxt", in_row_2(b"1.234500000000000000e+03"), "E-NOT-INTEGER", 2, 3),
    bad("R36-savetxt-last-digit", in_row_2(b"1.234000000000000001e+03"), "E-NOT-INTEGER", 2, 3),
    bad("R37-negative", in_row_2(b"-2"), "E-RANK-RANGE", 2, 3, "item id -2 is outside 0..17407"),
    bad("R37-minus-one", b"1 2 3\n4 -1 -1\n", "E-RANK-RANGE", 2, 3, "--short-lists"),
    good("R37-minus-one-in-short-lists", b"1 2 3\n4 -1 -1.000000000000000000e+00\n-1 -1 -1\n", [[1, 2, 3], [4, N_ITEMS, N_ITEMS], [N_ITEMS] * 3], short_lists=True),
    bad("R37-minus-two-in-short-lists", in_row_2(b"-2"), "E-RANK-RANGE", 2, 3, short_lists=True),
    good("R38-minus-zero", in_row_2(b"-0"), [[1, 2, 3], [4, 0, 6], [7, 8, 9]]),
    good("R38-minus-zero-e", in_row_2(b"-0.000000e+00"), [[1, 2, 3], [4, 0, 6], [7, 8, 9]]),
    good("R39-spellings", b"+1 007 1e1\n4 5. 60e-1\n7 8 .9E+1\n", [[1, 7, 10], [4, 5, 6], [7, 8, 9]]),
    bad("R40-padding", b"0 2 3\n4 17408 6\n", "E-RANK-RANGE", 2, 3, "17408 is the padding id"),
    bad("R40-padding-savetxt", in_row_2(b"1.740800000000000000e+04"), "E-RANK-RANGE", 2, 3, "padding id"),
    bad("R40-padding-hint", b"0 2 3\n4 17408 6\n", "E-RANK-RANGE", 2, 3, "--short-lists"),
    good("R40-padding-in-short-lists", b"0 2 3\n4 17408 17408\n", [[0, 2, 3], [4, N_ITEMS, N_ITEMS]], short_lists=True),
    bad("R41-zero-in-one-based-hint", b"1 0 3\n", "E-RANK-RANGE", 1, 3, "--short-lists", id_base=1),
    good("R41-zero-in-one-based-short-lists", b"1 0 0\n3 17408 2\n", [[0, N_ITEMS, N_ITEMS], [2, 17407, 1]], id_base=1, short_lists=True),
    bad("R41-one-based", b"1 17408 3\n", "E-RANK-RANGE", 1, 3, "--teacher-id-base 1"),
    good("R41-one-based-told", b"1 17408 3\n", [[0, 17407, 2]], id_base=1),
    bad("R41-zero-in-one-based", b"1 0 3\n", "E-RANK-RANGE", 1, 3, "outside 1..17408", id_base=1),
    bad("R42-2-63", in_row_2(b"9223372036854775808"), "E-OVERFLOW", 2, 3),
    bad("R43-2-64", in_row_2(b"18446744073709551616"), "E-OVERFLOW", 2, 3),
    bad("R44-2-53-1", in_row_2(b"9007199254740993"), "E-RANK-RANGE", 2, 3, "9007199254740993"),
    bad("R45-long-token", in_row_2(b"1" * 100_000), "E-TOKEN-LONG", 2, 3, "100000 bytes"),
    *[
        bad(f"R46-{i}", in_row_2(token), code, 2, 3)
        for i, (token, code) in enumerate(
            [(b"0x10", "E-TOKEN"), (b"0x1p3", "E-TOKEN"), (b"1_000", "E-TOKEN"), (b'"1,000"', "E-DELIM"), (b"1,5", "E-DELIM")]
        )
    ],
    bad("R46-decimal-commas", b"1,5 2,5\n", "E-DELIM", 1, 3),
    bad("R47-arabic", in_row_2("\u0661".encode()), "E-CHAR", 2, 3, "U+0661"),
    bad("R47-full-width", in_row_2("\uff11".encode()), "E-CHAR", 2, 3, "U+FF11"),
    bad("R48-quoted", b'"1" "2"\n', "E-TOKEN", 1, 1, "without quotes"),
    bad("R49-list", b"[1, 2, 3]\n", "E-TOKEN", 1, 1, "Python repr; use numpy.savetxt"),
    bad("R49-tensor", b"tensor([1, 2])\n", "E-TOKEN", 1, 1, "numpy.savetxt"),
    bad("R50-bool", in_row_2(b"True"), "E-TOKEN", 2, 3),
    *[
        bad(f"R51-{i}", in_row_2(token), "E-TOKEN", 2, 3)
        for i, token in enumerate([b"2020-01-01", b"50%", b"1+2j"])
    ],
    bad("R52-merge", b"1 2 3\n<<<<<<< HEAD\n4 5 6\n", "E-CONTENT", 2, 1, "merge conflict marker"),
    bad("R52-merge-middle", b"1 2 3\n=======\n4 5 6\n", "E-CONTENT", 2, 1, "merge conflict marker"),
    bad("R52-merge-first", b"<<<<<<< HEAD\n4 5 6\n", "E-CONTENT", 1, 1, "merge conflict marker"),
    bad("R53-html", HTML, "E-CONTENT", 1, 1, "HTML"),
    bad("R54-lfs", LFS, "E-CONTENT", 1, 1, "run git lfs pull"),
    bad("R55-pickle", pickle.dumps([1, 2, 3]), "E-CONTENT", 1, 1, "pickle"),
    good("R56-gzip-txt", gzip.compress(GOOD, mtime=0)),
    good("R56-text-gz", GOOD, suffix=".txt.gz"),
    good("R57-two-members", gzip.compress(GOOD[:8], mtime=0) + gzip.compress(GOOD[8:], mtime=0), suffix=".txt.gz"),
    bad("R58-gzip-half", MANY_GZ[: len(MANY_GZ) // 2], "E-TRUNC", None, None, suffix=".txt.gz"),
    bad("R58-gzip-no-trailer", gzip.compress(GOOD, mtime=0)[:-4], "E-TRUNC", None, None, suffix=".txt.gz"),
    bad("R58-gzip-head", MANY_GZ[:5], "E-TRUNC", None, None, suffix=".txt.gz"),
    bad("R58-gzip-flipped", MANY_GZ[:-6] + bytes([MANY_GZ[-6] ^ 1]) + MANY_GZ[-5:], "E-GZIP", None, None, suffix=".txt.gz"),
    bad("R58-gzip-trailing", MANY_GZ + b"no gzip member", "E-GZIP", None, None, suffix=".txt.gz"),
    bad("R58-fault-before-cut", gzip.compress(b"1 2\nx\n", mtime=0)[:-4], "E-TOKEN", 2, 1, suffix=".txt.gz"),
    bad("R59-bz2", bz2.compress(GOOD), "E-COMPRESSION", 1, 1, "unsupported compression", suffix=".bz2"),
    bad("R59-xz", lzma.compress(GOOD), "E-COMPRESSION", 1, 1, "unsupported compression", suffix=".xz"),
    bad("R60-one-row-too-many", MANY, "E-ROWS", 1000, 1, "row 1000 starts here, expected 999 rows", expected_rows=999),
    bad("R60-before-its-faults", GOOD + b"x\n", "E-ROWS", 4, 1, expected_rows=3),
    bad("R61-short-no-newline", b"1 2 3\n4 5", "E-RAGGED", 2, 4, "the file may be cut"),
    good("R62-no-newline", b"10 20\n80 9", [[10, 20], [80, 9]], "W-NO-EOL"),
    bad("R62-no-newline-strict", b"10 20\n80 9", "E-NO-EOL", 2, None, strict=True),
    good("R62-newline-strict", GOOD, strict=True),
    bad("R63-duplicate", b"1 2 3\n4 5 4 4\n".replace(b"1 2 3", b"1 2 3 9"), "E-RANK-DUP", 2, 5, "row 2: item 4 is listed again; 2 repeated"),
    bad("R63-duplicate-in-short-lists", b"1 2 -1 -1\n4 4 -1 -1\n", "E-RANK-DUP", 2, 3, short_lists=True),
    good("R63-keep", b"1 2 1\n4 5 6\n", [[1, 2, 1], [4, 5, 6]], "W-RANK-DUP 1 rows", on_duplicate="keep"),
    good("R63-keep-first", b"1 2 1\n4 5 6\n", [[1, 2, N_ITEMS], [4, 5, 6]], "W-RANK-DUP 1 rows", on_duplicate="keep-first"),
    good("R63-same-low-bits", b"1 65537\n", [[1, 65537]], n_items=70_000),
    bad("R66-fewer-columns", GOOD, "E-RANK-COLS", 1, 1, "3 columns, expected at least 10", min_columns=10),
    bad("R67-a-row-too-many", GOOD, "E-ROWS", 3, 1, "expected 2 rows", expected_rows=2),
    bad("R67-a-row-missing", GOOD, "E-ROWS", None, None, "3 rows, expected 4", expected_rows=4),
    good("R67-all-rows", GOOD, expected_rows=3),
    bad("C16-floats-as-items", b"0.71 0.75\n", "E-NOT-INTEGER", 1, 1, "file of distances"),
]  # fmt: skip

DISTANCES = [
    good("distances", b"0.5 0.75 1\n1e-1 2E+1 3.\n", [[0.5, 0.75, 1], [0.1, 20, 3]]),
    good("distances-gzip", gzip.compress(spelled("%.18e"), mtime=0), suffix=".gz"),
    bad("C01-nan", in_row_2(b"nan"), "E-CONF-NONFINITE", 2, 3),
    bad("C02-inf", in_row_2(b"inf"), "E-CONF-NONFINITE", 2, 3),
    bad("C03-minus-inf", in_row_2(b"-Infinity"), "E-CONF-NONFINITE", 2, 3),
    bad("C04-negative", in_row_2(b"-5"), "E-CONF-NEGATIVE", 2, 3, "--confidence-kind similarity"),
    good("C04-similarity", in_row_2(b"-5"), [[1, 2, 3], [4, -5, 6], [7, 8, 9]], kind="similarity"),
    bad("C05-very-negative", in_row_2(b"-8.9e+01"), "E-CONF-NEGATIVE", 2, 3),
    bad("C06-probabilities", b"0.9 0.8 0.7\n" * 200, "E-CONF-KIND", None, None, "similarity"),
    good("C06-similarity", b"0.9 0.8 0.7\n" * 2, [[0.9, 0.8, 0.7]] * 2, kind="similarity"),
    good("C06-99-percent", b"0.9 0.8\n" * 99 + b"0.8 0.9\n", [[0.9, 0.8]] * 99 + [[0.8, 0.9]]),
    good("C06-one-above-1", b"0.9 0.8\n" * 99 + b"1.5 0.9\n", [[0.9, 0.8]] * 99 + [[1.5, 0.9]]),
    good("C07-all-far", b"18.5 19 30\n1 2 3\n", [[18.5, 19, 30], [1, 2, 3]], "W-CONF-FLAT 50.00 %"),
    good("C08-all-equal", b"2.5 2.5\n2.5 2.5\n", [[2.5, 2.5]] * 2, "W-CONF-FLAT 100.00 %"),
    good("C08-all-zero", b"0 0\n1.5 2\n", [[0, 0], [1.5, 2]], "W-CONF-FLAT 50.00 %"),
    good("C08-one-column", b"0\n0\n", [[0], [0]]),
    bad("C09-columns", GOOD, "E-SHAPE", 1, 1, "3 columns, expected 4", expected_columns=4),
    bad("C10-one-column", b"1\n2\n", "E-SHAPE", 1, 1, "1 columns, expected 10", expected_columns=10),
    bad("C11-rows", GOOD, "E-ROWS", None, None, "3 rows, expected 4", expected_rows=4),
    bad("C12-1e400", in_row_2(b"1e400"), "E-OVERFLOW", 2, 3),
    bad("C12-minus-1e400", in_row_2(b"-1e400"), "E-OVERFLOW", 2, 3),
    bad("C12-1e39", in_row_2(b"1e39"), "E-OVERFLOW", 2, 3, "float32"),
    good("C13-1e-320", in_row_2(b"1e-320"), [[1, 2, 3], [4, 0, 6], [7, 8, 9]]),
    bad("C14-long-token", in_row_2(b"0." + b"1" * 100_000), "E-TOKEN-LONG", 2, 3),
    good("C16-items-as-distances", b"5 1001\n7 30\n", [[5, 1001], [7, 30]], "W-CONF-INTEGERS"),
    bad("distances-NA", in_row_2(b"NA"), "E-TOKEN", 2, 3),
    bad("distances-hex", in_row_2(b"0x1p3"), "E-TOKEN", 2, 3),
    bad("distances-blank-line", b"1 2\n\n3 4\n", "E-BLANK", 2, 1),
    bad("distances-short-row", b"1 2\n3\n", "E-RAGGED", 2, 2),
    good("distances-no-newline", b"1 2.5", [[1, 2.5]], "W-NO-EOL"),
]  # fmt: skip


def write(folder: Path) -> None:
    """Write every file and the table of what must happen."""
    lines = ["id\tcommand\texit\tcode\tline\tcolumn"]
    for command, cases in (("ranking", RANKING), ("distances", DISTANCES)):
        for case in cases:
            path = folder / command / (case.name + case.suffix)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(case.data)
            status = 3 if case.code else 0
            place = f"{case.line or ''}\t{case.column or ''}"
            lines.append(f"{case.name}\t{command}\t{status}\t{case.code}\t{place}")
    (folder / "expected.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
