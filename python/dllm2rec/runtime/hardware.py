"""What a run was computed on, and the energy that its GPU took."""

from __future__ import annotations

import importlib
import os
import platform
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

# A page that is drawn again reads these records and needs no torch, which takes seconds to load.
if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Hardware:
    """The machine.

    Attributes:
        cpu: the name of the processor, "" where the system does not tell it.
        cores: logical ones.
        memory_bytes: of the machine, 0 where the system does not tell it.
        gpus: names of the GPUs that this process sees.
        cuda: the version of CUDA that torch was built for, None for a build without it.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    cpu: str
    cores: int
    memory_bytes: int
    gpus: list[str] = field(default_factory=list)
    cuda: str | None = None


def this_hardware() -> Hardware:
    """Describe this machine."""
    import torch

    pages = 0
    with suppress(AttributeError, ValueError, OSError):  # no sysconf on Windows
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return Hardware(
        cpu=_cpu_name(),
        cores=os.cpu_count() or 0,
        memory_bytes=pages,
        gpus=[torch.cuda.get_device_name(number) for number in range(n_gpus)],
        cuda=torch.version.cuda,
    )


def _cpu_name() -> str:
    with suppress(OSError):  # Linux alone has it
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n"):
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


@dataclass(frozen=True)
class Energy:
    """What the GPU took.

    Attributes:
        joules: between two readings of the card's own counter; None where there is none.
        note: what was measured, or why nothing was.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    joules: float | None
    note: str


class EnergyMeter:
    """Reads the counter of a GPU's energy when it is made and when it is asked."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._begin = _millijoules(device)

    def read(self) -> Energy:
        """The energy since this was made."""
        if isinstance(self._begin, str):
            return Energy(None, self._begin)
        now = _millijoules(self._device)
        if isinstance(now, str):
            return Energy(None, now)
        return Energy((now - self._begin) / 1000, "of the whole GPU, by NVML's counter")


def _millijoules(device: torch.device) -> int | str:
    """The counter of a GPU since its driver was loaded, or why it cannot be read."""
    if device.type != "cuda":
        return "not measured: on a CPU there is no counter that every user may read"
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return "not measured: the package nvidia-ml-py is missing"
    import torch

    try:
        nvml.nvmlInit()
        index = torch.cuda.current_device() if device.index is None else device.index
        uuid = f"GPU-{torch.cuda.get_device_properties(index).uuid}"
        handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
        return int(nvml.nvmlDeviceGetTotalEnergyConsumption(handle))
    except nvml.NVMLError as err:
        return f"not measured: {err}"
