"""`dllm2rec teacher fit`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

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
from dllm2rec.errors import ConfigError

EXAMPLES = """\b
Examples:
  dllm2rec teacher fit --dataset data/games --model models/SmolLM2-135M --out models/tuned
  dllm2rec teacher fit --dataset data/games --model m.gguf --out models/tuned --method lora
"""


class Method(StrEnum):
    """Which weights are tuned."""

    full = "full"
    lora = "lora"


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
    dataset: Annotated[Path, typer.Option(metavar="DIR", help="The dataset, with titles.")],
    model: Annotated[
        str, typer.Option(metavar="DIR|FILE|NAME", help="Causal model: folder, .gguf, hub's name.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="New folder for the tuned model.")],
    method: Annotated[Method, typer.Option(help="All weights, or LoRA.")] = Method.full,
    epochs: Annotated[int, typer.Option(min=1, metavar="N", help="Passes over the rows.")] = 1,
    learning_rate: Annotated[float, typer.Option(metavar="X", help="The highest.")] = 3e-4,
    batch_size: Annotated[int, typer.Option(min=1, metavar="N", help="Rows a step.")] = 64,
    history: Annotated[
        int, typer.Option(min=1, metavar="N", help="Titles shown of a history, the newest.")
    ] = 10,
    rows: Annotated[
        int, typer.Option(min=0, metavar="N", help="Train rows to learn from; 0 for all.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of rows and order.")] = 0,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    json: JsonOption = False,
) -> None:
    """Tune a causal language model on the title sequences of the train rows."""
    use_threads(threads)
    form = {"method": method.value, "epochs": epochs, "learning_rate": learning_rate}
    form |= {"batch_size": batch_size, "n_history": history, "rows": rows, "seed": seed}
    _fit(FitRequest(dataset, model, out, form, device.value if device else "auto", json))


def _fit(request: FitRequest) -> None:
    out = request.out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"--out {out}: exists, expected a new or empty folder")
    check_device(request.device)

    from dllm2rec.data.formats.load_dataset import load_dataset
    from dllm2rec.llm.causal import load_causal
    from dllm2rec.llm.tune_causal import TuneForm, save_causal, tune_causal
    from dllm2rec.runtime.device import choose_device

    form = TuneForm(**request.form)
    data = load_dataset(request.dataset)
    device = str(choose_device(request.device))
    causal = load_causal(request.model, device=device, precision="float32")
    with phases() as told:
        losses = tune_causal(causal, data, form, report=told)
    save_causal(causal, out)
    if request.json:
        print_json({"out": str(out), "losses": losses})
        return
    say(f"loss {losses[0]:.3f} at first, {losses[-1]:.3f} at last, in nats a token")
    say(f"written to {out}")
