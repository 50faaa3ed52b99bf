"""A search: trial after trial is trained and validated until the budget is spent.

No test row is scored: what a search chose is tested once, by the run of its best settings.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from dllm2rec.batches.device_splits import DeviceSplits, device_splits
from dllm2rec.batches.training_data import training_data
from dllm2rec.config.load import config_to_toml
from dllm2rec.config.model import Config
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.distill.fit_to_teacher import fit_to_teacher
from dllm2rec.errors import ConfigError, NonFiniteError
from dllm2rec.runs.run_manifest import CONFIG_FILE, data_fingerprints
from dllm2rec.runs.trial import trials
from dllm2rec.runtime.device import choose_device, deterministic
from dllm2rec.runtime.signals import Interrupts
from dllm2rec.search.duration import parse_duration
from dllm2rec.search.result import (
    BEST_FILE,
    Ended,
    TunedTrial,
    TuneResult,
    best_of,
    write_trials,
)
from dllm2rec.search.space import (
    Space,
    Value,
    checked_space,
    default_space,
    read_space,
    value_of,
    with_values,
)
from dllm2rec.search.study import STUDY_FILE, TrialStudy, check_optuna, open_study, space_text
from dllm2rec.storage.atomic_file import replace_text
from dllm2rec.storage.output_folder import check_output, locked
from dllm2rec.teacher.knowledge import TeacherKnowledge
from dllm2rec.tracking.metric_names import SELECTION
from dllm2rec.tracking.printed import as_progress
from dllm2rec.tracking.progress import Progress, TrainingName
from dllm2rec.train.check_run import RunOptions, check_run
from dllm2rec.train.context import TrainingContext
from dllm2rec.train.loop import fit, selection_ks
from dllm2rec.train.train_student import student_config, student_label

_log = logging.getLogger(__name__)


def tune(
    config: Config,
    dataset: SequenceDataset,
    teacher: TeacherKnowledge | None,
    folder: str | Path,
    *,
    budget: str | float = "30m",
    n_trials: int | None = None,
    space: str | Path | None = None,
    progress: Progress | bool = True,
) -> TuneResult:
    """Search the settings of one student, by its validation NDCG@20 alone.

    Trial 0 is `config` with the middle values of its grids, where `train_run` begins too. Called
    again with the same arguments and folder, a search that was interrupted goes on, and tries what
    it would have tried; one that ended goes on with a longer budget or more trials.

    Args:
        config: the student's name and all that is not searched; `train.seed` seeds the search.
        dataset: what to learn from.
        teacher: None searches the student alone.
        folder: new, empty or of this search; receives `best.toml` and `trials.csv`.
        budget: `90s`, `30m`, `2h` or seconds, for all trials together; the one under way stops
            after the epoch in which it ends.
        n_trials: the most trials; by default as many as the budget lets.
        space: a TOML file of what is searched; by default learning rate, dropout, width, batch
            size, for SASRec the blocks, and with a teacher's lists their weight.
        progress: receives how it goes; True prints a line per epoch on stderr, False nothing.

    Raises:
        ConfigError: Optuna is not installed, or a budget, space or configuration that cannot be
            meant.
        InputError: a split has no rows, or nothing of the teacher can be used.
        ArtifactError: the folder's search is of other settings or data, or somebody else's now.
        NonFiniteError: the loss of trial 0 stopped being finite.
        ResourceError: the disk is full.
    """
    check_optuna()
    budget_s, folder = parse_duration(budget), Path(folder)
    if n_trials is not None and n_trials < 1:
        raise ConfigError(f"trials = {n_trials}, expected at least 1")
    progress = as_progress(progress)
    config, notes = fit_to_teacher(config, teacher)
    options = RunOptions(baseline=teacher is None)
    check_run(config, dataset, teacher, [config.student.name], options)
    for note in notes:
        _log.warning("%s", note)
    base = student_config(config, config.student.name, with_teacher=teacher is not None)
    recipe = next(trials(base, [])).config(base)
    if space is None:
        has_lists = any(base.distillation.ranking_weights)
        asked = default_space(recipe, has_lists=has_lists)
    else:
        asked = read_space(Path(space))
    ranges = checked_space(asked, recipe)
    if not (folder / STUDY_FILE).is_file():
        check_output(folder, overwrite=False)
    with locked(folder), deterministic(), open_study(folder, ranges, base.train.seed) as study:
        facts = {
            "settings": config_to_toml(recipe),
            "space": space_text(ranges),
            "dataset or teacher": str(data_fingerprints(dataset, teacher)),
        }
        study.agree(facts, folder)
        study.clear_interrupted()
        replace_text(folder / CONFIG_FILE, config_to_toml(recipe))
        first = {name: value_of(recipe, name) for name in ranges}
        trainer = _Trainer(recipe, dataset, teacher, progress)
        while study.seconds() < budget_s and (n_trials is None or study.n_done() < n_trials):
            ended = _one_trial(study, trainer, first, budget_s - study.seconds())
            write_trials(folder, _reusable(config, recipe, ranges), study.trials())
            if ended == "budget":
                break
        return _result(folder, study, trainer, budget_s)


def _reusable(config: Config, recipe: Config, ranges: Space) -> Config:
    """What best settings are laid over: the recipe's own, with the grids that trial 0 chose from.

    A value of a grid that is not searched is the one that was trained with; without a teacher the
    distillation stays what it was, for a run that has one.
    """
    kept = {"student.dropout": value_of(recipe, "student.dropout")}
    if any(recipe.distillation.ranking_weights):
        kept["distillation.ranking_weight"] = value_of(recipe, "distillation.ranking_weight")
    return with_values(config, {k: v for k, v in kept.items() if k not in ranges})


@dataclass
class _Trainer:
    """What trials share: the data, and the rows on the device as long as no setting changes them.

    Attributes:
        config: of trial 0.
        dataset: what to learn from.
        teacher: or None.
        progress: receives how each training goes.
    """

    config: Config
    dataset: SequenceDataset
    teacher: TeacherKnowledge | None
    progress: Progress
    _rows: tuple[object, DeviceSplits] | None = None

    @property
    def label(self) -> str:
        """How tables call the student."""
        return student_label(self.config, with_teacher=self.teacher is not None)

    def train(
        self,
        values: dict[str, Value],
        number: int,
        stop: Callable[[int, float], Ended | None],
    ) -> TunedTrial:
        """Train once.

        Args:
            values: of the settings that are searched.
            number: of the trial.
            stop: takes an epoch, from 1, and the best NDCG@20 so far; says why to stop, if so.

        Raises:
            ConfigError: the values do not fit together.
            NonFiniteError: the loss of trial 0 stopped being finite.
        """
        began = time.perf_counter()
        try:
            config = with_values(self.config, values)
        except ConfigError as err:
            shown = ", ".join(f"{name} = {value}" for name, value in values.items())
            raise ConfigError(
                f"trial {number}, {shown}: {err}; search in another folder without the values "
                "that do not fit together"
            ) from err
        best: dict[str, float] = {}
        epoch = 0
        ended: Ended = "trained"
        self.progress.start(TrainingName(f"{self.label}, trial {number}"), config.train.max_epochs)
        try:
            training = self._context(config).new_training(config)
            for record in fit(training, self.progress):
                epoch = int(record["epoch"])
                if not best or record[SELECTION] > best[SELECTION]:
                    best = record
                why = stop(epoch, best[SELECTION])
                if why is not None:
                    ended = why
                    break
        except (NonFiniteError, torch.OutOfMemoryError):
            if number == 0:
                raise
            ended = "diverged"
        names = [f"{what}@{k}" for k in selection_ks(config) for what in ("hr", "ndcg")]
        metrics = {name: best[name] for name in names if name in best}
        if best:
            metrics["epoch"] = best["epoch"]
        seconds = time.perf_counter() - began
        return TunedTrial(number, ended, values, metrics, epoch, seconds)

    def _context(self, config: Config) -> TrainingContext:
        key = (config.loss, config.train.prefix_rows, config.student.window_offset)
        if self._rows is None or self._rows[0] != key:
            device = choose_device(config.train.device)
            self._rows = (key, device_splits(config, self.dataset, device))
        data = training_data(config, self._rows[1], self.teacher)
        return TrainingContext(self.dataset, self.teacher, data, dict, self.progress, Interrupts())


def _one_trial(
    study: TrialStudy, trainer: _Trainer, first: dict[str, Value], left_s: float
) -> Ended:
    """Train what the study draws next, keep it, and say how it ended."""
    began = time.perf_counter()
    number = study.n_done()
    values = study.next_values(first)

    def stop(epoch: int, reached: float) -> Ended | None:
        if study.reports(epoch, reached):
            return "pruned"
        return "budget" if time.perf_counter() - began >= left_s else None

    tuned = trainer.train(values, number, stop)
    study.end(tuned)
    best = best_of(study.trials())
    trainer.progress.finish(_summary(tuned, best))
    return tuned.ended


def _summary(tuned: TunedTrial, best: TunedTrial) -> str:
    """One line on a trial."""
    values = ", ".join(f"{name.partition('.')[2]} {one}" for name, one in tuned.values.items())
    reached = f"validation {SELECTION} {tuned.reached:.4f}" if tuned.metrics else "no epoch"
    ended = "" if tuned.ended == "trained" else f", {tuned.ended}"
    epochs = f"{tuned.epochs} epoch{'' if tuned.epochs == 1 else 's'}"
    return f"{reached}, best {best.reached:.4f} ({epochs}{ended}, {tuned.seconds:.1f} s): {values}"


def _result(folder: Path, study: TrialStudy, trainer: _Trainer, budget_s: float) -> TuneResult:
    done = study.trials()
    first, best = done[0], best_of(done)
    return TuneResult(
        folder=str(folder),
        dataset=trainer.dataset.name,
        student=trainer.label,
        best_config=str(folder / BEST_FILE),
        budget_s=budget_s,
        seconds=study.seconds(),
        n_pruned=sum(trial.ended == "pruned" for trial in done),
        n_diverged=sum(trial.ended == "diverged" for trial in done),
        first=first,
        best=best,
        gain=best.reached / first.reached - 1 if first.reached > 0 else None,
        trials=done,
    )
