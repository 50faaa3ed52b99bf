"""`dllm2rec teacher generate`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dllm2rec.cli.commands.make_teacher.options import (
    ListLength,
    OutFolder,
    ShownTitles,
    TitledDataset,
)
from dllm2rec.cli.commands.make_teacher.shown import phases
from dllm2rec.cli.commands.make_teacher.written import tell_teacher
from dllm2rec.cli.options import (
    DeviceOption,
    JsonOption,
    OverwriteOption,
    ThreadsOption,
    check_device,
    use_threads,
)
from dllm2rec.cli.paths import check_folders_there

EXAMPLES = """\b
Examples:
  dllm2rec teacher generate --dataset data/games --model models/tuned --out teachers/games
  dllm2rec teacher generate --dataset data/games --model model.gguf --out teachers/g --history 5
  torchrun --standalone --nproc-per-node 4 -m dllm2rec teacher generate ...
A stopped command continues where it was: shards are kept beside --out until all are done.
"""

# The longest that a process waits for another, which may have a shard to answer yet.
WAIT_S = 86_400.0


class Precision(StrEnum):
    """What the model computes in."""

    bfloat16 = "bfloat16"
    float32 = "float32"


@dataclass(frozen=True)
class GenerateRequest:
    """What `dllm2rec teacher generate` was asked for."""

    dataset: Path
    model: str
    out: Path
    form: dict[str, int]
    batch_size: int | None
    precision: str
    device: str
    overwrite: bool
    json: bool


def generate(
    dataset: TitledDataset,
    model: Annotated[
        str, typer.Option(metavar="DIR|FILE|NAME", help="Causal model: folder, .gguf, hub's name.")
    ],
    out: OutFolder,
    top: ListLength = 20,
    beams: Annotated[int, typer.Option(min=1, metavar="N", help="Beams of the search.")] = 20,
    history: ShownTitles = 10,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Rows searched together; default: what fits."),
    ] = None,
    precision: Annotated[
        Precision, typer.Option(help="Precision of the model.")
    ] = Precision.bfloat16,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Let a causal language model list catalogue titles for every row of a dataset.

    Beams are constrained to the catalogue; nothing is sampled, whatever the model's settings say.
    """
    use_threads(threads)
    form = {"top": top, "n_beams": beams, "n_history": history}
    where = "auto" if device is None else device.value
    _generate(
        GenerateRequest(
            dataset, model, out, form, batch_size, precision.value, where, overwrite, json
        )
    )


def _generate(request: GenerateRequest) -> None:
    import shutil

    from dllm2rec.storage.output_folder import check_output

    out = request.out
    check_output(out, overwrite=request.overwrite, inputs=[request.dataset])
    check_device(request.device)

    check_folders_there(request.dataset)
    from dllm2rec.data.formats.load_dataset import load_dataset
    from dllm2rec.llm.causal import load_causal
    from dllm2rec.llm.generate import GenerateForm, generate_lists
    from dllm2rec.runtime.device import choose_device
    from dllm2rec.runtime.distributed import is_first, process_group, wait_for_all

    form = GenerateForm(**request.form, batch_size=request.batch_size)
    data = load_dataset(request.dataset)
    shards = out.with_name(f"{out.name}-shards")
    with process_group(request.device, timeout_s=WAIT_S):
        device = str(choose_device(request.device))
        causal = load_causal(request.model, device=device, precision=request.precision)
        with phases() as told:
            made = generate_lists(causal, data, form, shards, report=told)
        wait_for_all("generated: all have read the lists")
        if is_first():
            tell_teacher(made, data, out, overwrite=request.overwrite, json=request.json)
            shutil.rmtree(shards, ignore_errors=True)
