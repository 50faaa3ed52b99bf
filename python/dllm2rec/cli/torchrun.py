"""What torchrun tells a process before torch is imported: how many there are, and which it is."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import typer

from dllm2rec.errors import ConfigError

# The commands that share their work; any other would do all of it in every process.
SHARED = ("train", "evaluate", "recommend", "teacher generate")


def n_processes() -> int:
    """How many processes run this command."""
    return _variable("WORLD_SIZE", 1)


def process_name() -> str:
    """`process 1 of 4: ` for all processes but the first, whose lines need no name."""
    number, n = (os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE"))
    return "" if number in {"", "0"} or n in {"", "1"} else f"process {number} of {n}: "


def share_threads() -> int | None:
    """This process's share of the CPUs; None where it is alone."""
    here = _variable("LOCAL_WORLD_SIZE", n_processes())
    return None if n_processes() == 1 else max(1, (os.cpu_count() or 1) // here)


def check_shared(command: str) -> None:
    """Refuse several processes where each would do the whole command.

    Raises:
        ConfigError: `command` does not share its work.
    """
    if command == "teacher":  # which of its commands it is, it says itself
        return
    if n_processes() > 1 and command not in SHARED:
        raise ConfigError(
            f"{command} in {n_processes()} processes, expected one; torchrun is for "
            f"{', '.join(SHARED)}"
        )


def join_and_choose(context: typer.Context, device: str, choose: Callable[[], Path]) -> Path:
    """Join the other processes until the command ends; the first one's choice holds for all.

    Args:
        context: the command's.
        device: "auto", "cpu" or "cuda".
        choose: gives a path, or refuses; called once, in the first process.
    """
    if n_processes() == 1:
        return choose()  # without torch: a refusal comes at once
    from dllm2rec.runtime.distributed import broadcast_from_first, process_group

    context.with_resource(process_group(device))
    return Path(broadcast_from_first(lambda: str(choose())))


def silence_other_processes() -> None:
    """Let standard output of all processes but the first go nowhere: results are printed once."""
    if process_name():
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - kept open


def _variable(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    if not text:
        return default
    if not text.isdecimal():
        raise ConfigError(f"{name} = {text!r} in the environment, expected a whole number")
    return int(text)
