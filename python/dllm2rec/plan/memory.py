"""What a training holds in memory: what stays is counted, what a step adds is measured.

Before a step is tried on the CPU, where too large a batch would end the process, what it keeps for
the backward pass is counted on two small batches and carried on to the batch size. A GPU is asked:
it refuses what does not fit.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from dllm2rec.batches.training_data import TrainingData
from dllm2rec.config.model import Config
from dllm2rec.distill.losses import dros_propensity
from dllm2rec.students import Student
from dllm2rec.train.step import Stepper

# Two sizes, so that what does not depend on the batch (the projected item table) is told apart.
FEW_ROWS, MORE_ROWS = 16, 48
# While the backward pass walks through the scores it holds as much again, twice: their gradient
# and what that is made from.
WALKING_COPIES = 2


def still_bytes(student: Student, data: TrainingData) -> dict[str, int]:
    """Count the bytes of what a training holds from its first step to its last, part by part."""
    parameters = _bytes(student.parameters())
    n_rows = len(data.rows.rows)
    splits = (data.rows.rows, data.validation)
    # By address: the splits share their events.
    rows = {tensor.data_ptr(): tensor for split in splits for tensor in _tensors(split)}
    return {
        "parameters": parameters,
        "gradients": parameters,
        "moments of Adam": 2 * parameters,
        "vectors of the teacher": _bytes(student.buffers()),
        "rows": _bytes(rows.values()) + 8 * n_rows,
        "lists of the teacher": _bytes(_tensors(data.rows.lists)),
        "negatives": 0 if data.sampler is None else 4 * n_rows * data.sampler.n_negatives,
    }


def step_bytes(student: Student, data: TrainingData, config: Config) -> int:
    """Predict what a step adds to what stays, without trying one of the whole size.

    Args:
        student: on the device of `data`; its weights are left as they are.
        data: what it is trained on.
        config: of one ranking weight.
    """
    n_rows = len(data.rows.rows)
    negatives = None
    if data.sampler is not None:
        shape = (n_rows, data.sampler.n_negatives)
        negatives = torch.zeros(shape, dtype=torch.int32, device=data.target_counts.device)
    stepper = Stepper(
        student.train(),
        data.rows,
        config,
        propensity=dros_propensity(data.target_counts),
        negatives=negatives,
    )
    kept, largest = _kept(stepper, min(config.train.batch_size, n_rows))
    return kept + WALKING_COPIES * largest


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


def peak_bytes() -> int:
    """The most that this process held in memory since it began, or since `forget_peaks`."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def forget_peaks(device: torch.device) -> None:
    """Reset the peaks of the device and, where the system can, of the process."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    # Linux alone can; elsewhere a peak is that of all that was done so far, and never too low.
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def device_peak_bytes(device: torch.device) -> int:
    """The most that tensors held of a GPU since `forget_peaks`; of a CPU, that of the process."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_bytes()


def fits(locked: Mapping[str, int], step: int, device: torch.device) -> bool:
    """Whether the device has room for what student and rows still lack."""
    free = free_bytes(device)
    return free is None or locked["gradients"] + locked["moments of Adam"] + step <= free


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
