"""Rows A: arrays and paths given to functions of the package."""

# ruff: noqa: E501 - a case on a line of its own reads as a table

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from dllm2rec import _core
from dllm2rec.arrays import item_indices, plain_array
from dllm2rec.batches.negative_sampler import sample_negatives
from dllm2rec.config.load import load_config
from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.data.logs.read import read_interactions
from dllm2rec.distill.weights import candidate_confidence, consistency_from_scores, position_weight
from dllm2rec.errors import Dllm2RecError
from dllm2rec.evaluate.ranking import rank_counts, top_n
from dllm2rec.teacher.embedding_file import load_embeddings
from dllm2rec.teacher.folder import load_teacher
from dllm2rec.teacher.knowledge import TeacherKnowledge, check_teacher
from tests.corpus import worlds
from tests.corpus.case import Case
from tests.support.worlds import cycle_dataset, oracle_teacher

Array = Any
SCORES = np.array([[0.5, 2.0, -1.0, 2.0], [3.0, 1.0, 0.0, -2.0], [1.0, 1.0, 1.0, 4.0]])
TARGETS = [3, 2, 0]
GREATER, EQUAL = [0, 2, 1], [1, 0, 2]


def ranks(scores: Array, targets: Array = TARGETS) -> None:
    """The counts of the three rows, whatever holds their numbers."""
    counts = rank_counts(scores, targets)
    assert (counts.greater.tolist(), counts.equal.tolist()) == (GREATER, EQUAL)


def good(name: str, make: Callable[[], Array], targets: Array = TARGETS) -> Case:
    """Scores that give the counts; they are made when the case runs."""
    return Case(name=name, call=lambda _: ranks(make(), targets))


def bad(name: str, call: Callable[[], object], *says: str, status: int = 3) -> Case:
    return Case(name=name, call=lambda _: call(), exit=status, says=says)


def type_error(name: str, call: Callable[[], object], says: str) -> Case:
    return Case(name=name, call=lambda _: call(), raises=TypeError, says=(says,))


def with_value(value: float, *places: tuple[int, int]) -> np.ndarray:
    scores = SCORES.copy()
    for place in places:
        scores[place] = value
    return scores


# --- layouts -------------------------------------------------------------------------------------


def strided() -> np.ndarray:
    wide = np.full((6, 8), np.nan)
    wide[::2, ::2] = SCORES
    return wide[::2, ::2]


def unaligned() -> np.ndarray:
    memory = np.zeros(SCORES.nbytes + 1, np.uint8)
    array = memory[1:].view(np.float64).reshape(SCORES.shape)
    array[:] = SCORES
    assert not array.flags.aligned
    return array


def read_only() -> np.ndarray:
    scores = SCORES.copy()
    scores.flags.writeable = False
    return scores


def written_over(scores: np.ndarray) -> None:
    """The one kernel that writes into an array that it is given."""
    stats = np.ones((3, 4))
    _core.score_gradient_(scores, np.zeros(3, np.int64), None, None, stats, softmax=True)


def broadcast(_: Path) -> None:
    counts = rank_counts(np.broadcast_to(SCORES[0], (3, 4)), [3, 1, 0])
    assert (counts.greater.tolist(), counts.equal.tolist()) == ([0, 0, 2], [1, 1, 0])


def mapped(folder: Path) -> None:
    """A small mapped file is copied, so that it may shrink from then on."""
    np.save(folder / "scores.npy", SCORES)
    scores = np.load(folder / "scores.npy", mmap_mode="r")
    ranks(scores)
    assert not np.shares_memory(plain_array(scores, "scores"), scores)


# --- sizes ---------------------------------------------------------------------------------------


def no_rows(_: Path) -> None:
    counts = rank_counts(np.zeros((0, 4)), np.zeros(0, np.int64))
    assert (counts.greater.shape, counts.greater.dtype) == ((0,), np.int64)
    items, scores = top_n(np.zeros((0, 4)), 2)
    assert (items.shape, items.dtype, scores.shape, scores.dtype) == (
        (0, 2),
        np.uint32,
        (0, 2),
        np.float32,
    )
    assert candidate_confidence(np.zeros((0, 4))).shape == (0, 4)


def negatives(n_negatives: int) -> Array:
    zero = np.zeros(1, np.int64)
    events = np.arange(3, dtype=np.uint32)
    return sample_negatives(
        events,
        zero,
        zero + 3,
        np.zeros(1, np.uint64),
        n_items=10,
        n_negatives=n_negatives,
        seed=0,
        epoch=0,
    )


def consistency(k: int = 2, items: tuple[int, int] = (1, 2)) -> Array:
    return consistency_from_scores(
        torch.from_numpy(SCORES).float()[:2], torch.tensor([[0, 1], items]), k
    )


def knowledge(n_ranking: int, n_distance: int) -> None:
    """A teacher's arrays of some rows, for a dataset of as many train rows as it has."""
    dataset = cycle_dataset()
    whole = oracle_teacher(dataset)
    assert whole.distance is not None
    taught = TeacherKnowledge(
        ranking=whole.ranking[:n_ranking], distance=whole.distance[:n_distance]
    )
    check_teacher(taught, dataset)


# --- objects -------------------------------------------------------------------------------------


class Speaks:
    """An object that NumPy asks for its array."""

    def __init__(self, answer: Callable[[], Array]) -> None:
        self.answer = answer

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        return self.answer()


def raises(kind: type[Exception]) -> Callable[[], Array]:
    def answer() -> Array:
        raise kind("mine")

    return answer


def calls_back() -> Array:
    ranks(SCORES)
    return SCORES


def itself() -> Speaks:
    speaks = Speaks(lambda: speaks)
    return speaks


def nested() -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.nested.nested_tensor([torch.ones(2), torch.ones(2)])


def quantized() -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(torch.ones(3, 4), 0.1, 0, torch.qint8)


# --- where a call runs ---------------------------------------------------------------------------


def changed_meanwhile(_: Path) -> None:
    """Targets that another thread changes: other counts or an error, and nothing worse."""
    scores, targets = np.ones((200, 50)), np.zeros(200, np.uint32)
    done = threading.Event()

    def change() -> None:
        while not done.is_set():
            targets[:] = 2**32 - 1
            targets[:] = 0

    changer = threading.Thread(target=change)
    changer.start()
    try:
        for _ in range(300):
            try:
                assert (rank_counts(scores, targets).equal == 49).all()
            except Dllm2RecError as err:
                assert "4294967295" in str(err)  # noqa: PT017 - either may happen
    finally:
        done.set()
        changer.join()


def in_a_forked_child(_: Path) -> None:
    ranks(np.tile(SCORES, (1, 1)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of any fork
        child = os.fork()
    if child == 0:
        signal.alarm(20)
        ranks(SCORES)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def from_eight_threads(_: Path) -> None:
    failed: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(200):
                ranks(SCORES)
        except BaseException as err:  # noqa: BLE001 - told to the test
            failed.append(err)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failed
    assert not any(thread.is_alive() for thread in threads)


def in_a_signal_handler(_: Path) -> None:
    called = []
    before = signal.signal(signal.SIGUSR1, lambda *_: called.append(ranks(SCORES)))
    try:
        for _ in range(5):
            os.kill(os.getpid(), signal.SIGUSR1)
            ranks(SCORES)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert len(called) == 5


def at_exit(_: Path) -> None:
    program = (
        "import atexit, numpy as np\n"
        "from dllm2rec import _core\n"
        "scores = np.ones((100, 1000), np.float32)\n"
        "_core.top_n(scores, 5)\n"
        "atexit.register(lambda: print(_core.top_n(scores, 5)[0].sum()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "1000", "")


# --- paths ---------------------------------------------------------------------------------------

READERS: dict[str, Callable[[Any], object]] = {
    "dataset": load_dataset,
    "log": read_interactions,
    "teacher": lambda path: load_teacher(path, cycle_dataset()),
    "embeddings": partial(load_embeddings, n_items=3),
    "settings": lambda path: load_config(path=path),
}


def both_kinds_of_path(folder: Path) -> None:
    worlds.dataset(folder)
    assert (
        load_dataset(folder / "data").n_items
        == load_dataset(str(folder / "data")).n_items
        == worlds.N_ITEMS
    )


def with_nul(name: str) -> Case:
    return Case(
        name=f"A26-nul-{name}", call=lambda _: READERS[name]("a\0b"), raises=ValueError, says=("",)
    )


def descriptor(name: str) -> Case:
    return type_error(f"A26-descriptor-{name}", lambda: READERS[name](3), "int")


NO_COUNT = "with a count of all such scores: the kernel stops at the first, which it names"

A = [
    good("A01-f64", lambda: SCORES),
    good("A01-f32", lambda: SCORES.astype(np.float32)),
    good("A01-f16", lambda: SCORES.astype(np.float16)),
    good("A01-bf16", lambda: torch.from_numpy(SCORES).bfloat16()),
    *[good(f"A02-{dtype}", lambda: SCORES, np.array(TARGETS, dtype)) for dtype in ("int32", "int16", "uint8", "uint64")],
    bad("A02-uint64-above-2-63", lambda: rank_counts(SCORES, np.array([0, 2**63 + 1, 1], np.uint64)), "targets[1]: 9223372036854775809"),
    bad("A02-2-32-7-does-not-wrap", lambda: item_indices([2**32 + 7], "items"), "items[0]: 4294967303"),
    type_error("A02-bool", lambda: rank_counts(SCORES, [True, False, True]), "booleans"),
    bad("A03-nan-among-float-ids", lambda: rank_counts(SCORES, [0, np.nan, 1]), "targets[1]: nan"),
    bad("A03-fraction", lambda: rank_counts(SCORES, [0, 1, 1.5]), "targets[2]: 1.5"),
    type_error("A04-objects", lambda: rank_counts(SCORES.astype(object), TARGETS), "dtype object"),
    type_error("A04-None", lambda: rank_counts(None, TARGETS), "dtype object"),  # type: ignore[arg-type]
    type_error("A04-None-inside", lambda: rank_counts(SCORES, [0, None, 1]), "dtype object"),
    bad("A04-ragged", lambda: rank_counts([[1.0], [1.0, 2.0]], [0, 0]), "ragged rows"),
    good("A05-stride-2", strided),
    good("A05-fortran", lambda: np.asfortranarray(SCORES)),
    Case(name="A05-stride-0", call=broadcast),
    good("A06-negative-strides", lambda: SCORES[::-1, ::-1].copy()[::-1, ::-1]),
    good("A07-read-only", read_only, np.array(TARGETS)),
    bad("A07-read-only-output", lambda: written_over(np.broadcast_to(np.float32(1), (3, 4))), "scores"),
    good("A08-big-endian", lambda: SCORES.astype(">f8"), np.array(TARGETS, ">i4")),
    good("A08-unaligned", unaligned),
    Case(name="A09-no-rows", call=no_rows),
    *[bad(f"A10-{name}", lambda scores=scores: rank_counts(scores, [0, 0, 0]), f"scores: shape {shape}")
      for name, scores, shape in (("no-columns", np.zeros((3, 0)), "(3, 0)"), ("0-d", np.float64(3), "("), ("3-d", np.zeros((1, 2, 3)), "(1, 2, 3)"))],
    Case(name="A11-ranking-and-train-rows", call=lambda _: knowledge(800, 800), exit=3, code="E-ROWS", says=("800 rows, expected 840",)),
    Case(name="A11-ranking-and-distances", call=lambda _: knowledge(840, 800), exit=3, code="E-ROWS", says=("(800, 8)", "(840, 8)"), instead="with the train rows as a third number: what does not fit is refused when it is made, before there is a dataset"),
    bad("A11-scores-and-targets", lambda: rank_counts(SCORES, [0, 1]), "2", "3"),
    *[bad(f"A12-top-n-{n}", lambda n=n: top_n(SCORES, n), f"n = {n}, expected 1 <= n <= 4") for n in (5, 0, -1, 2**63)],
    *[bad(f"A12-consistency-{k}", lambda k=k: consistency(k), f"k = {k}, expected 1 to the number of items, 4") for k in (5, 0, -1, 2**63)],
    *[bad(f"A12-position-{k}", lambda k=k: position_weight(k), f"k = {k}, expected at") for k in (0, -1, 2**32, 2**63)],
    *[bad(f"A13-target-{value}", lambda value=value: rank_counts(SCORES, np.array([0, value, 1])), f"targets[1]: {value}, expected a whole number in 0..3") for value in (4, -1, -2**63)],
    *[bad(f"A13-listed-{value}", lambda value=value: consistency(items=(1, value)), f"ranking[1, 1]: {value}, expected a whole number in 0..3") for value in (4, -1)],
    Case(name="A14-some", call=lambda _: rank_counts(with_value(np.nan, (1, 2), (2, 0)), TARGETS), exit=5, says=("scores row 1 column 2: NaN",), instead=NO_COUNT),
    Case(name="A14-all", call=lambda _: top_n(SCORES * np.nan, 2), exit=5, says=("scores row 0 column 0: NaN",), instead=NO_COUNT),
    Case(name="A14-target", call=lambda _: rank_counts(with_value(np.nan, (0, 3)), TARGETS), exit=5, says=("scores row 0 column 3: NaN",), instead=NO_COUNT),
    bad("A15-plus-inf", lambda: rank_counts(with_value(np.inf, (1, 3)), TARGETS), "scores row 1 column 3: inf", status=5),
    Case(name="A15-minus-inf-is-masked", call=lambda _: ranks(with_value(-np.inf, (0, 2), (1, 3)))),
    Case(name="A16-all-masked", call=lambda _: np.testing.assert_equal(top_n(np.full((1, 4), -np.inf), 2), ([[4, 4]], [[-np.inf, -np.inf]]))),
    bad("A17-target-masked", lambda: rank_counts(with_value(-np.inf, (1, 2)), TARGETS), "row 1: target 2 is masked"),
    bad("A18-meta", lambda: rank_counts(torch.zeros((3, 4), device="meta"), TARGETS), "meta", "expected all on the CPU"),
    good("A19-requires-grad", lambda: torch.from_numpy(SCORES).requires_grad_()),
    type_error("A20-sparse", lambda: rank_counts(torch.eye(3).to_sparse(), [0, 0, 0]), "torch.sparse_coo"),
    type_error("A20-nested", lambda: rank_counts(nested(), [0, 0]), "nested"),
    type_error("A20-quantized", lambda: rank_counts(quantized(), TARGETS), "qint8"),
    type_error("A20-masked", lambda: rank_counts(np.ma.masked_all((3, 4)), TARGETS), "masked array"),
    type_error("A20-pandas-missing", lambda: rank_counts(SCORES, pd.Series([0, None, 1], dtype="Int64")), "dtype Int64 with missing values"),
    type_error("A20-pandas-array", lambda: rank_counts(SCORES, pd.array([0, None, 1], dtype="Int64")), "dtype Int64 with missing values"),
    good("A20-pandas-whole", lambda: SCORES, pd.Series(TARGETS, dtype="Int64")),
    Case(name="A21-mapped-file", call=mapped),
    Case(name="A22-changed-meanwhile", call=changed_meanwhile),
    bad("A23-product-of-sizes", lambda: negatives(2**62), "n_negatives = 4611686018427387904 for 1 rows"),
    bad("A23-above-isize", lambda: negatives(2**63), "n_negatives = 9223372036854775808"),
    *[Case(name=f"A24-raises-{kind.__name__}", call=lambda _, kind=kind: rank_counts(Speaks(raises(kind)), TARGETS), raises=kind, says=("mine",)) for kind in (KeyError, ValueError, RuntimeError)],
    Case(name="A24-gives-itself", call=lambda _: rank_counts(itself(), TARGETS), raises=ValueError, says=("__array__",)),
    good("A24-calls-us-back", lambda: Speaks(calls_back)),
    Case(name="A25-forked-child", call=in_a_forked_child),
    Case(name="A25-eight-threads", call=from_eight_threads),
    Case(name="A25-signal-handler", call=in_a_signal_handler),
    Case(name="A25-interpreter-exit", call=at_exit),
    *[with_nul(name) for name in READERS],
    Case(name="A26-str-and-pathlib", call=both_kinds_of_path),
    *[descriptor(name) for name in READERS],
]  # fmt: skip
