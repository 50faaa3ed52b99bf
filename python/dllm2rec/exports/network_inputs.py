"""What an exported network is asked with, whichever runtime it is asked by."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dllm2rec.exports.files import ITEM_TABLE, LENGTHS, SEQUENCES
from dllm2rec.serve.encoder import ItemVectors, Windows


def network_inputs(windows: Windows, items: ItemVectors) -> dict[str, npt.NDArray[Any]]:
    """The inputs by name: windows as int64, and the table that they are read with, not copied."""
    return {
        SEQUENCES: windows.sequences.astype(np.int64),
        LENGTHS: windows.lengths.astype(np.int64),
        ITEM_TABLE: items.table,
    }
