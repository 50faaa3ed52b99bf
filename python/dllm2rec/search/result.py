"""What a search found: its trials, and the files that hold them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from dllm2rec.config.load import config_to_toml
from dllm2rec.config.model import Config
from dllm2rec.search.space import Value, with_values
from dllm2rec.storage.atomic_file import replace_text
from dllm2rec.tracking.metric_names import SELECTION

BEST_FILE = "best.toml"
TRIALS_FILE = "trials.csv"

# "budget": the time was over while it trained; a longer budget trains it again.
Ended: TypeAlias = Literal["trained", "pruned", "diverged", "budget"]


@dataclass(frozen=True)
class TunedTrial:
    """One training of a search.

    Attributes:
        number: from 0, the recipe as it is.
        ended: how.
        values: of the settings that are searched, by `section.field`.
        metrics: of its best epoch on the validation rows; empty where no epoch was done.
        epochs: how many were done.
        seconds: it took.
    """

    number: int
    ended: Ended
    values: dict[str, Value]
    metrics: dict[str, float]
    epochs: int
    seconds: float

    @property
    def reached(self) -> float:
        """Its best validation NDCG@20; -1 where no epoch was done."""
        return self.metrics.get(SELECTION, -1.0)


@dataclass(frozen=True)
class TuneResult:
    """A search.

    Attributes:
        folder: of the search.
        dataset: its name.
        student: as tables call it.
        best_config: the settings of the best trial, a file for `train`.
        budget_s: seconds that trials may take in all.
        seconds: that they took so far.
        n_pruned: trials that were stopped since others were better at the same epoch.
        n_diverged: trials whose loss stopped being finite, or that had no room on the GPU.
        first: the recipe as it is: what `best` is compared with.
        best: of the highest validation NDCG@20.
        gain: NDCG@20 of `best` over that of `first`, less 1; None where that is 0.
        trials: all of them.
    """

    folder: str
    dataset: str
    student: str
    best_config: str
    budget_s: float
    seconds: float
    n_pruned: int
    n_diverged: int
    first: TunedTrial
    best: TunedTrial
    gain: float | None
    trials: list[TunedTrial]

    def __repr__(self) -> str:
        """The best trial in a few lines."""
        values = ", ".join(f"{name}={value}" for name, value in self.best.values.items())
        gain = "" if self.gain is None else f" ({self.gain:+.1%})"
        return (
            f"TuneResult: {len(self.trials)} trials of {self.student} on {self.dataset}\n"
            f"  best: trial {self.best.number}, {values}\n"
            f"  validation {SELECTION} {self.first.reached:.4f} -> {self.best.reached:.4f}{gain}\n"
            f"  {self.best_config}"
        )


def best_of(trials: Sequence[TunedTrial]) -> TunedTrial:
    """The trial of the highest validation NDCG@20; the first of several."""
    return max(trials, key=lambda trial: trial.reached)


def write_trials(folder: Path, config: Config, trials: Sequence[TunedTrial]) -> None:
    """Write the settings of the best trial and the table of all, each whole or not at all.

    Args:
        folder: of the search.
        config: what the values of a trial are laid over.
        trials: at least one.
    """
    best = best_of(trials)
    replace_text(folder / BEST_FILE, config_to_toml(with_values(config, best.values)))
    metrics = list(dict.fromkeys(key for trial in trials for key in trial.metrics))
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(["trial", "ended", "epochs", "seconds", *metrics, *trials[0].values])
    for trial in trials:
        figures = [trial.metrics.get(key, "") for key in metrics]
        head = [trial.number, trial.ended, trial.epochs, f"{trial.seconds:.3f}"]
        table.writerow([*head, *figures, *trial.values.values()])
    replace_text(folder / TRIALS_FILE, stream.getvalue())
