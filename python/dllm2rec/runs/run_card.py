"""`card.json`: all that a finished run is made of, in one file that can leave the folder."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pydantic import TypeAdapter

from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.data.formats.dataset_folder import protocol_of
from dllm2rec.errors import ArtifactError, ConfigError
from dllm2rec.runs.read_json import read_json
from dllm2rec.runs.run_folder import student_folders
from dllm2rec.runs.run_manifest import RunManifest, read_run, run_folder_of
from dllm2rec.runs.run_result import RunResult, read_result
from dllm2rec.runtime.hardware import Energy
from dllm2rec.storage.atomic_file import replace_bytes
from dllm2rec.storage.atomic_folder import parse_manifest
from dllm2rec.storage.pointers import read_pointer
from dllm2rec.storage.sealed_json import digest, seal

CARD_FILE = "card.json"
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class RunCard:
    """A finished run.

    Attributes:
        format: version of the file.
        run: what it was made from and where: its `run.json`.
        result: its table with all metrics, `results.json`.
        protocol: how rows were made of the log, as `prepare` noted; {} for other datasets.
        evaluation: how the test metrics were taken, in one line.
        tie_share: share of rows whose target ties, by row of the table and split; NaN has none.
        students: sha256 of the manifest of each student's best checkpoint, by folder.
        energy: what the GPU took from the start of the training to its end.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    format: int
    run: RunManifest
    result: RunResult
    protocol: dict[str, Any] = field(default_factory=dict)
    evaluation: str = ""
    tie_share: dict[str, dict[str, float]] = field(default_factory=dict)
    students: dict[str, str] = field(default_factory=dict)
    energy: Energy = field(default_factory=lambda: Energy(None, "not measured"))


_ADAPTER = TypeAdapter(RunCard)


def new_card(
    folder: Path,
    run: RunManifest,
    result: RunResult,
    dataset: SequenceDataset,
    energy: Energy,
) -> RunCard:
    """Describe a run whose students are done."""
    return RunCard(
        format=FORMAT,
        run=run,
        result=result,
        protocol={} if dataset.folder is None else protocol_of(dataset.folder),
        evaluation=result.table("test").protocol(),
        tie_share={
            row.name: {
                split: metrics["tie_rate"]
                for split, metrics in (("validation", row.validation), ("test", row.test))
                if "tie_rate" in metrics
            }
            for row in result.rows
        },
        students={
            place.name: digest(asdict(parse_manifest(read_pointer(place, "best"))))
            for place in student_folders(folder)
        },
        energy=energy,
    )


def write_card(folder: Path, card: RunCard) -> None:
    """Write `card.json` into a run's folder, whole or not at all."""
    replace_bytes(folder / CARD_FILE, seal({**asdict(card), "run": card.run.as_json()}))


def read_card(place: str | Path) -> RunCard:
    """Read a card, or make one of the folder of a run that has none.

    Args:
        place: a card, wherever it was copied to, or a run's folder.

    Raises:
        ConfigError: nothing is there.
        ArtifactError: it is neither, changed since it was written, is of a newer version, or the
            run has not ended.
    """
    place = Path(place)
    if not place.exists():
        raise ConfigError(f"{place}: no such file, expected the card or the folder of a run")
    if place.is_dir():
        folder = run_folder_of(place)
        place = folder / CARD_FILE
        if not place.is_file():  # of a version before there were cards
            return RunCard(format=FORMAT, run=read_run(folder), result=read_result(folder))
    card = read_json(place, _ADAPTER, "the card of a run", may_lack_it=lambda _: False)
    if card.format != FORMAT:
        raise ArtifactError(
            f"{place}: format {card.format}, expected {FORMAT}; install a newer dllm2rec"
        )
    return card
