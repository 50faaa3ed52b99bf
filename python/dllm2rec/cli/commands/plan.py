"""`dllm2rec plan`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict

from dllm2rec.cli.options import (
    DatasetOption,
    DeviceOption,
    JsonOption,
    ThreadsOption,
    check_device,
    print_json,
)
from dllm2rec.cli.paths import check_folders_there
from dllm2rec.cli.raw_teacher import naming_import
from dllm2rec.cli.streams import tell
from dllm2rec.cli.train_options import (
    BaselineOption,
    ConfigOption,
    MethodOption,
    PlanRequest,
    RecipeOption,
    SeedOption,
    SeedsOption,
    SetOption,
    SettingsOptions,
    StudentsOption,
    TeacherOption,
)
from dllm2rec.tracking.progress import Record, Silent, TrainingName

EXAMPLES = """\b
Examples:
  dllm2rec plan
  dllm2rec plan --dataset data/games --teacher data/games/teacher --set train.batch_size=4096
"""


class _Measured(Silent):
    """Names what is measured, on stderr."""

    def start(self, training: TrainingName, n_epochs: int, records: Sequence[Record] = ()) -> None:
        """Say which student is trained."""
        tell(f"measuring {training}")


def plan(
    dataset: DatasetOption = None,
    teacher: TeacherOption = None,
    recipe: RecipeOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    method: MethodOption = None,
    student: StudentsOption = None,
    baseline: BaselineOption = True,
    device: DeviceOption = None,
    seed: SeedOption = None,
    seeds: SeedsOption = 1,
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Estimate what train with the same options needs: parameters, memory, disk and time.

    Each student is trained for two seconds, saved, and deleted.
    """
    _plan(
        PlanRequest(
            settings=SettingsOptions(
                dataset=dataset,
                teacher=teacher,
                recipe=recipe,
                config=config,
                overrides=set_ or [],
                method=method,
                students=student or [],
                device=device,
                seed=seed,
            ),
            baseline=baseline,
            seeds=seeds,
            threads=threads,
            json=json,
        )
    )


def _plan(request: PlanRequest) -> None:
    began = time.perf_counter()
    options = request.settings
    settings, students = options.read()
    check_folders_there(options.dataset, options.teacher)
    check_device(settings.train.device)
    options.use_threads(request.threads)

    from dllm2rec.cli.output.plan_tables import print_plan
    from dllm2rec.plan.run import plan_run
    from dllm2rec.runs.source import Source

    with naming_import(options.teacher, options.dataset):
        data, knowledge = Source.of(options.dataset, options.teacher).open()
    opening_s = time.perf_counter() - began
    planned = plan_run(
        settings,
        data,
        knowledge,
        students=students,
        baseline=request.baseline,
        n_seeds=request.seeds,
        progress=_Measured(),
    ).with_opening(opening_s)
    if request.json:
        print_json(asdict(planned))
    else:
        print_plan(planned)
