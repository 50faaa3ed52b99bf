"""`dllm2rec teacher report`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dllm2rec.cli.options import DeviceOption, JsonOption, check_device, print_json
from dllm2rec.cli.output.lines import say
from dllm2rec.cli.paths import (
    check_folders_there,
    check_is_run,
    check_run_there,
    check_source_there,
)
from dllm2rec.errors import ConfigError

if TYPE_CHECKING:
    from dllm2rec.report.teacher.report import TeacherReport

EXAMPLES = """\b
Examples:
  dllm2rec teacher report teachers/games data/games
  dllm2rec teacher report teachers/games data/games --run runs/games-1 --out games.html
"""


@dataclass(frozen=True)
class ReportRequest:
    """What `dllm2rec teacher report` was asked for."""

    teacher: Path
    dataset: Path
    run: Path | None
    out: Path | None
    device: str
    json: bool

    def page(self) -> Path:
        """Where the page goes: beside the teacher, if it was not said."""
        if self.out is not None:
            return self.out
        whole = self.teacher.resolve()
        name = whole.name if whole.is_dir() else whole.name.partition(".")[0]
        return self.teacher.parent / f"{name}-report.html"


def report(
    teacher: Annotated[
        Path, typer.Argument(metavar="TEACHER", help="A teacher's folder, or what import reads.")
    ],
    dataset: Annotated[Path, typer.Argument(metavar="DATA", help="The dataset it belongs to.")],
    run: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="A run of this dataset, whose students stand beside it."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The page; by default TEACHER-report.html."),
    ] = None,
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Measure how good a teacher's lists are, and where, beside students; write a page."""
    where = "auto" if device is None else device.value
    _report(ReportRequest(teacher, dataset, run, out, where, json))


def _report(request: ReportRequest) -> None:
    page = request.page()
    inputs = [request.teacher, request.dataset, *([request.run] if request.run else [])]
    if page.is_dir() or any(page.resolve() == one.resolve() for one in inputs):
        raise ConfigError(f"--out {page}: is a folder or an input, expected a file to write")
    check_folders_there(request.dataset)
    check_source_there(request.teacher, "a teacher's folder, or what teacher import reads")
    if request.run is not None:
        check_run_there(request.run)
        check_is_run(request.run)
    check_device(request.device)

    from dllm2rec.data.formats.load_dataset import load_dataset
    from dllm2rec.report.teacher.page import write_teacher_page
    from dllm2rec.report.teacher.report import teacher_report
    from dllm2rec.teacher.answers.columns import is_answers
    from dllm2rec.teacher.answers.import_answers import import_answers
    from dllm2rec.teacher.folder import load_teacher

    data, titles = load_dataset(request.dataset), None
    if request.teacher.is_file() and is_answers(request.teacher):
        imported = import_answers(request.teacher, data)
        knowledge, titles = imported.knowledge, imported.titles
    else:
        knowledge = load_teacher(request.teacher, data)
    found = teacher_report(knowledge, data, run=request.run, titles=titles, device=request.device)
    write_teacher_page(found, page)
    if request.json:
        print_json({"page": str(page), **found.as_json()})
        return
    say_report(found)
    say(f"written to {page}")


def say_report(found: TeacherReport) -> None:
    """Print a teacher's report for people."""
    from dllm2rec.cli.output.tables import fact_table, metric_table, plain_table, print_table

    for note in found.notes:
        say(f"note: {note}")
    print_table(fact_table(found.coverage.items()))
    for table in found.tables:
        print_table(metric_table(table))
    if found.slices:
        say(f"by the popularity of the target, {found.compared_on} rows:")
        first = next(one for one in found.slices if one.rows)
        names, key = [*first.metrics], next(iter(first.metrics["teacher"]))
        rows = [
            [one.label, f"{one.rows:,}", *(_cell(one.metrics.get(name), key) for name in names)]
            for one in found.slices
        ]
        print_table(plain_table(["", "rows", *(f"{name} {key}" for name in names)], rows))
    for title, bins in (("place", found.places), ("distance", found.distances)):
        if bins:
            say(f"hit rate by {title}, {found.calibrated_on} rows:")
            rows = [[one.label, f"{one.places:,}", f"{one.rate:.4f}"] for one in bins]
            print_table(plain_table([title, "places", "share that is the target"], rows))
    if found.beside:
        say(f"who has the target among the first {found.beside[0].k}, {found.compared_on} rows:")
        heads = ["", "shared items", "both", "teacher alone", "student alone", "neither"]
        rows = [
            [one.student, f"{one.overlap:.1%}"]
            + [f"{n:,}" for n in (one.both, one.teacher_only, one.student_only, one.neither)]
            for one in found.beside
        ]
        print_table(plain_table(heads, rows))
    if found.titles:
        said = ", ".join(f"{n:,} {how}" for how, n in found.titles.items())
        say(f"titles of lists: {said}")
        for one in found.lost_titles[:5]:
            say(f"{one.how}: {one.times:,} x {one.title.strip()!a}")


def _cell(metrics: dict[str, float] | None, key: str) -> str:
    return "-" if metrics is None or key not in metrics else f"{metrics[key]:.4f}"
