"""Results of a batch of chat completions, in OpenAI's form, as servers of models write them too.

Each line is `{"custom_id": "train-17", "response": {"status_code": 200, "body": {"choices":
[{"message": {"content": "..."}, "finish_reason": "stop"}]}}, "error": null}`. Of several choices
the first is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from dllm2rec.errors import InputError
from dllm2rec.teacher.answers.model_text import list_in_text

KEYS = ("custom_id", "response")  # by which such a file is told
COLUMNS = ["row", "answer"]  # what its records have
CUSTOM_ID = "train-"  # before the number of the row, as `teacher prompts` writes it


class Result(NamedTuple):
    """What became of one request.

    Attributes:
        row: number of the train row that was asked about.
        answer: what the model wrote: a list, or a text with a title per line.
        failure: why there is no answer; "" where there is one.
        is_cut: whether the answer broke off at the limit of its length.
    """

    row: int
    answer: object
    failure: str
    is_cut: bool


def read_result(path: Path, line: int, record: dict[str, Any]) -> Result:
    """Read one line of a batch's results.

    Raises:
        InputError: it has no `custom_id` of ours, or no choices of a completion.
    """
    row = _row(path, line, record.get("custom_id"))
    failure = _failure(record)
    if failure:
        return Result(row, [], failure, is_cut=False)
    choice = _first_choice(record["response"].get("body"))
    if choice is None:
        raise InputError(
            "no response.body.choices[0].message.content, expected a chat completion",
            code="E-JSON",
            path=path,
            line=line,
            hint="is it the batch's output file? its requests go to /v1/chat/completions",
        )
    content = choice.get("text") if "text" in choice else choice["message"].get("content")
    if not isinstance(content, str) or not content.strip():
        return Result(row, [], "an empty answer", is_cut=False)
    is_cut = choice.get("finish_reason") == "length"
    return Result(row, list_in_text(content, is_cut=is_cut), "", is_cut)


def said_of(path: Path, results: Iterable[Result]) -> Iterator[str]:
    """What a reader should know of the requests that failed and the answers that broke off."""
    results = list(results)
    failed = [one for one in results if one.failure]
    if failed:
        yield (
            f"W-ANSWERS-FAILED {path}: {len(failed):,} of {len(results):,} requests have no "
            f"answer, such as row {failed[0].row} ({failed[0].failure[:80]}): ask again for them"
        )
    n_cut = sum(one.is_cut for one in results)
    if n_cut:
        yield (
            f"W-ANSWERS-CUT {path}: {n_cut:,} of {len(results):,} answers broke off at the limit "
            "of their length; their last lines are left out: raise max_tokens, or ask for fewer"
        )


def _row(path: Path, line: int, custom_id: object) -> int:
    text = custom_id if isinstance(custom_id, str) else ""
    number = text.removeprefix(CUSTOM_ID)
    if not text.startswith(CUSTOM_ID) or not re.fullmatch(r"\d{1,15}", number):
        raise InputError(
            f"custom_id {ascii(custom_id)[:40]}, expected {CUSTOM_ID}ROW",
            code="E-LIST-KEY",
            path=path,
            line=line,
            hint="keep the custom_id that `dllm2rec teacher prompts` gave each request",
        )
    return int(number)


def _failure(record: dict[str, Any]) -> str:
    """Why a request has no answer, or ""."""
    error, response = record.get("error"), record.get("response")
    if error:
        return str(error.get("message", error) if isinstance(error, dict) else error)
    if not isinstance(response, dict):
        return "no response"
    status = response.get("status_code", 200)
    if status == 200:
        return ""
    body = response.get("body")
    told = body.get("error") if isinstance(body, dict) else None
    told = told.get("message") if isinstance(told, dict) else told
    return f"status {status}{f': {told}' if told else ''}"


def _first_choice(body: object) -> dict[str, Any] | None:
    choices = body.get("choices") if isinstance(body, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        return None
    is_one = "text" in choice or isinstance(choice.get("message"), dict)
    return choice if is_one else None
