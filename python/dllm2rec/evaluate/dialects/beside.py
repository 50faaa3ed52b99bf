"""The baselines and the teacher, where they are measured by the same rows and candidates."""

from __future__ import annotations

from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.evaluate.dialects.measured import MeasuredScorer
from dllm2rec.evaluate.rows.untrained import untrained_scorers
from dllm2rec.teacher.knowledge import TeacherKnowledge


def scorers_beside(
    dataset: SequenceDataset, teacher: TeacherKnowledge | None, split: str, *, exclude_seen: bool
) -> list[MeasuredScorer]:
    """Popularity, window counts and the teacher; none without train and validation rows."""
    if not (len(dataset.train) and len(dataset.validation)):
        return []
    found = untrained_scorers(dataset, teacher, split, exclude_seen=exclude_seen)
    return [MeasuredScorer.of_rows(one.name, one.counts, one.depth) for one in found]
