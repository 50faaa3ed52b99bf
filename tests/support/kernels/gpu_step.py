"""A training step on the CPU with what a GPU's has: for the scripts that look at its kernels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from dllm2rec.batches.training_data import make_student, make_training_data
from dllm2rec.config.load import changed, load_config
from dllm2rec.config.model import Config
from dllm2rec.distill.batch import Batch
from dllm2rec.distill.catalogue_loss import catalogue_terms_of
from dllm2rec.distill.choose_loss import list_meaning, term_spec
from dllm2rec.distill.fused_objective import FusedObjective
from dllm2rec.distill.step_buffers import StepBuffers
from dllm2rec.distill.torch_objective import TorchObjective
from dllm2rec.students.fused_sasrec import can_fuse
from dllm2rec.students.item_scores import scatter_buffer_size
from dllm2rec.train.step import Stepper
from tests.support.worlds import asked_histories, cycle_dataset, oracle_teacher

# A form of the loss for each way that a step takes on CUDA.
STEPS = (
    ("paper", ["loss.dro_weight=0.5"]),
    ("paper", ["distillation.embedding_sides=input"]),
    ("light", []),
    ("light", ["loss.base=sampled_softmax", "loss.n_negatives=37"]),
    ("light", ["loss.base=sampled_softmax", "loss.n_negatives=1"]),
    ("paper", ["distillation.consistency_gamma=0", "loss.n_negatives=3"]),
    ("paper", ["student.window_offset=true", "loss.n_negatives=3"]),
    ("light", ["train.precision=mixed"]),
    ("paper", ["train.precision=mixed", "loss.dro_weight=0.5"]),
)


@dataclass(frozen=True, eq=False)
class Step:
    """A stepper, and the rows that it is to take."""

    stepper: Stepper
    rows: Tensor
    negatives: Tensor | None

    def batch(self) -> Batch:
        """The rows as the CPU gathers them."""
        return self.stepper.rows.batch(self.rows, self.negatives)

    def gathered(self) -> Batch:
        """The rows as the kernel gathers them."""
        return self.stepper.rows._gathered(
            self.rows, self.negatives, self.batch().log_expected, None
        )

    def use_aids_of_cuda(self, side: Any) -> None:
        """Let the stepper use the fused encoder, and its second stream if there is one."""
        stepper = self.stepper
        student, config = stepper.student, stepper.config
        size = scatter_buffer_size(student.n_items, student.config.hidden_size)
        buffers = StepBuffers(
            noise=torch.tensor(0),
            scatter_buffer=torch.zeros(size, dtype=torch.int64),
            side_stream=side,
        )
        has_ranking = list_meaning(config) == "weight"
        cuda = torch.device("cuda")
        spec = term_spec(config, student.n_items, has_lists=True, device=cuda)
        if spec is None:
            stepper.objective = TorchObjective(
                config, stepper.propensity, stepper.rows.in_softmax, has_ranking, buffers
            )
        else:
            dro_slope = stepper.propensity / config.loss.dro_temperature
            terms = catalogue_terms_of(cuda, config.train.precision)
            stepper.objective = FusedObjective(
                spec, dro_slope, stepper.rows.in_softmax, buffers, terms
            )


def step_of(
    recipe: str, overrides: list[str], *, hidden_size: int, histories: bool = False
) -> Step:
    """A step on a small world, without dropout; some of its rows may be the teacher's histories."""
    dataset = cycle_dataset()
    teacher = oracle_teacher(dataset)
    if histories:
        teacher = replace(teacher, histories=asked_histories())
    config: Config = changed(
        load_config(recipe=recipe, overrides=overrides),
        student={"dropout": 0.0, "hidden_size": hidden_size},
        distillation={"top_k": 6, "ranking_weight": 0.3},
    )
    torch.manual_seed(0)
    student = make_student(config, dataset, teacher)
    assert can_fuse(student)
    for parameter in student.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    task = make_training_data(config, dataset, teacher, torch.device("cpu"))
    negatives = None if task.sampler is None else task.sampler.epoch(0, 0)
    propensity = torch.rand(dataset.n_items)
    stepper = Stepper(student, task.rows, config, propensity=propensity, negatives=negatives)
    rows = [3, 500, 501, 7, 839, *([840, 899, 851] if histories else [])]
    return Step(stepper, torch.tensor(rows), negatives)
