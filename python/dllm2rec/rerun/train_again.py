"""A run trained again from its card, on the data that it had."""

from __future__ import annotations

from pathlib import Path

from dllm2rec.caller import words
from dllm2rec.config.load import changed
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.errors import ArtifactError, ConfigError
from dllm2rec.rerun.compare import TOLERANCE, Reproduction, differences, figures
from dllm2rec.runs.run_card import RunCard, read_card
from dllm2rec.runs.run_manifest import read_config
from dllm2rec.runs.source import Source
from dllm2rec.storage.atomic_file import FileRecord, record_of
from dllm2rec.storage.output_folder import next_run
from dllm2rec.teacher.folder import load_teacher
from dllm2rec.teacher.knowledge import TeacherKnowledge
from dllm2rec.tracking.progress import Progress
from dllm2rec.train.check_run import RunOptions
from dllm2rec.train.train_run import train_run


def reproduce(
    card: str | Path,
    out: str | Path | None = None,
    *,
    dataset: str | Path | SequenceDataset | None = None,
    teacher: str | Path | TeacherKnowledge | None = None,
    tolerance: float | None = None,
    progress: Progress | bool = True,
) -> Reproduction:
    """Train a run again from its card and compare every metric.

    On the same machine with the same versions every figure must be the same to the last digit.
    Elsewhere each may be off by `TOLERANCE`, relative to what it was.

    Args:
        card: a run's `card.json`, wherever it was copied to, or the run's folder.
        out: folder of the new run; by default `runs/NAME-N`.
        dataset: the run's dataset, or its folder now; by default where it was.
        teacher: the same of the teacher.
        tolerance: how far each figure may be off, relative; 0 for not at all.
        progress: as for `train_run`.

    Raises:
        ConfigError: the card is not there, does not know its dataset, or `out` holds something.
        ArtifactError: it is no card, or dataset or teacher are not the run's: the message names
            the file that differs.
        InputError: dataset or teacher are not there any more.
    """
    if tolerance is not None and not 0 <= tolerance < float("inf"):
        raise ConfigError(f"tolerance = {tolerance}, expected 0 or more")
    known, place = read_card(card), Path(card)
    data, knowledge, source = _open(known, place, dataset, teacher)
    config = read_config(place, known.run)
    if known.run.device == "cpu":  # a GPU that is here now would give other bits
        config = changed(config, train={"device": "cpu"})
    result = train_run(
        config,
        data,
        knowledge,
        out or next_run(known.run.dataset),
        students=known.run.students,
        options=RunOptions(
            baseline=known.run.baseline,
            n_seeds=known.run.n_seeds,
            source=source,
            teacher_ms=known.run.teacher_ms,
        ),
        progress=progress,
    )
    other = tuple(differences(known, config))
    allowed = TOLERANCE if other else 0.0
    return Reproduction(
        result.folder,
        tuple(figures(known.result, result)),
        other,
        allowed if tolerance is None else tolerance,
    )


def _open(
    card: RunCard,
    place: Path,
    dataset: str | Path | SequenceDataset | None,
    teacher: str | Path | TeacherKnowledge | None,
) -> tuple[SequenceDataset, TeacherKnowledge | None, Source | None]:
    """Dataset and teacher, which are the run's."""
    if card.run.source is None and dataset is None:
        cure = words(python="dataset=, it or its folder", option="--dataset")
        raise ConfigError(
            f"{place}: its dataset was not read from a folder, expected to be given one; "
            f"give {cure}"
        )
    before = card.run.source or Source()
    is_loaded = isinstance(dataset, SequenceDataset), isinstance(teacher, TeacherKnowledge)
    given = Source.of(
        None if isinstance(dataset, SequenceDataset) else dataset,
        None if isinstance(teacher, TeacherKnowledge) else teacher,
    )
    source = Source(given.dataset or before.dataset, given.teacher or before.teacher)
    data = dataset if isinstance(dataset, SequenceDataset) else source.open_dataset()
    # Before the teacher is read: one of another dataset would be refused in other words.
    if data.fingerprint() != card.run.fingerprint:
        raise _other_data(card, place, before, source, "dataset")
    knowledge = _teacher(card, source, data, teacher)
    found = None if knowledge is None else knowledge.fingerprint()
    if found != card.run.teacher_fingerprint:
        raise _other_data(card, place, before, source, "teacher")
    return data, knowledge, None if any(is_loaded) else source


def _teacher(
    card: RunCard,
    source: Source,
    data: SequenceDataset,
    teacher: str | Path | TeacherKnowledge | None,
) -> TeacherKnowledge | None:
    if isinstance(teacher, TeacherKnowledge):
        return teacher
    if source.teacher is not None:
        return load_teacher(source.teacher, data)
    # The demo world brings its own, which a run may have left out.
    is_demo = source.dataset is None and card.run.source is not None
    return source.open()[1] if is_demo and card.run.teacher_fingerprint is not None else None


def _other_data(
    card: RunCard, place: Path, before: Source, now: Source, what: str
) -> ArtifactError:
    """Which file of the dataset or the teacher is not the run's, as far as the card can tell."""
    old, new = getattr(before, what), getattr(now, what)
    cure = words(python=f"give {what}= with", option=f"give --{what} with")
    hint = f"{cure} the {what} that the run had"
    if old is None or new is None:
        return ArtifactError(f"{place}: another {what} than its own, expected that; {hint}")
    for path, record in card.run.inputs.items():
        if Path(path).is_relative_to(old):
            file = Path(new) / Path(path).relative_to(old)
            found = record_of(file) if file.is_file() else None
            if found != record:
                return ArtifactError(
                    f"{file}: {_short(found)}, expected {_short(record)}, as when {place} was "
                    f"trained; {hint}"
                )
    return ArtifactError(f"{new}: not the {what} of {place}, expected the same rows; {hint}")


def _short(record: FileRecord | None) -> str:
    return "no such file" if record is None else f"sha256 {record.sha256[:12]}"
