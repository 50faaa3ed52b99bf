"""Options that several commands share, and what they do."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from dllm2rec.cli.torchrun import share_threads
from dllm2rec.errors import ConfigError

_log = logging.getLogger(__name__)
Part = TypeVar("Part")


class Device(StrEnum):
    """Where tensors live; `auto` is CUDA where there is one."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class StudentName(StrEnum):
    """The students there are."""

    gru4rec = "gru4rec"
    caser = "caser"
    sasrec = "sasrec"


class Tracker(StrEnum):
    """Where a run can be kept beside its folder."""

    tensorboard = "tensorboard"
    wandb = "wandb"
    mlflow = "mlflow"


class Split(StrEnum):
    """The rows that no training saw."""

    test = "test"
    validation = "validation"


DatasetOption = Annotated[
    Path | None, typer.Option("--dataset", help="Folder of the dataset.", metavar="DIR")
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="CPU threads; they change at most the last bits of a training."
    ),
]
DeviceOption = Annotated[Device | None, typer.Option(help="Device to compute on.")]
SplitOption = Annotated[Split, typer.Option(help="Rows to score.")]
CutoffsOption = Annotated[
    list[int] | None, typer.Option("--k", min=1, metavar="K", help="Cut-off; may be repeated.")
]
ExcludeSeenOption = Annotated[
    bool, typer.Option("--exclude-seen", help="Leave a row's history out of the candidates.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object for machines.")]
LogOption = Annotated[
    list[Tracker] | None,
    typer.Option(
        "--log", help="Also log the run there; may be repeated. Each needs the extra of its name."
    ),
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace a folder that dllm2rec wrote.")
]


def use_threads(n_threads: int | None) -> None:
    """Set the threads of the kernels and of torch; more than there are CPUs is brought down.

    None leaves them as they are, but for processes that share a machine.
    """
    n_threads = share_threads() if n_threads is None else n_threads
    if n_threads is None:
        return
    import torch

    from dllm2rec import _core

    available = os.cpu_count() or 1
    if n_threads > available:
        _log.info("--threads %d: %d are used, one for each CPU", n_threads, available)
    n_threads = min(n_threads, available)
    _core.set_threads(n_threads)
    torch.set_num_threads(n_threads)


def check_device(name: str) -> None:
    """Refuse CUDA where there is none: nothing falls back to the CPU unasked.

    Raises:
        ConfigError: `name` is "cuda" and no device is present.
    """
    if name != "cuda":
        return
    import torch

    if not torch.cuda.is_available():
        raise ConfigError("device cuda: none is present, expected one; or give --device cpu")


def print_json(value: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
    """Print one line of JSON, in ASCII: the same bytes whatever the locale."""
    print(json.dumps(value, allow_nan=False))


def print_json_stream(
    head: dict[str, Any], key: str, parts: Iterable[Part], values: Callable[[Part], Iterable[Any]]
) -> Iterator[Part]:
    """Print `head` with one more key, whose list has the values of all parts, as one line of JSON.

    Each part goes on once its values are printed.
    """
    begin = json.dumps(head, allow_nan=False).removesuffix("}")
    print(f"{begin}, {json.dumps(key)}: [", end="")
    comma = ""
    for part in parts:
        for value in values(part):
            print(comma, json.dumps(value, allow_nan=False), sep="", end="")
            comma = ", "
        yield part
    print("]}")
