"""Rows K: states and checkpoints of a run that was stopped, as `dllm2rec train --resume` meets them.

The run is made once: it was stopped twice in its second epoch, so that it has a newest state and
the one before. Each case changes a copy of it.
"""

# ruff: noqa: E501 - a case on a line of its own reads as a table

from __future__ import annotations

import atexit
import errno
import itertools
import json
import os
import pickle
import random
import shutil
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from dllm2rec.cli import main
from dllm2rec.runs import checkpoint, training_state
from dllm2rec.runs.training_state import TrainingState, load_state, save_state
from dllm2rec.storage import atomic_folder
from dllm2rec.storage.atomic_folder import FileRecord, write_folder
from dllm2rec.storage.pointers import read_pointer
from dllm2rec.train.step import Stepper
from tests.corpus import worlds
from tests.corpus.case import Case, accepted, refused
from tests.corpus.embeddings import Evil
from tests.corpus.worlds import NO_REPORT, Holding, all_of, replaced
from tests.support.kill_trials import what_it_made

Words = Callable[[Path], list[str]]
Change = Callable[[TrainingState], TrainingState]
STUDENT = "out/sasrec+dllm2rec"
SETS = ["train.max_epochs=3", "train.batch_size=4", "train.save_every_s=1e6"]
N_STEPS = -(-worlds.N_TRAIN // 4)


# --- the run -------------------------------------------------------------------------------------


@contextmanager
def signal_at(step: int) -> Iterator[None]:
    """Ctrl-C in the middle of the `step`th step, from 0."""
    own, taken = Stepper.step, iter(range(10**9))

    def stepping(self: Stepper, rows: torch.Tensor) -> None:
        if next(taken) == step:
            os.kill(os.getpid(), signal.SIGINT)
        own(self, rows)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stepper, "step", stepping)
        yield


def resume_words(folder: Path, *words: str) -> list[str]:
    known = ["--dataset", str(folder / "data"), "--teacher", str(folder / "teacher")]
    return ["train", "--resume", str(folder / "out"), *known, *words]


def stopped(folder: Path, step: int, words: list[str]) -> None:
    with NO_REPORT(folder), signal_at(step):
        assert main(words) == 130


@cache
def template() -> Path:
    """A run, stopped twice, and what it would have ended with."""
    folder = Path(tempfile.mkdtemp(prefix="corpus-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    words = worlds.train_words(folder, "--threads", "1", sets=SETS)
    whole = [*words, "--out", str(folder / "whole")]
    with NO_REPORT(folder):
        assert main(whole) == 0
    (folder / "whole.sha256").write_text(what_it_made(folder / "whole"))
    stopped(folder, N_STEPS + 2, words)
    stopped(folder, 3, resume_words(folder))
    shutil.rmtree(folder / "whole")
    return folder


def copied(folder: Path) -> Path:
    """A copy of the run, its dataset and its teacher; returns the student's folder."""
    shutil.copytree(template(), folder, dirs_exist_ok=True)
    return folder / STUDENT


def as_if_never_stopped(folder: Path) -> None:
    assert what_it_made(folder / "out") == (folder / "whole.sha256").read_text()


# --- what is done to it --------------------------------------------------------------------------


def after(change: Callable[[Path], object], *words: str) -> Words:
    """Resume a copy of the run after a change of its student's folder."""

    def make(folder: Path) -> list[str]:
        change(copied(folder))
        return resume_words(folder, *words)

    return make


def newest(student: Path) -> Path:
    return read_pointer(student, "last")


def with_state(change: Change) -> Callable[[Path], None]:
    """Write another state in place of the newest one, with a sound manifest."""

    def apply(student: Path) -> None:
        state = load_state(student)
        assert state is not None
        (student / "last").unlink()
        save_state(student, replace(change(state), step=state.step + 1))

    return apply


def other_config(section: str, **values: object) -> Change:
    def change(state: TrainingState) -> TrainingState:
        config = json.loads(json.dumps(state.config))
        config[section].update(values)
        return replace(state, config=config)

    return change


def without(*parts: str) -> Change:
    return lambda state: replace(
        state, tensors={n: t for n, t in state.tensors.items() if not any(p in n for p in parts)}
    )


def with_nan(state: TrainingState) -> TrainingState:
    tensors = {name: tensor.clone() for name, tensor in state.tensors.items()}
    name = next(name for name in tensors if name.startswith("student."))
    tensors[name].view(-1)[0] = torch.nan
    return replace(state, tensors=tensors)


def rewritten(place: Path, kind: str, version: int, **files: bytes) -> None:
    """Write a folder again with a sound manifest: another version of it, or other files."""
    contents = {p.name: p.read_bytes() for p in place.iterdir() if p.name != "manifest.json"}
    contents |= {name.replace("__", "."): data for name, data in files.items()}
    shutil.rmtree(place)
    writers = {name: partial(_write, data) for name, data in contents.items()}
    write_folder(place, writers, kind=kind, version=version)


def _write(data: bytes, path: Path) -> None:
    path.write_bytes(data)


def state_version(version: int) -> Callable[[Path], None]:
    return lambda student: rewritten(newest(student), training_state.KIND, version)


def best_version(version: int) -> Callable[[Path], None]:
    return lambda student: rewritten(read_pointer(student, "best"), checkpoint.KIND, version)


def best_with_nan(student: Path) -> None:
    place = read_pointer(student, "best")
    tensors = load_file(place / checkpoint.WEIGHTS)
    next(iter(tensors.values())).view(-1)[0] = torch.nan
    save_file(tensors, student / "nan")
    data = (student / "nan").read_bytes()
    rewritten(place, checkpoint.KIND, checkpoint.VERSION, model__safetensors=data)


def pickled(student: Path, *, sound_manifest: bool) -> None:
    data = pickle.dumps(Evil())
    if sound_manifest:
        rewritten(
            newest(student), training_state.KIND, training_state.VERSION, training__safetensors=data
        )
    else:
        (newest(student) / training_state.TENSORS).write_bytes(data)


def leaving(name: str) -> Callable[[Path], None]:
    """A sound manifest that lists a file outside its folder."""

    def change(student: Path) -> None:
        place = newest(student)
        manifest = atomic_folder.read_manifest(
            place, training_state.KIND, newest_version=training_state.VERSION
        )
        record = FileRecord(4, "0" * 64)
        files = {**manifest.files, name: record}
        (place / "manifest.json").write_bytes(
            atomic_folder._manifest_bytes(replace(manifest, files=files))
        )

    return change


def leftovers(student: Path) -> None:
    (student / "training-dropout-0-weight-9-epoch-9-step-9").mkdir()
    (student / ".training-dropout-0-weight-0.3-epoch-1-step-7.999999999.abcd.tmp").mkdir()


def clean_and_whole(folder: Path) -> None:
    as_if_never_stopped(folder)
    student = folder / STUDENT
    assert not list(student.glob("*.tmp")) + list(student.glob(".*.tmp"))
    named = {read_pointer(student, pointer).name for pointer in ("best", "last")}
    assert {path.name for path in student.iterdir() if path.is_dir()} == named


def killed_while_saving(student: Path) -> None:
    """A process that dies with the tensors of a new state written and no manifest yet."""
    state = load_state(student)
    assert state is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of any fork
        child = os.fork()
    if child == 0:
        atomic_folder._manifest_bytes = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
        save_state(student, replace(state, step=state.step + 1))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    (left,) = student.glob(".*.tmp")
    assert [path.name for path in left.iterdir() if path.suffix == ".safetensors"]
    assert not (left / "manifest.json").exists()


def other_rows(student: Path) -> None:
    folder = student.parents[1]
    worlds.dataset(folder, train=worlds.rows(worlds.N_TRAIN, 1))


def other_width(student: Path) -> None:
    worlds.teacher(student.parents[1], width=5)


def refused_again_and_again(folder: Path, damages: Iterator[tuple[Path, bytes]], n: int) -> None:
    """Each damage of a file ends with exit 4 and the state before it offered; then all is put back."""
    older = read_pointer(folder / STUDENT, "prev").name
    seen = 0
    for file, data in damages:
        good = file.read_bytes()
        file.write_bytes(data)
        with captured() as shown:
            assert main(resume_words(folder)) == 4
        assert older in shown[-1]
        file.write_bytes(good)
        seen += 1
    assert seen == n


@contextmanager
def captured() -> Iterator[list[str]]:
    """The lines of standard error, once the block has ended."""
    lines: list[str] = []
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryFile("w+") as file:
        patch.setattr("sys.stderr", file)
        yield lines
        file.seek(0)
        lines += file.read().splitlines()


def cut_everywhere(folder: Path) -> None:
    """K01: the tensors of the newest state, cut at every percent."""
    file = newest(copied(folder)) / training_state.TENSORS
    data = file.read_bytes()
    damages = ((file, data[: len(data) * percent // 100]) for percent in range(100))
    with captured():
        refused_again_and_again(folder, damages, 100)


def flipped(files: list[Path], n: int) -> Iterator[tuple[Path, bytes]]:
    """One bit of one file, `n` times."""
    chance = random.Random(20240531)
    for _ in range(n):
        file = chance.choice(files)
        data = bytearray(file.read_bytes())
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        yield file, bytes(data)


def flips(n: int) -> Callable[[Path], None]:
    def call(folder: Path) -> None:
        files = sorted(newest(copied(folder)).iterdir())
        refused_again_and_again(folder, flipped(files, n), n)

    return call


def saved_over_itself(folder: Path) -> None:
    """K17: what was loaded from a file stays as it was when the file is written again."""
    student = copied(folder)
    state = load_state(student)
    assert state is not None
    before = {name: tensor.clone() for name, tensor in state.tensors.items()}
    zeros = {name: torch.zeros_like(tensor) for name, tensor in state.tensors.items()}
    (student / "last").unlink()
    save_state(student, replace(state, tensors=zeros))
    save_state(student, state)
    assert all(torch.equal(state.tensors[name], tensor) for name, tensor in before.items())


def clock_jumping_back() -> Holding:
    """The time of day goes backwards."""
    hours = itertools.count(1_600_000_000, -3600)
    return replaced("time.time", lambda: float(next(hours)))


def failing(number: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def recommend_words(change: Callable[[Path], object]) -> Words:
    def make(folder: Path) -> list[str]:
        change(copied(folder))
        return ["recommend", str(folder / "out"), "--history", "0,1,2"]

    return make


def bad(
    name: str,
    change: Callable[[Path], object],
    *says: str,
    words: tuple[str, ...] = (),
    status: int = 4,
    **more: Any,
) -> Case:
    return refused(name, after(change, *words), status, *says, begun=True, **more)


def resumes(
    name: str,
    change: Callable[[Path], object],
    *says: str,
    words: tuple[str, ...] = (),
    during: Holding = NO_REPORT,
    **more: Any,
) -> Case:
    return accepted(name, after(change, *words), *says, during=during, **more)


def nothing(_: Path) -> None: ...


K = [
    resumes("K16-unchanged", nothing, check=as_if_never_stopped),  # so that the others differ by their change
    Case(name="K01-cut-at-every-percent", call=cut_everywhere),
    Case(name="K02-25-flipped-bits", call=flips(25)),
    Case(name="K02-500-flipped-bits", call=flips(500), slow=True),
    resumes("K03-leftovers", leftovers, check=clean_and_whole),
    bad("K04-no-manifest", lambda student: (newest(student) / "manifest.json").unlink(), "manifest.json"),
    bad("K05-last-names-nothing", lambda student: (student / "last").write_text("nowhere\n"), "names 'nowhere', expected one of the folders there: ", "training-dropout-", "-weight-0.3-epoch-1-step-"),
    bad("K06-model", with_state(other_config("student", name="gru4rec")), "student.name = gru4rec, expected sasrec"),
    bad("K06-width", with_state(other_config("student", hidden_size=16)), "student.hidden_size = 16, expected 8"),
    bad("K06-top-k", with_state(other_config("distillation", top_k=3)), "distillation.top_k = 3, expected 5"),
    bad("K06-items", with_state(lambda state: replace(state, n_items=13)), "13", "12"),
    bad("K07-newer-state", state_version(training_state.VERSION + 1), f"format version {training_state.VERSION + 1} written by dllm2rec", "install a newer dllm2rec"),
    bad("K07-newer-checkpoint", best_version(checkpoint.VERSION + 1), f"format version {checkpoint.VERSION + 1} written by dllm2rec", "install a newer dllm2rec"),
    bad("K08-older-state", state_version(training_state.VERSION - 1), f"format version {training_state.VERSION - 1} written by dllm2rec", "go on with the dllm2rec that wrote it"),
    bad("K09-other-rows", other_rows, "dataset with fingerprint", "--allow-data-change"),
    resumes("K09-allowed", other_rows, "W-DATA-CHANGED", words=("--allow-data-change",)),
    resumes("K10-other-threads", nothing, "W-NOT-BIT-IDENTICAL", "threads 1 -> 2", words=("--threads", "2"), during=all_of(NO_REPORT, worlds.threads_as_before, replaced("os.cpu_count", lambda: 2))),
    bad("K11-no-moments", with_state(without("exp_avg")), "--weights-only-resume"),
    bad("K11-no-generator", with_state(without("generator")), "--weights-only-resume"),
    resumes("K11-no-moments-allowed", with_state(without("exp_avg")), "W-WEIGHTS-ONLY", words=("--weights-only-resume",)),
    resumes("K11-no-generator-allowed", with_state(without("generator")), "W-WEIGHTS-ONLY", words=("--weights-only-resume",)),
    bad("K12-pickle", partial(pickled, sound_manifest=False), "training.safetensors", unmade="executed"),
    bad("K12-pickle-in-the-manifest", partial(pickled, sound_manifest=True), unmade="executed"),
    bad("K13-nan-in-a-state", with_state(with_nan), "NaN or infinity in student.", code="E-CKPT-NONFINITE"),
    bad("K13-nan-in-a-student", best_with_nan, "NaN or infinity", code="E-CKPT-NONFINITE"),
    *[bad(f"K14-{name}", leaving(name), repr(name), "expected a path inside the folder") for name in ("../../x", "/etc/passwd", "a/../../x")],
    bad("K15-read-only", nothing, "expected a place that can be written to", status=6, during=replaced("tempfile.TemporaryFile", failing(errno.EROFS))),
    resumes("K16-killed-before-the-manifest", killed_while_saving, check=clean_and_whole),
    Case(name="K17-saved-over-itself", call=saved_over_itself),
    bad("K18-no-room", nothing, "bytes to write, 1,000 bytes free", status=6, during=all_of(NO_REPORT, replaced("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9 - 1000, 1000)))),
    refused("K19-newer-student", recommend_words(best_version(checkpoint.VERSION + 1)), 4, f"format version {checkpoint.VERSION + 1} written by dllm2rec", "install a newer dllm2rec", begun=True),
]  # fmt: skip

# Rows of other tables that need a stopped run, too.
E43 = bad("E43-other-width", other_width, "teacher with fingerprint")
X12 = resumes("X12-clock-jumps-back", nothing, check=as_if_never_stopped, during=all_of(NO_REPORT, clock_jumping_back()))  # fmt: skip
