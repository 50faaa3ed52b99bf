"""Where a run's dataset and teacher come from, in a form that a run can keep and open again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.demo.world import demo_world
from dllm2rec.storage.atomic_file import FileRecord, record_of
from dllm2rec.teacher.folder import load_teacher
from dllm2rec.teacher.knowledge import TeacherKnowledge

DEMO_SEED = 0


@cache  # seconds of work, and a command may open its dataset more than once
def _demo() -> tuple[SequenceDataset, TeacherKnowledge]:
    return demo_world(DEMO_SEED)


@dataclass(frozen=True)
class Source:
    """The demo world, or folders.

    Attributes:
        dataset: a folder; None stands for the demo world, which brings its teacher.
        teacher: a folder, or None for no teacher.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    dataset: str | None = None
    teacher: str | None = None

    @classmethod
    def of(cls, dataset: str | Path | None, teacher: str | Path | None = None) -> Source:
        """The source at some folders, by their absolute paths."""
        return cls(
            *(None if path is None else str(Path(path).resolve()) for path in (dataset, teacher))
        )

    @classmethod
    def known(cls, dataset: SequenceDataset, teacher: TeacherKnowledge | None) -> Source | None:
        """The source that a dataset and a teacher know of themselves; None if made in memory."""
        if dataset.folder is not None:
            return cls.of(dataset.folder, None if teacher is None else teacher.folder)
        name = f"demo-{DEMO_SEED}"
        if dataset.name == name and dataset.fingerprint() == _demo()[0].fingerprint():
            return cls()
        return None

    def files(self) -> dict[str, FileRecord]:
        """Size and sha256 of each file in both folders, by its path; of folders in them none."""
        places = [Path(place) for place in (self.dataset, self.teacher) if place is not None]
        return {
            str(file): record_of(file)
            for place in places
            for file in sorted(place.iterdir() if place.is_dir() else [place])
            if file.is_file() and not file.name.startswith(".")
        }

    def open_dataset(self) -> SequenceDataset:
        """Load the dataset.

        Raises:
            InputError: there is none, or it breaks a rule.
        """
        return _demo()[0] if self.dataset is None else load_dataset(self.dataset)

    def open(self) -> tuple[SequenceDataset, TeacherKnowledge | None]:
        """Load dataset and teacher.

        Raises:
            InputError: a folder is missing or breaks a rule.
            ArtifactError: a folder of ours changed, or the teacher belongs to another dataset.
        """
        if self.dataset is None:
            return _demo()
        dataset = load_dataset(self.dataset)
        return dataset, None if self.teacher is None else load_teacher(self.teacher, dataset)
