"""Whether there is a GPU, asked of its driver: torch would take seconds to load."""

from __future__ import annotations

import ctypes
import sys


def has_gpu() -> bool:
    """Whether CUDA's driver sees a device, as `CUDA_VISIBLE_DEVICES` has it."""
    count = ctypes.c_int(0)
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        failed = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    except (OSError, AttributeError):  # no driver, or something else of its name
        return False
    return not failed and count.value > 0
