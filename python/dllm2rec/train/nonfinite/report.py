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
    what = _bad_terms(stepper, data, rows)
    if what is None:
        numbers = _listed(data, rows.tolist())
        what = f"the gradient is not finite though every loss is ({numbers})"
    raise _diverged(config, epoch, step + 1, f"{what}; the update was not made")


def raise_if_weights_not_finite(
    stepper: Stepper, data: TrainingData, config: Config, epoch: int, step: int, order: Tensor
) -> None:
    """Raise if an update whose loss and gradient were finite has left weights that are not.

    Args:
        stepper: what took the steps.
        data: what they were taken on.
        config: of the training.
        epoch: the epoch under way, from 0.
        step: how many steps of it are taken.
        order: its rows in the order of the steps, (R,).

    Raises:
        NonFiniteError: with the epoch, the step, the weights, the terms and the rows.
    """
    weights = stepper.student.named_parameters()
    bad = [name for name, weight in weights if not bool(torch.isfinite(weight).all())]
    if bad:
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        what = f"NaN or infinity in the weights {bad[0]}{more} after the update"
        raise diverged_after(stepper, data, config, epoch, step, order, what)


def diverged_after(
    stepper: Stepper,
    data: TrainingData,
    config: Config,
    epoch: int,
    step: int,
    order: Tensor,
    what: str,
) -> NonFiniteError:
    """What to raise of a student that is broken after a step: as `raise_if_weights_not_finite`."""
    rows = torch.split(order, config.train.batch_size)[max(step - 1, 0)]
    terms = _bad_terms(stepper, data, rows)
    if terms is None:
        terms = f"the step's own terms are finite ({_listed(data, rows.tolist())})"
    return _diverged(config, epoch, step, f"{what}; {terms}")


def _bad_terms(stepper: Stepper, data: TrainingData, rows: Tensor) -> str | None:
    """Which terms of some rows are not finite with the weights as they are."""
    with torch.no_grad():
        terms = stepper.terms(rows)
    bad = {name: ~torch.isfinite(term) for name, term in terms.items()}
    names = [name for name, where in bad.items() if bool(where.any())]
    if not names:
        return None
    where = torch.stack(list(bad.values())).any(dim=0)
    culprits = rows[where].tolist()
    listed = _listed(data, culprits)
    return f"{' and '.join(names)} not finite in {len(culprits)} of {len(rows)} rows ({listed})"


def _diverged(config: Config, epoch: int, step: int, what: str) -> NonFiniteError:
    (weight,) = config.distillation.ranking_weights
    return NonFiniteError(
        f"E-NONFINITE {config.student.name}, ranking weight {weight:g}, epoch {epoch + 1} step "
        f"{step}: {what}; learning rate {config.train.learning_rate:g}. hint: lower "
        "train.learning_rate, or raise the temperatures"
    )


def _listed(data: TrainingData, rows: list[int]) -> str:
    """The first rows by number, and whether there are more."""
    numbers = ", ".join(map(str, rows[:N_NAMED_ROWS]))
    return f"{data.row_names} {numbers}{', ...' if len(rows) > N_NAMED_ROWS else ''}"
