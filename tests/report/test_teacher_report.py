"""How good a teacher's lists are, where, beside whom: against plain loops, and the page of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dllm2rec.cli import main
from dllm2rec.config.load import changed, load_config
from dllm2rec.data.dataset import Rows, SequenceDataset
from dllm2rec.data.device_rows import device_rows
from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.data.formats.write_windows import authors_files
from dllm2rec.errors import ArtifactError, InputError
from dllm2rec.evaluate.rows.item_groups import popularity_groups
from dllm2rec.evaluate.top_lists import student_lists
from dllm2rec.report.teacher import page as teacher_page
from dllm2rec.report.teacher.asked_rows import asked_rows
from dllm2rec.report.teacher.beside_student import beside_student
from dllm2rec.report.teacher.page import render
from dllm2rec.report.teacher.quality import (
    by_distance,
    by_place,
    cutoffs,
    shares_by_group,
    slices,
)
from dllm2rec.report.teacher.report import TeacherReport, teacher_report
from dllm2rec.runs.checkpoint import load_checkpoint
from dllm2rec.runtime.device import choose_device
from dllm2rec.serve.load import load
from dllm2rec.teacher.answers.import_answers import import_answers
from dllm2rec.teacher.asked_histories import AskedHistories
from dllm2rec.teacher.folder import load_teacher, save_teacher
from dllm2rec.teacher.knowledge import TeacherKnowledge
from dllm2rec.train.train_run import train_run
from tests.report.test_report import HOSTILE, Page
from tests.support.asked import TITLES, asked_dataset
from tests.support.worlds import N_ITEMS, cycle_dataset, oracle_teacher

CONFIG = changed(
    load_config(recipe="light"),
    student={"hidden_size": 16},
    distillation={"ranking_weight": 0.3, "top_k": 6},
    train={"batch_size": 64, "max_epochs": 2, "device": "cpu"},
)
# 5 items, three places; the number after the last item stands for none.
LISTS = np.array([[0, 1, 2], [3, 0, 5], [1, 4, 2], [4, 3, 0]], np.uint32)
TARGETS = np.array([1, 3, 0, 0], np.uint32)


def world_teacher(dataset: SequenceDataset) -> TeacherKnowledge:
    """The oracle of the cycle for train and test rows; a fifth of the train rows is not asked."""
    last = dataset.events[dataset.test.end - 1].astype(np.int64)
    test = ((last[:, None] + 1 + np.arange(8)) % N_ITEMS).astype(np.uint32)
    teacher = oracle_teacher(dataset)
    assert teacher.ranking is not None
    ranking = teacher.ranking.copy()
    ranking[::5] = N_ITEMS
    return replace(teacher, ranking=ranking, ranking_test=test)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A dataset, its teacher and a run of both, as folders."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "data").mkdir()
    for name, write in authors_files(cycle_dataset()).items():
        write(folder / "data" / name)
    dataset = load_dataset(folder / "data")
    teacher = world_teacher(dataset)
    save_teacher(folder / "teacher", teacher, dataset)
    train_run(CONFIG, dataset, teacher, folder / "run", students="gru4rec")
    return folder / "data", folder / "teacher", folder / "run"


def test_places_and_distances_are_counted_as_loops_count_them() -> None:
    distances = np.array([[0.1, 0.2, 0.3], [0.2, 0.3, 9.0], [0.1, 0.1, 0.4], [0.5, 0.6, 0.7]])
    places = by_place(LISTS, TARGETS, 5)
    assert [(one.places, one.hits) for one in places] == [(4, 1), (4, 1), (3, 1)]
    bins = by_distance(LISTS, distances.astype(np.float32), TARGETS, 5)
    assert sum(one.places for one in bins) == 11  # the empty place has no distance
    assert sum(one.hits for one in bins) == 3
    for one in bins:
        low, high = (np.float32(text) for text in one.label.split(" to "))
        inside = [
            LISTS[row, place] == TARGETS[row]
            for row in range(4)
            for place in range(3)
            if LISTS[row, place] < 5 and low <= np.float32(distances[row, place]) <= high
        ]
        assert (one.places, one.hits, one.rate) == (len(inside), sum(inside), np.mean(inside))


def test_one_distance_everywhere_is_one_bin() -> None:
    (one,) = by_distance(LISTS, np.ones(LISTS.shape, np.float32), TARGETS, 5)
    assert (one.places, one.hits, one.label) == (11, 3, "1 to 1")


def test_groups_hold_a_third_of_the_targets_each_and_equal_items_stay_together() -> None:
    counts = np.array([0, 1, 1, 1, 3, 3, 0, 6, 3])  # 18 targets
    names, group = popularity_groups(counts)
    assert group.tolist() == [0, 1, 1, 1, 2, 2, 0, 3, 2]
    assert names == [
        "cold: never a train target", "tail: 1 train target", "middle: 3 train targets",
        "head: 6 train targets",
    ]  # fmt: skip
    shares = shares_by_group(np.array([0, 7, 7, 1], np.uint32), counts)
    assert [*shares.values()] == [0.25, 0.25, 0.0, 0.5]
    assert [*shares] == names


def test_one_dominating_item_is_the_head() -> None:
    assert popularity_groups(np.array([9, 1, 1]))[1].tolist() == [3, 1, 1]
    assert popularity_groups(np.array([2, 2]))[1].tolist() == [3, 3]
    assert popularity_groups(np.array([0, 0]))[1].tolist() == [0, 0]


def test_slices_are_the_metrics_of_their_rows() -> None:
    counts = np.array([9, 1, 0, 0, 1])
    found = slices({"teacher": LISTS}, TARGETS, counts, 3)
    assert [one.rows for one in found] == [1, 1, 0, 2]  # items 3, 1, none, and 0 twice
    assert found[0].metrics["teacher"]["hr@3"] == 1.0  # item 3, never a train target
    assert found[3].metrics["teacher"]["hr@3"] == 0.5  # item 0
    assert found[3].metrics["teacher"]["ndcg@3"] == pytest.approx(1 / np.log2(4) / 2)
    assert found[2].metrics == {}


def test_who_is_right_is_counted_as_loops_count_it() -> None:
    student = np.array([[1, 0, 3], [0, 1, 2], [0, 1, 4], [2, 1, 3]], np.uint32)
    found = beside_student("s", LISTS, student, TARGETS, 5)
    teacher_sets = [{i for i in row if i < 5} for row in LISTS.tolist()]
    student_sets = [set(row) for row in student.tolist()]
    pairs = list(zip(teacher_sets, student_sets, TARGETS.tolist(), strict=True))
    right = [(target in t, target in s) for t, s, target in pairs]
    assert (found.both, found.teacher_only, found.student_only, found.neither) == tuple(
        right.count(kind) for kind in ((True, True), (True, False), (False, True), (False, False))
    )
    assert found.overlap == pytest.approx(np.mean([len(t & s) / len(t) for t, s, _ in pairs]))
    shared = [target == item for t, s, target in pairs for item in t & s]
    teacher = [target == item for t, s, target in pairs for item in t - s]
    own = [target == item for t, s, target in pairs for item in s - t]
    assert found.hit_rate_shared == pytest.approx(np.mean(shared))
    assert found.hit_rate_teacher == pytest.approx(np.mean(teacher))
    assert found.hit_rate_student == pytest.approx(np.mean(own))


@pytest.mark.parametrize(
    ("width", "expected"), [(20, (1, 5, 10, 20)), (7, (1, 5, 7)), (50, (1, 5, 10, 20)), (1, (1,))]
)
def test_cutoffs_end_with_the_lists(width: int, expected: tuple[int, ...]) -> None:
    assert cutoffs(width) == expected


def test_lists_of_states_after_train_are_those_of_the_rows_behind_them(tmp_path: Path) -> None:
    dataset = asked_dataset()
    lines = [
        {"user_id": "ann", "titles": [TITLES[3], TITLES[9]]},  # what came next was item 3
        {"user_id": "bob", "titles": [TITLES[0], TITLES[1]]},
    ]
    (tmp_path / "a.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    imported = import_answers(tmp_path / "a.jsonl", dataset)
    asked = asked_rows(dataset, imported.knowledge)
    assert [*asked] == ["validation"]  # test rows have one event more before them
    part = asked["validation"]
    assert (part.targets.tolist(), part.n_rows) == ([3, 6], 3)
    assert part.lists.tolist() == [[3, 9], [0, 1]]
    report = teacher_report(imported.knowledge, dataset, titles=imported.titles)
    assert report.compared_on == report.calibrated_on == "validation"
    assert report.tables[0].rows[0].metrics["hr@2"] == 0.5
    assert report.coverage["validation rows with a list"] == "2 of 3 (66.7%)"
    assert report.coverage["histories with a list"] == "2 of 2"
    assert report.titles["exact"] == 4


def test_lists_of_states_that_no_row_has_are_judged_by_the_users_other_rows(tmp_path: Path) -> None:
    """Held-out events between train events: no row's history is the state that was asked about."""
    plain = asked_dataset()
    starts = plain.train.start[::2]
    order = {"validation": 1, "test": 3, "train": 4}  # of five events; the first has no history
    rows = {split: Rows(starts, starts + place) for split, place in order.items()}
    dataset = replace(plain, **rows)
    lines = [{"user_id": user, "titles": [TITLES[n], TITLES[n + 1]]}
             for n, user in enumerate(("ann", "bob", "cid"))]  # fmt: skip
    (tmp_path / "a.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    knowledge = import_answers(tmp_path / "a.jsonl", dataset).knowledge
    asked = asked_rows(dataset, knowledge)
    assert {split: part.by_state for split, part in asked.items()} == {
        "validation": True, "test": True
    }  # fmt: skip
    assert asked["test"].lists.tolist() == [[0, 1], [1, 2], [2, 3]]
    assert asked["test"].targets.tolist() == dataset.targets(dataset.test).tolist()
    assert "states after train" in teacher_report(knowledge, dataset).notes[-1]


def test_lists_of_no_row_are_told_to_be_unknown() -> None:
    dataset = asked_dataset()
    histories = AskedHistories(
        np.array([0, 2]), np.array([9, 8], np.int32), np.array([[1, -1]], np.int32)
    )
    report = teacher_report(TeacherKnowledge(histories=histories), dataset)
    assert (report.tables, report.places, report.compared_on) == ([], [], "")
    assert "no rows of the dataset" in report.notes[-1]
    assert "it is not known what came next" in " ".join(Page(render(report)).text)


def test_a_teacher_of_vectors_alone_is_refused() -> None:
    vectors = TeacherKnowledge(item_embeddings=np.ones((N_ITEMS, 2), np.float32))
    with pytest.raises(InputError, match="vectors alone"):
        teacher_report(vectors, cycle_dataset())


def report_of(world: tuple[Path, Path, Path]) -> TeacherReport:
    data, teacher, run = world
    dataset = load_dataset(data)
    return teacher_report(load_teacher(teacher, dataset), dataset, run=run, device="cpu")


def test_a_report_beside_the_students_of_a_run(world: tuple[Path, Path, Path]) -> None:
    dataset, report = load_dataset(world[0]), report_of(world)
    assert [table.title for table in report.tables] == [
        f"{dataset.name}, train rows with a list", f"{dataset.name}, test rows with a list"
    ]  # fmt: skip
    assert report.tables[0].n_rows == len(dataset.train) * 4 // 5
    test = {row.name: row.metrics for row in report.tables[1].rows}
    assert [*test] == ["teacher", "popularity", "gru4rec", "gru4rec+dllm2rec"]
    for one in report.beside:
        assert one.rows == one.both + one.teacher_only + one.student_only + one.neither
        assert (one.both + one.student_only) / one.rows == test[one.student]["hr@8"]
        assert (one.both + one.teacher_only) / one.rows == test["teacher"]["hr@8"]
    for name, curve in report.curves.items():
        assert curve[-1] == pytest.approx(test[name]["hr@8"])
        assert curve[4] == pytest.approx(test[name]["hr@5"])
    assert sum(part.rows for part in report.slices) == len(dataset.test)
    assert report.calibrated_on == "train"
    assert report.places[0].rate > report.places[3].rate  # the oracle's first place is best
    assert json.loads(json.dumps(report.as_json()))["beside_students"][0]["student"] == "gru4rec"


def test_students_list_what_they_recommend(world: tuple[Path, Path, Path]) -> None:
    dataset, folder = load_dataset(world[0]), world[2] / "gru4rec"
    rows = dataset.test.take(np.arange(12))
    checkpoint = load_checkpoint(folder)
    on = device_rows(dataset, rows, choose_device("cpu"))
    found = student_lists(checkpoint.student, on, 8, memory=checkpoint.memory)
    windows = dataset.windows(rows)
    histories = [
        [dataset.catalogue.item_ids[item] for item in window[:length]]
        for window, length in zip(windows.sequences, windows.lengths, strict=True)
    ]
    asked = load(folder, device="cpu").recommend(histories, 8, exclude_seen=False)
    assert [[dataset.catalogue.item_ids[i] for i in row] for row in found.tolist()] == [
        [one.item_id for one in line] for line in asked
    ]


def test_students_of_another_dataset_are_refused(world: tuple[Path, Path, Path]) -> None:
    other = cycle_dataset(seed=7)
    with pytest.raises(ArtifactError, match="trained on"):
        teacher_report(world_teacher(other), other, run=world[2])


def test_the_page_needs_nothing_else_and_obeys_no_title(
    world: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    report = replace(report_of(world), dataset=HOSTILE, notes=[HOSTILE])
    text = render(report)
    page = Page(text)
    assert "script" not in page.tags
    assert all(link.startswith("data:image/svg+xml") for link in page.fetched)
    assert len(page.fetched) == 6
    assert page.policy.startswith("default-src 'none'")
    assert page.text.count(HOSTILE) == 1
    assert text == render(report)  # the same bytes again
    monkeypatch.setattr(teacher_page, "can_draw", lambda: False)
    bare = Page(render(report))
    assert bare.fetched == []
    assert "matplotlib" in " ".join(bare.text)
    assert set(bare.tags) >= {"table", "details"}


def test_the_command_prints_and_writes(
    world: tuple[Path, Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(teacher_page, "can_draw", lambda: False)  # drawn above
    data, teacher, run = map(str, world)
    out = tmp_path / "page.html"
    words = ["teacher", "report", teacher, data, "--run", run, "--out", str(out)]
    assert main([*words, "--device", "cpu"]) == 0
    shown = capsys.readouterr().out
    for said in ("train rows with a list", "hit rate by place", "gru4rec+dllm2rec", "cold: never"):
        assert said in shown
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["page"] == str(out)
    assert found["distances"][0]["places"] > 0


def test_the_page_goes_beside_the_teacher(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    for name, write in authors_files(cycle_dataset(n_users=12)).items():
        write(tmp_path / "data" / name)
    answers = tmp_path / "answers.jsonl"
    answers.write_text('{"row": 0, "titles": ["Title 3", "Tetris"]}\n{"row": 1, "titles": []}\n')
    assert main(["teacher", "report", str(answers), str(tmp_path / "data")]) == 0
    shown = capsys.readouterr().out
    assert "unmatched: 1 x 'Tetris'" in shown
    text = (tmp_path / "answers-report.html").read_text(encoding="utf-8")
    assert "Tetris" in text
    assert (
        main(["teacher", "report", str(answers), str(tmp_path / "data"), "--out", str(tmp_path)])
        == 2
    )
    assert "is a folder or an input" in capsys.readouterr().err
