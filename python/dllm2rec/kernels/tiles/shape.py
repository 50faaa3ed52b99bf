"""Into what tiles the work is cut, and in how many halves the factors are."""

from __future__ import annotations

from dataclasses import dataclass

ITEMS_AT_ONCE = 1 << 20  # their halves take a quarter of a GiB at most, D 64
PROGRAMS = 512  # enough to keep every multiprocessor of a large GPU busy to the end


@dataclass(frozen=True)
class Shape:
    """How a kernel cuts its work.

    Attributes:
        halves: 2 for products as exact as float32, 1 for those of 11 bits.
        rows: of a block.
        columns: items of a tile.
        warps: of a program.
        stages: how many tiles or blocks a program has in flight.
    """

    halves: int
    rows: int
    columns: int
    warps: int
    stages: int

    @property
    def tiles_at_once(self) -> int:
        """Tiles of items whose halves are held at once."""
        return max(1, ITEMS_AT_ONCE // self.columns)

    def ranges(self, n_rows: int, n_tiles: int) -> tuple[int, int]:
        """How many ranges of items there are for each block of rows, and the tiles of each."""
        n_blocks = -(-n_rows // self.rows)
        wanted = max(1, min(n_tiles, PROGRAMS // n_blocks))
        each = -(-n_tiles // wanted)
        return -(-n_tiles // each), each


def forward_shape(halves: int) -> Shape:
    """For the pass over all items."""
    return Shape(halves, rows=128, columns=64, warps=8, stages=3)


def backward_shape(halves: int) -> Shape:
    """For the items' gradient."""
    return Shape(halves, rows=64, columns=128, warps=8, stages=3)
