"""A teacher beside a student, on the same rows: what both list, and who is right where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dllm2rec.report.teacher.quality import Lists


@dataclass(frozen=True)
class BesideStudent:
    """Two lists of K items for each row, compared.

    Attributes:
        student: what it is called.
        k: places that are compared.
        rows: how many rows.
        overlap: mean share of the teacher's items that the student lists too.
        both, teacher_only, student_only, neither: rows whose target is listed by these.
        hit_rate_shared: how often an item that both list is the target.
        hit_rate_teacher: the same of the items that only the teacher lists.
        hit_rate_student: the same of those that only the student lists.
    """

    student: str
    k: int
    rows: int
    overlap: float
    both: int
    teacher_only: int
    student_only: int
    neither: int
    hit_rate_shared: float
    hit_rate_teacher: float
    hit_rate_student: float


def beside_student(
    name: str, teacher: Lists, student: Lists, targets: Lists, n_items: int
) -> BesideStudent:
    """Compare a teacher's lists with a student's.

    Args:
        name: of the student.
        teacher: (R, K), `n_items` at places without an item.
        student: (R, K).
        targets: (R,).
        n_items: N.
    """
    listed = teacher < n_items
    shared = np.zeros(teacher.shape, np.bool_)
    for column in student.T:
        shared |= teacher == column[:, None]
    shared &= listed
    is_target = (teacher == targets[:, None]) & listed
    right = is_target.any(axis=1), (student == targets[:, None]).any(axis=1)
    both = right[0] & right[1]
    n_shared, n_teacher, n_student = int(shared.sum()), int(listed.sum()), student.size
    return BesideStudent(
        student=name,
        k=teacher.shape[1],
        rows=len(targets),
        overlap=float((shared.sum(axis=1) / np.maximum(listed.sum(axis=1), 1)).mean()),
        both=int(both.sum()),
        teacher_only=int((right[0] & ~right[1]).sum()),
        student_only=int((right[1] & ~right[0]).sum()),
        neither=int((~right[0] & ~right[1]).sum()),
        hit_rate_shared=int(both.sum()) / max(n_shared, 1),
        hit_rate_teacher=int((right[0] & ~right[1]).sum()) / max(n_teacher - n_shared, 1),
        hit_rate_student=int((right[1] & ~right[0]).sum()) / max(n_student - n_shared, 1),
    )
