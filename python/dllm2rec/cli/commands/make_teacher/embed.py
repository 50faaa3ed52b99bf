"""`dllm2rec teacher embed`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from dllm2rec.cli.commands.make_teacher.options import (
    Encoder,
    EncoderBatch,
    ListLength,
    OutFolder,
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
  dllm2rec teacher embed --dataset data/games --model models/all-MiniLM-L6-v2 --out teachers/games
  dllm2rec teacher embed --dataset datasets/shop --model BAAI/bge-small-en-v1.5 --out teachers/shop
"""


@dataclass(frozen=True)
class EmbedRequest:
    """What `dllm2rec teacher embed` was asked for."""

    dataset: Path
    model: str
    out: Path
    top: int
    fit: bool
    seed: int
    batch_size: int
    device: str
    overwrite: bool
    json: bool


def embed(
    dataset: TitledDataset,
    model: Encoder,
    out: OutFolder,
    top: ListLength = 20,
    no_fit: Annotated[
        bool,
        typer.Option(
            "--no-fit", help="Fit nothing to the train rows; list the most similar items."
        ),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of the fit.")] = 0,
    batch_size: EncoderBatch = 64,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Make a teacher from titles: a sentence encoder's vectors, and lists of likely next items.

    No train row's list comes from a model that was fitted on its target.
    """
    use_threads(threads)
    where = "auto" if device is None else device.value
    request = EmbedRequest(
        dataset,
        model,
        out,
        top,
        not no_fit,
        seed,
        batch_size,
        where,
        overwrite=overwrite,
        json=json,
    )
    _embed(request)


def _embed(request: EmbedRequest) -> None:
    from dllm2rec.storage.output_folder import check_output

    out = request.out
    check_output(out, overwrite=request.overwrite, inputs=[request.dataset])
    check_device(request.device)

    check_folders_there(request.dataset)
    from dllm2rec.data.formats.load_dataset import load_dataset
    from dllm2rec.llm.packages import check_packages
    from dllm2rec.llm.text_teacher import TextTeacherForm, text_teacher
    from dllm2rec.runtime.device import choose_device

    check_packages("sentence_transformers")
    data = load_dataset(request.dataset)
    form = TextTeacherForm(
        request.model,
        top=request.top,
        device=str(choose_device(request.device)),
        seed=request.seed,
        batch_size=request.batch_size,
        fit=request.fit,
    )
    with phases() as told:
        made = text_teacher(data, form, report=told)
    tell_teacher(made, data, out, overwrite=request.overwrite, json=request.json)
