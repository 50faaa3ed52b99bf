"""From questions to a trained student: a made-up engine answers what `teacher prompts` wrote."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dllm2rec.cli import main
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.data.formats.write_windows import authors_files
from dllm2rec.teacher.folder import load_teacher
from tests.support.worlds import N_ITEMS, cycle_dataset

N_ASKED, N_TITLES, FAILED = 60, 7, 4


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    for name, write in authors_files(cycle_dataset()).items():
        write(folder / name)
    return folder


def next_titles(prompt: str) -> list[str]:
    """What the engine knows: the titles after the last one that it was shown."""
    shown = [line for line in prompt.splitlines() if line.startswith("- Title ")]
    last = int(shown[-1].removeprefix("- Title "))
    return [f"Title {(last + n) % N_ITEMS}" for n in range(1, N_TITLES + 1)]


def said(titles: list[str], number: int) -> str:
    """The same list as one model or another writes it."""
    forms = (
        "\n".join(titles),
        "\n".join(f"{n}. {title}" for n, title in enumerate(titles, 1)),
        json.dumps(titles),
        f"Here is the list:\n```json\n{json.dumps(titles, indent=2)}\n```",
    )
    return forms[number % len(forms)]


def engine(requests: Path, results: Path) -> None:
    """Answer a batch file in no order at all; some requests fail, one answer breaks off."""
    lines: list[dict[str, Any]] = []
    for number, text in enumerate(requests.read_text(encoding="utf-8").splitlines()):
        request = json.loads(text)
        assert request["url"] == "/v1/chat/completions"
        (message,) = request["body"]["messages"]
        titles, reason = next_titles(message["content"]), "stop"
        content = said(titles, number)
        if number == 8:  # a title per line
            content, reason = f"{content}\nTit", "length"
        choice = {"index": 0, "message": {"content": content}, "finish_reason": reason}
        response: dict[str, Any] = {"status_code": 200, "body": {"choices": [choice]}}
        if number < FAILED:
            response = {"status_code": 429, "body": {"error": {"message": "slow down"}}}
        lines.append(
            {"custom_id": request["custom_id"], "response": response, "error": None}
        )  # fmt: skip
    random.Random(0).shuffle(lines)
    results.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")


def plain_engine(questions: Path, answers: Path) -> None:
    """Answer plain lines, each with its key."""
    lines = [json.loads(text) for text in questions.read_text(encoding="utf-8").splitlines()]
    random.Random(0).shuffle(lines)
    text = "".join(
        f"{json.dumps(line | {'answer': said(next_titles(line['prompt']), n)})}\n"
        for n, line in enumerate(lines)
    )
    answers.write_text(text, encoding="utf-8")


def expected(dataset: SequenceDataset, rows: list[int]) -> np.ndarray:
    """The lists that the engine means, by row."""
    last = dataset.events[dataset.train.end - 1].astype(np.int64)
    ranking = np.full((len(dataset.train), N_TITLES), N_ITEMS, np.int64)
    ranking[rows] = (last[rows, None] + 1 + np.arange(N_TITLES)) % N_ITEMS
    return ranking


def run(*words: object) -> None:
    assert main([str(word) for word in words]) == 0, words


@pytest.mark.parametrize("form", ["openai", "plain"])
def test_questions_are_answered_and_a_student_learns_from_the_answers(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
):
    plan, asked, answered = (tmp_path / f"{name}.jsonl" for name in ("plan", "asked", "answered"))
    teacher, known = tmp_path / "teacher", ["--dataset", data]
    run("teacher", "plan", *known, "--budget", N_ASKED, "--out", plan)
    words = ["--rows", plan, "--top", N_TITLES, "--format", form, "--out", asked]
    run("teacher", "prompts", *known, *words)
    rows = [json.loads(line)["row"] for line in plan.read_text().splitlines()]
    if form == "openai":
        engine(asked, answered)
        rows = rows[FAILED:]
    else:
        plain_engine(asked, answered)
    capsys.readouterr()
    run("teacher", "import", answered, *known, "--out", teacher)
    shown = " ".join(capsys.readouterr().out.split())
    assert ("W-ANSWERS-FAILED" in shown, "W-ANSWERS-CUT" in shown) == (form == "openai",) * 2

    dataset = load_dataset(data)
    imported = load_teacher(teacher, dataset)
    np.testing.assert_array_equal(imported.ranking, expected(dataset, rows))
    # 7 items per list and a `top_k` of 20, as the recipe has it.
    train = ["--student", "gru4rec", "--no-baseline", "--threads", 1, "--device", "cpu"]
    settings = ["train.max_epochs=1", "distillation.ranking_weight=0.3", "student.hidden_size=8"]
    sets = [word for setting in settings for word in ("--set", setting)]
    run("train", *known, "--teacher", teacher, *train, *sets, "--out", tmp_path / "run")
