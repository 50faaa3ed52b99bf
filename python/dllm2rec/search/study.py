"""The trials of a search on disk, and Optuna, which says what to try next."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dllm2rec.errors import ArtifactError, ConfigError, ResourceError
from dllm2rec.search.result import TunedTrial
from dllm2rec.search.space import Between, OneOf, Space, Value

if TYPE_CHECKING:
    import optuna

STUDY_FILE = "trials.db"
N_RANDOM = 8  # trials before the sampler learns from them
N_BEFORE_PRUNING = 4  # trials that are trained to their end first
N_EPOCHS_BEFORE_PRUNING = 2
_KEPT = ("values", "metrics", "epochs", "seconds", "ended")  # "ended" last: then all is there


def check_optuna() -> None:
    """Refuse a search without Optuna; nothing is imported.

    Raises:
        ConfigError: it is not installed.
    """
    if importlib.util.find_spec("optuna") is None:
        raise ConfigError(
            "tune: the package optuna is not installed, expected it; "
            "pip install '.[tune]' in a clone"
        )


class TrialStudy:
    """Trials that ended, and the one under way.

    Each trial is drawn by a sampler of its own seed, from the search's and the number of trials
    that ended before it: what is drawn does not depend on how often the search was interrupted.
    """

    def __init__(self, study: optuna.Study, space: Space, seed: int) -> None:
        self._study = study
        self._space = space
        self._seed = seed
        self._trial: optuna.Trial | None = None

    def agree(self, facts: Mapping[str, str], folder: Path) -> None:
        """Note what the search is of, or see that it is what was noted.

        Raises:
            ArtifactError: the search in the folder is of something else.
        """
        for name, fact in facts.items():
            if self._study.user_attrs.get(name, fact) != fact:
                raise ArtifactError(
                    f"{folder}: its search has other {name}, expected the same; search in another "
                    "folder"
                )
            self._study.set_user_attr(name, fact)

    def clear_interrupted(self) -> None:
        """Give up what was under way when the search was killed: it is drawn again."""
        from optuna.trial import TrialState

        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study.tell(trial.number, state=TrialState.FAIL)

    def seconds(self) -> float:
        """What all trainings took that ended, those of the budget's end too."""
        trials = self._study.get_trials(deepcopy=False)
        return float(sum(trial.user_attrs.get("seconds", 0.0) for trial in trials))

    def trials(self) -> list[TunedTrial]:
        """All that ended and, last, the one whose budget was over, if it was not trained again."""
        from optuna.trial import TrialState

        ended = [one for one in self._study.get_trials() if "ended" in one.user_attrs]
        done = [one for one in ended if one.state != TrialState.FAIL]
        # One that was killed while it was kept is no trial either: it is trained again.
        cut = [one for one in ended[-1:] if one.user_attrs["ended"] == "budget"]
        done += cut
        return [_tuned(number, trial.user_attrs) for number, trial in enumerate(done)]

    def n_done(self) -> int:
        """How many trials need no further training."""
        return sum(trial.ended != "budget" for trial in self.trials())

    def next_values(self, first: Mapping[str, Value]) -> dict[str, Value]:
        """Begin a trial and say what it tries: `first`, as long as none ended."""
        import optuna

        number = self.n_done()
        seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
        self._study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=N_RANDOM)
        waiting = self._study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.WAITING,))
        if number == 0 and not waiting:
            self._study.enqueue_trial(dict(first))
        self._trial = trial = self._study.ask()
        values = {name: _suggested(trial, name, one) for name, one in self._space.items()}
        # Not rounded as the others are: the recipe as it is.
        return dict(first) if number == 0 else values

    def reports(self, epoch: int, reached: float) -> bool:
        """Report the trial's best validation up to an epoch; whether to stop it.

        Args:
            epoch: from 1.
            reached: its best NDCG@20 so far.
        """
        assert self._trial is not None  # noqa: S101 - for mypy
        self._trial.report(reached, epoch)
        return self._trial.should_prune()

    def end(self, tuned: TunedTrial) -> None:
        """Keep how the trial under way ended."""
        from optuna.trial import TrialState

        trial, states = self._trial, {"trained": TrialState.COMPLETE, "budget": TrialState.FAIL}
        assert trial is not None  # noqa: S101 - for mypy
        for name in _KEPT:
            trial.set_user_attr(name, getattr(tuned, name))
        state = states.get(tuned.ended, TrialState.PRUNED)
        reached = tuned.reached if state == TrialState.COMPLETE else None
        self._study.tell(trial, reached, state=state)
        self._trial = None


def _suggested(trial: optuna.Trial, name: str, range_: Between | OneOf) -> Value:
    """What Optuna suggests, numbers with four digits: as they are read in a table."""
    if isinstance(range_, OneOf):
        chosen: Value = trial.suggest_categorical(name, range_.values)  # type: ignore[assignment] # one of them
        return chosen
    if isinstance(range_.low, int) and isinstance(range_.high, int):
        return trial.suggest_int(name, range_.low, range_.high, log=range_.log)
    return float(f"{trial.suggest_float(name, range_.low, range_.high, log=range_.log):.4g}")


def _tuned(number: int, kept: Mapping[str, Any]) -> TunedTrial:
    """A trial as `end` kept it."""
    return TunedTrial(number, **{name: kept[name] for name in _KEPT})


@contextmanager
def open_study(folder: Path, space: Space, seed: int) -> Iterator[TrialStudy]:
    """The study in a folder, a new one where there is none.

    Raises:
        ArtifactError: its file is none of Optuna's.
        ResourceError: it cannot be written.
    """
    import optuna
    from sqlalchemy.engine import URL
    from sqlalchemy.exc import DatabaseError

    path = folder / STUDY_FILE
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        try:
            storage = optuna.storages.RDBStorage(
                URL.create("sqlite", database=str(path)).render_as_string()
            )
            study = optuna.create_study(
                storage=storage,
                study_name="tune",
                direction="maximize",
                pruner=optuna.pruners.MedianPruner(N_BEFORE_PRUNING, N_EPOCHS_BEFORE_PRUNING),
                load_if_exists=True,
            )
        except (DatabaseError, RuntimeError, optuna.exceptions.OptunaError) as err:
            raise ArtifactError(
                f"{path}: not the trials of a search ({_first_line(err)}), expected what tune "
                "wrote; search in another folder"
            ) from err
        try:
            yield TrialStudy(study, space, seed)
        except optuna.exceptions.StorageInternalError as err:
            raise ResourceError(
                f"{path}: {_first_line(err.__cause__ or err)}, expected a place that can be "
                "written to; free some room and give the same command again"
            ) from err
        finally:
            storage.remove_session()
            storage.engine.dispose()
    finally:
        optuna.logging.set_verbosity(level)


def _first_line(err: BaseException) -> str:
    return str(err).partition("\n")[0][:200]


def space_text(space: Space) -> str:
    """A space as text: two are the same if their texts are."""
    return json.dumps({name: repr(range_) for name, range_ in space.items()}, sort_keys=True)
