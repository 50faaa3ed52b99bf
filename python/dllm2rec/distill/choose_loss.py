"""What a configuration asks of the loss: what its lists hold, and what needs all scores."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from dllm2rec.config.load import changed
from dllm2rec.config.model import Config
from dllm2rec.distill.catalogue_loss import MAX_LISTED, MAX_SCORES
from dllm2rec.distill.teacher_lists import Meaning
from dllm2rec.errors import ConfigError
from dllm2rec.kernels.catalogue.terms import TermSpec
from dllm2rec.kernels.launch import SIZES

# Up to so many items of the catalogue for each that a row samples, all scores and their gradient
# (2 products) cost a GPU less than adding up the gradients of the sampled.
ITEMS_A_SAMPLE = 32


def list_meaning(config: Config) -> Meaning:
    """What the loss reads of each place of the teacher's lists."""
    if config.variant == "authors":
        return "authors' weight"
    distillation = config.distillation
    by_weights = distillation.ranking_method == "dllm2rec" and not distillation.takes_share
    return "weight" if by_weights else "probability"


def term_spec(
    config: Config, n_items: int, *, has_lists: bool, device: torch.device
) -> TermSpec | None:
    """What one pass over all scores computes; None where the loss is better made step by step."""
    loss, distillation = config.loss, config.distillation
    n_negatives = loss.n_negatives if loss.base == "bce" else 0
    n_listed = 1 + n_negatives + (distillation.top_k if has_lists else 0)
    if loss.base in ("gbce", "bpr") or (has_lists and distillation.ranking_method != "dllm2rec"):
        return None
    if n_listed > MAX_LISTED or (loss.base == "bce" and weighs_window(config)):
        return None
    importance = distillation.ranking_form == "importance"
    ranks = has_lists and importance and distillation.consistency_gamma > 0
    needed = needs_all_scores(config)
    if device.type != "cpu":  # for its ranks alone a CPU makes the scores without their gradient
        needed = needed or ranks or _samples_densely(config, n_items)
    if not needed:
        return None
    soft = has_lists and not importance
    return TermSpec(
        base="bce" if loss.base == "bce" else "soft_targets" if soft else "softmax",
        n_negatives=n_negatives,
        dro_weight=loss.dro_weight,
        list_weight=single_ranking_weight(config) if has_lists else 0.0,
        has_ranking=has_lists and importance,
        consistency=distillation.consistency_gamma,
        top_k=distillation.top_k,
        n_sampled=loss.n_negatives if loss.base == "sampled_softmax" else 0,
    )


def mixed_faults(config: Config, n_items: int, device: torch.device) -> Iterator[ConfigError]:
    """Why a training cannot be in mixed precision, if it is asked for.

    Args:
        config: of one student.
        n_items: N.
        device: where it is to be trained.
    """
    if config.train.precision == "exact":
        return
    if device.type == "cpu":
        yield ConfigError(
            "train.precision = mixed on a CPU, expected exact: only a GPU has such products"
        )
    size = config.student.hidden_size
    if size not in SIZES:
        yield ConfigError(
            f"train.precision = mixed with student.hidden_size = {size}, "
            f"expected one of {', '.join(map(str, SIZES))}"
        )
    one_weight = changed(config, distillation={"ranking_weight": 1.0})
    spec = None
    if config.variant == "default":
        spec = term_spec(one_weight, n_items, has_lists=True, device=torch.device("cuda"))
    if spec is None or spec.n_sampled > 0 or not needs_all_scores(config):
        yield ConfigError(
            "train.precision = mixed with a loss that does not score all items, expected "
            'loss.base = "softmax" or loss.dro_weight above 0, in the default variant, with '
            'distillation.ranking_method = "dllm2rec"'
        )


def weighs_window(config: Config) -> bool:
    """Whether the window's items, which are never drawn, stand among a row's negatives.

    A learned offset of the window's items would only rise if they were pulled up where one of them
    is the target, and never pushed down.
    """
    loss = config.loss
    singly = loss.takes_negatives_singly
    return loss.base == "sampled_softmax" or (singly and config.student.window_offset)


def needs_all_scores(config: Config) -> bool:
    """Whether a term has a sum over the catalogue."""
    return config.loss.base == "softmax" or config.loss.dro_weight > 0


def single_ranking_weight(config: Config) -> float:
    """The one ranking weight of a training."""
    (weight,) = config.distillation.ranking_weights
    return weight


def _samples_densely(config: Config, n_items: int) -> bool:
    """Whether a sampled softmax names so many items that a GPU is faster with all scores."""
    n_scores = config.train.batch_size * n_items
    many = n_items <= ITEMS_A_SAMPLE * config.loss.n_negatives
    return config.loss.base == "sampled_softmax" and many and n_scores <= MAX_SCORES
