"""Results of an OpenAI batch are answers by row; what failed or broke off is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dllm2rec.errors import InputError
from dllm2rec.teacher.answers.cells import split_items
from dllm2rec.teacher.answers.import_answers import import_answers
from dllm2rec.teacher.answers.model_text import list_in_text
from dllm2rec.teacher.knowledge import TeacherKnowledge
from tests.support.asked import IDS, TITLES, asked_dataset

NO = len(IDS)
CHAT = {"role": "assistant"}


def result(row: int, content: object, *, reason: str = "stop", **over: Any) -> dict[str, Any]:
    """One line as the batch API writes it; `over` replaces parts of it."""
    choice = {"index": 0, "message": {**CHAT, "content": content}, "finish_reason": reason}
    body = {"id": "chatcmpl-1", "object": "chat.completion", "choices": [choice], "usage": {}}
    return {
        "id": f"batch_req_{row}",
        "custom_id": f"train-{row}",
        "response": {"status_code": 200, "request_id": "r", "body": body},
        "error": None,
        **over,
    }


def read(folder: Path, *results: dict[str, Any], name: str = "out.jsonl") -> TeacherKnowledge:
    path = folder / name
    path.write_text("".join(f"{json.dumps(one)}\n" for one in results), encoding="utf-8")
    return import_answers(path, asked_dataset()).knowledge


def lists_of(knowledge: TeacherKnowledge) -> dict[int, list[int]]:
    assert knowledge.ranking is not None
    rows = enumerate(knowledge.ranking.tolist())
    return {row: found for row, line in rows if (found := [item for item in line if item < NO])}


def titles(*items: int) -> list[str]:
    return [TITLES[item] for item in items]


FORMS = {
    "a title per line": "\n".join(titles(9, 4, 2)),
    "numbered, with words around": "Sure!\n"
    + "\n".join(f"{n}. {title}" for n, title in enumerate(titles(9, 4, 2), 1))
    + "\nEnjoy.",
    "a JSON list": json.dumps(titles(9, 4, 2)),
    "a JSON list over lines": json.dumps(titles(9, 4, 2), indent=1),
    "a JSON list in a fence": f"Here:\n```json\n{json.dumps(titles(9, 4, 2), indent=2)}\n```\nBye",
    "a JSON object": json.dumps({"titles": titles(9, 4, 2), "why": "they are alike"}),
}


@pytest.mark.parametrize("content", FORMS.values(), ids=list(FORMS))
def test_each_form_of_an_answer_is_the_same_list(tmp_path: Path, content: str):
    knowledge = read(tmp_path, result(4, content), result(1, "\n".join(titles(3, 0))))
    assert lists_of(knowledge) == {4: [9, 4, 2], 1: [3, 0]}
    assert not any(note.startswith("W-ANSWERS") for note in knowledge.notes)


def test_answers_of_ids_are_told_from_titles(tmp_path: Path):
    knowledge = read(tmp_path, result(4, f"{IDS[9]} {IDS[4]}"), result(1, json.dumps([IDS[3]])))
    assert lists_of(knowledge) == {4: [9, 4], 1: [3]}


def test_completions_have_their_text_elsewhere(tmp_path: Path):
    one = result(2, "")
    one["response"]["body"]["choices"] = [{"index": 0, "text": "\n".join(titles(5, 6))}]
    assert lists_of(read(tmp_path, one)) == {2: [5, 6]}


def test_of_several_choices_the_first_is_read(tmp_path: Path):
    one = result(2, "\n".join(titles(5, 6)))
    other = {"index": 1, "message": {**CHAT, "content": "\n".join(titles(1, 2))}}
    one["response"]["body"]["choices"].append(other)
    assert lists_of(read(tmp_path, one)) == {2: [5, 6]}


FAILED: dict[str, dict[str, Any]] = {
    "an error": {"response": None, "error": {"code": "batch_expired", "message": "expired"}},
    "no response": {"response": None},
    "a status": {"response": {"status_code": 500, "body": {"error": {"message": "expired"}}}},
}


@pytest.mark.parametrize("over", FAILED.values(), ids=list(FAILED))
def test_failed_requests_are_rows_without_a_list(tmp_path: Path, over: dict[str, Any]):
    answered = result(0, "\n".join(titles(9, 4)))
    knowledge = read(tmp_path, result(3, "", **over), answered)  # the first line may be one
    assert lists_of(knowledge) == {0: [9, 4]}
    (note,) = (note for note in knowledge.notes if note.startswith("W-ANSWERS-FAILED"))
    assert "1 of 2 requests have no answer, such as row 3" in note
    assert "expired" in note or "no response" in note


def test_a_request_that_was_repeated_after_it_failed_has_its_answer(tmp_path: Path):
    failed = result(0, "", response=None, error={"message": "timeout"})
    assert lists_of(read(tmp_path, failed, result(0, TITLES[9]))) == {0: [9]}


def test_an_empty_answer_is_none(tmp_path: Path):
    knowledge = read(tmp_path, result(0, TITLES[9]), result(1, " \n"), result(2, None))
    assert lists_of(knowledge) == {0: [9]}
    assert any("2 of 3 requests have no answer" in note for note in knowledge.notes)


def test_the_last_line_of_an_answer_that_broke_off_is_left_out(tmp_path: Path):
    cut = "\n".join([*titles(9, 4), "Toy Story"])  # Toy Story 2, had it gone on
    whole = result(1, "\n".join(titles(2, 3)))
    knowledge = read(tmp_path, result(0, cut, reason="length"), whole)
    assert lists_of(knowledge) == {0: [9, 4], 1: [2, 3]}
    assert any(note.startswith("W-ANSWERS-CUT") and "1 of 2" in note for note in knowledge.notes)


def test_of_json_that_broke_off_the_whole_titles_are_left(tmp_path: Path):
    cut = json.dumps(titles(9, 4, 2), indent=1).rpartition("Toy")[0] + "Toy Sto"
    assert lists_of(read(tmp_path, result(0, cut, reason="length"))) == {0: [9, 4]}


WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "another custom_id": ({"custom_id": "request-7"}, "E-LIST-KEY", "'request-7', expected train-"),
    "no number": ({"custom_id": "train-x"}, "E-LIST-KEY", "keep the custom_id"),
    "a number alone": ({"custom_id": 7}, "E-LIST-KEY", "expected train-ROW"),
    "an embedding": (
        {"response": {"status_code": 200, "body": {"data": []}}}, "E-JSON", "expected a chat compl"
    ),
    "no choice": (
        {"response": {"status_code": 200, "body": {"choices": []}}}, "E-JSON", "output file"
    ),
    "a row that is not there": ({"custom_id": "train-6"}, "E-ROWS", "row 6, expected 0..5"),
}  # fmt: skip


@pytest.mark.parametrize(("over", "code", "told"), WRONG.values(), ids=list(WRONG))
def test_what_is_no_result_of_ours_is_refused(
    tmp_path: Path, over: dict[str, Any], code: str, told: str
):
    with pytest.raises(InputError) as caught:
        read(tmp_path, result(0, TITLES[9]), result(1, TITLES[9]) | over)
    assert told in str(caught.value)
    assert code in str(caught.value)
    assert "out.jsonl:2" in str(caught.value)


def test_two_answers_for_a_row_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="E-LIST-TWICE"):
        read(tmp_path, result(0, FORMS["a title per line"]), result(0, FORMS["a title per line"]))


def test_a_file_of_failures_alone_says_why(tmp_path: Path):
    with pytest.raises(InputError, match=r"E-EMPTY .*no lists.*1 of 1 requests.*expired"):
        read(tmp_path, result(0, "", response=None, error={"message": "expired"}))


def test_json_within_a_text_is_a_list_in_other_files_too():
    fenced = '```\n["A, B", "C"]\n```'
    assert split_items(fenced, frozenset[str]().__contains__) == ["A, B", "C"]
    assert split_items('{"recommended": ["A"]}', frozenset[str]().__contains__) == ["A"]
    assert list_in_text("{curly}\nB") == "{curly}\nB"
    assert list_in_text('{"a": [1], "b": [2]}') == '{"a": [1], "b": [2]}'
    assert list_in_text("alone", is_cut=True) == "alone"
