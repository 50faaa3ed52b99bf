"""`dllm2rec plan`."""

from __future__ import annotations

import sys
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
    use_threads,
)
from dllm2rec.cli.train_options import (
    BaselineOption,
    ConfigOption,
    RecipeOption,
    SeedOption,
    SeedsOption,
    SetOption,
    StudentsOption,
    TeacherOption,
    read_train_request,
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
        print(f"measuring {training}", file=sys.stderr)


def plan(
    dataset: DatasetOption = None,
    teacher: TeacherOption = None,
    recipe: RecipeOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    student: StudentsOption = None,
    baseline: BaselineOption = True,
    device: DeviceOption = None,
    seed: SeedOption = None,
    seeds: SeedsOption = 1,
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Tell what train with the same options would take: parameters, memory, disk and time.

    Each student is trained for two seconds, saved, and thrown away.
    """
    began = time.perf_counter()
    request = read_train_request(
        dataset=dataset,
        teacher=teacher,
        recipe=recipe,
        config=config,
        overrides=set_ or [],
        students=student or [],
        device=device,
        seed=seed,
    )
    check_device(request.settings.train.device)
    use_threads(1 if dataset is None and threads is None else threads)

    from dllm2rec.cli.output.plan_tables import print_plan
    from dllm2rec.plan.run import plan_run
    from dllm2rec.runs.source import Source

    data, knowledge = Source.of(dataset, teacher).open()
    planned = plan_run(
        request.settings,
        data,
        knowledge,
        students=request.students,
        baseline=baseline,
        opening_s=time.perf_counter() - began,
        n_seeds=seeds,
        progress=_Measured(),
    )
    if json:
        print_json(asdict(planned))
    else:
        print_plan(planned)
