"""Which losses mixed precision is for."""

from __future__ import annotations

import pytest
import torch

from dllm2rec.config.load import load_config
from dllm2rec.distill.choose_loss import mixed_faults

CUDA, CPU = torch.device("cuda"), torch.device("cpu")
LOSS, SIZE = "that does not score all items", "student.hidden_size = 48"


def said(*overrides: str, recipe: str = "light", device: torch.device = CUDA) -> list[str]:
    config = load_config(recipe=recipe, overrides=["train.precision=mixed", *overrides])
    return [str(fault) for fault in mixed_faults(config, 10_000, device)]


@pytest.mark.parametrize(
    ("recipe", "override"),
    [("light", "student.name=gru4rec"), ("paper", "loss.dro_weight=0.5")],
)
def test_losses_over_all_items_may_be_mixed(recipe: str, override: str) -> None:
    assert said(override, recipe=recipe) == []


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("loss.base=sampled_softmax",), LOSS),
        (("loss.base=bpr", "distillation.ranking_form=importance"), LOSS),
        (("distillation.ranking_method=rrd",), LOSS),
        (("student.hidden_size=48",), SIZE),
    ],
)
def test_others_may_not(overrides: tuple[str, ...], words: str) -> None:
    (fault,) = said(*overrides)
    assert words in fault


def test_the_authors_variant_is_exact() -> None:
    (fault,) = said(recipe="authors")
    assert LOSS in fault


def test_a_cpu_has_no_such_products() -> None:
    (fault,) = said(device=CPU)
    assert fault.startswith("train.precision = mixed on a CPU, expected exact")
    assert not list(mixed_faults(load_config(recipe="light"), 10_000, CPU))
