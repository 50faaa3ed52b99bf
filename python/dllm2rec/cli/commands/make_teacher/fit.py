"""`dllm2rec teacher fit`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from dllm2rec.cli.commands.make_teacher.options import RowBatch, TitledDataset
from dllm2rec.cli.commands.make_teacher.shown import phases
from dllm2rec.cli.options import (
    DeviceOption,
    JsonOption,
    ThreadsOption,
    check_device,
    print_json,
    use_threads,
)
from dllm2rec.cli.output.lines import say
from dllm2rec.cli.paths import check_folders_there
from dllm2rec.errors import ConfigError

EXAMPLES = """\b
Examples:
  dllm2rec teacher fit --dataset data/games --model models/SmolLM2-135M --out models/tuned
  dllm2rec teacher fit --dataset data/games --model m.gguf --out models/tuned --method lora
  dllm2rec teacher fit --dataset data/games --model encoder --out tuned --method contrastive
"""


class Method(StrEnum):
    """Which weights are tuned."""

    full = "full"
    lora = "lora"
    contrastive = "contrastive"


@dataclass(frozen=True)
class FitRequest:
    """What `dllm2rec teacher fit` was asked for."""

    dataset: Path
    model: str
    out: Path
    form: dict[str, Any]
    device: str
    json: bool


def fit(
    dataset: TitledDataset,
    model: Annotated[
        str,
        typer.Option(
            metavar="DIR|FILE|NAME",
            help="Causal model: folder, .gguf, hub's name; with contrastive: a sentence encoder.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="New folder for the tuned model.")],
    method: Annotated[
        Method,
        typer.Option(help="Tune all weights or a LoRA of a causal model, or a sentence encoder."),
    ] = Method.full,
    epochs: Annotated[int, typer.Option(min=1, metavar="N", help="Passes over the rows.")] = 1,
    learning_rate: Annotated[
        float | None,
        typer.Option(metavar="X", help="Peak learning rate; by default 3e-4, contrastive 2e-5."),
    ] = None,
    batch_size: RowBatch = 64,
    history: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Newest titles of a history to show; by default 10, contrastive 1.",
        ),
    ] = None,
    rows: Annotated[
        int, typer.Option(min=0, metavar="N", help="Train rows to learn from; 0 for all.")
    ] = 0,
    seed: Annotated[
        int, typer.Option(min=0, metavar="N", help="Seed of the rows and their order.")
    ] = 0,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Tune a causal language model, or a sentence encoder, on the titles of the train rows."""
    use_threads(threads)
    form = {"epochs": epochs, "batch_size": batch_size, "rows": rows, "seed": seed}
    form |= _said(learning_rate=learning_rate, n_history=history)
    _fit(method, FitRequest(dataset, model, out, form, device.value if device else "auto", json))


def _said(**options: float | None) -> dict[str, Any]:
    """The options that were given; the others have the defaults of their form."""
    return {name: value for name, value in options.items() if value is not None}


def _fit(method: Method, request: FitRequest) -> None:
    out = request.out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"--out {out}: exists, expected a new or empty folder")
    check_device(request.device)

    encodes = method is Method.contrastive
    losses, n_train = _of_encoder(request) if encodes else _of_causal(method, request)
    if request.json:
        print_json({"out": str(out), "losses": losses})
        return
    what = "nats per row" if encodes else "nats per token"
    say(f"loss {losses[0]:.3f} at first, {losses[-1]:.3f} at last, in {what}")
    say(f"written to {out}")
    n_learnt = min(n_train, request.form["rows"] or n_train)
    if 2 * n_learnt > n_train:
        say(
            f"note: tuned on the targets of {n_learnt:,} of {n_train:,} train rows, which lists "
            "for these rows will repeat; a student learns little from what it is shown anyway: "
            f"--rows {max(1, n_train // 3)} leaves most rows unseen"
        )


def _of_causal(method: Method, request: FitRequest) -> tuple[list[float], int]:
    """The losses, and how many train rows there are."""
    check_folders_there(request.dataset)
    from dllm2rec.data.formats.load_dataset import load_dataset
    from dllm2rec.llm.causal import load_causal
    from dllm2rec.llm.tune_causal import TuneForm, save_causal, tune_causal
    from dllm2rec.runtime.device import choose_device

    form = TuneForm(method=method.value, **request.form)
    data = load_dataset(request.dataset)
    device = str(choose_device(request.device))
    causal = load_causal(request.model, device=device, precision="float32")
    with phases() as told:
        losses = tune_causal(causal, data, form, report=told)
    save_causal(causal, request.out)
    return losses, len(data.train)


def _of_encoder(request: FitRequest) -> tuple[list[float], int]:
    """The same of an encoder."""
    check_folders_there(request.dataset)
    from dllm2rec.data.formats.load_dataset import load_dataset
    from dllm2rec.llm.tune_encoder import EncoderTuneForm, tune_encoder
    from dllm2rec.runtime.device import choose_device

    form = EncoderTuneForm(**request.form)
    data = load_dataset(request.dataset)
    device = str(choose_device(request.device))
    with phases() as told:
        losses = tune_encoder(request.model, data, form, request.out, device=device, report=told)
    return losses, len(data.train)
