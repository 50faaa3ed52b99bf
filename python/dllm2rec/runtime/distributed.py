"""Several processes, one result: torchrun starts them, each takes its share of the work.

The process group of torch is the only state. Where there is none, this process is the first and the
only one: nothing is sent, and no bit is other than without this module.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from dllm2rec.errors import ConfigError, InternalError, ResourceError
from dllm2rec.runtime.processes import rank as rank
from dllm2rec.runtime.processes import size as size

# The longest that one process waits for another: above what loading and saving take, and short
# enough that a run whose machine hangs does not cost a night. Gloo notices one that ends at once.
TIMEOUT_S = 600.0
BROADCAST_BYTES = 4096  # the longest path of Linux
PIECE_ROWS = 1 << 20  # of a table that is sent at once
_NEEDED = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


class OthersEndedError(ResourceError):
    """Another process ended, or does not answer."""


@contextmanager
def process_group(device: str = "auto", *, timeout_s: float = TIMEOUT_S) -> Iterator[None]:
    """Join the processes that torchrun started; alone, do nothing.

    Gloo carries what lies on the CPU, NCCL what lies on CUDA: one GPU per process, by LOCAL_RANK.

    Args:
        device: "auto", "cpu" or "cuda", as for `choose_device`.
        timeout_s: how long to wait for another process before giving it up.

    Raises:
        ConfigError: torchrun's variables are incomplete, or a process has no GPU of its own.
        ResourceError: the other processes cannot be reached.
    """
    if int(os.environ.get("WORLD_SIZE") or "1") == 1:
        yield
        return
    missing = [name for name in _NEEDED if name not in os.environ]
    if missing:
        raise ConfigError(
            f"WORLD_SIZE = {os.environ['WORLD_SIZE']} without {', '.join(missing)}, expected the "
            "variables of torchrun; start with torchrun, or unset WORLD_SIZE"
        )
    if os.environ["MASTER_PORT"] == "0":  # torchrun passes it on, and each would wait elsewhere
        raise ConfigError("MASTER_PORT = 0, expected a port; give torchrun --standalone instead")
    backend = "gloo"
    if device != "cpu" and torch.cuda.is_available():
        number, n_gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if number >= n_gpus:
            raise ConfigError(
                f"process {number} of this machine, which has {n_gpus} GPUs, expected one GPU a "
                "process; start fewer, or give --device cpu"
            )
        torch.cuda.set_device(number)
        backend = "cpu:gloo,cuda:nccl"
    try:
        dist.init_process_group(backend, timeout=timedelta(seconds=timeout_s))
    except (RuntimeError, ValueError) as err:
        raise ResourceError(f"the other processes cannot be reached: {_first_line(err)}") from err
    try:
        yield
    finally:
        dist.destroy_process_group()


def is_first() -> bool:
    """Whether this process is the one that writes and prints."""
    return rank() == 0


def seed_step(seed: int, epoch: int, step: int) -> None:
    """Seed torch for a step, differently in each process.

    It is a function of (seed, epoch, step, rank), so that a state saved by the first process is
    enough for all to resume. A single process leaves torch's generator alone.
    """
    if size() > 1:
        words = np.random.SeedSequence([seed, epoch, step, rank()]).generate_state(1, np.uint64)
        # torch.manual_seed takes half a millisecond where CUDA is not in use.
        torch.default_generator.manual_seed(int(words[0]) >> 1)
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            torch.cuda.manual_seed(int(words[0]) >> 1)


def process_noise_offset() -> int:
    """What this process adds to the number that dropout is drawn from on CUDA.

    More than the steps of any training, and less than the 2**32 between two seeds.
    """
    return rank() << 24


def process_rows(rows: Tensor) -> Tensor:
    """This process's rows of a batch, in order; none where there are fewer rows than processes."""
    return rows if size() == 1 else rows.tensor_split(size())[rank()]


def process_blocks(n_blocks: int) -> range:
    """The numbers of this process's blocks: every `size`-th."""
    return range(rank(), n_blocks, size())


def average_gradients(
    parameters: Sequence[Tensor], gradients: Sequence[Tensor | None], terms: Tensor
) -> tuple[Sequence[Tensor | None], Tensor]:
    """Turn the gradients of this process's rows into the whole batch's, in one all-reduce.

    The terms travel along, so that whatever is not finite in one process is so in all, and every
    process takes or refuses the same step.

    Args:
        parameters: the weights, for the shapes of absent gradients.
        gradients: of the losses of this process's rows, over the size of the whole batch: their
            sum is the gradient of the mean, however uneven the shares. None where the loss does not
            reach.
        terms: those of this process's rows, (n_terms, its rows).

    Returns:
        Gradients, and the terms summed over all rows, (n_terms, 1). Alone: what was given.
    """
    if size() == 1:
        return gradients, terms
    parts = [
        torch.zeros_like(parameter) if gradient is None else gradient
        for parameter, gradient in zip(parameters, gradients, strict=True)
    ]
    flat = torch.cat([*(part.detach().reshape(-1) for part in parts), terms.sum(1)])
    _reduce(flat, dist.ReduceOp.SUM, "averaging gradients")
    *pieces, sums = torch.split(flat, [*(part.numel() for part in parts), len(terms)])
    whole = [piece.view_as(part) for piece, part in zip(pieces, parts, strict=True)]
    return whole, sums.unsqueeze(1)


def gathered(table: Tensor, what: str) -> Tensor:
    """Add up the processes' tensors, in place: often of zeros but for the process's own places.

    Raises:
        OthersEndedError: another process ended or does not answer.
    """
    if size() > 1:
        _reduce(table, dist.ReduceOp.SUM, what)
    return table


def agreed(*facts: bool) -> list[bool]:
    """Which facts hold in any process, the same answer in all."""
    found = torch.tensor([int(fact) for fact in facts])
    _reduce(found, dist.ReduceOp.MAX, "agreeing")
    return [bool(one) for one in found.tolist()]


@torch.no_grad()
def rows_to_first(own_rows: Tensor, n_rows: int, n_shared: int) -> Tensor:
    """Bring the rows of a table that lies in parts to the CPU of the first process.

    Args:
        own_rows: this process's, in the order of the processes.
        n_rows: of the table in the end; rows beyond those of the processes are zeros.
        n_shared: rows of all processes, of which the first `r * n_shared // size()` lie before
            those of process r.

    Returns:
        The table in the first process; elsewhere nothing that counts.
    """
    shape = (n_rows if is_first() else 0, *own_rows.shape[1:])
    table = torch.zeros(shape, dtype=own_rows.dtype)
    starts = [number * n_shared // size() for number in range(size() + 1)]
    if is_first():
        table[: starts[1]] = own_rows.cpu()
    with _others_answer("gathering the table"):
        for number in range(1, size()):
            for first in range(starts[number], starts[number + 1], PIECE_ROWS):
                stop = min(first + PIECE_ROWS, starts[number + 1])
                if is_first():
                    dist.recv(table[first:stop], number)
                elif rank() == number:
                    dist.send(own_rows[first - starts[number] : stop - starts[number]].cpu(), 0)
    return table


def check_same(weights: Iterable[Tensor], when: str) -> None:
    """Wait for all processes, and stop if their weights are not the same to the last bit.

    Raises:
        InternalError: they are not: a sum over processes gave them different results.
        OthersEndedError: a process does not answer; the message names it.
    """
    if size() == 1:
        return
    wait_for_all(when)
    digest = hashlib.sha256()
    for tensor in weights:
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    number = int.from_bytes(digest.digest()[:7], "big")
    extremes = torch.tensor([number, -number])
    _reduce(extremes, dist.ReduceOp.MAX, when)
    if int(extremes[0]) != -int(extremes[1]):
        raise InternalError(f"{when}: the processes' weights differ, expected the same bits in all")


def wait_for_all(when: str) -> None:
    """Wait until every process is here.

    Raises:
        OthersEndedError: one does not come; the message names it.
    """
    if size() == 1:
        return
    group = dist.group.WORLD
    assert group is not None  # noqa: S101 - for mypy: there are several processes
    with _others_answer(when):
        # The group's own method: torch's function refuses a group that has NCCL beside Gloo.
        group.monitored_barrier(wait_all_ranks=True)  # type: ignore[attr-defined] # not in stubs


def broadcast_from_first(work: Callable[[], str]) -> str:
    """Run `work` in the first process alone, and send the text that it returns to the others.

    Raises:
        ResourceError: in the others, if it went wrong in the first, whose own error says how.
    """
    if size() == 1:
        return work()
    message = torch.zeros(BROADCAST_BYTES, dtype=torch.uint8)
    text = ""
    try:
        if is_first():
            text = work()
            encoded = text.encode()
            message[: len(encoded)] = torch.frombuffer(bytearray(encoded), dtype=torch.uint8)
    finally:
        # Sent whatever happened: nobody waits for a process that has given up.
        with _others_answer("starting"):
            dist.broadcast(message, 0)
    if not is_first():
        text = bytes(message.tolist()).rstrip(b"\0").decode()
    if not text:
        raise ResourceError("the first process gave up; its own message says why")
    return text


def check_agreed(value: Callable[[], str], what: str) -> None:
    """Refuse to start where the processes do not agree on what to work on.

    Raises:
        ConfigError: in a process whose `value()` is not that of the first.
    """
    if size() == 1:
        return
    digest = hashlib.sha256(value().encode()).hexdigest()
    if digest != broadcast_from_first(lambda: digest):
        raise ConfigError(
            f"{what} of process {rank()} are not those of the first process, expected the same in "
            "all; give every machine the same files"
        )


def _reduce(tensor: Tensor, operation: dist.ReduceOp.RedOpType, what: str) -> None:
    with _others_answer(what):
        dist.all_reduce(tensor, operation)


@contextmanager
def _others_answer(what: str) -> Iterator[None]:
    try:
        yield
    except RuntimeError as err:  # Gloo and NCCL raise it, and classes below it
        raise OthersEndedError(
            f"{what}: another process ended or does not answer "
            f"({_first_line(err)}); what was saved stays, start all of them again"
        ) from err


def _first_line(err: BaseException) -> str:
    """What torch says, without the C++ line before it and the C++ stack that follows it."""
    line = str(err).strip().partition("\n")[0]
    return re.sub(r"^\[[^\]]*:\d+\] ", "", line)[:200]
