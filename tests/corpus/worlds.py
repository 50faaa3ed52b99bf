"""A dataset and a teacher so small that a command trains on them in a tenth of a second."""

from __future__ import annotations

import contextlib
import io
import os
import resource
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import torch

from dllm2rec import _core
from tests.corpus.case import files, settings

N_ITEMS, LENGTH, N_TRAIN, TOP = 12, 5, 33, 6
Holding = Callable[[Path], AbstractContextManager[object]]

SMALL = [
    "train.device=cpu",
    "train.max_epochs=1",
    "student.hidden_size=8",
    "distillation.top_k=5",
    "distillation.ranking_weight=0.3",
    "evaluation.ks=[1,5]",
]


def rows(n: int, first: int = 0, length: int = LENGTH) -> str:
    """Walks up the items, one by one: n windows of `length` items, and the item after each."""
    walks = [[(first + row + k) % N_ITEMS for k in range(length + 1)] for row in range(n)]
    lines = [f'"{walk[:-1]}",{length},{walk[-1]}\n' for walk in walks]
    return "seq,len_seq,next\n" + "".join(lines)


def dataset(folder: Path, **changed: str) -> Path:
    """A dataset in the authors' layout, some of its files replaced."""
    texts = {"train": rows(N_TRAIN), "val": rows(7, 3), "test": rows(9, 5)} | changed
    titles = "".join(f"{n},Title {n}\n" for n in range(N_ITEMS))
    named = {f"{split}_data.csv": text for split, text in texts.items()}
    return files(folder / "data", {**named, "items.csv": f"item,title\n{titles}"})


def teacher(folder: Path, width: int = 3, shift: int = 0) -> Path:
    """A teacher that lists the six items after each window, with vectors of `width` numbers."""
    after = range(LENGTH, LENGTH + TOP)
    lists = "".join(
        " ".join(str((row + k + shift) % N_ITEMS) for k in after) + "\n" for row in range(N_TRAIN)
    )
    distances = "0.4 0.5 0.6 0.7 0.8 0.9\n" * N_TRAIN
    vectors = io.BytesIO()
    torch.save(torch.linspace(-1, 1, N_ITEMS * width).reshape(N_ITEMS, width), vectors)
    return files(
        folder / "teacher",
        {
            "myrank_train.txt": lists,
            "confidence_train.txt": distances,
            "all_embeddings.pt": vectors.getvalue(),
        },
    )


def train_words(
    folder: Path, *words: str, sets: Sequence[str] = (), taught: bool = True
) -> list[str]:
    """The command that trains one small student on the dataset in `folder`, into `folder/out`."""
    dataset(folder)
    known = ["--teacher", str(teacher(folder))] if taught else []
    base = ["train", "--dataset", str(folder / "data"), *known, "--no-baseline"]
    out = [] if "--out" in words or "--resume" in words else ["--out", str(folder / "out")]
    return [*base, *out, *settings([*SMALL, *sets]), *words]


def training(*words: str, sets: Sequence[str] = ()) -> Callable[[Path], list[str]]:
    return lambda folder: train_words(folder, *words, sets=sets)


# --- what holds while something happens ----------------------------------------------------------


def replaced(name: str, value: object) -> Holding:
    """Another value in place of a name of a module."""

    @contextmanager
    def hold(_: Path) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(name, value)
            yield

    return hold


def all_of(*holdings: Holding) -> Holding:
    @contextmanager
    def hold(folder: Path) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for holding in holdings:
                stack.enter_context(holding(folder))
            yield

    return hold


def files_of_at_most(n_bytes: int) -> Holding:
    """The system refuses larger files, as a full disk does."""

    @contextmanager
    def hold(_: Path) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return hold


@contextmanager
def threads_as_before(_: Path) -> Iterator[None]:
    n_threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
        _core.set_threads(os.cpu_count() or 1)


# The page of a run takes longer than such a training.
NO_REPORT = replaced("dllm2rec.train.train_run.write_report", lambda _: None)
