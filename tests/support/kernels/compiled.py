"""Compile every kernel of a training step for a Hopper GPU, without one: for a subprocess.

    python -m tests.support.kernels.compiled

The last line that it prints is the kernels' names, as JSON.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from typing import Any

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

from dllm2rec.kernels import item_table, launch, list_candidates, rank_counts
from dllm2rec.kernels.catalogue import grid
from dllm2rec.train.optimizer import DeviceOptimizer, Schedule
from tests.support.kernels.gpu_step import STEPS, Step, step_of

HOPPER = GPUTarget("cuda", 90, 32)


class Driver:
    """As much of a GPU as the compiler asks for."""

    def get_current_target(self) -> GPUTarget:
        return HOPPER

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


def collected(step: Step) -> list[Any]:
    """The kernels of a step, each with what it is launched with."""
    wishes = kernels_of(step)
    embedding = step.stepper.student.embedding
    launch._collected = wishes
    assert embedding.projector is not None
    assert embedding.teacher is not None
    projector = embedding.projector
    rows = (embedding.ids.weight, embedding.teacher, projector.weight, projector.bias)
    item_table.project(*(part.detach() for part in rows), 0.3)
    launch._collected = None
    return wishes


def kernels_of(step: Step) -> list[Any]:
    """Those of them that a step launches on any device."""
    stepper = step.stepper
    config, parameters = stepper.config.train, list(stepper.student.parameters())
    stepper.optimizer = DeviceOptimizer(parameters, config, Schedule.of(config, 50))
    step.use_aids_of_cuda(None)
    launch._collected = []
    gradients, terms = stepper._of_batch(step.gathered().zero_(), len(step.rows))
    stepper.optimizer.update(gradients, terms, stepper.guard, stepper.loss_sum)
    wishes, launch._collected = launch._collected, None
    return wishes


def kernels_of_ranks(n_users: int = 300, n_items: int = 1000) -> list[Any]:
    """Those of an evaluation, for vectors of the widest kind too."""
    launch._collected = []
    for width in (16, 64, 128):
        users, items = torch.zeros(n_users, width), torch.zeros(n_items, width)
        one_a_row, bias = torch.arange(n_users + 1), torch.zeros(n_items)
        targets = rank_counts.row_scores(users, items, bias, one_a_row, one_a_row[1:])
        rank_counts.count_above(users, items, bias, targets)
        list_candidates.list_candidates(users, items, bias, targets, 512)
    wishes, launch._collected = launch._collected, None
    return wishes


def forms(wishes: list[Any]) -> set[tuple[object, ...]]:
    """What kernels are compiled for."""
    return {
        (
            kernel.fn.__name__,
            str(constants),
            *(
                type(argument) if parameter.do_not_specialize else launch._kind(argument)
                for parameter, argument in zip(kernel.params, arguments, strict=False)
            ),
        )
        for kernel, _, arguments, constants in wishes
    }


def check_last_batch() -> None:
    """An epoch's last batch, of whatever size, needs no kernel that the others have not."""
    block, grid.BLOCK = grid.BLOCK, 8  # so that rows are cut into pieces
    for recipe, overrides in STEPS:
        step = step_of(recipe, overrides, hidden_size=64)
        many = replace(step, rows=torch.arange(700))
        few, more = forms(kernels_of(step)), forms(kernels_of(many))
        assert few == more, few ^ more
    grid.BLOCK = block


def check_sizes_of_ranks() -> None:
    """Blocks of any size, and catalogues, are ranked by the same kernels."""
    some = forms(kernels_of_ranks(300, 1000))
    for n_users, n_items in ((304, 1000), (1, 999), (4096, 1)):
        others = forms(kernels_of_ranks(n_users, n_items))
        assert others == some, others ^ some


def check_sums(kernel: str, code: str) -> None:
    """Both kernels that score begin their sums with 0: a compiler may begin one with the bias."""
    if kernel in ("_count", "_score_rows"):
        begins = re.findall(r"tt\.dot %\w+, %\w+, (%\w+)", code)
        assert begins, "no product"
        for begin in begins:
            assert re.search(rf"{begin} = arith\.constant dense<0\.0+e\+00>", code), kernel


def main() -> None:
    driver.set_active(Driver())
    check_last_batch()
    check_sizes_of_ranks()
    names = set()
    steps = [step_of(recipe, overrides, hidden_size=64) for recipe, overrides in STEPS]
    steps.append(step_of("light", [], hidden_size=64, histories=True))
    wishes = [wish for step in steps for wish in collected(step)]
    for kernel, programs, arguments, constants in [*wishes, *kernels_of_ranks()]:
        compiled = kernel.warmup(*arguments, grid=programs, **constants)
        assert compiled.asm["cubin"], kernel.fn.__name__
        check_sums(kernel.fn.__name__, compiled.asm["ttgir"])
        names.add(kernel.fn.__name__)
    sys.stdout.write(json.dumps(sorted(names)) + "\n")


if __name__ == "__main__":
    main()
