"""What is known of a teacher's quality, collected from its lists, its dataset and a run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.data.device_rows import device_rows
from dllm2rec.errors import InputError
from dllm2rec.evaluate.top_lists import student_lists
from dllm2rec.report.teacher.asked_rows import AskedRows, asked_rows
from dllm2rec.report.teacher.beside_student import BesideStudent, beside_student
from dllm2rec.report.teacher.coverage import LostTitle, coverage_of, lost_titles
from dllm2rec.report.teacher.quality import (
    Bin,
    Lists,
    Slice,
    by_distance,
    by_place,
    cutoffs,
    quality,
    shares_by_group,
    slices,
)
from dllm2rec.runs.checkpoint import load_checkpoint
from dllm2rec.runs.run_folder import open_dataset, student_folders
from dllm2rec.runtime.device import choose_device, deterministic
from dllm2rec.teacher.grounding.title_report import TitleReport
from dllm2rec.teacher.knowledge import TeacherKnowledge
from dllm2rec.tracking.metric_table import MetricRow, MetricTable

# Students rank so many rows at most: more would say the same and take longer.
MOST_ROWS = 50_000
POPULARITY = "popularity"


@dataclass(frozen=True, eq=False)
class TeacherReport:
    """A teacher's quality.

    Attributes:
        dataset: its name.
        coverage: what the lists cover, by name.
        tables: HR and NDCG by split, of the rows with a list, beside popularity and students.
        places: how often each place of a list holds the target.
        distances: the same by distance; empty without distances.
        calibrated_on: the split that both speak of, or "".
        beside: the teacher beside each student; empty without a run.
        slices: HR and NDCG by the popularity of the target.
        shares: for each group of items, its share of the catalogue, of targets and of lists.
        compared_on: the split that `beside`, `slices` and the shares speak of, or "".
        curves: HR at each length of list, by the name of who lists, on that split.
        titles: how many places of lists hold a title of each kind; empty where lists hold ids.
        lost_titles: the most frequent titles that are no item for certain.
        notes: what a reader should know, one sentence each.
    """

    dataset: str
    coverage: dict[str, str]
    tables: list[MetricTable]
    places: list[Bin]
    distances: list[Bin]
    calibrated_on: str
    beside: list[BesideStudent]
    slices: list[Slice]
    shares: dict[str, dict[str, float]]
    compared_on: str
    curves: dict[str, list[float]]
    titles: dict[str, int]
    lost_titles: list[LostTitle]
    notes: list[str]

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        rate = [{**asdict(one), "rate": one.rate} for one in self.places]
        return {
            "dataset": self.dataset,
            "coverage": self.coverage,
            "tables": [table.as_json() for table in self.tables],
            "calibrated_on": self.calibrated_on,
            "places": rate,
            "distances": [{**asdict(one), "rate": one.rate} for one in self.distances],
            "compared_on": self.compared_on,
            "beside_students": [asdict(one) for one in self.beside],
            "slices": [asdict(one) for one in self.slices],
            "shares": self.shares,
            "titles": self.titles,
            "lost_titles": [asdict(one) for one in self.lost_titles],
            "notes": self.notes,
        }


def teacher_report(
    teacher: TeacherKnowledge,
    dataset: SequenceDataset,
    *,
    run: str | Path | None = None,
    titles: TitleReport | None = None,
    device: str = "auto",
) -> TeacherReport:
    """Measure a teacher's lists: by split, by place and distance, by popularity, beside students.

    Metrics are those of the rows that have a list. Students are compared on the test rows with a
    list, else on those of validation, else on train rows, whose targets a student has seen.

    Args:
        teacher: with lists.
        dataset: that it belongs to.
        run: the folder of a run of this dataset, or of one of its students, to compare with.
        titles: what became of the titles of its answers; by default what lies in its folder.
        device: "auto", "cpu" or "cuda", for the students.

    Raises:
        InputError: the teacher has no list for any row of the dataset.
        ArtifactError: the run holds no student, or is one of another dataset.
    """
    if not teacher.has_lists:
        raise InputError(
            "a teacher of vectors alone, expected lists to report on",
            hint="vectors are judged by a training: dllm2rec train --teacher",
        )
    asked = asked_rows(dataset, teacher)
    coverage = coverage_of(teacher, dataset, asked)
    compared = next((name for name in ("test", "validation", "train") if name in asked), "")
    students = {}
    if run is not None and compared:
        asked[compared] = some_rows(asked[compared])
        students = lists_of_students(Path(run), dataset, asked[compared], device)
    counts = dataset.target_counts()
    popular = np.argsort(-counts, kind="stable").astype(np.uint32)
    listed = {split: _untrained(part, popular) for split, part in asked.items()}
    beside, parts, curves, shares = [], list[Slice](), {}, {}
    if compared:
        part = asked[compared]
        listed[compared] |= students
        beside = [
            beside_student(name, part.lists, lists, part.targets, dataset.n_items)
            for name, lists in students.items()
        ]
        k = cutoffs(part.lists.shape[1])[-1]
        parts = slices(listed[compared], part.targets, counts, k)
        curves = {who: _curve(lists, part.targets) for who, lists in listed[compared].items()}
        shares = _shares(dataset, part)
    calibrated = next((name for name in ("train", "test", "validation") if name in asked), "")
    places, distances = calibration(asked.get(calibrated), dataset.n_items)
    kinds, lost = lost_titles(teacher, titles)
    return TeacherReport(
        dataset=dataset.name,
        coverage=coverage,
        tables=[_table(dataset, asked[split], listed[split]) for split in asked],
        places=places,
        distances=distances,
        calibrated_on=calibrated,
        beside=beside,
        slices=parts,
        shares=shares,
        compared_on=compared,
        curves=curves,
        titles=kinds,
        lost_titles=lost,
        notes=[*teacher.notes, *_said(compared, asked, run)],
    )


def _untrained(part: AskedRows, popular: Lists) -> dict[str, Lists]:
    """The lists of the teacher, and of who lists the most popular items for everybody."""
    shape = len(part.lists), min(part.lists.shape[1], len(popular))
    return {"teacher": part.lists, POPULARITY: np.broadcast_to(popular[: shape[1]], shape)}


def some_rows(part: AskedRows, most: int = MOST_ROWS) -> AskedRows:
    """At most `most` rows, evenly spaced."""
    n_rows = len(part.targets)
    if n_rows <= most:
        return part
    chosen = np.linspace(0, n_rows - 1, most).astype(np.int64)
    distances = None if part.distances is None else part.distances[chosen]
    return AskedRows(
        part.split,
        part.rows.take(chosen),
        part.targets[chosen],
        part.lists[chosen],
        distances,
        part.n_rows,
        part.by_state,
    )


def lists_of_students(
    run: Path, dataset: SequenceDataset, part: AskedRows, device: str
) -> dict[str, Lists]:
    """What each student of a run lists for some rows, by its name.

    Raises:
        ArtifactError: the run is one of another dataset, or holds no student.
    """
    open_dataset(run, dataset)
    place = choose_device(device)
    rows = device_rows(dataset, part.rows, place)
    found = {}
    with deterministic():
        for folder in student_folders(run):
            checkpoint = load_checkpoint(folder)
            student = checkpoint.student.to(place)
            k = min(part.lists.shape[1], dataset.n_items)
            found[folder.name] = student_lists(student, rows, k, memory=checkpoint.memory)
    return found


def _table(dataset: SequenceDataset, part: AskedRows, listed: dict[str, Lists]) -> MetricTable:
    ks = cutoffs(part.lists.shape[1])
    rows = [MetricRow(who, quality(lists, part.targets, ks)) for who, lists in listed.items()]
    title = f"{dataset.name}, {part.split} rows with a list"
    return MetricTable(title, tuple(rows), len(part.targets), dataset.n_items)


def _curve(lists: Lists, targets: Lists) -> list[float]:
    """HR at each length of list."""
    hits = (lists == targets[:, None]).sum(axis=0)
    return [float(rate) for rate in np.cumsum(hits) / len(targets)]


def _shares(dataset: SequenceDataset, part: AskedRows) -> dict[str, dict[str, float]]:
    counts = dataset.target_counts()
    everything = np.arange(dataset.n_items, dtype=np.uint32)
    return {
        "of the catalogue": shares_by_group(everything, counts),
        "of targets": shares_by_group(part.targets, counts),
        "of the teacher's lists": shares_by_group(part.lists[part.lists < len(counts)], counts),
    }


def calibration(part: AskedRows | None, n_items: int) -> tuple[list[Bin], list[Bin]]:
    """How often a place holds the target: by place, and by distance where there are any."""
    if part is None:
        return [], []
    places = by_place(part.lists, part.targets, n_items)
    if part.distances is None:
        return places, []
    return places, by_distance(part.lists, part.distances, part.targets, n_items)


def _said(compared: str, asked: dict[str, AskedRows], run: str | Path | None) -> list[str]:
    """What limits the comparison."""
    if not compared:
        unknown = "what came next is not known, and nothing can be said of how often they are right"
        return [f"the lists are for histories that are no rows of the dataset: {unknown}"]
    if asked[compared].by_state:
        judged = "judged by all held-out rows of these users, whatever came between"
        return [f"the lists are for the users' states after train, and {judged}"]
    if compared == "train" and run is not None:
        return ["the students have learnt from the train rows that they are compared on"]
    return []
