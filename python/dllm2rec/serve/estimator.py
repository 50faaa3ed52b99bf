"""Training, evaluation and recommendation in the manner of scikit-learn, over runs on disk."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

from dllm2rec.config.load import changed, load_config
from dllm2rec.config.model import Config
from dllm2rec.data.dataset import SequenceDataset
from dllm2rec.data.formats.load_dataset import load_dataset
from dllm2rec.errors import ConfigError
from dllm2rec.runs.evaluate_run import evaluate_run
from dllm2rec.runs.run_manifest import read_config, read_run, run_folder_of
from dllm2rec.runs.run_result import RunResult
from dllm2rec.serve.load import load
from dllm2rec.serve.recommendations import Recommendations
from dllm2rec.serve.recommender import Recommender
from dllm2rec.storage.copy_folder import copy_folder
from dllm2rec.teacher.folder import load_teacher
from dllm2rec.teacher.knowledge import TeacherKnowledge
from dllm2rec.tracking.metric_table import MetricTable
from dllm2rec.tracking.progress import Progress
from dllm2rec.train.check_run import RunOptions
from dllm2rec.train.default_recipe import default_recipe
from dllm2rec.train.train_run import train_run


class DLLM2Rec:
    """One student, trained with a teacher or alone; `fit` makes what `recommend` asks.

    It is `train_run`, `evaluate_run` and `load` behind scikit-learn's names, so that code which
    knows an estimator knows this one: `get_params` and `set_params`, with `section__field` for the
    settings, and `sklearn.base.clone`. What has an underscore at its end is there after `fit`. For
    several students side by side, seeds and baselines use `train_run` itself; a `Recommender`,
    which `load` gives of any run, is all that answers need.

    Args:
        student: "sasrec", "gru4rec" or "caser".
        config: a recipe's name, or a configuration; None: `default_recipe()`.
        folder: where `fit` writes its run; None: a folder of the system's for what is temporary,
            which goes with this object.
        progress: as for `train_run`: True prints a line per epoch, False nothing.

    Attributes:
        recommender_: the trained student; its other methods are not repeated here.
        result_: the table of the training.
        run_: the folder of the run.

    Example:
        `DLLM2Rec("sasrec").fit(dataset, teacher).recommend([["12", "7"]], k=5)`
    """

    recommender_: Recommender
    result_: RunResult
    run_: Path

    def __init__(
        self,
        student: str = "sasrec",
        config: Config | str | None = None,
        *,
        folder: str | Path | None = None,
        progress: Progress | bool = True,
    ) -> None:
        # As they were given, unchecked: clone() compares.
        self.student = student
        self.config = config
        self.folder = folder
        self.progress = progress
        self._dataset: SequenceDataset | None = None
        self._remove_scratch: Callable[[], object] | None = None

    def __repr__(self) -> str:
        """Which student, by which settings, and whether it is trained."""
        config = "a configuration" if isinstance(self.config, Config) else self._recipe
        state = "not fitted" if self._recommender is None else f"fitted in {self.run_}"
        return f"DLLM2Rec: {self.student}, {config}, {state}"

    @property
    def _recommender(self) -> Recommender | None:
        found: Recommender | None = getattr(self, "recommender_", None)
        return found

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """What the constructor takes; if `deep`, also every setting as `section__field`."""
        params = {name: getattr(self, name) for name in ("student", "config", "folder", "progress")}
        if deep:
            for section, fields in self._settings().model_dump().items():
                if isinstance(fields, dict):
                    params |= {f"{section}__{name}": value for name, value in fields.items()}
        return params

    def set_params(self, **params: Any) -> Self:  # noqa: ANN401 - of any setting
        """Change what the constructor takes, or settings: `set_params(train__max_epochs=5)`.

        Raises:
            ConfigError: an unknown name, or a value that is refused; nothing is changed then.
        """
        own = {name: value for name, value in params.items() if "__" not in name}
        unknown = own.keys() - self.get_params(deep=False).keys()
        if unknown:
            raise ConfigError(
                f"unknown parameter {min(unknown)!r}, expected student, config, folder, progress "
                "or section__field, such as train__max_epochs"
            )
        config = own.get("config", self.config)
        sections: dict[str, dict[str, object]] = {}
        for name, value in params.items():
            section, mark, field = name.partition("__")
            if mark:
                sections.setdefault(section, {})[field] = value
        if sections:
            whole = config
            if not isinstance(whole, Config):
                whole = load_config(recipe=whole or default_recipe())
            own["config"] = changed(whole, **sections)
        for name, value in own.items():
            setattr(self, name, value)
        return self

    def fit(
        self,
        dataset: SequenceDataset | str | Path,
        teacher: TeacherKnowledge | str | Path | None = None,
    ) -> Self:
        """Train the student; settings are chosen on validation, the test rows scored once.

        Args:
            dataset: what to learn from, or the folder that it is in.
            teacher: what the LLM knows, or its folder; None trains the student alone.

        Raises:
            ConfigError, InputError, ArtifactError: as `train_run`, `load_dataset` and
                `load_teacher`; before anything is written where it can be told before.
            NonFiniteError, ResourceError: as `train_run`.
        """
        config = self._settings()
        data = dataset if isinstance(dataset, SequenceDataset) else load_dataset(dataset)
        if isinstance(teacher, (str, Path)):
            teacher = load_teacher(teacher, data)
        run, remove = (Path(self.folder), None) if self.folder else self._scratch_run()
        self.result_ = train_run(
            config,
            data,
            teacher,
            run,
            students=self.student,
            options=RunOptions(baseline=False),
            progress=self.progress,
        )
        self.recommender_ = load(run, device=config.train.device)
        self.run_, self._dataset = run, data
        if self._remove_scratch is not None:
            self._remove_scratch()  # of a fit before
        self._remove_scratch = remove
        return self

    def recommend(
        self,
        histories: Iterable[Iterable[str | int]],
        k: int = 10,
        **options: Any,  # noqa: ANN401 - those of the other
    ) -> Recommendations:
        """List the best items for each history: `Recommender.recommend`, with its options.

        Raises:
            ConfigError: it is not fitted; else as the other.
        """
        return self._fitted().recommend(histories, k, **options)

    def evaluate(
        self,
        split: str = "test",
        ks: int | Iterable[int] | None = None,
        *,
        dataset: SequenceDataset | str | Path | None = None,
        exclude_seen: bool = False,
    ) -> MetricTable:
        """Rank the targets of a split: `evaluate_run` on the run and the dataset of `fit`.

        Args:
            split: "test" or "validation".
            ks: cut-offs of the metrics.
            dataset: after `load`, where the run does not know it.
            exclude_seen: leave the items of each row's history out of the candidates.

        Raises:
            ConfigError: it is not fitted; else as the other.
        """
        self._fitted()
        return evaluate_run(
            self.run_,
            dataset=self._dataset if dataset is None else dataset,
            split=split,
            ks=ks,
            exclude_seen=exclude_seen,
            device=self._settings().train.device,
        )

    def save(self, folder: str | Path) -> Path:
        """Copy the run to a folder, whole or not at all, for `load` and for every command.

        Items that were added to `recommender_` are not part of it.

        Raises:
            ConfigError: it is not fitted, or the folder exists and is not empty.
            ResourceError: it cannot be written.
        """
        self._fitted()
        copy_folder(self.run_, Path(folder))
        return Path(folder)

    @classmethod
    def load(cls, run: str | Path, *, device: str | None = None) -> Self:
        """An estimator as it was after `fit`, from a run that it or `dllm2rec train` wrote.

        Args:
            run: the folder of a run.
            device: "auto", "cpu" or "cuda"; by default that of its settings.

        Raises:
            ArtifactError: it is no run, or is corrupt.
        """
        place = run_folder_of(Path(run))
        config = read_config(place, read_run(place))
        if device is not None:
            config = changed(config, train={"device": device})
        recommender = load(run, device=config.train.device)
        student = recommender.name.partition("+")[0].partition("-seed-")[0]
        found = cls(student, config, folder=None)
        found.run_, found.recommender_ = place, recommender
        return found

    def _scratch_run(self) -> tuple[Path, Callable[[], object]]:
        """A folder for a run, and what removes it; it goes with this object at the latest."""
        scratch = tempfile.mkdtemp(prefix="dllm2rec-")
        return Path(scratch) / "run", weakref.finalize(self, shutil.rmtree, scratch, True)  # noqa: FBT003

    @property
    def _recipe(self) -> str:
        return default_recipe() if self.config is None else str(self.config)

    def _settings(self) -> Config:
        config = self.config
        if not isinstance(config, Config):
            config = load_config(recipe=self._recipe)
        return changed(config, student={"name": self.student})

    def _fitted(self) -> Recommender:
        found = self._recommender
        if found is None:
            raise ConfigError("DLLM2Rec: not fitted, expected fit(dataset, teacher) before")
        return found
