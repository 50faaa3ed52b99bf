"""The page of a teacher: one file that needs no network and no other."""

from __future__ import annotations

from pathlib import Path

from dllm2rec.report.curves import can_draw
from dllm2rec.report.fill_template import fill_template
from dllm2rec.report.teacher.pictures import pictures
from dllm2rec.report.teacher.report import TeacherReport
from dllm2rec.storage.atomic_file import replace_text

TEMPLATE = "teacher.html"


def write_teacher_page(report: TeacherReport, page: str | Path) -> Path:
    """Write a teacher's page, replacing what is there.

    Pictures need matplotlib; without it the page has the same figures as numbers.

    Raises:
        ResourceError: it cannot be written.
    """
    path = Path(page)
    replace_text(path, render(report))
    return path


def render(report: TeacherReport) -> str:
    """Return the page; all that comes from data or files is escaped."""
    drawings = pictures(report) if can_draw() else {}
    metrics = next((one.metrics["teacher"] for one in report.slices if one.rows), {"": 0.0})
    return fill_template(
        TEMPLATE,
        report=report,
        pictures=drawings,
        can_draw=can_draw(),
        n_titles=sum(report.titles.values()),
        slice_key=next(iter(metrics)),
    )
