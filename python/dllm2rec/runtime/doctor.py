"""What an installation is made of, and what in it would stop a training."""

from __future__ import annotations

import importlib
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

from dllm2rec import _core
from dllm2rec.runtime.gpu import has_gpu

LEAST_FREE_BYTES = 2**30  # checkpoints and states of a first run
_NEEDED = ("numpy", "pyarrow", "pydantic", "safetensors", "torch")
# What only those need who work on the package itself.
_EXTRAS_OF_CLONES = {"bench", "docs", "lint", "test"}


@dataclass(frozen=True)
class Finding:
    """One line of the examination.

    Attributes:
        name: what was looked at.
        value: what was found.
        fault: what is wrong with it; "" where nothing is.
        cure: what to do about that, or what else could be had.
    """

    name: str
    value: str
    fault: str = ""
    cure: str = ""


def examine(folder: Path) -> list[Finding]:
    """Look at packages, kernels, processor, GPU, memory and disk; nothing is left behind.

    Args:
        folder: where runs would be written.
    """
    return [
        Finding("dllm2rec", _core.__version__),
        Finding("Python", f"{platform.python_version()} on {platform.platform()}"),
        *(_package(name) for name in _NEEDED),
        _kernels(),
        *_machine(),
        _disk(folder),
        *_extras(),
    ]


def _package(name: str) -> Finding:
    try:
        importlib.import_module(name)
        return Finding(name, metadata.version(name))
    except Exception as err:  # noqa: BLE001 - whatever a broken package raises
        reason = f"{type(err).__name__}: {err}".partition("\n")[0][:120]
        cure = f"pip install --force-reinstall {name}"
        return Finding(name, "cannot be imported", fault=reason, cure=cure)


def _kernels() -> Finding:
    """Rank a few scores by the Rust kernel and by NumPy."""
    scores = np.random.default_rng(0).integers(0, 50, (64, 500)).astype(np.float32)
    targets = np.arange(64, dtype=np.uint32)
    greater, equal = _core.rank_counts(scores, targets)
    of_target = scores[np.arange(64), targets][:, None]
    is_right = np.array_equal(greater, (scores > of_target).sum(1)) and np.array_equal(
        equal, (scores == of_target).sum(1) - 1
    )
    value = _core._instruction_set()  # noqa: SLF001 - our own
    if is_right:
        return Finding("Rust kernels", f"{value}, ranks as NumPy's")
    return Finding("Rust kernels", value, "ranks differ from NumPy's", "build the package again")


def _machine() -> Iterator[Finding]:
    sees_gpu = has_gpu()
    try:
        import torch

        from dllm2rec.runtime.device import check_compiler
        from dllm2rec.runtime.hardware import this_hardware
    except Exception:  # noqa: BLE001 - said above, of torch
        return
    hardware = this_hardware()
    yield Finding("processor", f"{hardware.cpu or 'unknown'}, {hardware.cores} logical cores")
    if hardware.memory_bytes:
        yield Finding("memory", f"{hardware.memory_bytes / 2**30:.1f} GiB")
    if hardware.gpus:
        value = f"{', '.join(hardware.gpus)}; CUDA {hardware.cuda}"
        try:
            check_compiler(torch.device("cuda"))
            yield Finding("GPU", value)
        except Exception as err:  # noqa: BLE001 - its message is the finding
            yield Finding("GPU", value, str(err), "pip install triton")
    elif sees_gpu:
        build = "a build of torch without CUDA" if hardware.cuda is None else "torch cannot use it"
        yield Finding("GPU", "there is one", build, "install torch with CUDA for its driver")
    else:
        yield Finding("GPU", "none")


def _disk(folder: Path) -> Finding:
    place = next(one for one in (folder, *folder.resolve().parents) if one.is_dir())
    free = shutil.disk_usage(place).free
    value = f"{free / 2**30:.1f} GiB free"
    try:
        with tempfile.NamedTemporaryFile(dir=place) as file:
            file.write(b"dllm2rec")
            file.flush()
            os.fsync(file.fileno())
    except OSError as err:
        reason = err.strerror or str(err)
        return Finding("disk here", value, f"nothing can be written: {reason}", "go elsewhere")
    if free < LEAST_FREE_BYTES:
        return Finding("disk here", value, "too little for a run's checkpoints", "free some")
    return Finding("disk here", value)


def _extras() -> Iterator[Finding]:
    """The extras of the package, as its metadata has them: installed, or how to get them."""
    wanted: dict[str, list[str]] = {}
    for requirement in metadata.requires("dllm2rec") or []:
        found = re.match(r"([A-Za-z0-9._-]+).*extra == ['\"]([a-z]+)['\"]", requirement)
        if found and found[2] not in _EXTRAS_OF_CLONES:
            wanted.setdefault(found[2], []).append(found[1])
    for extra in sorted(wanted):
        missing = [name for name in wanted[extra] if not _is_installed(name)]
        value = f"without {', '.join(missing)}" if missing else "installed"
        cure = f"in a clone: pip install '.[{extra}]'" if missing else ""
        yield Finding(f"extra {extra}", value, cure=cure)


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
