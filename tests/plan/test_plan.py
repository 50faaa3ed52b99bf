"""What a plan says of a run, held against the run."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dllm2rec.batches.training_data import make_student, make_training_data
from dllm2rec.cli import main
from dllm2rec.cli.output.plan_tables import totals
from dllm2rec.cli.output.units import size_text, time_text
from dllm2rec.config.load import changed, load_config
from dllm2rec.config.model import Config
from dllm2rec.demo.world import demo_world
from dllm2rec.errors import ConfigError
from dllm2rec.plan import memory
from dllm2rec.plan.run import _kinds, plan_run
from dllm2rec.plan.timing import StepTimes, endless, measure
from dllm2rec.plan.trial_training import TrialResult
from dllm2rec.storage.pointers import read_pointer
from dllm2rec.tracking.progress import Silent
from dllm2rec.train import loop
from dllm2rec.train.train_run import train_run
from dllm2rec.train.train_student import student_config
from tests.support.plan_world import N_ITEMS, wide_dataset
from tests.support.worlds import cycle_dataset, oracle_teacher

# A plan times trial trainings.
pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
CONFIG = changed(
    load_config(recipe="light"),
    student={"hidden_size": 16},
    distillation={"ranking_weight": [0.0, 0.1, 0.3], "top_k": 6},
    train={"batch_size": 64, "max_epochs": 3, "device": "cpu"},
)
STUDENTS = ["gru4rec", "caser", "sasrec"]


def test_parameters_checkpoints_and_steps_are_those_of_the_run(tmp_path: Path) -> None:
    dataset = cycle_dataset()
    teacher = oracle_teacher(dataset)
    plan = plan_run(CONFIG, dataset, teacher, students=STUDENTS, watch_s=0.0)
    train_run(CONFIG, dataset, teacher, tmp_path / "run", students=STUDENTS)
    assert len(plan.students) == 6
    for row in plan.students:
        name, taught = row.name.partition(" + ")[0], " + " in row.name
        config = student_config(CONFIG, name, with_teacher=taught)
        student = make_student(config, dataset, teacher if taught else None)
        assert row.n_parameters == sum(p.numel() for p in student.parameters())
        folder = tmp_path / "run" / row.name.replace(" ", "")
        saved = load_file(read_pointer(folder, "best") / "model.safetensors")
        assert row.checkpoint_bytes == sum(t.numel() * t.element_size() for t in saved.values())
        assert row.steps_per_epoch == -(-len(dataset.train) // 64)


def test_parts_are_told_apart() -> None:
    dataset = cycle_dataset()
    plan = plan_run(CONFIG, dataset, oracle_teacher(dataset), students=["caser"], watch_s=0.0)
    alone, taught = plan.students
    assert alone.parameters["item vectors"] == (dataset.n_items + 1) * 16
    assert alone.parameters["window offset"] == 1
    assert "projection of the teacher" not in alone.parameters
    assert taught.parameters["projection of the teacher"] == 4 * 16 + 16


def test_what_lies_still_in_memory_is_counted_to_the_byte() -> None:
    dataset = cycle_dataset()
    config = changed(CONFIG, loss={"base": "sampled_softmax", "n_negatives": 7})
    plan = plan_run(config, dataset, oracle_teacher(dataset), students=["sasrec"], watch_s=0.0)
    taught, n_rows = plan.students[1], len(dataset.train)
    assert taught.memory["parameters"] == 4 * taught.n_parameters
    assert taught.memory["gradients"] == 4 * taught.n_parameters
    assert taught.memory["moments of Adam"] == 8 * taught.n_parameters
    assert taught.memory["lists of the teacher"] == n_rows * 6 * 12
    assert taught.memory["negatives"] == n_rows * 7 * 4


def test_scores_grow_with_the_batch_as_the_real_step_has_them() -> None:
    dataset = wide_dataset()
    config = changed(CONFIG, train={"batch_size": 512}, distillation={"ranking_weight": 0.0})
    config = changed(config, distillation={"embedding_weight": 0.0})
    student, task = (
        make_student(config, dataset, None),
        make_training_data(config, dataset, None, CPU),
    )
    scores = 4 * 512 * N_ITEMS
    locked = memory.step_bytes(student, task, config)
    assert 3 * scores < locked < 3.3 * scores  # kept once, and twice as much while walking back
    whole = changed(config, train={"batch_size": memory.MORE_ROWS})
    counted = memory.step_bytes(student, task, whole)
    assert locked / counted == pytest.approx(512 / memory.MORE_ROWS, rel=0.02)


def bytes_of(what: str, *overrides: str) -> int:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.plan_world", what, *overrides],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


def test_memory_of_the_process_is_predicted_within_a_quarter() -> None:
    setting = "loss.dro_weight=0.5"
    assert bytes_of("plan", setting) == pytest.approx(bytes_of("train", setting), rel=0.25)


@pytest.mark.gpu
@pytest.mark.parametrize(
    "overrides",
    [
        ["loss.base=softmax"],
        ["loss.base=softmax", "student.name=gru4rec"],
        ["loss.base=softmax", "student.name=caser"],
        ["loss.base=softmax", "loss.dro_weight=0.5"],
        ["loss.base=sampled_softmax", "loss.n_negatives=200"],
    ],
)
def test_memory_of_the_gpu_is_predicted_within_a_quarter(overrides: list[str]) -> None:
    planned, taken = (bytes_of(what, "cuda", *overrides) for what in ("plan", "train"))
    assert planned == pytest.approx(taken, rel=0.25)


def test_time_is_that_of_the_run(tmp_path: Path) -> None:
    # Bounds for a machine that does other work too; alone it is within a quarter.
    dataset, teacher = demo_world()
    config = changed(
        load_config(recipe="demo"),
        train={"max_epochs": 4, "patience": 4, "device": "cpu"},
    )
    tries = []
    for number in range(3):  # other work may come and go between plan and run
        plan = plan_run(config, dataset, teacher, students=["sasrec"])
        began = time.perf_counter()
        train_run(config, dataset, teacher, tmp_path / f"run-{number}", students=["sasrec"])
        taken = time.perf_counter() - began
        assert plan.seconds is not None
        tries.append((plan.seconds, taken))
        if taken / 2.5 < plan.seconds < taken * 2.5:
            return
    pytest.fail(f"planned and taken seconds: {tries}")


def test_an_epoch_longer_than_the_watch_is_left_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dllm2rec.train.loss_readout.READ_LOSS_EVERY_S", 0.02)
    dataset = cycle_dataset(3000)
    config = changed(CONFIG, train={"batch_size": 16}, distillation={"ranking_weight": 0.0})
    config = student_config(config, "sasrec", with_teacher=False)
    student, task = (
        make_student(config, dataset, None),
        make_training_data(config, dataset, None, CPU),
    )
    for _ in range(3):  # other work may come and go between the two
        began = time.perf_counter()
        pace = measure(loop.Training(student, task, endless(config)), 0.3)
        watched = time.perf_counter() - began
        (record, *_) = loop.fit(
            loop.Training(student, task, changed(config, train={"max_epochs": 1})), Silent()
        )
        if record["train_s"] / 2 < pace.train_s < record["train_s"] * 2:
            break
    assert watched < record["train_s"] / 1.5
    assert record["train_s"] / 2 < pace.train_s < record["train_s"] * 2
    assert pace.validation_s > 0
    assert pace.keys == ("loss_base", "loss", "hr@20", "ndcg@20")  # though no epoch was seen whole
    assert set(pace.keys) <= set(record)


def test_every_part_of_a_training_is_counted() -> None:
    student = torch.nn.Module()
    watched = TrialResult(
        student,  # type: ignore[arg-type] - only its seconds are asked for
        10,
        {},
        StepTimes(start_s=1.0, train_s=3.0, validation_s=1.0),
        first_s=20.0,
        again_s=5.0,
        save_s=0.5,
        state_s=2.0,
    )
    config = changed(CONFIG, train={"max_epochs": 10, "batch_size": 5, "save_every_s": 9.0})
    assert watched.seconds(1, config.train) == pytest.approx(20 + 10 * 4.5 + (1 + 45 / 9) * 2)
    rarely = changed(config, train={"save_every_s": 1e9}).train
    assert watched.seconds(3, rarely) == pytest.approx(20 + 2 * 5 + 3 * (10 * 4.5 + 2))
    always = changed(config, train={"save_every_s": 0.0}).train
    assert watched.seconds(1, always) == pytest.approx(20 + 10 * 4.5 + (1 + 2 * 10) * 2)
    assert TrialResult(student, 10, {}, None).seconds(1, rarely) is None  # type: ignore[arg-type]


def test_the_rest_of_the_measured_peak_is_the_last_part() -> None:
    dataset = cycle_dataset()
    plan = plan_run(CONFIG, dataset, None, students=["sasrec"], watch_s=0.0)
    (student,) = plan.students
    assert list(student.memory)[-1] == "process and steps, measured"
    assert 100e6 < student.memory_bytes <= plan.host_bytes


def test_a_peak_is_forgotten_where_the_system_can() -> None:
    block = bytearray(400_000_000)
    high = memory.peak_bytes()
    del block
    memory.forget_peaks(CPU)
    if Path("/proc/self/clear_refs").exists():
        assert memory.peak_bytes() < high - 300_000_000


def test_a_gpu_that_refuses_is_a_plan_that_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("dllm2rec.plan.trial_training.measure", refuse)
    plan = plan_run(CONFIG, cycle_dataset(), None, students=["sasrec"])
    assert not plan.students[0].fits
    assert plan.students[0].memory["parameters"] == 4 * plan.students[0].n_parameters


def test_every_weight_of_a_grid_is_counted() -> None:
    assert list(_kinds((0.0, 0.1, 0.3, 0.5))) == [(0.0, 1), (0.5, 3)]
    assert list(_kinds((0.3,))) == [(0.3, 1)]
    assert list(_kinds((0.0,))) == [(0.0, 1)]


def test_more_epochs_and_weights_take_as_much_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    # Every step takes the same time here: measured ones differ with what else the machine does.
    monkeypatch.setattr(
        "dllm2rec.plan.trial_training.measure", lambda *_: StepTimes(0.0, 20.0, 5.0)
    )
    dataset = cycle_dataset()
    teacher = oracle_teacher(dataset)
    few = plan_run(CONFIG, dataset, teacher, students=["sasrec"]).students
    more = changed(CONFIG, train={"max_epochs": 300})
    many = plan_run(more, dataset, teacher, students=["sasrec"]).students
    alone, taught = (student.seconds for student in many)
    assert alone == pytest.approx(300 * 25, rel=0.1)
    assert taught == pytest.approx(3 * 300 * 25, rel=0.1)  # three ranking weights
    assert few[0].seconds == pytest.approx(3 * 25, rel=0.1)
    assert few[1].seconds == pytest.approx(3 * 3 * 25, rel=0.1)


def test_what_does_not_fit_is_said_and_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda _: 100_000)
    dataset = cycle_dataset()
    plan = plan_run(CONFIG, dataset, None, students=["sasrec"])
    (student,) = plan.students
    assert not student.fits
    assert (student.train_s, student.seconds, plan.seconds) == (None, None, None)
    assert "does not fit; lower train.batch_size" in totals(plan)[-1]


def test_a_plan_writes_nothing_and_reads_no_test_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    dataset = cycle_dataset()

    class Counted:
        """As many rows, but none can be read."""

        def __len__(self) -> int:
            return 120

    object.__setattr__(dataset, "test", Counted())
    plan = plan_run(CONFIG, dataset, None, students=["sasrec"], watch_s=0.0)
    assert plan.n_test == 120
    assert list(tmp_path.iterdir()) == []


def test_a_plan_refuses_what_the_run_would_refuse() -> None:
    dataset = cycle_dataset()
    config: Config = changed(CONFIG, evaluation={"ks": [1, 5000]})
    with pytest.raises(ConfigError, match=r"evaluation\.ks: 5000"):
        plan_run(config, dataset, None, students=["sasrec"])


# --- the command ---------------------------------------------------------------------------------


def test_the_command_prints_a_plan_for_people_and_for_machines(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["plan", "--student", "sasrec", "--no-baseline", "--set", "train.max_epochs=2"]
    assert main([*words, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    (student,) = plan["students"]
    assert (student["name"], plan["n_items"], plan["max_epochs"]) == ("sasrec + dllm2rec", 800, 2)
    assert plan["seconds"] > 2 * 2 * student["train_s"] * 0.5
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert f"{sum(student['parameters'].values()):,}" in shown
    assert "item vectors" in shown
    assert "if every training goes to its last epoch, 2" in shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--teacher", "t"], "--teacher without --dataset"),
        (["--set", "train.batch=1"], "unknown key"),
    ],
)
def test_the_command_refuses_what_train_refuses(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", *words]) == 2
    assert message in capsys.readouterr().err


def test_sizes_and_times_are_written_as_people_say_them() -> None:
    assert [size_text(n) for n in (12, 1200, 3_456_000, 7e9)] == [
        "12 B",
        "1.2 kB",
        "3.46 MB",
        "7 GB",
    ]
    assert [time_text(s) for s in (0.4, 59.6, 7800)] == ["0 s", "1 min 0 s", "2 h 10 min"]


def test_what_is_measured_is_named_and_reading_the_data_counts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["plan", "--student", "sasrec", "--set", "train.max_epochs=1", "--json"]) == 0
    shown = capsys.readouterr()
    assert shown.err.splitlines() == ["measuring sasrec", "measuring sasrec + dllm2rec"]
    plan = json.loads(shown.out)
    assert plan["opening_s"] > 0
    parts = [plan["opening_s"], plan["baselines_s"], plan["report_s"]]
    assert plan["seconds"] == pytest.approx(
        sum(parts) + sum(a["seconds"] for a in plan["students"])
    )


def test_what_the_teacher_lacks_is_noted_as_the_run_notes_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = cycle_dataset()
    lists_alone = replace(oracle_teacher(dataset), item_embeddings=None, target_distance=None)
    plan = plan_run(CONFIG, dataset, lists_alone, students=["sasrec"], watch_s=0.0)
    assert "W-TEACHER-LACKS the teacher has no item vectors" in caplog.text
    run = train_run(CONFIG, dataset, lists_alone, tmp_path / "run", students=["sasrec"])
    assert plan.notes == run.notes
    assert plan.notes


def test_each_seed_is_another_training() -> None:
    dataset = cycle_dataset()
    config = changed(CONFIG, distillation={"ranking_weight": 0.0})
    plan = plan_run(config, dataset, None, students=["caser"], watch_s=0.0, n_seeds=3)
    (student,) = plan.students
    assert plan.disk_bytes == 3 * (2 * student.checkpoint_bytes + 3 * student.state_bytes)
    assert plan.seconds is not None
    assert student.seconds is not None
    assert plan.seconds - plan.baselines_s - plan.report_s == pytest.approx(3 * student.seconds)
