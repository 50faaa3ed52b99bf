"""What to say of a step whose loss or gradient was not finite."""

from __future__ import annotations

import torch
from torch import Tensor

from dllm2rec.batches.training_data import TrainingData
from dllm2rec.config.model import Config
from dllm2rec.errors import NonFiniteError
from dllm2rec.train.step import Stepper

N_NAMED_ROWS = 5


def raise_if_not_finite(
    stepper: Stepper, data: TrainingData, config: Config, epoch: int, order: Tensor
) -> None:
    """Raise if the device met a loss or a gradient that is not finite.

    The weights are those before the bad step, so its terms can be computed once more.

    Args:
        stepper: what took the steps.
        data: what they were taken on.
        config: of the training.
        epoch: the epoch under way, from 0.
        order: its rows in the order of the steps, (R,).

    Raises:
        NonFiniteError: with the epoch, the step, the terms and the rows.
    """
    step = int(stepper.guard.first)
    if step < 0:
        return
    rows = torch.split(order, config.train.batch_size)[step]
    with torch.no_grad():
        terms = stepper.terms(rows)
    bad = {name: ~torch.isfinite(term) for name, term in terms.items()}
    names = [name for name, where in bad.items() if bool(where.any())]
    if names:
        where = torch.stack(list(bad.values())).any(dim=0)
        culprits = rows[where].tolist()
        what = (
            f"{' and '.join(names)} not finite in {len(culprits)} of {len(rows)} rows "
            f"({_listed(data, culprits)})"
        )
    else:
        what = f"the gradient is not finite though every loss is ({_listed(data, rows.tolist())})"
    raise NonFiniteError(
        f"E-NONFINITE epoch {epoch + 1} step {step + 1}: {what}; learning rate "
        f"{config.train.learning_rate:g}; the update was not made. hint: lower "
        "train.learning_rate, or raise the temperatures"
    )


def _listed(data: TrainingData, rows: list[int]) -> str:
    """The first rows by number, and whether there are more."""
    numbers = ", ".join(map(str, rows[:N_NAMED_ROWS]))
    return f"{data.row_names} {numbers}{', ...' if len(rows) > N_NAMED_ROWS else ''}"
