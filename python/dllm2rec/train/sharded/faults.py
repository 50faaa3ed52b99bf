"""What a student's items cannot be shared out with."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from dllm2rec.config.load import changed
from dllm2rec.config.model import Config
from dllm2rec.distill.choose_loss import term_spec
from dllm2rec.errors import ConfigError
from dllm2rec.runtime.distributed import size
from dllm2rec.students.sharded import too_few


def shard_faults(config: Config, n_items: int, *, has_teacher: bool) -> Iterator[ConfigError]:
    """Why a training cannot have `train.shard_items`, if it is asked for.

    Args:
        config: of one student.
        n_items: N.
        has_teacher: whether it is trained with a teacher.
    """
    if not config.train.shard_items:
        return
    if size() < 2 or n_items < size():
        yield too_few(n_items)
    distillation = config.distillation
    has_lists = has_teacher and any(distillation.ranking_weights)
    refused = {
        "variant = authors": (config.variant == "authors", 'variant = "default"'),
        "student.tied = false": (not config.student.tied, "student.tied = true"),
        f"loss.base = {config.loss.base}": (config.loss.base != "softmax", 'loss.base = "softmax"'),
        "distillation.embedding_weight above 0": (
            has_teacher and distillation.embedding_weight > 0,
            "distillation.embedding_weight = 0",
        ),
        "train.all_places = true": (
            config.train.all_places is True,
            'train.all_places = "auto"',
        ),
        "train.refit = true": (config.train.refit, "train.refit = false"),
        "train.precision = mixed": (
            config.train.precision == "mixed",
            'train.precision = "exact"',
        ),
        "these distillation lists": (
            has_lists and _lists_need_all(config, n_items),
            'ranking_method = "dllm2rec", ranking_form = "soft_targets" and top_k up to 63',
        ),
    }
    for what, (is_so, expected) in refused.items():
        if is_so:
            yield ConfigError(
                f"train.shard_items = true with {what}, expected {expected}; set that, or "
                "train.shard_items = false"
            )


def _lists_need_all(config: Config, n_items: int) -> bool:
    """Whether the lists' term cannot be made of parts: it counts items ahead, or is another's."""
    one_weight = changed(config, distillation={"ranking_weight": 1.0})
    spec = term_spec(one_weight, n_items, has_lists=True, device=torch.device("cpu"))
    return spec is None or spec.counts
