"""Into what tiles the work is cut, and in how many halves the factors are.

Diary (H200, 4,096 rows x 1M items, four to ten shapes tried for each case): the users' pass is
fastest with as many rows as the registers hold. The items' pass wants four warps of 64 items each:
eight share a tile's items, and each product is half as high. One stage takes as long as three, a
tile being read by hand one ahead. What is spilt to memory costs more than smaller tiles do, but for
DROS in two halves at D 128, where every shape spills.
"""

from __future__ import annotations

from dataclasses import dataclass

ITEMS_AT_ONCE = 1 << 20  # their halves take a quarter of a GiB at most, D 64
PROGRAMS = 512  # enough to keep every multiprocessor of a large GPU busy to the end
STAGES = 3

# Rows, columns and warps by: two halves, DROS, more than 64 wide.
_FORWARD = {
    (False, False, False): (128, 64, 8),
    (False, False, True): (128, 128, 8),
    (False, True, False): (64, 128, 4),
    (False, True, True): (128, 64, 8),
    (True, False, False): (256, 64, 8),
    (True, False, True): (128, 64, 8),
    (True, True, False): (128, 64, 8),
    (True, True, True): (128, 64, 8),
}
_BACKWARD = {
    (False, False, False): (128, 64, 4),
    (False, False, True): (128, 64, 4),
    (False, True, False): (128, 64, 4),
    (False, True, True): (64, 64, 4),
    (True, False, False): (128, 64, 4),
    (True, False, True): (64, 128, 8),
    (True, True, False): (64, 64, 4),
    (True, True, True): (32, 128, 8),
}


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
    stages: int = STAGES

    @property
    def constants(self) -> dict[str, int]:
        """What a kernel is compiled for."""
        tile = {"ROWS": self.rows, "COLUMNS": self.columns, "HALVES": self.halves}
        return tile | {"num_warps": self.warps, "num_stages": self.stages}

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


def shapes_for(halves: int, size: int, *, has_dro: bool) -> tuple[Shape, Shape]:
    """For the pass over all items, and for the items' gradient.

    Args:
        halves: as in `Shape`.
        size: D.
        has_dro: whether DROS is a term.
    """
    case = (halves == 2, has_dro, size > 64)
    return Shape(halves, *_FORWARD[case]), Shape(halves, *_BACKWARD[case])
