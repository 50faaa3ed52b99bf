"""The loss of a batch in which some rows have a target and some a list alone, row by row."""

from __future__ import annotations

import torch


def softplus(value):
    return torch.log1p(torch.exp(value))


def mean_loss(scores, batch, n_targets, config, propensity):
    """Add up what each row teaches and divide by the number of all rows, with its gradient.

    Args:
        scores: of all items, (B, N) float64.
        batch: the rows' windows, targets, negatives and lists; the first `n_targets` have a target.
        n_targets: how many.
        config: of one ranking weight, without `consistency_gamma`.
        propensity: the item weights of DROS, (N,).
    """
    total = 0.0
    for row, own in enumerate(scores):
        target = int(batch.targets[row]) if row < n_targets else None
        listed = {
            int(item): float(value)
            for item, value in zip(batch.lists.items[row], batch.lists.values[row], strict=True)
            if value > 0
        }
        total = total + row_loss(own, target, listed, batch, row, config, propensity)
    return total / len(scores)


def row_loss(own, target, listed, batch, row, config, propensity):
    loss, (weight,) = config.loss, config.distillation.ranking_weights
    soft = config.distillation.ranking_form == "soft_targets"
    parts = []
    if target is not None and loss.base == "bce":
        parts += [softplus(-own[target]), *(softplus(own[int(n)]) for n in batch.negatives[row])]
    if target is not None and loss.dro_weight:
        exponents = propensity * own**2 / loss.dro_temperature
        at_target = propensity[target] * (own[target] - 1) ** 2 / loss.dro_temperature
        others = [e for item, e in enumerate(exponents) if item != target]
        parts.append(loss.dro_weight * torch.stack([at_target, *others]).exp().sum().log())
    if not soft:
        parts += [weight * value * softplus(-own[item]) for item, value in listed.items()]
    if loss.base != "bce":
        log_z = log_sum(own, target, batch, row)
        share = weight if soft and listed else 0.0
        if target is not None:
            parts.append((1 - share) * (log_z - own[target]))
        if soft:
            parts += [share * value * (log_z - own[item]) for item, value in listed.items()]
    return torch.stack(parts).sum()


def log_sum(own, target, batch, row):
    """Of all items; or what drawn ones and those that are never drawn stand for."""
    if batch.negatives is None:
        return own.exp().sum().log()
    never_drawn = set(batch.sequences[row, : int(batch.lengths[row])].tolist())
    if target is not None:
        never_drawn.add(target)
    expected = batch.log_expected[row].double().exp()
    drawn = [own[int(item)].exp() / expected for item in batch.negatives[row]]
    return torch.stack([*drawn, *(own[item].exp() for item in never_drawn)]).sum().log()
