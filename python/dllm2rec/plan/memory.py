"""What a training holds in memory: counted from its tensors, and from one small batch.

Everything that lies still is counted tensor by tensor. What the forward pass keeps for the backward
pass grows with the batch by so many bytes a row: it is counted on two small batches and carried on
to the batch size, so that a batch that would not fit is seen without being tried.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from dllm2rec.config import Config
from dllm2rec.distill.losses import dros_propensity
from dllm2rec.students import Student
from dllm2rec.train.loop import Task
from dllm2rec.train.step import Stepper

# Two sizes, so that what does not depend on the batch (the projected item table) is told apart.
FEW_ROWS, MORE_ROWS = 16, 48
# While the backward pass walks through the scores it holds as much again, twice: their gradient
# and what that is made from.
WALKING_COPIES = 2


def training_memory(student: Student, task: Task, config: Config) -> dict[str, int]:
    """Predict the bytes that a training holds on its device at its peak, part by part.

    Args:
        student: on the device of `task`; its weights are left as they are.
        task: what it is trained on.
        config: of one ranking weight.

    Returns:
        Bytes by part; their sum is the peak of what is allocated.
    """
    parameters = _bytes(student.parameters())
    n_rows = len(task.rows.rows)
    negatives = None
    if task.sampler is not None:
        shape = (n_rows, task.sampler.n_negatives)
        negatives = torch.zeros(shape, dtype=torch.int32, device=task.target_counts.device)
    stepper = Stepper(
        student.train(),
        task.rows,
        config,
        propensity=dros_propensity(task.target_counts),
        negatives=negatives,
    )
    kept, largest = _kept(stepper, min(config.train.batch_size, n_rows))
    return {
        "parameters": parameters,
        "gradients": parameters,
        "moments of Adam": 2 * parameters,
        "vectors of the teacher": _bytes(student.buffers()),
        "rows": _bytes(_tensors(task.rows.rows)) + _bytes(_tensors(task.validation)) + 8 * n_rows,
        "lists of the teacher": _bytes(_tensors(task.rows.lists)),
        "negatives": 0 if negatives is None else _bytes([negatives]),
        "scores and activations": kept + WALKING_COPIES * largest,
    }


def _kept(stepper: Stepper, batch_size: int) -> tuple[int, int]:
    """What a batch keeps for the backward pass, and its largest tensor, in bytes."""
    if batch_size <= MORE_ROWS:
        return _kept_by(stepper, batch_size)
    few, more = _kept_by(stepper, FEW_ROWS), _kept_by(stepper, MORE_ROWS)
    steps = (batch_size - FEW_ROWS) / (MORE_ROWS - FEW_ROWS)
    total, largest = (round(a + (b - a) * steps) for a, b in zip(few, more, strict=True))
    return total, largest


def _kept_by(stepper: Stepper, n_rows: int) -> tuple[int, int]:
    """Run one forward pass of `n_rows` rows and count the memory it keeps, each block once."""
    still = {*stepper.student.parameters(), *stepper.student.buffers()}
    known = {tensor.untyped_storage().data_ptr() for tensor in still}
    seen: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            seen[storage.data_ptr()] = storage.nbytes()
        # Detached: a tensor kept by the node that made it would keep that node alive, and a CUDA
        # graph that is captured later would then refuse to start.
        return tensor.detach()

    rows = torch.arange(n_rows, device=stepper.loss_sum.device)
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        terms = stepper.terms(rows)  # named: the blocks stay in place while the graph lives
    del terms
    return sum(seen.values()), max(seen.values(), default=0)


def _tensors(holder: object) -> Iterator[Tensor]:
    """The tensors among the fields of a dataclass, None having none."""
    if is_dataclass(holder):
        values = (getattr(holder, field.name) for field in fields(holder))
        yield from (value for value in values if isinstance(value, Tensor))


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def resident_bytes() -> int:
    """What this process holds in memory now."""
    statm = Path("/proc/self/statm")
    if not statm.is_file():  # elsewhere than on Linux the peak is what can be asked for
        return peak_bytes()
    return int(statm.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak_bytes() -> int:
    """The most that this process ever held in memory."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def fits(held: dict[str, int], device: torch.device) -> bool:
    """Whether what is not there yet, once student and rows are, has room on the device."""
    free = free_bytes(device)
    to_come = ("gradients", "moments of Adam", "scores and activations")
    return free is None or sum(held[part] for part in to_come) <= free


def free_bytes(device: torch.device) -> int | None:
    """What is free on a device, None where that cannot be asked."""
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cached
    meminfo = Path("/proc/meminfo")
    if not meminfo.is_file():
        return None
    lines = dict(line.split(":", 1) for line in meminfo.read_text(encoding="ascii").splitlines())
    return int(lines["MemAvailable"].split()[0]) * 1024
