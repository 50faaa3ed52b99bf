"""The baselines and the teacher, where they are measured by the same rows and candidates."""

from __future__ import annotations

from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.evaluate.rows.among_drawn import Drawn
from dllm2rec.evaluate.rows.scored_rows import Scorer
from dllm2rec.evaluate.rows.untrained import untrained_scorers
from dllm2rec.teacher.knowledge import TeacherKnowledge


def scorers_beside(
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    split: str,
    *,
    exclude_seen: bool,
    drawn: Drawn | None = None,
) -> list[Scorer]:
    """Popularity, window counts and the teacher; none without train and validation rows."""
    if not (len(dataset.train) and len(dataset.validation)):
        return []
    return untrained_scorers(dataset, teacher, split, exclude_seen=exclude_seen, drawn=drawn)
