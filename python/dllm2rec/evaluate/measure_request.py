"""By what the scores, vectors and lists of other systems are measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dllm2rec.evaluate.rows.among_drawn import Drawn
from dllm2rec.teacher.knowledge import TeacherKnowledge


@dataclass(frozen=True, eq=False)
class MeasureRequest:
    """What is asked of another system's answers.

    Attributes:
        targets: relevant items by row or user, many or one, as `evaluate_lists` takes them; None
            for the split's own.
        split: "test" or "validation".
        exclude_seen: leave the items of each row's history out of the candidates, but for targets
            that repeat it.
        candidates: ids of the items that alone are candidates; None where all are.
        teacher: whose lists are to stand beside.
        drawn: items of each row, (R, n), among which alone its own target is ranked; None where it
            is ranked among all.
        device: where scores and vectors are ranked: "auto", "cpu" or "cuda".
    """

    targets: object = None
    split: str = "test"
    exclude_seen: bool = False
    candidates: Iterable[str] | None = None
    teacher: TeacherKnowledge | None = None
    drawn: Drawn | None = None
    device: str = "cpu"
