"""What of a configuration a teacher can serve: lists alone, vectors alone, or both."""

from __future__ import annotations

from typing import Any

from dllm2rec.config.load import changed
from dllm2rec.config.model import Config
from dllm2rec.distill.choose_loss import list_meaning
from dllm2rec.distill.teacher_lists import RANK_DISTANCE
from dllm2rec.teacher.knowledge import TeacherKnowledge


def fit_to_teacher(config: Config, teacher: TeacherKnowledge | None) -> tuple[Config, list[str]]:
    """Leave out the parts of the distillation that the teacher has nothing for.

    Returns:
        The configuration, changed where that leaves something to learn from the teacher, and a note
        for each change; where nothing would be left it stays, and `check_run` refuses it.
    """
    if teacher is None:
        return config, []
    distillation, values, notes = config.distillation, dict[str, Any](), []
    ranks, embeds = any(distillation.ranking_weights), distillation.embedding_weight > 0
    has_lists, has_vectors = teacher.has_lists, teacher.item_embeddings is not None
    if not (ranks and has_lists) and not (embeds and has_vectors):
        return config, []
    if ranks and not has_lists:
        values["ranking_weight"] = 0.0
        notes.append("no lists, so distillation.ranking_weight = 0")
    if embeds and not has_vectors:
        values["embedding_weight"] = 0.0
        notes.append("no item vectors, so distillation.embedding_weight = 0")
    if ranks and has_lists:
        by_row = list_meaning(config) == "weight" and distillation.confidence_gamma > 0
        others = distillation.position_gamma + distillation.consistency_gamma
        if by_row and teacher.target_distance is None and others > 0:
            values["confidence_gamma"] = 0.0
            notes.append(
                "no distances to the true next items, so that the paper's confidence weight cannot "
                "be computed and distillation.confidence_gamma = 0"
            )
        if list_meaning(config) != "weight" and _lacks_distances(teacher):
            notes.append(
                "no distances of its lists, so that they are weighted by rank: place r counts as "
                f"the distance {RANK_DISTANCE} log r"
            )
    notes = [f"W-TEACHER-LACKS the teacher has {note}" for note in notes]
    return (changed(config, distillation=values) if values else config), notes


def _lacks_distances(teacher: TeacherKnowledge) -> bool:
    """Whether some of its lists have none."""
    of_rows = teacher.ranking is not None and teacher.distance is None
    return of_rows or (teacher.histories is not None and teacher.histories.distances is None)
