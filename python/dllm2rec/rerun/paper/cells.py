"""The cells of the paper's table: a dataset, a student, a method, and what it is compared with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dllm2rec.config.methods import METHODS

PARTS = ("students", "ablations", "baselines", "controls", "default")
# name -> `student.name` and `loss.dro_weight`
STUDENTS = {"gru4rec": ("gru4rec", 0.0), "sasrec": ("sasrec", 0.0), "dros": ("sasrec", 1.0)}

ALONE, DISTILLED = "alone", "dllm2rec"
DEFAULT_ALONE, DEFAULT, UNTRAINED = "default alone", "default", "untrained"
CONTROLS = {"random teacher": "random", "shuffled teacher": "shuffled"}
VECTOR_METHODS = ("hint", "htd")
LIST_METHODS = ("rd", "cd", "rrd", "dcd", "unkd")
METHODS_OF_PART = {
    "students": (ALONE, DISTILLED),
    "ablations": tuple(name for name in METHODS if name.startswith("without-")),
    "baselines": (*VECTOR_METHODS, *LIST_METHODS),
    "controls": tuple(CONTROLS),
}


class Cell(NamedTuple):
    """One row of the table.

    Attributes:
        part: one of `PARTS`.
        dataset: its name.
        student: one of `STUDENTS`; of the default recipe its student, untrained ones have none.
        method: what it learns from the teacher.
    """

    part: str
    dataset: str
    student: str
    method: str

    @property
    def against(self) -> str | None:
        """The method that it is compared with: without the teacher, for an ablation with all."""
        if self.method in (ALONE, DEFAULT_ALONE, UNTRAINED):
            return None
        if self.method == DEFAULT:
            return DEFAULT_ALONE
        return DISTILLED if self.part == "ablations" else ALONE

    @property
    def teacher(self) -> str:
        """Which teacher it learns from: its dataset's own, a random or a shuffled one."""
        return CONTROLS.get(self.method, "own")


def all_cells(datasets: Iterable[str], parts: Sequence[str], default_student: str) -> list[Cell]:
    """The cells of some parts, and those of the students that they are compared with."""
    cells = []
    for dataset in datasets:
        for part in PARTS:
            if part in parts and part != "default":
                cells += [
                    Cell(part, dataset, student, method)
                    for student in STUDENTS
                    for method in METHODS_OF_PART[part]
                ]
        if "default" in parts:
            cells.append(Cell("default", dataset, "", UNTRAINED))
            methods = (DEFAULT_ALONE, DEFAULT)
            cells += [Cell("default", dataset, default_student, method) for method in methods]
    needed = [
        Cell("students", cell.dataset, cell.student, method)
        for cell in cells
        for method in _compared_with(cell)
    ]
    return list(dict.fromkeys([*needed, *cells]))


def _compared_with(cell: Cell) -> tuple[str, ...]:
    if cell.part in ("students", "default"):
        return ()
    return (ALONE, DISTILLED) if cell.part == "ablations" else (ALONE,)
