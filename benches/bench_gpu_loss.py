"""The loss over all items on a GPU, forward and backward: softmax, vectors of 64 numbers.

    pip install cut-cross-entropy          its column stays empty without it
    dllm2rec bench --gpu

Every peer is recorded as a CUDA graph, as a training records its step, but for cut-cross-entropy,
which asks the GPU for a number on the way and cannot be. Ours are exact as float32 or
in mixed precision; the peers take bfloat16. How far each peer's gradients are from the exact ones
stands beside its time in the JSON file; ours are held to it before anything is timed.
"""

from __future__ import annotations

import gc
import importlib.util
import os
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dllm2rec.distill.catalogue_loss import catalogue_terms_of
from dllm2rec.kernels.catalogue.terms import TermInputs, TermSpec

SCALE = float(os.environ.get("DLLM2REC_BENCH_SCALE", "1"))
WIDTH = 64
SIZES = [
    (2_048, int(17_408 * SCALE)),
    *((4_096, int(n * SCALE)) for n in (100_000, 1_000_000, 10_000_000)),
]
SOFTMAX = TermSpec("softmax", 0, 0.0, 0.0, has_ranking=False, consistency=0.0, top_k=1)
MOST_SCORES = 1 << 33  # of a peer that holds them all, twice or more: 34 GB in bfloat16
ROUNDS, WARM_UP = 5, 3
NOT_RECORDED = {"cut-cross-entropy, bf16"}
CLOSE = {"dllm2rec": 3e-3, "dllm2rec exact": 1e-5}

Gradients = tuple[Tensor, Tensor]

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    # Of torch's own compiler.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:(?s).*Online softmax"),
]


class Problem:
    """Users, items and targets of one size."""

    def __init__(self, n_rows: int, n_items: int) -> None:
        rng = torch.Generator(device="cuda").manual_seed(0)
        self.users = torch.randn(n_rows, WIDTH, device="cuda", generator=rng) * 0.6
        self.items = torch.randn(n_items, WIDTH, device="cuda", generator=rng) * 0.3
        self.targets = torch.randint(n_items, (n_rows,), device="cuda", generator=rng)
        none = self.users.new_empty(n_rows, 0)
        self.inputs = TermInputs(
            items=self.targets[:, None],
            weight=none,
            kept=none,
            windows=self.targets.new_full((n_rows, 1), n_items),
            dro_slope=self.users.new_zeros(n_items),
            in_softmax=None,
            n_items=n_items,
        )

    def leaves(self, dtype: torch.dtype) -> Gradients:
        return (
            self.users.to(dtype, copy=True).requires_grad_(),
            self.items.to(dtype, copy=True).requires_grad_(),
        )


def ours(precision: str) -> Callable[[Problem], Callable[[], Gradients]]:
    def prepare(problem: Problem) -> Callable[[], Gradients]:
        terms = catalogue_terms_of(torch.device("cuda"), precision)
        users, items = problem.leaves(torch.float32)

        def work() -> Gradients:
            loss = terms(users, items, None, None, problem.inputs, SOFTMAX).sum()
            return torch.autograd.grad(loss, (users, items))

        return work

    return prepare


def eager(problem: Problem, *, compiled: bool = False) -> Callable[[], Gradients]:
    if problem.users.shape[0] * problem.items.shape[0] > MOST_SCORES:
        pytest.skip("all scores do not fit")
    users, items = problem.leaves(torch.bfloat16)

    def loss_of(users: Tensor, items: Tensor) -> Tensor:
        scores = (users @ items.T).float()
        return torch.nn.functional.cross_entropy(scores, problem.targets, reduction="sum")

    loss_of = torch.compile(loss_of) if compiled else loss_of
    return lambda: torch.autograd.grad(loss_of(users, items), (users, items))


def compiled(problem: Problem) -> Callable[[], Gradients]:
    return eager(problem, compiled=True)


def cut_cross_entropy(problem: Problem) -> Callable[[], Gradients]:
    if importlib.util.find_spec("cut_cross_entropy") is None:
        pytest.skip("no cut-cross-entropy")
    from cut_cross_entropy import linear_cross_entropy

    users, items = problem.leaves(torch.bfloat16)

    def work() -> Gradients:
        loss = linear_cross_entropy(users, items, problem.targets, reduction="sum")
        return torch.autograd.grad(loss, (users, items))

    return work


PEERS = {
    "dllm2rec": ours("mixed"),
    "dllm2rec exact": ours("exact"),
    "eager torch, bf16": eager,
    "torch.compile, bf16": compiled,
    "cut-cross-entropy, bf16": cut_cross_entropy,
}


def recorded(work: Callable[[], Gradients]) -> tuple[Callable[[], None], Gradients]:
    """The work as a CUDA graph, and where it leaves the gradients."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UP):
            work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=side):
        left = work()
    return graph.replay, left


def distance(mine: Tensor, exact: Tensor) -> float:
    return float((mine.float() - exact).norm() / exact.norm())


@pytest.mark.parametrize("size", SIZES, ids=[f"{rows}x{items}" for rows, items in SIZES])
@pytest.mark.parametrize("peer", PEERS)
def test_gpu_loss(benchmark, peer: str, size: tuple[int, int]) -> None:
    gc.collect()
    torch.cuda.empty_cache()
    problem = Problem(*size)
    exact = PEERS["dllm2rec exact"](problem)()
    work = PEERS[peer](problem)  # kept: its vectors are what the graph reads
    left: list[Gradients] = []

    def again() -> None:
        left[:] = [work()]

    replay = again
    if peer not in NOT_RECORDED:
        replay, gradients = recorded(work)
        left.append(gradients)
    replay()
    torch.cuda.synchronize()
    far = [distance(*pair) for pair in zip(left[0], exact, strict=True)]
    assert max(far) < CLOSE.get(peer, float("inf"))
    del exact
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()

    def run() -> None:
        replay()
        torch.cuda.synchronize()

    benchmark.group = f"gpu loss/{size[0]}x{size[1]}"
    benchmark.extra_info.update(
        peer=peer,
        device=torch.cuda.get_device_name(),
        gradients_from_exact=far,
        reserved_gib=torch.cuda.memory_reserved() / 2**30,
    )
    benchmark.pedantic(run, rounds=ROUNDS, warmup_rounds=1)
