"""The pair memory of a student: chosen on validation, kept, and used wherever it is served."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dllm2rec.batches.training_data import make_student
from dllm2rec.config.load import changed, load_config
from dllm2rec.data.dataset import Catalogue, SequenceDataset
from dllm2rec.data.device_rows import DeviceRows, device_rows
from dllm2rec.errors import ArtifactError
from dllm2rec.evaluate import choose_memory as module
from dllm2rec.evaluate.choose_memory import choose_memory, count_train_pairs
from dllm2rec.evaluate.evaluate_split import split_counts
from dllm2rec.evaluate.metrics import rank_metrics
from dllm2rec.runs.checkpoint import load_checkpoint
from dllm2rec.runs.evaluate_run import evaluate_run
from dllm2rec.runs.run_result import RESULT_FILE, RESULTS_FILE, read_row
from dllm2rec.serve.recommend import recommend
from dllm2rec.storage.pointers import read_pointer
from dllm2rec.students import Student
from dllm2rec.students.memory.pair_memory import MemoryForm, PairMemory, make_memory
from dllm2rec.tracking.progress import Silent, TrainingName
from dllm2rec.train.resume_run import resume_run
from tests.support.worlds import N_ITEMS, cycle_dataset, oracle_teacher
from tests.train.test_train_run import CONFIG as RUN_CONFIG
from tests.train.test_train_run import train

CPU = torch.device("cpu")
CONFIG = changed(
    load_config(recipe="light"),
    student={"hidden_size": 8},
    distillation={"embedding_weight": 0.0, "ranking_weight": 0.0},
)


def untrained(dataset: SequenceDataset) -> Student:
    torch.manual_seed(0)
    return make_student(CONFIG, dataset, None).eval()


def ndcg(student: Student, rows: DeviceRows, memory: PairMemory | None, *, seen: bool) -> float:
    counts = split_counts(student, rows, exclude_seen=seen, memory=memory)
    return rank_metrics(counts, [20])["ndcg@20"]


@pytest.mark.parametrize("seen", [False, True])
def test_a_memory_teaches_an_untrained_student_the_cycle(seen: bool) -> None:
    dataset = cycle_dataset()
    student, rows = untrained(dataset), device_rows(dataset, dataset.validation, CPU)
    memory = choose_memory(student, rows, count_train_pairs(dataset), seen=seen)
    assert memory is not None
    alone, remembering = (ndcg(student, rows, one, seen=seen) for one in (None, memory))
    assert remembering > 0.8 > 0.3 > alone


def test_titles_that_name_the_next_item_are_used() -> None:
    dataset = cycle_dataset()
    titles = [f"part{n} part{(n + 1) % N_ITEMS}" for n in range(N_ITEMS)]
    rng = np.random.default_rng(0)
    titled = replace(
        dataset,
        events=rng.permutation(dataset.events),
        catalogue=Catalogue(dataset.catalogue.item_ids, titles),
    )
    rows = device_rows(dataset, dataset.validation, CPU)
    memory = choose_memory(untrained(dataset), rows, count_train_pairs(titled), seen=False)
    assert memory is not None
    assert memory.form.title_weight > 0
    assert ndcg(untrained(dataset), rows, memory, seen=False) > 0.4
    untitled = replace(titled, catalogue=Catalogue(dataset.catalogue.item_ids, [""] * N_ITEMS))
    without = choose_memory(untrained(dataset), rows, count_train_pairs(untitled), seen=False)
    assert without is None or without.form.title_weight == 0


def test_a_memory_of_noise_is_left_out() -> None:
    dataset = cycle_dataset()
    rng = np.random.default_rng(0)
    shuffled = replace(dataset, events=rng.permutation(dataset.events))
    rows = device_rows(dataset, dataset.validation, CPU)
    knowing = _Knowing(untrained(dataset))
    assert ndcg(knowing, rows, None, seen=False) > 0.8
    assert choose_memory(knowing, rows, count_train_pairs(shuffled), seen=False) is None


class _Knowing(Student):
    """Scores the next item of the cycle highest."""

    def __init__(self, student: Student) -> None:
        torch.nn.Module.__init__(self)
        self.n_items, self.max_length = student.n_items, student.max_length
        self.window_offset = None
        self.embedding = student.embedding  # of all items; no score is made of it
        self.parameter = torch.nn.Parameter(torch.eye(N_ITEMS))

    def item_table(self) -> None:
        return None

    def encode(
        self, sequences: torch.Tensor, lengths: torch.Tensor, table: torch.Tensor | None
    ) -> torch.Tensor:
        last = sequences.gather(1, lengths[:, None] - 1)[:, 0]
        return 10 * self.parameter[(last + 1) % N_ITEMS]

    def output_items(self, table: torch.Tensor | None) -> tuple[torch.Tensor, None]:
        return self.parameter, None


def test_no_weight_at_the_edge_of_the_first_grid_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = cycle_dataset()
    student, rows = untrained(dataset), device_rows(dataset, dataset.validation, CPU)
    with torch.no_grad():
        student.embedding.ids.weight.mul_(100)
    monkeypatch.setattr(module, "FIRST_WEIGHTS", (0.001,))
    memory = choose_memory(student, rows, count_train_pairs(dataset), seen=False)
    assert memory is not None
    assert memory.form.weight > 0.001


def test_scores_with_a_memory_are_those_of_the_whole_matrix() -> None:
    dataset = cycle_dataset()
    student, rows = untrained(dataset), device_rows(dataset, dataset.test, CPU)
    memory = make_memory(count_train_pairs(dataset)[0.85], MemoryForm())
    sequences, lengths, targets = rows.windows(torch.arange(len(rows)))
    with torch.no_grad():
        scores = student(sequences, lengths).double().numpy()
    offsets, items, values = memory.bonuses(
        sequences.numpy().astype(np.uint32), lengths.numpy().astype(np.uint32)
    )
    np.add.at(scores, (np.repeat(np.arange(len(rows)), np.diff(offsets)), items), values)
    counts = split_counts(student, rows, memory=memory)
    greater = (scores > scores[np.arange(len(rows)), targets][:, None] + 1e-5).sum(axis=1)
    np.testing.assert_array_equal(counts.greater, greater)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("memory") / "cycle-1"
    config = changed(RUN_CONFIG, train={"max_epochs": 1}, student={"pair_memory": True})
    train(folder, config, baseline=False)
    return folder


def _validation(run: Path, dataset: SequenceDataset) -> float:
    table = evaluate_run(run, dataset=dataset, split="validation", device="cpu")
    return table.rows[-1].metrics["ndcg@20"]


def test_a_run_keeps_and_serves_the_memory(run: Path) -> None:
    (folder,) = [child for child in run.iterdir() if (child / "best").is_file()]
    checkpoint = load_checkpoint(folder)
    assert checkpoint.memory is not None
    dataset = cycle_dataset()
    validation = _validation(run, dataset)
    assert validation == pytest.approx(checkpoint.record["ndcg@20"], abs=1e-12)
    history = [f"item-{i}" for i in (3, 4, 5)]
    (listed,) = recommend(run, [history], k=5, exclude_seen=False, device="cpu")
    window = np.array([[3, 4, 5, 0, 0]], np.uint32)
    _, items, values = checkpoint.memory.bonuses(window, np.array([3], np.uint32))
    with torch.no_grad():
        sequences, lengths = torch.from_numpy(window.astype(np.int64)), torch.tensor([3])
        scores = checkpoint.student(sequences, lengths)[0].double().numpy()
    scores[items] += values
    best = [dataset.catalogue.item_ids[i] for i in np.argsort(-scores, kind="stable")[:5]]
    assert [place.item_id for place in listed] == best
    np.testing.assert_allclose(
        [place.score for place in listed], np.sort(scores)[::-1][:5], rtol=1e-5
    )


def test_what_was_chosen_is_a_remark_after_the_last_training(tmp_path: Path) -> None:
    told: list[str] = []

    class Watching(Silent):
        def start(self, training: TrainingName, *_: object) -> None:
            told.append(f"start {training}")

        def finish(self, summary: str) -> None:
            told.append("finish")

        def remark(self, training: TrainingName, text: str) -> None:
            told.append(f"{training}: {text}")

    config = changed(
        RUN_CONFIG,
        train={"max_epochs": 1},
        student={"pair_memory": True},
        distillation={"ranking_weight": (0.1, 0.3)},
    )
    train(tmp_path / "cycle", config, baseline=False, progress=Watching())
    *trainings, first, second = told
    assert [line.split()[0] for line in trainings] == ["start", "finish", "start", "finish"]
    for weight, remark in (("0.1", first), ("0.3", second)):
        begins = f"sasrec + dllm2rec (ranking weight {weight}): pair memory (weight "
        assert remark.startswith(begins)
        assert "validation ndcg@20 0." in remark


def test_a_run_killed_after_its_memory_was_saved_ends_with_the_same_row(
    run: Path, tmp_path: Path
) -> None:
    resumed = tmp_path / run.name
    shutil.copytree(run, resumed)
    (folder,) = [child for child in resumed.iterdir() if (child / "best").is_file()]
    row = read_row(folder)
    for file in (folder / RESULT_FILE, resumed / RESULTS_FILE):
        file.unlink()
    dataset = cycle_dataset()
    resume_run(resumed, dataset, oracle_teacher(dataset), progress=False)
    again = read_row(folder)
    assert (again.validation, again.test) == (row.validation, row.test)
    assert again.detail["memory_weight"] == row.detail["memory_weight"] > 0


def test_a_memory_that_changed_on_disk_is_refused(run: Path, tmp_path: Path) -> None:
    (folder,) = [child for child in run.iterdir() if (child / "best").is_file()]
    file = read_pointer(folder, "best") / "memory.safetensors"
    content = bytearray(file.read_bytes())
    before = bytes(content)
    content[-3] ^= 1
    file.write_bytes(content)
    try:
        with pytest.raises(ArtifactError, match=r"memory\.safetensors"):
            load_checkpoint(folder)
    finally:
        file.write_bytes(before)


def test_without_the_setting_there_is_no_memory(tmp_path: Path) -> None:
    config = changed(RUN_CONFIG, train={"max_epochs": 1}, student={"pair_memory": False})
    train(tmp_path / "cycle", config, baseline=False)
    (folder,) = [c for c in (tmp_path / "cycle").iterdir() if (c / "best").is_file()]
    assert load_checkpoint(folder).memory is None
