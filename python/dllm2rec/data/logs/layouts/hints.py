"""Options that may be right for a file in no known layout, told by its first lines."""

from __future__ import annotations

from pathlib import Path

from dllm2rec.data.logs.delimited_header import by_number, is_data
from dllm2rec.data.text.lines import first_lines
from dllm2rec.errors import InputError

_DELIMITERS = ("\t", "::", ",", ";", "|", " ")
_N_LINES = 20


def table_options(path: Path) -> str:
    """Return `--format` and what goes with it, or "" where the lines do not tell."""
    try:
        lines = first_lines(path, _N_LINES)
    except InputError:
        return ""
    if not lines:
        return ""
    if lines[0].lstrip()[:1] in ("{", "["):
        return "--format jsonl"
    for delimiter in _DELIMITERS:
        counts = {line.count(delimiter) for line in lines}
        if len(counts) == 1 and counts != {0}:
            break
    else:
        return ""
    form = {"\t": "--format tsv", ",": "--format csv"}
    words = form.get(delimiter, f"--format csv --delimiter {delimiter!r}")
    cells = lines[0].split(delimiter)
    if is_data([cell.strip('"') for cell in cells]):
        words += f" {by_number(cells)}"
    return words
