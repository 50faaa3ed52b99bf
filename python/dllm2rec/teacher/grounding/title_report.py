"""What became of each title: counted, and listed as a table to look through."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dllm2rec.data.dataset import Catalogue
from dllm2rec.teacher.grounding.title_index import HOWS, Grounded

TITLES_FILE = "titles.csv"


class TitleLine(NamedTuple):
    """One title as the model wrote it: how often, and what it was taken for."""

    title: str
    times: int
    found: Grounded


@dataclass(frozen=True, eq=False)
class TitleReport:
    """The titles of a file of answers.

    Attributes:
        lines: each title once, the worst kind first, then the most frequent ones.
        catalogue: whose titles they were looked for among.
    """

    lines: list[TitleLine]
    catalogue: Catalogue

    def __repr__(self) -> str:
        """The counts, no titles."""
        counts = ", ".join(f"{n:,} {how}" for how, n in self.counts().items())
        return f"TitleReport: {counts}"

    def counts(self) -> dict[str, int]:
        """How many places of lists hold a title of each kind."""
        found = Counter[str]()
        for line in self.lines:
            found[line.found.how] += line.times
        return {how: found[how] for how in HOWS}

    def distinct(self) -> dict[str, int]:
        """How many distinct titles are of each kind."""
        found = Counter(line.found.how for line in self.lines)
        return {how: found[how] for how in HOWS}

    def of(self, *hows: str) -> list[TitleLine]:
        """The titles of some kinds, the most frequent ones first."""
        return [line for line in self.lines if line.found.how in hows]

    def write(self, path: Path) -> None:
        """Write all titles as a CSV table: title, times, how, item_id, item_title, score, why."""
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["title", "times", "how", "item_id", "item_title", "score", "why"])
            for title, times, found in self.lines:
                item_id, name = "", ""
                if found.item is not None:
                    item_id = self.catalogue.item_ids[found.item]
                    name = (self.catalogue.titles or [""])[found.item]
                row = [title, times, found.how, item_id, name, round(found.score), found.why]
                writer.writerow([_plain(str(cell)) for cell in row])


def title_report(
    titles: Iterable[str], found: Sequence[Grounded], catalogue: Catalogue
) -> TitleReport:
    """Count titles and what each was taken for; both are in one order."""
    counts = Counter(zip(titles, found, strict=True))
    order = {how: place for place, how in enumerate(("unmatched", "doubtful", "nearest",
                                                     "normalised", "exact"))}  # fmt: skip
    lines = [TitleLine(title, times, one) for (title, one), times in counts.items()]
    lines.sort(key=lambda line: (order[line.found.how], -line.times, line.title))
    return TitleReport(lines, catalogue)


def _plain(text: str) -> str:
    """Text that a file can hold."""
    return text.encode("utf-8", "backslashreplace").decode()
