"""Which recipe a training takes that was given none."""

from __future__ import annotations

from dllm2rec.config.load import Recipe
from dllm2rec.runtime.gpu import has_gpu


def default_recipe(device: str = "auto") -> Recipe:
    """The recipe for this machine: "strong" on a GPU, else "light".

    On a CPU the student of "strong", twice as wide and of two blocks, would train for hours.

    Args:
        device: as `train.device`; "cpu" means "light" whatever there is.
    """
    return "strong" if device != "cpu" and has_gpu() else "light"
