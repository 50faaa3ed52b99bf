"""What a trained student lists for each row of a split."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from dllm2rec.data.device_rows import DeviceRows
from dllm2rec.evaluate.evaluate_split import BLOCK_ROWS, SplitLists, encode_block, evaluating
from dllm2rec.evaluate.ranking import fused_top_n
from dllm2rec.students import Student
from dllm2rec.students.memory.device_memory import memory_on
from dllm2rec.students.memory.pair_memory import PairMemory


@torch.no_grad()
def student_lists(
    student: Student,
    rows: DeviceRows,
    k: int,
    *,
    memory: PairMemory | None = None,
    exclude_seen: bool = False,
) -> npt.NDArray[np.uint32]:
    """List the best k items for each row.

    Args:
        student: on the device of `rows`; it is put into eval mode and back.
        rows: R rows.
        k: places of a list, in 1..N.
        memory: what the student remembers of pairs.
        exclude_seen: leave the items of each row's history out, but for a target that repeats it:
            the lists are those that the ranks are of.

    Returns:
        Items, best first, (R, k).
    """
    lists = SplitLists(rows, exclude_seen=exclude_seen)
    found = np.empty((len(rows), k), np.uint32)
    remembered = None if memory is None else memory_on(rows.end.device, memory)
    with evaluating(student):
        table = student.item_table()
        for number, block in enumerate(torch.split(torch.arange(len(rows)), BLOCK_ROWS)):
            encoded = encode_block(student, table, lists, number, [block])
            bonuses = None if remembered is None else encoded.bonuses(remembered)
            items, _ = fused_top_n(
                encoded.users,
                encoded.items,
                k,
                bias=encoded.bias,
                window=encoded.listed,
                window_offset=encoded.offset,
                bonuses=bonuses,
            )
            found[block.numpy()] = items
    return found
