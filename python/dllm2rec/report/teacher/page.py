"""The page of a teacher: one file that needs no network and no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from dllm2rec.report.curves import can_draw
from dllm2rec.report.teacher.pictures import pictures
from dllm2rec.report.teacher.report import TeacherReport
from dllm2rec.runtime.visible import visible_lines
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
    environment = Environment(
        loader=PackageLoader("dllm2rec.report", "templates"),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    drawings = pictures(report) if can_draw() else {}
    metrics = next((one.metrics["teacher"] for one in report.slices if one.rows), {"": 0.0})
    return environment.get_template(TEMPLATE).render(
        report=report,
        pictures=drawings,
        can_draw=can_draw(),
        n_titles=sum(report.titles.values()),
        slice_key=next(iter(metrics)),
    )


def _shown(value: Any) -> Any:  # noqa: ANN401 - whatever a template names
    """Text without what controls a terminal or turns the direction of the text around it."""
    return visible_lines(value) if type(value) is str else value
