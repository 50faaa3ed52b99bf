"""A run that was interrupted, however it was, ends with the bits of one that was not."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from dllm2rec.cli import main
from dllm2rec.config.load import changed
from dllm2rec.config.model import Config
from dllm2rec.data.dataset import Catalogue
from dllm2rec.errors import ArtifactError, ConfigError, ResourceError
from dllm2rec.runs.source import Source
from dllm2rec.runs.training_state import TrainingState, load_state, save_state
from dllm2rec.runs.trial import Trial
from dllm2rec.storage.atomic_file import check_space
from dllm2rec.storage.atomic_folder import write_folder
from dllm2rec.storage.output_folder import locked
from dllm2rec.storage.pointers import read_pointer
from dllm2rec.storage.sealed_json import seal
from dllm2rec.train import train_seed
from dllm2rec.train.check_run import RunOptions
from dllm2rec.train.resume_run import resume_run
from dllm2rec.train.step import Stepper
from dllm2rec.train.train_run import train_run
from tests.support.kill_trials import CONFIG, what_it_made
from tests.support.worlds import N_ITEMS, cycle_dataset, oracle_teacher

# Most of these train twice: stopped and resumed, and in one go.
pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
TRIAL = Trial(0.1, 0.3)
DATASET = cycle_dataset()
TEACHER = oracle_teacher(DATASET)
# Only what is asked for is saved: a test then knows where a run was stopped.
SELDOM = changed(CONFIG, train={"save_every_s": 1e6, "patience": 2})
N_STEPS = -(-len(DATASET.train) // CONFIG.train.batch_size)


def run_whole(folder: Path, config: Config = SELDOM, name: str = "sasrec") -> None:
    train_run(config, DATASET, TEACHER, folder, students=[name], options=RunOptions(baseline=False))


@contextmanager
def signal_at(step: int, number: int) -> Iterator[None]:
    """Send this process a signal in the middle of its `step`th step, from 0."""
    own, taken = Stepper.step, iter(range(10**9))

    def stepping(self: Stepper, rows: torch.Tensor) -> None:
        if next(taken) == step:
            os.kill(os.getpid(), number)
        own(self, rows)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stepper, "step", stepping)
        yield


def stop_at(step: int, folder: Path, config: Config = SELDOM) -> Path:
    """Stop a run in its `step`th step; return the student's folder."""
    with signal_at(step, signal.SIGINT), pytest.raises(KeyboardInterrupt):
        run_whole(folder, config)
    return folder / "sasrec+dllm2rec"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a run that nobody stops ends with."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    run_whole(folder)
    return what_it_made(folder)


def trials(what: str, n: int, folder: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.kill_trials", what, str(n), str(folder)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        timeout=800,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.parametrize("step", [N_STEPS, 6 * N_STEPS], ids=["first weight", "second weight"])
def test_the_best_of_each_weight_outlives_a_stop(tmp_path: Path, step: int) -> None:
    """Students are compared with their memories at the end: those of all weights are there."""
    config = changed(SELDOM, student={"pair_memory": True}, train={"patience": 5})
    run_whole(tmp_path / "whole", config)
    stop_at(step, tmp_path / "stopped", config)
    resume_run(tmp_path / "stopped", DATASET, TEACHER)
    assert what_it_made(tmp_path / "stopped") == what_it_made(tmp_path / "whole")


# --- killed, asked to stop -----------------------------------------------------------------------


@pytest.mark.timeout(900)
def test_a_killed_run_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    seen = trials("kill", 60, tmp_path)
    assert {(trial["code"], trial["made"]) for trial in seen["trials"]} == {(0, seen["whole"])}
    # A kill before the first state or after the end shows nothing.
    assert all(trial["from_state"] for trial in seen["trials"])


@pytest.mark.timeout(900)
def test_a_run_that_is_asked_to_stop_saves_and_says_so(tmp_path: Path) -> None:
    seen = trials("term", 40, tmp_path)
    stopped = seen["trials"]
    assert {(t["signal"], t["code"]) for t in stopped} == {("SIGTERM", 143), ("SIGINT", 130)}
    assert max(trial["took_s"] for trial in stopped) <= 2
    assert {(trial["again"], trial["made"]) for trial in stopped} == {(0, seen["whole"])}


@pytest.mark.timeout(900)
def test_a_kill_while_saving_leaves_a_whole_state(tmp_path: Path) -> None:
    seen = trials("save", 60, tmp_path)["trials"]
    assert all(trial["whole"] for trial in seen)
    assert max(trial["saved"] for trial in seen) > 0


# --- where it stands -----------------------------------------------------------------------------


# In the first epoch, between two, in the second weight; the patience of 2 ends both early.
@pytest.mark.parametrize("step", [0, 7, N_STEPS - 1, N_STEPS, 2 * N_STEPS + 3, 5 * N_STEPS + 3])
def test_the_state_is_that_of_the_step_where_the_signal_came(
    tmp_path: Path, step: int, whole: str
) -> None:
    student = stop_at(step, tmp_path / "run")
    state = load_state(student)
    assert state is not None
    assert int(state.tensors["optimizer.n_updates"]) == state.step + N_STEPS * state.epoch
    assert state.step + N_STEPS * len(state.records) == step + 1
    resume_run(tmp_path / "run", DATASET, TEACHER)
    assert what_it_made(tmp_path / "run") == whole


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["sasrec", "gru4rec"])
def test_a_run_on_a_gpu_goes_on_to_the_same_bits(tmp_path: Path, name: str) -> None:
    config = changed(SELDOM, student={"name": name}, train={"device": "cuda"})
    run_whole(tmp_path / "whole", config, name)
    with signal_at(2 * N_STEPS + 3, signal.SIGINT), pytest.raises(KeyboardInterrupt):
        run_whole(tmp_path / "part", config, name)
    resume_run(tmp_path / "part", DATASET, TEACHER)
    assert what_it_made(tmp_path / "part") == what_it_made(tmp_path / "whole")


def test_a_signal_in_validation_is_answered_at_once(
    tmp_path: Path, whole: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dllm2rec.train import loop

    def interrupted(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("the signal was held back")

    with monkeypatch.context() as patch:
        patch.setattr(loop, "split_counts", interrupted)
        with pytest.raises(SystemExit) as stop:
            run_whole(tmp_path / "run")
    assert stop.value.code == 143
    state = load_state(tmp_path / "run" / "sasrec+dllm2rec")
    assert state is not None
    assert (state.step, state.records) == (N_STEPS, [])
    resume_run(tmp_path / "run", DATASET, TEACHER)
    assert what_it_made(tmp_path / "run") == whole


def test_handlers_are_as_before(tmp_path: Path) -> None:
    def own(number: int, frame: object) -> None:
        pytest.fail(f"signal {number}")

    before = signal.signal(signal.SIGTERM, own)
    try:
        stop_at(3, tmp_path / "run")
        assert signal.getsignal(signal.SIGTERM) is own
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)


def forget_generator(state: TrainingState) -> None:
    state.tensors["generator"] = torch.Generator().manual_seed(1).get_state()


def forget_moments(state: TrainingState) -> None:
    for name, tensor in state.tensors.items():
        if "exp_avg" in name:
            tensor.zero_()


def forget_average(state: TrainingState) -> None:
    for name, tensor in state.tensors.items():
        if name.endswith(".average"):
            tensor.zero_()


def forget_updates(state: TrainingState) -> None:
    state.tensors["optimizer.n_updates"] += 1


def forget_place(state: TrainingState) -> None:
    object.__setattr__(state, "step", state.step - 1)


def forget_sums(state: TrainingState) -> None:
    state.tensors["loss_sum"].zero_()


def forget_patience(state: TrainingState) -> None:
    for record in state.records:
        record["ndcg@20"] = 0.0


@pytest.mark.parametrize(
    "forget",
    [
        forget_generator,
        forget_moments,
        forget_average,
        forget_updates,
        forget_place,
        forget_sums,
        forget_patience,
    ],
)
def test_nothing_in_the_state_could_be_left_out(
    tmp_path: Path, whole: str, monkeypatch: pytest.MonkeyPatch, forget: Any
) -> None:
    stop_at(2 * N_STEPS + 3, tmp_path / "run")

    def forgetful(folder: Path) -> TrainingState | None:
        state = load_state(folder)
        assert state is not None
        forget(state)
        return state

    monkeypatch.setattr(train_seed, "load_state", forgetful)
    resume_run(tmp_path / "run", DATASET, TEACHER)
    assert what_it_made(tmp_path / "run") != whole


# --- what is refused -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two states, stopped in its second epoch."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    stop_at(N_STEPS + 5, folder)
    with signal_at(4, signal.SIGINT), pytest.raises(KeyboardInterrupt):
        resume_run(folder, DATASET, TEACHER)
    return folder


@pytest.fixture
def copied(stopped: Path, tmp_path: Path) -> Path:
    return shutil.copytree(stopped, tmp_path / "run")


def test_a_flipped_bit_anywhere_is_refused_and_the_older_state_named(
    copied: Path, whole: str
) -> None:
    student = copied / "sasrec+dllm2rec"
    newest, older = read_pointer(student, "last"), read_pointer(student, "prev")
    files = sorted(newest.iterdir())
    chance = random.Random(0)
    for _ in range(500):
        file = chance.choice(files)
        good = file.read_bytes()
        bad = bytearray(good)
        bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
        file.write_bytes(bad)
        with pytest.raises(ArtifactError, match=older.name):
            load_state(student)
        file.write_bytes(good)
    file.write_bytes(bad)
    (student / "last").unlink()  # as the message says
    resume_run(copied, DATASET, TEACHER)
    assert what_it_made(copied) == whole


def test_a_state_that_is_cut_off_anywhere_is_refused(copied: Path) -> None:
    student = copied / "sasrec+dllm2rec"
    for file in sorted(read_pointer(student, "last").iterdir()):
        good = file.read_bytes()
        for percent in range(100):
            file.write_bytes(good[: len(good) * percent // 100])
            with pytest.raises(ArtifactError):
                load_state(student)
        file.write_bytes(good)
    assert load_state(student) is not None


def test_a_corrupt_best_student_is_refused_before_the_training(copied: Path) -> None:
    file = read_pointer(copied / "sasrec+dllm2rec", "best") / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    with pytest.raises(ArtifactError, match=r"model\.safetensors"):
        resume_run(copied, DATASET, TEACHER)


def test_a_state_without_one_of_its_tensors_is_refused(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student = copied / "sasrec+dllm2rec"
    state = load_state(student)
    assert state is not None
    for name in list(state.tensors):
        kept = {other: tensor for other, tensor in state.tensors.items() if other != name}
        other = TrainingState(**{**vars(state), "tensors": kept})
        monkeypatch.setattr(train_seed, "load_state", lambda _, other=other: other)
        with pytest.raises(ArtifactError, match="state of a training"):
            resume_run(copied, DATASET, TEACHER)


def test_another_dataset_teacher_or_configuration_is_refused(copied: Path) -> None:
    with pytest.raises(ArtifactError, match="dataset with fingerprint"):
        resume_run(copied, cycle_dataset(seed=1), TEACHER)
    with pytest.raises(ArtifactError, match="teacher with fingerprint none"):
        resume_run(copied, DATASET, None)
    facts = json.loads((copied / "run.json").read_text())
    facts["config"]["student"]["hidden_size"] = 8
    (copied / "run.json").write_bytes(seal(facts))
    with pytest.raises(ArtifactError, match=r"student\.hidden_size = 16, expected 8"):
        resume_run(copied, DATASET, TEACHER)


def test_a_state_of_before_a_setting_was_there_goes_on_to_the_same_bits(
    copied: Path, whole: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_settings(folder: Path) -> TrainingState | None:
        state = load_state(folder)
        if state is None:
            return None
        config = json.loads(json.dumps(state.config))
        del config["student"]["projector"], config["distillation"]["ranking_method"]
        return replace(state, config=config)

    monkeypatch.setattr(train_seed, "load_state", without_settings)
    resume_run(copied, DATASET, TEACHER)
    assert what_it_made(copied) == whole


def test_going_on_elsewhere_is_told(copied: Path, caplog: pytest.LogCaptureFixture) -> None:
    facts = json.loads((copied / "run.json").read_text())
    facts["versions"]["torch"] = "1.0"
    del facts["n_seeds"]  # as before there were several
    (copied / "run.json").write_bytes(seal(facts))
    with signal_at(0, signal.SIGINT), pytest.raises(KeyboardInterrupt):
        resume_run(copied, DATASET, TEACHER)
    assert "W-NOT-BIT-IDENTICAL" in caplog.text
    assert "'torch': '1.0'" in caplog.text


def rewritten(run: Path, change: Callable[[TrainingState], TrainingState]) -> TrainingState:
    """Change the state of a stopped run on disk; return what it was."""
    student = run / "sasrec+dllm2rec"
    state = load_state(student)
    assert state is not None
    (student / "last").unlink()
    save_state(student, replace(change(state), step=state.step + 1))
    moved = read_pointer(student, "last")
    facts = json.loads((moved / "training.json").read_text())
    assert facts["step"] == state.step + 1
    return state


def without_moments(state: TrainingState) -> TrainingState:
    kept = {name: t for name, t in state.tensors.items() if "exp_avg" not in name}
    return replace(state, tensors=kept)


def test_a_state_that_lacks_something_goes_on_with_its_weights_alone(
    copied: Path, whole: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = rewritten(copied, without_moments)
    with pytest.raises(ArtifactError, match="weights_only=True"):
        resume_run(copied, DATASET, TEACHER)
    with signal_at(0, signal.SIGINT), pytest.raises(KeyboardInterrupt):
        resume_run(copied, DATASET, TEACHER, weights_only=True)
    assert "W-WEIGHTS-ONLY" in caplog.text
    state = load_state(copied / "sasrec+dllm2rec")
    assert state is not None
    assert (state.epoch, state.step, state.weights_only) == (before.epoch, 1, False)
    assert int(state.tensors["optimizer.n_updates"]) == 1
    # One step from the saved weights, and averages from there too.
    for name, tensor in before.tensors.items():
        if name.startswith("student.") and tensor.is_floating_point():
            assert float((state.tensors[name] - tensor).abs().max()) < 0.02
    resume_run(copied, DATASET, TEACHER)  # what is saved from then on is whole
    assert what_it_made(copied) != whole


def test_a_kill_right_after_leaving_all_but_the_weights_goes_on_the_same_way(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = shutil.copytree(copied, tmp_path / "other")
    resume_run(other, DATASET, TEACHER, weights_only=True)

    def killed(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr("dllm2rec.train.resume_run.train_students", killed)
        with pytest.raises(ZeroDivisionError):
            resume_run(copied, DATASET, TEACHER, weights_only=True)
    resume_run(copied, DATASET, TEACHER)
    assert what_it_made(copied) == what_it_made(other)


def test_other_data_is_allowed_if_asked_for_and_told(
    copied: Path, whole: str, caplog: pytest.LogCaptureFixture
) -> None:
    other = cycle_dataset(150, seed=1)  # more rows, the same items
    taught = oracle_teacher(other)
    with pytest.raises(ArtifactError, match="allow_data_change=True"):
        resume_run(copied, other, taught)
    before = load_state(copied / "sasrec+dllm2rec")
    assert before is not None
    assert before.step > 0
    with signal_at(0, signal.SIGINT), pytest.raises(KeyboardInterrupt):
        resume_run(copied, other, taught, allow_data_change=True)
    assert "W-DATA-CHANGED" in caplog.text
    state = load_state(copied / "sasrec+dllm2rec")
    assert state is not None
    assert (state.epoch, state.step) == (before.epoch, 1)
    moved = int(before.tensors["optimizer.n_updates"]) + 1
    assert int(state.tensors["optimizer.n_updates"]) == moved
    result = resume_run(copied, other, taught)  # it is the run's data from then on
    assert result.n_train == len(other.train)
    assert any(note.startswith("W-DATA-CHANGED") for note in result.notes)
    assert what_it_made(copied) != whole
    with pytest.raises(ArtifactError, match="dataset with fingerprint"):
        resume_run(copied, DATASET, TEACHER)


def test_other_items_or_students_are_never_allowed(copied: Path) -> None:
    renamed = replace(DATASET, catalogue=Catalogue([f"x-{i}" for i in range(N_ITEMS)]))
    with pytest.raises(ArtifactError, match="item 0 of its students is 'item-0', expected 'x-0'"):
        resume_run(copied, renamed, TEACHER, allow_data_change=True)
    more = replace(DATASET, catalogue=Catalogue([f"item-{i}" for i in range(N_ITEMS + 1)]))
    with pytest.raises(ArtifactError, match="know 40 items, expected 41"):
        resume_run(copied, more, TEACHER, allow_data_change=True)
    with pytest.raises(ArtifactError, match="begun with a teacher, got no teacher"):
        resume_run(copied, DATASET, None, allow_data_change=True)


def as_on_a_gpu(state: TrainingState) -> TrainingState:
    """What a GPU's training saves: generators of its own, and none of the CPU's that counts."""
    other = {name: t for name, t in state.tensors.items() if name != "generator"}
    extra = {"noise": torch.tensor(7), "generator_cuda": torch.zeros(16, dtype=torch.uint8)}
    return replace(state, tensors={**other, **extra}, device="cuda")


def test_a_run_goes_on_on_another_kind_of_device(
    copied: Path, whole: str, caplog: pytest.LogCaptureFixture
) -> None:
    facts = json.loads((copied / "run.json").read_text())
    (copied / "run.json").write_bytes(seal({**facts, "device": "NVIDIA H200"}))
    before = rewritten(copied, as_on_a_gpu)
    with signal_at(0, signal.SIGINT), pytest.raises(KeyboardInterrupt):
        resume_run(copied, DATASET, TEACHER)
    assert "W-NOT-BIT-IDENTICAL" in caplog.text
    assert "device NVIDIA H200 -> cpu" in caplog.text
    state = load_state(copied / "sasrec+dllm2rec")
    assert state is not None
    moved = int(before.tensors["optimizer.n_updates"]) + 1
    assert int(state.tensors["optimizer.n_updates"]) == moved
    assert state.device == "cpu"
    resume_run(copied, DATASET, TEACHER)
    assert what_it_made(copied) != whole


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["sasrec", "gru4rec"])
@pytest.mark.parametrize("devices", [("cpu", "cuda"), ("cuda", "cpu")])
def test_a_run_moves_between_cpu_and_gpu(tmp_path: Path, name: str, devices: Any) -> None:
    config = changed(SELDOM, student={"name": name, "dropout": 0.0}, train={"device": devices[0]})
    result = train_run(config, DATASET, TEACHER, tmp_path / "whole", students=[name])
    with signal_at(2 * N_STEPS + 3, signal.SIGINT), pytest.raises(KeyboardInterrupt):
        train_run(config, DATASET, TEACHER, tmp_path / "part", students=[name])
    moved = resume_run(tmp_path / "part", DATASET, TEACHER, device=devices[1])
    for one, other in zip(moved.rows, result.rows, strict=True):
        assert one.test["ndcg@20"] == pytest.approx(other.test["ndcg@20"], abs=0.05)


def test_a_state_of_an_older_version_is_refused_with_a_way_out(copied: Path) -> None:
    student = copied / "sasrec+dllm2rec"
    state = load_state(student)
    assert state is not None
    facts = {name: value for name, value in vars(state).items() if name != "tensors"}
    del facts["device"]  # what version 1 did not know
    newest = read_pointer(student, "last")
    shutil.rmtree(newest)
    writers = {
        "training.safetensors": lambda path: save_file(state.tensors, path),
        "training.json": lambda path: path.write_text(json.dumps(facts)),
    }
    write_folder(newest, writers, kind="training", version=1)
    with pytest.raises(ArtifactError, match=r"format version 1 written by dllm2rec .*expected 3"):
        resume_run(copied, DATASET, TEACHER)


def test_a_run_that_has_ended_gives_its_table_again(tmp_path: Path) -> None:
    quick = changed(SELDOM, train={"max_epochs": 1})
    result = train_run(quick, DATASET, TEACHER, tmp_path / "run", students=["sasrec"])
    made = what_it_made(tmp_path / "run")
    assert resume_run(tmp_path / "run", DATASET, TEACHER) == result
    assert what_it_made(tmp_path / "run") == made
    with pytest.raises(ConfigError, match="not empty"):
        run_whole(tmp_path / "run")


def test_leftovers_of_a_killed_process_go(copied: Path, whole: str) -> None:
    student = copied / "sasrec+dllm2rec"
    (student / "training-dropout-0-weight-9-epoch-9-step-9").mkdir()
    (student / ".weight-0-epoch-7.999999999.abcd.tmp").mkdir()
    for name in (
        ".prev.999999999.tmp",
        ".metrics.jsonl.999999999.tmp",
        "../.run.json.999999999.tmp",
    ):
        (student / name).write_text("cut")
    with (student / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2.0, "nd')
    resume_run(copied, DATASET, TEACHER)
    assert what_it_made(copied) == whole
    assert not list(copied.rglob(".*.tmp"))
    assert {path.name for path in student.iterdir() if path.is_dir()} == {
        read_pointer(student, pointer).name for pointer in ("best", "last")
    }


# --- one writer ----------------------------------------------------------------------------------


def test_two_processes_cannot_write_to_one_folder(copied: Path) -> None:
    child = (
        "import sys, time; from pathlib import Path\n"
        "from dllm2rec.storage.output_folder import locked\n"
        "with locked(Path(sys.argv[1])):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    words = [sys.executable, "-c", child, str(copied)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ArtifactError, match=f"process {holder.pid} on "):
            resume_run(copied, DATASET, TEACHER)
        overwrite = RunOptions(overwrite=True)
        with pytest.raises(ArtifactError, match=f"process {holder.pid} on "):
            train_run(SELDOM, DATASET, None, copied, students=["sasrec"], options=overwrite)
        assert (copied / "run.json").is_file()  # nothing was cleared
        holder.kill()
    with locked(copied):  # a lock dies with whoever held it
        assert f"process {os.getpid()} on " in (copied / ".lock").read_text()


# --- disks ---------------------------------------------------------------------------------------


@contextmanager
def files_of_at_most(n_bytes: int) -> Iterator[None]:
    """Let the system refuse larger files, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_state_before(tmp_path: Path) -> None:
    def state(step: int) -> TrainingState:
        return TrainingState({"x": torch.full((20_000,), step)}, {}, 5, step, 0.0, [], TRIAL, "cpu")

    save_state(tmp_path, state(1))
    size = (read_pointer(tmp_path, "last") / "training.safetensors").stat().st_size
    names = sorted(path.name for path in tmp_path.rglob("*"))
    for n in range(50):
        with (
            files_of_at_most(size * n // 50),
            pytest.raises(ResourceError, match=r"training-.* bytes free"),
        ):
            save_state(tmp_path, state(2))
        loaded = load_state(tmp_path)
        assert loaded is not None
        assert loaded.step == 1
        assert sorted(path.name for path in tmp_path.rglob("*")) == names
    save_state(tmp_path, state(2))
    assert read_pointer(tmp_path, "prev").name == state(1).name


def test_room_is_asked_for_before_a_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 0, 79_999))
    state = TrainingState({"x": torch.zeros(20_000)}, {}, 5, 1, 0.0, [], TRIAL, "cpu")
    with pytest.raises(ResourceError, match=r"80,000 bytes to write, 79,999 bytes free"):
        save_state(tmp_path, state)
    assert list(tmp_path.iterdir()) == []
    check_space(tmp_path / "x", 79_999)


def test_files_are_synced_before_they_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Path | str] = []
    fsync, rename = os.fsync, Path.rename
    monkeypatch.setattr(
        os, "fsync", lambda fd: (told.append(Path(f"/proc/self/fd/{fd}").readlink()), fsync(fd))[1]
    )
    monkeypatch.setattr(Path, "rename", lambda a, b: (told.append("rename"), rename(a, b))[1])
    write_folder(tmp_path / "x", {"a": lambda p: p.write_text("1")}, kind="k", version=1)
    names = [entry if entry == "rename" else Path(entry).name for entry in told]
    assert names[:2] == ["a", "manifest.json"]
    assert names[-2:] == ["rename", tmp_path.name]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_refused_before_the_training(copied: Path) -> None:
    copied.chmod(0o500)
    try:
        with pytest.raises(ResourceError, match="can be written"):
            resume_run(copied, DATASET, TEACHER)
    finally:
        copied.chmod(0o700)


# --- the command line ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--seed", "3"], "--seed beside --resume"),
        (["--set", "train.max_epochs=9"], "--set beside --resume"),
        (["--overwrite"], "--overwrite beside --resume"),
        (["--no-baseline"], "--no-baseline beside --resume"),
    ],
)
def test_a_run_goes_on_with_its_own_settings_alone(
    copied: Path, words: list[str], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--resume", str(copied), *words]) == 2
    assert part in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--allow-data-change", "--weights-only-resume"])
def test_what_says_how_to_go_on_needs_a_run(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", option]) == 2
    assert f"{option} without --resume" in capsys.readouterr().err


def test_the_command_says_how_to_go_on(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Source, "open", lambda _: (DATASET, TEACHER))
    facts = json.loads((copied / "run.json").read_text())
    facts["source"] = {"dataset": None, "teacher": None}
    (copied / "run.json").write_bytes(seal(facts))
    with signal_at(2, signal.SIGTERM):
        assert main(["train", "--resume", str(copied)]) == 143
    err = capsys.readouterr().err
    assert f"go on with: dllm2rec train --resume {copied}" in err
    assert err.splitlines()[-1] == "terminated"
    assert main(["train", "--resume", str(copied.parent / "nowhere")]) == 4
