"""What lists cover of a dataset's rows and items, and which titles they lost."""

from __future__ import annotations

import csv
from dataclasses import dataclass

import numpy as np

from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.report.teacher.asked_rows import AskedRows
from dllm2rec.teacher.grounding.title_index import HOWS
from dllm2rec.teacher.grounding.title_report import TITLES_FILE, TitleReport
from dllm2rec.teacher.knowledge import TeacherKnowledge

SHOWN_TITLES = 30


@dataclass(frozen=True)
class LostTitle:
    """A title that is no item for certain: how often it came, and how sure that is."""

    title: str
    times: int
    how: str


def coverage_of(
    teacher: TeacherKnowledge, dataset: SequenceDataset, asked: dict[str, AskedRows]
) -> dict[str, str]:
    """What the lists cover: rows by split, histories, items."""
    said = {}
    for split, rows in dataset.splits().items():
        n_asked = len(asked[split].targets) if split in asked else 0
        share = f" ({n_asked / len(rows):.1%})" if len(rows) else ""
        said[f"{split} rows with a list"] = f"{n_asked:,} of {len(rows):,}{share}"
    held = [part.lists for part in asked.values()]
    if teacher.histories is not None:
        rankings = teacher.histories.rankings
        held.append(np.where(rankings < 0, dataset.n_items, rankings).astype(np.uint32))
        n_answered = int((rankings >= 0).any(axis=1).sum())
        said["histories with a list"] = f"{n_answered:,} of {len(rankings):,}"
    items = np.concatenate([lists[lists < dataset.n_items] for lists in held])
    n_lists = sum(len(lists) for lists in held)
    listed = np.bincount(items, minlength=dataset.n_items)
    top = np.sort(listed)[::-1][: max(1, dataset.n_items // 100)].sum()
    n_listed, n_items = int((listed > 0).sum()), dataset.n_items
    said["items per list"] = f"{len(items) / max(n_lists, 1):.1f} on average"
    said["items that are listed"] = f"{n_listed:,} of {n_items:,} ({n_listed / n_items:.1%})"
    said["places of the 1 % most listed items"] = f"{top / max(len(items), 1):.1%}"
    return said


def lost_titles(
    teacher: TeacherKnowledge, titles: TitleReport | None
) -> tuple[dict[str, int], list[LostTitle]]:
    """Counts of titles by kind, and the most frequent that were left out."""
    if titles is not None:
        lines = [LostTitle(one.title, one.times, one.found.how) for one in titles.lines]
    elif teacher.folder is not None and (teacher.folder / TITLES_FILE).is_file():
        with (teacher.folder / TITLES_FILE).open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            lines = [LostTitle(row["title"], int(row["times"]), row["how"]) for row in rows]
    else:
        return {}, []
    kinds: dict[str, int] = dict.fromkeys(HOWS, 0)
    for line in lines:
        kinds[line.how] += line.times
    lost = sorted(
        (line for line in lines if line.how in ("doubtful", "unmatched")),
        key=lambda line: (-line.times, line.title),
    )
    return kinds, lost[:SHOWN_TITLES]
