"""A student of a checkpoint, run by torch on the CPU or on a GPU."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dllm2rec.evaluate.ranking import fused_top_n
from dllm2rec.serve.encoder import FloatMatrix, ItemVectors, ListedItems, Lists, Windows, host_top_n
from dllm2rec.students import Student
from dllm2rec.students.memory.pair_memory import ItemBonuses


@dataclass(frozen=True, eq=False)
class TorchEncoder:
    """The student, and its items on the device that computes.

    Attributes:
        student: folded, in eval mode, on that device.
        items: in this machine's memory; on the CPU the tensors are the same memory.
        table: (N + 1, D).
        matrix: (N, D').
    """

    student: Student
    items: ItemVectors
    table: Tensor
    matrix: Tensor

    @classmethod
    def of(cls, student: Student, device: torch.device) -> TorchEncoder:
        """Hold a folded student ready on a device."""
        table = student.embedding.table().detach()
        matrix, bias = student.output_items(None)
        output = None if student.output is None else matrix.detach().numpy()
        items = ItemVectors(table.numpy(), output, None if bias is None else bias.detach().numpy())
        student = student.to(device)
        table = table.to(device)
        matrix = table[:-1] if output is None else matrix.detach().to(device)
        return cls(student, items, table, matrix)

    @property
    def max_length(self) -> int:
        """L, the width of the windows."""
        return self.student.max_length

    @property
    def place(self) -> str:
        """The device."""
        return str(self.matrix.device)

    def over(self, items: ItemVectors) -> TorchEncoder:
        """The same network over other items."""
        device = self.matrix.device
        table = torch.from_numpy(items.table).to(device)
        matrix = table[:-1] if items.output is None else torch.from_numpy(items.output).to(device)
        return replace(self, items=items, table=table, matrix=matrix)

    @torch.no_grad()
    def users(self, windows: Windows) -> FloatMatrix:
        """Encode windows, (B, D')."""
        device = self.matrix.device
        sequences = torch.from_numpy(windows.sequences.astype(np.int64)).to(device)
        lengths = torch.from_numpy(windows.lengths.astype(np.int64)).to(device)
        users: FloatMatrix = self.student.encode(sequences, lengths, self.table).cpu().numpy()
        return users

    def top_n(
        self,
        users: FloatMatrix,
        k: int,
        bias: npt.NDArray[np.float32] | None,
        window: tuple[ListedItems, float],
        bonuses: ItemBonuses | None,
    ) -> Lists:
        """List the best items, where their vectors are."""
        if self.matrix.device.type == "cpu":
            codes = self.items.codes_for(len(users))
            return host_top_n(users, self.items.matrix, k, bias, window, bonuses, codes)
        listed, offset = window
        return fused_top_n(
            torch.from_numpy(users).to(self.matrix.device),
            self.matrix,
            k,
            bias=bias,
            window=listed,
            window_offset=offset,
            bonuses=bonuses,
        )
