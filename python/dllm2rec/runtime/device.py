"""Which device, and the settings under which one seed gives one result on it."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dllm2rec.caller import words
from dllm2rec.errors import ConfigError


def choose_device(name: str) -> torch.device:
    """Return the device asked for; "auto" is the GPU if there is one.

    Raises:
        ConfigError: cuda was asked for and there is none; nothing falls back in silence.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        cure = words(python='use "cpu" or "auto"', option="give --device cpu")
        raise ConfigError(f"device cuda: none is present, expected one; {cure}")
    if name == "auto":
        name = "cuda" if available else "cpu"
    return torch.device(name)


def placed(array: npt.NDArray[Any], device: torch.device) -> npt.NDArray[Any] | torch.Tensor:
    """Move an array to a GPU; the CPU's kernels take it as it is."""
    if device.type == "cpu":
        return array
    native = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
    return torch.from_numpy(native).to(device)


def check_compiler(device: torch.device) -> None:
    """Refuse to train on a GPU without the compiler of its kernels; evaluation needs none.

    Raises:
        ConfigError: the package triton is missing.
    """
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        raise ConfigError(
            "train.device = cuda: the package triton is missing, expected it beside torch, to "
            "compile the kernels of training; install it, or set train.device = cpu"
        )


@contextmanager
def deterministic() -> Iterator[None]:
    """Run with deterministic algorithms and full float32 products; restore what was set before."""
    # cuBLAS reads this when it first starts: with it, split sums have one order.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    settings: Any = torch.utils.deterministic  # its attributes are made at run time
    before = (
        torch.get_deterministic_debug_mode(),
        settings.fill_uninitialized_memory,
        torch.backends.cudnn.benchmark,
        torch.get_float32_matmul_precision(),
    )
    # Not torch.use_deterministic_algorithms: that also imports torch's compiler, which is not used
    # here and takes seconds.
    torch.set_deterministic_debug_mode("error")
    # Filling every fresh buffer guards against reading it too early; it costs a pass over each.
    settings.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = False
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before[0])
        settings.fill_uninitialized_memory = before[1]
        torch.backends.cudnn.benchmark = before[2]
        torch.set_float32_matmul_precision(before[3])


def device_name(device: torch.device) -> str:
    """What reports call a device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
