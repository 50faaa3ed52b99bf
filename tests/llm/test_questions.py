"""Which rows are asked about, what is asked, and what answers say of the other rows."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from dllm2rec.cli import main
from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.data.formats.write_windows import authors_files
from dllm2rec.errors import ConfigError, InputError
from dllm2rec.evaluate.metrics import list_metrics
from dllm2rec.llm.expect_answers import expect_answers
from dllm2rec.llm.plan_questions import plan_questions, spread_answers, spread_teacher
from dllm2rec.llm.prompts import QuestionForm, questions, read_rows, read_template
from dllm2rec.teacher.folder import load_teacher, save_teacher
from dllm2rec.teacher.knowledge import TeacherKnowledge
from tests.support.worlds import N_ITEMS, cycle_dataset, oracle_teacher


@pytest.fixture(scope="module")
def dataset():
    return cycle_dataset()


@pytest.fixture
def folder(tmp_path, dataset):
    (tmp_path / "data").mkdir()
    for name, write in authors_files(dataset).items():
        write(tmp_path / "data" / name)
    return tmp_path / "data"


def only(teacher, rows):
    """A teacher that was asked about some rows."""
    ranking = np.full_like(teacher.ranking, N_ITEMS)
    ranking[rows] = teacher.ranking[rows]
    return replace(teacher, ranking=ranking, target_distance=None)


def test_each_item_is_asked_about_before_one_is_asked_about_twice_as_often(dataset):
    plan = plan_questions(dataset, N_ITEMS)
    newest = dataset.events[dataset.train.end - 1]
    counts = np.bincount(newest, minlength=N_ITEMS)
    assert len(set(plan.rows.tolist())) == N_ITEMS
    # The gain of every question that is asked is at least that of every one that is not.
    asked = np.bincount(newest[plan.rows], minlength=N_ITEMS)
    worst = min(counts[i] / asked[i] ** 2 for i in range(N_ITEMS) if asked[i])
    assert worst >= max(counts / (asked + 1) ** 2)
    assert plan.items == (asked > 0).sum()
    assert plan.reached == counts[asked > 0].sum() / counts.sum()


def test_a_budget_above_the_rows_asks_about_all(dataset):
    plan = plan_questions(dataset, 10**6)
    assert sorted(plan.rows.tolist()) == list(range(len(dataset.train)))
    with pytest.raises(ConfigError, match="budget = 0"):
        plan_questions(dataset, 0)


def test_answers_for_a_few_rows_speak_for_the_others(dataset):
    teacher = oracle_teacher(dataset)
    rows = plan_questions(dataset, N_ITEMS).rows
    part = only(teacher, rows)
    ranking, distance = spread_answers(dataset, part.ranking, part.distance)
    np.testing.assert_array_equal(ranking[rows], teacher.ranking[rows])
    np.testing.assert_array_equal(distance[rows], teacher.distance[rows])
    targets = dataset.targets(dataset.train)
    full = list_metrics(teacher.ranking, targets, 5)["hr@5"]
    assert list_metrics(ranking, targets, 5)["hr@5"] > 0.8 * full
    others = np.setdiff1d(np.arange(len(ranking)), rows)
    windows = dataset.windows(dataset.train)
    listed = ranking[others][:, :, None]
    real = listed < N_ITEMS
    assert not ((listed == windows.sequences[others][:, None]) & real).any()
    assert (np.diff(distance[others], axis=1) >= -1e-6).all()


def test_evidence_is_the_plain_sum_over_answers():
    """Against plain Python: shares of answers by age, shrunk, summed over the window."""
    from dllm2rec.llm import plan_questions as room

    dataset = cycle_dataset(n_users=8)
    teacher = oracle_teacher(dataset)
    part = only(teacher, np.arange(0, len(dataset.train), 5))
    ranking, _ = spread_answers(dataset, part.ranking, part.distance)
    windows = dataset.windows(dataset.train)
    histories = [
        row[:length][::-1][: room.AGES]
        for row, length in zip(windows.sequences.tolist(), windows.lengths.tolist(), strict=True)
    ]
    table: dict[int, dict[int, float]] = {}
    for row in range(0, len(dataset.train), 5):
        shares = np.exp(-(part.distance[row] - part.distance[row][0]) / room.TEMPERATURE)
        shares /= shares.sum()
        for age, item in enumerate(histories[row]):
            said = table.setdefault(item, {})
            for listed, share in zip(part.ranking[row].tolist(), shares, strict=True):
                said[listed] = said.get(listed, 0.0) + room.AGE_DECAY**age * share
    for row in (1, 2, 3, 4, 6, 17):
        evidence: dict[int, float] = {}
        for age, item in enumerate(histories[row]):
            said = table.get(item, {})
            total = sum(said.values()) + room.SHRINKAGE
            for listed, value in said.items():
                more = room.AGE_DECAY**age * value / total
                evidence[listed] = evidence.get(listed, 0.0) + more
        for item in windows.sequences[row].tolist():
            evidence.pop(item, None)
        best = max(evidence.values(), default=0.0)
        first = int(ranking[row, 0])
        assert first == N_ITEMS if not evidence else evidence[first] == pytest.approx(best)


def test_lists_without_distances_are_spread_by_rank(dataset):
    teacher = replace(only(oracle_teacher(dataset), [0, 1, 2]), distance=None)
    spread = spread_teacher(teacher, dataset)
    assert (spread.ranking[3:] < N_ITEMS).any()
    assert any("3 rows were answered" in note for note in spread.notes)
    with pytest.raises(InputError, match="no lists"):
        spread_teacher(
            TeacherKnowledge(item_embeddings=np.zeros((N_ITEMS, 2), np.float32)), dataset
        )


def test_questions_show_the_history_alone_and_carry_its_key(dataset):
    rows = np.array([5, 2])
    lines = [json.loads(line) for line in questions(dataset, rows, QuestionForm(n_history=2))]
    assert [line["row"] for line in lines] == [5, 2]
    windows = dataset.windows(dataset.train)
    for row, line in zip(rows, lines, strict=True):
        shown = windows.sequences[row][: windows.lengths[row]][-2:]
        assert line["history"] == [f"item-{item}" for item in shown]
        titles = "\n".join(f"- Title {item}" for item in shown)
        assert f"in this order:\n{titles}\nList the 20 titles" in line["prompt"]


def test_openai_lines_are_requests_of_a_batch(dataset):
    form = QuestionForm(format="openai", model="m", template="{history} -> {top}", top=3)
    (line,) = questions(dataset, np.array([7]), form)
    request = json.loads(line)
    assert request["custom_id"] == "train-7"
    assert (request["method"], request["url"]) == ("POST", "/v1/chat/completions")
    assert request["body"]["model"] == "m"
    assert request["body"]["messages"][0]["content"].endswith(" -> 3")


def test_a_template_without_history_is_refused():
    with pytest.raises(ConfigError, match=r"no \{history\}"):
        QuestionForm(template="list something")


def test_commands_plan_ask_and_spread(folder, tmp_path, capsys):
    plan, asked = tmp_path / "rows.jsonl", tmp_path / "questions.jsonl"
    words = ["--dataset", str(folder)]
    assert main(["teacher", "plan", *words, "--budget", "30", "--out", str(plan)]) == 0
    assert "30 of 840 rows are asked about" in capsys.readouterr().out
    assert main(["teacher", "prompts", *words, "--rows", str(plan), "--out", str(asked)]) == 0
    rows = [json.loads(line)["row"] for line in plan.read_text().splitlines()]
    lines = [json.loads(line) for line in asked.read_text().splitlines()]
    assert [line["row"] for line in lines] == rows
    assert main(["teacher", "prompts", *words, "--out", str(asked)]) == 2
    assert "give --overwrite" in capsys.readouterr().err

    data = load_dataset(folder)
    save_teacher(tmp_path / "part", only(oracle_teacher(data), rows), data)
    out = tmp_path / "all"
    assert main(["teacher", "spread", str(tmp_path / "part"), *words, "--out", str(out)]) == 0
    assert (load_teacher(out, data).ranking < N_ITEMS).any(axis=1).mean() > 0.8


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"row": 0}\n{"row": 840}\n', ":2"),
        ('{"row": 1}\n{"row": 1}\n', "row 1 again"),
        ("12\n", "'12'"),
        ('{"row": true}\n', ":1"),
    ],
)
def test_rows_that_are_none_are_refused(folder, tmp_path, capsys, text, told):
    (tmp_path / "rows").write_text(text)
    words = ["teacher", "prompts", "--dataset", str(folder), "--rows", str(tmp_path / "rows")]
    assert main([*words, "--out", str(tmp_path / "out")]) == 3
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_is_expected_is_what_comes(dataset):
    """Against the answers themselves: rows reached, and hit rates of lists that were spread."""
    teacher = oracle_teacher(dataset)
    plan = plan_questions(dataset, N_ITEMS)
    told = expect_answers(dataset, plan)
    answered = only(teacher, plan.rows)
    lists, _ = spread_answers(dataset, answered.ranking, answered.distance)
    has_list = (lists < N_ITEMS).any(axis=1)
    assert (told.asked, told.n_rows) == (len(plan.rows), len(dataset.train))
    assert told.asked + told.spread == has_list.sum()
    assert (told.pilot, told.expected) == (None, None)
    assert "not known" in told.lines()[1]

    asked = expect_answers(dataset, plan, answered)
    targets = dataset.targets(dataset.train)
    hits = (lists == targets[:, None]).any(axis=1)
    is_asked = np.isin(np.arange(len(targets)), plan.rows)
    assert asked.pilot.rows == len(plan.rows)
    assert asked.pilot.rate == pytest.approx(hits[is_asked].mean())
    assert asked.pilot_spread.rate == pytest.approx(hits[has_list & ~is_asked].mean())
    assert asked.expected == pytest.approx(hits.mean())
    assert asked.popular < asked.expected
    rate, n = asked.pilot.rate, asked.pilot.rows
    assert asked.pilot.error == pytest.approx((rate * (1 - rate) / n) ** 0.5)


def test_a_pilot_of_a_few_rows_says_about_what_many_answers_bring(dataset):
    teacher = oracle_teacher(dataset)
    plan = plan_questions(dataset, 200)
    pilot = only(teacher, plan.rows[:40])
    told = expect_answers(dataset, plan, pilot)
    lists, _ = spread_answers(dataset, *arrays_of(only(teacher, plan.rows)))
    came = (lists == dataset.targets(dataset.train)[:, None]).any(axis=1).mean()
    assert told.expected == pytest.approx(came, abs=0.1)
    assert "expected over all train rows" in told.lines()[-2]


def arrays_of(teacher):
    return teacher.ranking, teacher.distance


def test_a_pilot_that_says_nothing_of_train_rows_is_refused(dataset):
    vectors = TeacherKnowledge(item_embeddings=np.zeros((N_ITEMS, 2), np.float32))
    with pytest.raises(InputError, match="no list for a train row"):
        expect_answers(dataset, plan_questions(dataset, 3), vectors)


def test_plan_says_what_to_expect(folder, tmp_path, capsys):
    data = load_dataset(folder)
    save_teacher(tmp_path / "few", only(oracle_teacher(data), np.arange(0, 800, 20)), data)
    words = ["teacher", "plan", "--dataset", str(folder), "--budget", "50"]
    assert main([*words, "--out", str(tmp_path / "a")]) == 0
    assert "how good the lists will be is not known" in capsys.readouterr().out
    words += ["--pilot", str(tmp_path / "few")]
    assert main([*words, "--out", str(tmp_path / "b")]) == 0
    assert "of its 40 rows (hr@8)" in " ".join(capsys.readouterr().out.split())
    assert main([*words, "--out", str(tmp_path / "c"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["expected"]
    assert found["pilot"]["rows"] == 40
    assert 0 < found["popular"] < found["expected"] < 1


@pytest.mark.parametrize("line", ["[" * 100_000, '{"row": 1, "row": 2}', "\x00", "1" * 5000])
def test_rows_of_another_kind_are_no_bug(tmp_path, line):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"row": 0}\n' + line + "\n")
    with pytest.raises(InputError) as caught:
        read_rows(path, 9)
    assert (caught.value.path, caught.value.line) == (str(path), 2)


def test_rows_and_templates_are_text_like_any_other(tmp_path):
    path = tmp_path / "text"
    path.write_bytes('\ufeff{"row": 3}\r\n{"row": 1}'.encode())
    assert read_rows(path, 9).tolist() == [3, 1]
    path.write_bytes("\ufeffé {history}\r\n\r\nlist\r\n".encode())
    assert read_template(path) == "é {history}\n\nlist"
    for data, code in ((b"{history}\0", "E-NUL"), (b"\xff", "E-ENC"), (b"x\n" * 2**20, "E-LINE")):
        path.write_bytes(data)
        with pytest.raises(InputError) as caught:
            read_template(path)
        assert caught.value.code == code
