"""Whether there is room for threads to begin, where a limit on memory is set (`ulimit -v`)."""

from __future__ import annotations

from pathlib import Path

from dllm2rec.errors import ResourceError

# With less, libraries end the process: OpenBLAS, which takes 32 MiB a thread at its first product,
# C++ where a thread can be started but not what it needs first, and Rust for some bytes.
LEAST = 128 * 2**20  # bytes


def check_room() -> None:
    """Refuse to begin work that starts threads where hardly any memory is left.

    Raises:
        ResourceError: the limit of this process on its memory leaves less than 128 MiB.
    """
    left = _left()
    if left is not None and left < LEAST:
        raise ResourceError(
            f"{max(left, 0) // 2**20} MiB left of the memory that this process may have, expected "
            f"{LEAST // 2**20} or more; raise its limit (ulimit -v)"
        )


def _left() -> int | None:
    """How many bytes the limit leaves; None without a limit or where the system does not tell."""
    try:
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit == resource.RLIM_INFINITY:
            return None
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        return limit - pages * resource.getpagesize()
    except (ImportError, OSError):
        return None
