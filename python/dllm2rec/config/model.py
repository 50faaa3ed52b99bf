"""The one configuration of a run: frozen pydantic models, read from TOML, written beside the run.

Functions take one section or plain keywords. A field names the paper's symbol or the authors' flag.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from dllm2rec.config.values import (
    Cutoffs,
    Dropout,
    DropoutGrid,
    Grid,
    Heights,
    NonNegative,
    PositiveInt,
    Temperature,
)

# The longest window that the fused encoder takes; over longer ones one target a pass is dear.
LONG_WINDOW = 64


class Section(BaseModel):
    """Frozen; an unknown key is an error, and neither a bool nor a string passes for a number."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def __repr__(self) -> str:
        """A line for each section, as notebooks show it."""
        parts = [(name, getattr(self, name)) for name in type(self).model_fields]
        plain = ", ".join(f"{k}={v!r}" for k, v in parts if not isinstance(v, Section))
        inner = [f"  {k}={v!r}" for k, v in parts if isinstance(v, Section)]
        if not inner:
            return f"{type(self).__name__}({plain})"
        return "\n".join([f"{type(self).__name__}({plain}", *inner]) + ")"


class StudentConfig(Section):
    """The small sequential model."""

    name: Literal["gru4rec", "caser", "sasrec"] = "sasrec"  # the authors' --model_name
    hidden_size: PositiveInt = 64  # the authors' --hidden_factor
    # The authors' --dropout_rate. A list of values is a grid, as for distillation.ranking_weight.
    dropout: Dropout | DropoutGrid = 0.4
    n_blocks: PositiveInt = 1
    n_heads: PositiveInt = 2
    n_filters: PositiveInt = 16  # Caser: filters of each height
    filter_heights: Heights = (2, 3, 4)  # Caser; the authors' --filter_sizes
    tied: bool = True  # items are scored by the table that embeds them
    output_bias: bool = False
    window_offset: bool = True  # a learned number added to the scores of the window's items
    init_std: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.02
    # Of the teacher's vectors into the item vectors; "mlp": with one hidden layer.
    projector: Literal["linear", "mlp"] = "linear"
    # Counts of which items followed which, added to the trained student's scores where that helps
    # on validation.
    pair_memory: bool = True

    @property
    def dropouts(self) -> tuple[float, ...]:
        """The values of `dropout` to train with: one, or the grid in increasing order."""
        return self.dropout if isinstance(self.dropout, tuple) else (self.dropout,)

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.name == "sasrec" and self.hidden_size % self.n_heads:
            raise ValueError(
                f"n_heads = {self.n_heads} does not divide hidden_size = {self.hidden_size}, "
                "expected heads of one width"
            )
        return self


class LossConfig(Section):
    """What the student learns from the interactions alone."""

    base: Literal["softmax", "sampled_softmax", "bce", "gbce", "bpr"] = "softmax"
    n_negatives: PositiveInt = 1  # of all but softmax; the authors' --num_negtive_items
    # gbce: gSASRec's t, 0 is bce; 1 makes scores comparable as those of all items would be.
    calibration: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.75
    exclude: Literal["window", "history"] = "window"  # what is never drawn, besides the target
    exclude_listed: bool = (
        True  # bce, gbce, bpr: an item of the row's teacher list is no negative of it
    )
    # Train rows that exclude every item: an error, or they are passed over.
    neg_fallback: Literal["error", "skip"] = "error"
    # The authors' --alpha. The paper's DROS is SASRec with 1: their 0.5 stands beside a halved bce.
    dro_weight: NonNegative = 0.0
    dro_temperature: Temperature = 1.0  # the authors' --beta
    # Items that no train window or target holds: no id vector, no place in the softmax's sum. Acts
    # where the student has the teacher's vectors, which is all that is known of them. "auto": with
    # a full softmax and vectors on both sides.
    unseen_by_text: Literal["auto"] | bool = "auto"

    @property
    def takes_negatives_singly(self) -> bool:
        """Whether each drawn item has a term of its own, so that there is no softmax."""
        return self.base in ("bce", "gbce", "bpr")


class DistillationConfig(Section):
    """What the student learns from the teacher."""

    # The paper's lambda_d, the authors' --lam. With "soft_targets": the share of the lists in the
    # cross entropy. A list of values is a grid: each is trained, validation chooses.
    ranking_weight: NonNegative | Grid = (0.0, 0.1, 0.3, 0.5)
    ranking_form: Literal["importance", "soft_targets"] = "soft_targets"
    top_k: PositiveInt = 20  # the paper's K, the authors' --candidate_topk
    drop_window_items: bool = True  # lists without the items of the row's window
    position_gamma: NonNegative = 0.3
    confidence_gamma: NonNegative = 0.5
    consistency_gamma: NonNegative = 0.1
    position_temperature: Temperature = 1.0  # the paper's beta; the authors' --beta2, never read
    # "importance": the tau of exp(-d/tau). "soft_targets": the temperature over the list.
    confidence_temperature: Temperature = 0.05
    embedding_weight: NonNegative = 1.0  # the authors' --ed_weight
    embedding_sides: Literal["input", "both"] = "both"
    # What learns from the lists: "dllm2rec" as above, or another paper's loss (docs/baselines.md).
    ranking_method: Literal["dllm2rec", "rd", "cd", "rrd", "dcd", "unkd"] = "dllm2rec"
    # What learns from the vectors: a projection into the item vectors, or a term of the loss.
    embedding_method: Literal["projection", "hint", "htd"] = "projection"
    item_offset: bool = True  # the paper's b_i beside the projected vector: the item's own vector

    @property
    def projects(self) -> bool:
        """Whether the teacher's vectors are part of the item vectors."""
        return self.embedding_weight > 0 and self.embedding_method == "projection"

    @property
    def takes_share(self) -> bool:
        """Whether the lists are a share of the softmax's targets, and not a term of their own."""
        return self.ranking_method == "dllm2rec" and self.ranking_form == "soft_targets"

    @property
    def ranking_weights(self) -> tuple[float, ...]:
        """The values of `ranking_weight` to train with: one, or the grid in increasing order."""
        weight = self.ranking_weight
        return weight if isinstance(weight, tuple) else (weight,)

    @model_validator(mode="after")
    def _the_lists_weigh_something(self) -> Self:
        gammas = (self.position_gamma, self.confidence_gamma, self.consistency_gamma)
        by_weights = self.ranking_method == "dllm2rec" and self.ranking_form == "importance"
        if by_weights and any(self.ranking_weights) and not any(gammas):
            raise ValueError(
                "position_gamma, confidence_gamma and consistency_gamma are all 0, expected one "
                "above 0; set ranking_weight = 0 to train without the teacher's lists"
            )
        if self.takes_share and max(self.ranking_weights) > 1:
            raise ValueError(
                f"ranking_weight = {max(self.ranking_weights)}, expected at most 1: with "
                'ranking_form = "soft_targets" it is the share of the lists in the loss'
            )
        if not self.item_offset and self.projects and self.embedding_sides == "input":
            raise ValueError(
                'item_offset = false with embedding_sides = "input", expected "both": items would '
                "be scored by nothing"
            )
        return self


class TrainConfig(Section):
    """The training loop."""

    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-3  # --lr
    batch_size: PositiveInt = 1024
    weight_decay: NonNegative = 0.0  # the authors' --l2_decay
    max_epochs: PositiveInt = 40  # --epoch
    patience: PositiveInt = 4  # epochs without a better validation ndcg@20
    prefix_rows: bool = True  # also the rows inside train windows that window files leave out
    # Rows of a user share a causal pass over their window; "auto": in a log, unless it is fused.
    all_places: Literal["auto"] | bool = "auto"
    schedule: Literal["constant", "cosine"] = "constant"  # to 0 over max_epochs
    warmup_steps: Annotated[int, Field(ge=0)] = 0  # updates over which the rate rises to its value
    max_gradient_norm: NonNegative = 0.0  # longer gradients are cut to this length; 0: none is
    # Validation, checkpoints and test use an exponential average of the weights; 0: the last ones.
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    precision: Literal["exact", "mixed"] = "exact"  # of a GPU's products with all items
    shard_items: bool = False  # under torchrun: each process holds a part of the item table
    refit: bool = False  # then train what was chosen again, on the validation rows as well
    save_every_s: NonNegative = 30.0  # seconds between the states that --resume continues from
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"


class EvaluationConfig(Section):
    """What is reported; selection is always by validation ndcg@20."""

    ks: Cutoffs = (1, 5, 10, 20)
    exclude_seen: bool = False


class Config(Section):
    """A whole run."""

    variant: Literal["default", "authors"] = "default"
    student: StudentConfig = StudentConfig()
    loss: LossConfig = LossConfig()
    distillation: DistillationConfig = DistillationConfig()
    train: TrainConfig = TrainConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    @property
    def leaves_out_unseen(self) -> bool:
        """Whether items that training never sees are known by the teacher's vector alone."""
        if not self.distillation.projects:
            return False
        if self.loss.unseen_by_text != "auto":
            return self.loss.unseen_by_text
        both = self.distillation.embedding_sides == "both"
        return self.loss.base == "softmax" and both and self.variant == "default"

    def learns_all_places(self, max_length: int, *, has_users: bool) -> bool:
        """Whether rows of a user share one causal pass over a window of `max_length` items.

        Args:
            max_length: L.
            has_users: whether the rows are those of a log: then most of a user's places are rows.
        """
        if self.train.all_places != "auto" or self.train.shard_items:
            return self.train.all_places is True
        is_causal = self.student.name != "caser" and self.variant == "default"
        return is_causal and has_users and (max_length > LONG_WINDOW or self.student.n_blocks > 1)

    @field_validator("variant", mode="before")
    @classmethod
    def _present_name(cls, variant: object) -> object:
        """Let runs and checkpoints load that were written when the default was called "paper"."""
        return "default" if variant == "paper" else variant

    @model_validator(mode="after")
    def _the_parts_fit(self) -> Self:
        if (
            self.distillation.takes_share
            and self.loss.takes_negatives_singly
            and any(self.distillation.ranking_weights)
        ):
            raise ValueError(
                'distillation.ranking_form = "soft_targets" with loss.base = '
                f'"{self.loss.base}", expected "softmax" or "sampled_softmax": the lists are a '
                "share of the softmax's targets"
            )
        by_text = self.loss.unseen_by_text is True
        if by_text and self.loss.base != "softmax":
            raise ValueError(
                f'loss.unseen_by_text = true with loss.base = "{self.loss.base}", expected '
                '"softmax": the other losses have no sum over the catalogue to leave items out of'
            )
        sides = self.distillation.embedding_sides
        if by_text and sides == "input" and self.distillation.projects:
            raise ValueError(
                'loss.unseen_by_text = true with distillation.embedding_sides = "input", expected '
                '"both": an unseen item has no vector of its own, and would score 0 everywhere'
            )
        if self.variant == "authors" and (self.student.tied or sides != "input"):
            tied = str(self.student.tied).lower()
            raise ValueError(
                f'variant = "authors" with student.tied = {tied} and distillation.embedding_sides '
                f'= "{sides}", expected student.tied = false and embedding_sides = "input": the '
                "authors' output layer has weights of its own and sees no teacher"
            )
        if self.train.all_places is True and (
            self.student.name == "caser" or self.variant == "authors"
        ):
            what = 'variant = "authors"' if self.variant == "authors" else 'student.name = "caser"'
            raise ValueError(
                f"train.all_places = true with {what}, expected false or auto: "
                "its encoder has no vector at each place of a window"
            )
        if self.variant == "authors":
            self._refuse_what_the_authors_objective_lacks()
        return self

    def _refuse_what_the_authors_objective_lacks(self) -> None:
        """One negative per row, whole lists as weighted positives: nothing else would be read."""
        needed: dict[str, tuple[object, object]] = {
            "loss.base": (self.loss.base, "bce"),
            "loss.n_negatives": (self.loss.n_negatives, 1),
        }
        if any(self.distillation.ranking_weights):
            needed["distillation.ranking_form"] = (self.distillation.ranking_form, "importance")
            needed["distillation.drop_window_items"] = (self.distillation.drop_window_items, False)
            # A prefix row has no list, and a row's loss depends on the lists of all others.
            needed["train.prefix_rows"] = (self.train.prefix_rows, False)
            needed["train.refit"] = (self.train.refit, False)
        distillation = self.distillation
        needed |= {
            "distillation.ranking_method": (distillation.ranking_method, "dllm2rec"),
            "distillation.embedding_method": (distillation.embedding_method, "projection"),
            "student.projector": (self.student.projector, "linear"),
            "distillation.item_offset": (distillation.item_offset, True),
        }
        for field, (value, only) in needed.items():
            if value != only:
                found, expected = (str(one).lower() for one in (value, only))
                raise ValueError(f'{field} = {found} with variant = "authors", expected {expected}')
