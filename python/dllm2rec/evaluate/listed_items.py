"""Items listed for each row whose scores are moved: checked, and laid out where they are used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from dllm2rec.arrays import item_indices, whole_numbers
from dllm2rec.errors import InputError
from dllm2rec.evaluate.on_device.moved_items import Listed, Moved, listed_items, moved_items
from dllm2rec.students.memory.device_memory import DeviceBonuses
from dllm2rec.students.memory.pair_memory import ItemBonuses

Numbers: TypeAlias = npt.ArrayLike | torch.Tensor
Window: TypeAlias = tuple[Numbers, Numbers]
HostWindow: TypeAlias = tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32]]


@dataclass(frozen=True, eq=False)
class CheckedWindow:
    """A window checked and laid out once, for several calls on the same rows and items."""

    n_rows: int
    n_items: int
    laid_out: HostWindow | Listed

    def on_host(self) -> HostWindow:
        """Offsets and items in CPU memory, wherever they are laid out."""
        if not isinstance(self.laid_out, Listed):
            return self.laid_out
        offsets, items = (
            part.cpu().numpy() for part in (self.laid_out.offsets, self.laid_out.items)
        )
        return offsets, items.astype(np.uint32)


Bonuses: TypeAlias = ItemBonuses | DeviceBonuses
# A window, what is added to its items' scores, and bonuses: all that moves single scores.
Moves: TypeAlias = tuple[Window | CheckedWindow | None, float, Bonuses | None]


def checked_window(
    window: Window, n_rows: int, n_items: int, device: torch.device | None = None
) -> CheckedWindow:
    """Check a window for `fused_rank_counts` and `fused_top_n`, and lay it out.

    Args:
        window: items listed for each row: offsets (B + 1,) into items.
        n_rows: B.
        n_items: N.
        device: where users and items will be; None for the CPU.

    Raises:
        TypeError, InputError: as `fused_rank_counts`.
    """
    if device is None or device.type == "cpu":
        return CheckedWindow(n_rows, n_items, _window(window, n_items))
    listed = _window_on(device, window, n_items)
    return CheckedWindow(n_rows, n_items, listed_items(listed, n_rows, n_items))


def host_window(
    window: Window | CheckedWindow | None, n_rows: int, n_items: int
) -> HostWindow | None:
    """What the Rust kernels take."""
    if window is None:
        return None
    if not isinstance(window, CheckedWindow):
        return _window(window, n_items)
    _check_made_for(window, n_rows, n_items)
    if isinstance(window.laid_out, Listed):
        raise InputError("window: laid out on a device, expected one for the CPU")
    return window.laid_out


def _check_made_for(window: CheckedWindow, n_rows: int, n_items: int) -> None:
    if (window.n_rows, window.n_items) != (n_rows, n_items):
        raise InputError(
            f"window: checked for {window.n_rows} rows and {window.n_items} items, expected "
            f"{n_rows} and {n_items}"
        )


def _window(window: Window, n_items: int) -> HostWindow:
    offsets, listed = window
    starts = whole_numbers(offsets, "window offsets", 2**62).astype(np.int64)
    items = item_indices(listed, "window items", n_items)
    if starts.ndim != 1 or items.ndim != 1:
        raise InputError(f"window: {starts.shape} and {items.shape}, expected offsets and items")
    return np.ascontiguousarray(starts), items


def host_moves(
    moves: Moves, n_rows: int, n_items: int
) -> tuple[tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32], float] | None, ItemBonuses | None]:
    """What the Rust kernels take: listed items with what moves them, and bonuses."""
    window, offset, bonuses = moves
    listed = host_window(window, n_rows, n_items)
    return None if listed is None else (*listed, offset), host_bonuses(bonuses)


def host_bonuses(bonuses: Bonuses | None) -> ItemBonuses | None:
    """The bonuses in CPU memory."""
    return bonuses.on_host() if isinstance(bonuses, DeviceBonuses) else bonuses


def moves_on(device: torch.device, moves: Moves, n_rows: int, n_items: int) -> tuple[Moved, ...]:
    """What is added to which scores, on the device."""
    window, offset, bonuses = moves
    if np.isnan(offset) or offset == np.inf:
        raise InputError(f"window_offset = {offset}, expected a finite number or -inf")
    listed = None if window is None else _listed_on(device, window, n_rows, n_items)
    if bonuses is not None and not isinstance(bonuses, DeviceBonuses):
        parts = (torch.from_numpy(np.ascontiguousarray(part)).to(device) for part in bonuses)
        offsets, items, values = parts
        bonuses = DeviceBonuses(offsets, items.long(), values)
    return moved_items(listed, float(offset), bonuses, n_rows, n_items)


def _listed_on(
    device: torch.device, window: Window | CheckedWindow, n_rows: int, n_items: int
) -> Listed:
    if not isinstance(window, CheckedWindow):
        return listed_items(_window_on(device, window, n_items), n_rows, n_items)
    _check_made_for(window, n_rows, n_items)
    listed = window.laid_out
    if not isinstance(listed, Listed) or listed.keys.device != device:
        raise InputError(f"window: laid out elsewhere, expected on {device}")
    return listed


def _window_on(
    device: torch.device, window: Window, n_items: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Offsets and items, int64 on the device; what lies there already is checked there."""
    offsets, items = window
    if isinstance(offsets, torch.Tensor) and isinstance(items, torch.Tensor):
        whole = not (offsets.is_floating_point() or items.is_floating_point())
        if whole and offsets.device == items.device == device and offsets.ndim == items.ndim == 1:
            offsets, items = offsets.long(), items.long()
            if not bool(((items < 0) | (items >= n_items)).any()):
                return offsets, items
    # Everything else, and what will be refused, goes by the host's checks and messages.
    host = [part.cpu() if isinstance(part, torch.Tensor) else part for part in window]
    starts, listed = _window((host[0], host[1]), n_items)
    return (
        torch.from_numpy(starts).to(device),
        torch.from_numpy(listed.astype(np.int64)).to(device),
    )
