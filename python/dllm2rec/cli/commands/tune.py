"""`dllm2rec tune`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dllm2rec.cli.options import (
    DatasetOption,
    DeviceOption,
    JsonOption,
    StudentName,
    ThreadsOption,
    check_device,
    print_json,
)
from dllm2rec.cli.output.lines import say
from dllm2rec.cli.paths import check_file_there, check_folders_there
from dllm2rec.cli.raw_teacher import naming_import
from dllm2rec.cli.streams import tell
from dllm2rec.cli.train_options import (
    ConfigOption,
    MethodOption,
    RecipeOption,
    SeedOption,
    SetOption,
    SettingsOptions,
    TeacherOption,
)
from dllm2rec.tracking.progress import Record, Silent, TrainingName

if TYPE_CHECKING:  # torch: `--help` must not wait for it
    from dllm2rec.search.result import TuneResult

EXAMPLES = """\b
Examples:
  dllm2rec tune --dataset data/games --teacher data/games/teacher --out tuned --budget 2h
  dllm2rec train --dataset data/games --teacher data/games/teacher --config tuned/best.toml
"""


class _TrialLines(Silent):
    """A line per trial, on stderr."""

    def __init__(self) -> None:
        self._name = ""

    def start(self, training: TrainingName, n_epochs: int, records: Sequence[Record] = ()) -> None:
        """Keep which trial it is."""
        self._name = str(training)

    def finish(self, summary: str) -> None:
        """Say how it ended."""
        tell(f"{self._name}: {summary}")


@dataclass(frozen=True, kw_only=True)
class _TuneRequest:
    """The options of `tune`."""

    settings: SettingsOptions
    out: Path
    budget: str
    trials: int | None
    search: Path | None
    threads: int | None
    json: bool


def tune(
    out: Annotated[
        Path,
        typer.Option(
            help="Folder to write, or that of a stopped search to continue.", metavar="DIR"
        ),
    ],
    dataset: DatasetOption = None,
    teacher: TeacherOption = None,
    budget: Annotated[
        str, typer.Option(help="Time for all trials together: 90s, 30m, 2h.", metavar="TIME")
    ] = "30m",
    trials: Annotated[int | None, typer.Option(min=1, help="Most trials.", metavar="N")] = None,
    search: Annotated[
        Path | None,
        typer.Option(help="TOML file of the settings to search.", metavar="FILE"),
    ] = None,
    recipe: RecipeOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    method: MethodOption = None,
    student: Annotated[StudentName | None, typer.Option(help="Student to tune.")] = None,
    device: DeviceOption = None,
    seed: SeedOption = None,
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Search one student's settings beyond train's grids, on validation rows only.

    Needs Optuna. Run the same command again to continue a stopped search. Without --dataset:
    SASRec on synthetic demo data.
    """
    _tune(
        _TuneRequest(
            settings=SettingsOptions(
                dataset=dataset,
                teacher=teacher,
                recipe=recipe,
                config=config,
                overrides=set_ or [],
                method=method,
                students=[] if student is None else [student],
                device=device,
                seed=seed,
            ),
            out=out,
            budget=budget,
            trials=trials,
            search=search,
            threads=threads,
            json=json,
        )
    )


def _tune(request: _TuneRequest) -> None:
    from dllm2rec.config.load import changed
    from dllm2rec.search.duration import parse_duration

    options = request.settings
    budget_s = parse_duration(request.budget)
    settings, students = options.read()
    if options.students:
        settings = changed(settings, student={"name": students[0]})
    check_folders_there(options.dataset, options.teacher)
    if request.search is not None:
        check_file_there(request.search)
    check_device(settings.train.device)

    from dllm2rec.search.study import check_optuna

    check_optuna()
    options.use_threads(request.threads)

    from dllm2rec.runs.source import Source
    from dllm2rec.search.tune import tune as search_settings

    with naming_import(options.teacher, options.dataset):
        data, knowledge = Source.of(options.dataset, options.teacher).open()
    result = search_settings(
        settings,
        data,
        knowledge,
        request.out,
        budget=budget_s,
        n_trials=request.trials,
        space=request.search,
        progress=_TrialLines(),
    )
    if request.json:
        print_json(asdict(result))
    else:
        _print(result)


def _print(result: TuneResult) -> None:
    best, first = result.best, result.first
    say(
        f"{len(result.trials)} trials, {result.n_pruned} pruned, {result.n_diverged} diverged, "
        f"{result.seconds:.0f} s of {result.budget_s:.0f} s"
    )
    say(f"best: trial {best.number}")
    for name, value in best.values.items():
        say(f"  {name} = {value} (trial 0: {first.values[name]})")
    gain = "" if result.gain is None else f", {result.gain:+.1%}"
    say(f"validation ndcg@20 {best.reached:.4f}; trial 0, the recipe: {first.reached:.4f}{gain}")
    say(f"train with it: --config {result.best_config}")
