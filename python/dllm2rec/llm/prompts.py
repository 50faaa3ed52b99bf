"""Questions for any language model: one line per row, with the key its answer must carry."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.data.text.json_objects import distinct
from dllm2rec.data.text.lines import decoded, read_lines
from dllm2rec.errors import ConfigError, InputError
from dllm2rec.llm.encode import item_titles
from dllm2rec.llm.next_item import newest_first

FORMATS = ("plain", "openai")
TEMPLATE = (
    "A user chose, in this order:\n{history}\n"
    "List the {top} titles that this user will most likely choose next, the likeliest first, one "
    "title per line, without numbers and without any other text."
)
FIELDS = ("{history}", "{top}")
_LONGEST = 2**20  # bytes of a template


@dataclass(frozen=True)
class QuestionForm:
    """How questions are put.

    Attributes:
        format: "plain": `row`, `history` (item ids), `prompt`; "openai": lines of a batch file,
            whose `custom_id` is `train-ROW`.
        template: text with `{history}` and `{top}`.
        top: titles asked for.
        n_history: titles of a history that are shown, the newest.
        model: the name in an OpenAI batch line.
        max_tokens: of an answer, in an OpenAI batch line.
    """

    format: str = "plain"
    template: str = TEMPLATE
    top: int = 20
    n_history: int = 20
    model: str = "gpt-4o-mini"
    max_tokens: int = 1024

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ConfigError(f"format = {self.format!r}, expected one of {', '.join(FORMATS)}")
        if FIELDS[0] not in self.template:
            raise ConfigError(f"template: no {FIELDS[0]}, expected it where the titles go")


def questions(
    dataset: SequenceDataset, rows: npt.NDArray[np.integer], form: QuestionForm
) -> Iterator[str]:
    """Write a question for each of some train rows, as one line of JSON.

    The history is that of the row: neither its target nor anything after it is shown.

    Args:
        dataset: with titles.
        rows: numbers of train rows.
        form: how.

    Raises:
        InputError: no titles.
    """
    titles = item_titles(dataset)
    ids = dataset.catalogue.item_ids
    for begin in range(0, len(rows), 4096):
        block = rows[begin : begin + 4096]
        histories = newest_first(dataset.windows(dataset.train.take(block)), dataset.n_items)
        for row, history in zip(block.tolist(), histories[:, : form.n_history], strict=True):
            items = [int(item) for item in history[::-1] if item < dataset.n_items]
            yield _line(row, [ids[i] for i in items], [titles[i] or ids[i] for i in items], form)


def _line(row: int, ids: Sequence[str], titles: Sequence[str], form: QuestionForm) -> str:
    shown = "\n".join(f"- {' '.join(title.split())}" for title in titles)
    prompt = form.template.replace("{history}", shown).replace("{top}", str(form.top))
    record: dict[str, Any] = {"row": row, "history": list(ids), "prompt": prompt}
    if form.format == "openai":
        body = {
            "model": form.model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": 0,
            "max_tokens": form.max_tokens,
        }
        record = {
            "custom_id": f"train-{row}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": body,
        }
    return json.dumps(record, ensure_ascii=False)


def read_rows(path: Path | None, n_rows: int) -> npt.NDArray[np.int64]:
    """Read the rows that a plan chose: a line `{"row": 12}` each; without a file all rows.

    Raises:
        InputError: a line that is none, or a row that the dataset lacks or that is there twice.
    """
    if path is None:
        return np.arange(n_rows)
    rows: dict[int, int] = {}
    for number, data in read_lines(path, may_be_pipe=True):
        line = decoded(path, number, data)
        row: object = None
        with suppress(ValueError, RecursionError):
            found = json.loads(line, object_pairs_hook=distinct)
            row = found.get("row") if isinstance(found, dict) else None
        if type(row) is not int or not 0 <= row < n_rows:
            expected = f'{{"row": R}} with R in 0..{n_rows - 1}'
            raise InputError(
                f"{line[:40]!r}, expected {expected}", code="E-ROWS", path=path, line=number
            )
        if row in rows:
            message = f"row {row} again, expected each once; it stands in line {rows[row]}"
            raise InputError(message, code="E-ROWS", path=path, line=number)
        rows[row] = number
    return np.array([*rows], dtype=np.int64)


def read_template(path: Path) -> str:
    """Read a text of at most a mebibyte, as it goes into each question.

    Raises:
        InputError: it cannot be read, is no UTF-8, or is longer.
    """
    lines, n_bytes = [], 0
    for number, line in read_lines(path, cap=_LONGEST, may_be_pipe=True):
        n_bytes += len(line) + 1
        if n_bytes > _LONGEST:
            message = f"over {_LONGEST:,} bytes, expected the words of a question"
            raise InputError(message, code="E-LINE", path=path, line=number)
        lines.append(decoded(path, number, line))
    return "\n".join(lines)
