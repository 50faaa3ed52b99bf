"""Launching Triton kernels, some beside others, and compiling all of a training step at once.

One after the other, the kernels of a step take longer to compile than all else that a short
training does, and their compiler works outside Python's lock most of the time.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from threading import Thread
from typing import Any

import torch
from torch import Tensor

SIZES = (16, 32, 64, 128)  # widths of vectors that the kernels know
MOST_THREADS = 16
ALIGNMENT = 16  # of addresses in bytes, and of whole numbers: compiled for if it is there

_log = logging.getLogger(__name__)

# While kernels are collected, not launched: each with what it is to be launched with. A
# global, since autograd runs the backward pass in another thread.
_collected: list[tuple[Any, tuple[int, ...], tuple[Any, ...], dict[str, Any]]] | None = None


def load_compiler_ahead(device: torch.device) -> None:
    """Load Triton and start the device in a thread, while a run still reads its data.

    Where that fails, the next to need them reports it.
    """
    if device.type == "cuda":
        Thread(target=_load_compiler, name="dllm2rec-compiler").start()


def _load_compiler() -> None:
    """Fill the caches that Triton fills with its first kernel, so that no thread repeats the work.

    Its key is a hash of 400 MB of Triton's files: loading 15 kernels took 16 threads 2.3 s, now
    0.2 s. The names are Triton's internals: a test lists them, and without them each thread does
    the work itself.
    """
    try:
        from triton.compiler.compiler import make_backend
        from triton.runtime import driver
        from triton.runtime.cache import triton_key

        find_target = driver.active.get_current_target
        triton_key()
        make_backend(find_target()).hash()
    except (ImportError, AttributeError) as err:
        if find_spec("triton") is not None:
            _log.warning("W-TRITON kernels take longer to load: %s", err)
    except Exception:  # noqa: BLE001 - no GPU, no C compiler, ...: the next to need it says so
        _log.debug("the compiler of kernels could not be loaded ahead", exc_info=True)


def launch(kernel: Any, grid: tuple[int, ...], *arguments: Any, **constants: Any) -> None:
    """Launch a kernel, or note it inside `compiled_together`.

    Args:
        kernel: what `triton.jit` made.
        grid: the number of programs along each axis.
        arguments: tensors and numbers, in the kernel's order.
        constants: what it is compiled for, `num_warps` among it.
    """
    # Said outright: what a Triton does by itself changes, and it warns of that.
    constants = {"enable_fp_fusion": True} | constants
    if _collected is None:
        kernel[grid](*arguments, **constants)
    else:
        # Not the tensors themselves: all scores of a large catalogue would be held, chunk by chunk.
        specs = tuple(TensorSpec.of(one) if isinstance(one, Tensor) else one for one in arguments)
        _collected.append((kernel, grid, specs, constants))


@dataclass(frozen=True)
class TensorSpec:
    """What of a tensor a kernel is compiled for: it stands in for one where none is launched."""

    dtype: torch.dtype
    offset: int

    @classmethod
    def of(cls, tensor: Tensor) -> TensorSpec:
        """Take it from a tensor."""
        return cls(tensor.dtype, tensor.data_ptr() % ALIGNMENT)

    def data_ptr(self) -> int:
        """An address as well aligned as the tensor's."""
        return self.offset


@contextmanager
def beside(side_stream: torch.cuda.Stream | None, *read: Tensor) -> Iterator[None]:
    """Run the body on another stream, after all earlier work; on the current one if it is None.

    Args:
        side_stream: the other stream.
        read: what is read inside and may be let go of before it is done.
    """
    if side_stream is None:
        yield
        return
    fork(side_stream)
    for tensor in read:
        tensor.record_stream(side_stream)
    with torch.cuda.stream(side_stream):
        yield


def fork(side_stream: torch.cuda.Stream | None) -> None:
    """Let the other stream wait for all earlier work: this adds it to a CUDA graph, used or not."""
    if side_stream is not None:
        side_stream.wait_stream(torch.cuda.current_stream())


def join(side_stream: torch.cuda.Stream | None) -> None:
    """Let later work wait for what was done on the other stream."""
    if side_stream is not None:
        torch.cuda.current_stream().wait_stream(side_stream)


@contextmanager
def compiled_together() -> Iterator[None]:
    """Compile, on leaving, every kernel that was to be launched meanwhile; none is launched.

    What they would have written is left as it was, so nothing in between may depend on it.
    """
    global _collected
    _collected = []
    try:
        yield
        wanted = _collected
    finally:
        _collected = None
    # The last of a step are those of its backward pass, which take longest.
    once = {
        (id(kernel), str(constants), *map(_kind, arguments)): (kernel, grid, arguments, constants)
        for kernel, grid, arguments, constants in reversed(wanted)
    }
    device = torch.cuda.current_device()
    _load_compiler()
    with ThreadPoolExecutor(max(1, min(MOST_THREADS, os.cpu_count() or 1, len(once)))) as pool:
        compiled = [pool.submit(_compile, device, *wish) for wish in once.values()]
    for kernel in compiled:
        kernel.result()


def _compile(
    device: int,
    kernel: Any,
    grid: tuple[int, ...],
    arguments: tuple[Any, ...],
    constants: dict[str, Any],
) -> None:
    with torch.cuda.device(device):
        ready = kernel.warmup(*arguments, grid=grid, **constants)
        # Asking for it compiles the C function that launches the kernel, and loads both.
        assert ready.run is not None  # noqa: S101


def _kind(argument: Any) -> tuple[object, ...]:
    """What of an argument a kernel is compiled for."""
    if isinstance(argument, TensorSpec):
        return argument.dtype, argument.offset
    if isinstance(argument, int):
        return argument == 1, argument % ALIGNMENT == 0, argument.bit_length() > 31
    return (type(argument),)
