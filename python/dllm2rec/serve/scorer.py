"""A student, its memory and its items, held ready: what scores and lists for item indices."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from dllm2rec import _core
from dllm2rec.data.dataset import Catalogue
from dllm2rec.errors import ArtifactError
from dllm2rec.evaluate.ranking import Lists, fused_top_n
from dllm2rec.runs.checkpoint import Checkpoint
from dllm2rec.serve.known_items import KnownItems
from dllm2rec.students import Student
from dllm2rec.students.pair_memory import ItemBonuses, PairMemory


@dataclass(frozen=True, eq=False)
class Windows:
    """The newest items of some histories.

    Attributes:
        sequences: oldest first, right-padded, uint32 (B, L).
        lengths: how many are real, uint32 (B,).
    """

    sequences: npt.NDArray[np.uint32]
    lengths: npt.NDArray[np.uint32]

    def lists(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32]]:
        """Offsets (B + 1,) into the items of all windows."""
        offsets = np.concatenate([[0], np.cumsum(self.lengths, dtype=np.int64)])
        is_real = np.arange(self.sequences.shape[1]) < self.lengths[:, None]
        return offsets, self.sequences[is_real]


@dataclass(frozen=True, eq=False)
class ItemScorer:
    """What answers; nothing of it ever changes, so that threads may share it.

    Attributes:
        student: in eval mode, on the device that computes.
        catalogue: N items.
        table: vectors of the items of a window, (N + 1, D), the padding's last.
        matrix: what scores the items, (N, D').
        bias: added to their scores, (N,), or None.
        memory: what the student remembers of pairs, or None.
        popularity: how often each item is the target of a train row, (N,); or why it is not known.
    """

    student: Student
    catalogue: Catalogue
    table: Tensor
    matrix: Tensor
    bias: Tensor | None
    memory: PairMemory | None
    popularity: npt.NDArray[np.int64] | ArtifactError

    @classmethod
    def of(
        cls,
        checkpoint: Checkpoint,
        catalogue: Catalogue,
        popularity: npt.NDArray[np.int64] | ArtifactError,
        device: torch.device,
    ) -> ItemScorer:
        """Hold a checkpoint ready on a device."""
        student = checkpoint.student.to(device)
        table = student.embedding.table().detach()
        matrix, bias = student.output_items(None)
        bias = None if bias is None else bias.detach()
        memory = checkpoint.memory
        return cls(student, catalogue, table, matrix.detach(), bias, memory, popularity)

    @property
    def n_items(self) -> int:
        """N."""
        return self.catalogue.n_items

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.matrix.device

    @cached_property
    def directions(self) -> Tensor:
        """The vectors that score, scaled to unit length, (N, D'); a vector of zeros stays so."""
        return F.normalize(self.matrix, dim=1)

    def windows(self, histories: KnownItems) -> Windows:
        """Cut the windows of histories, none of which is empty."""
        begin, end = histories.offsets[:-1], histories.offsets[1:]
        events = np.append(histories.items, np.uint32(0))  # each window has a target behind it
        begin, end = np.ascontiguousarray(begin), np.ascontiguousarray(end)
        length = self.student.max_length
        sequences, lengths, _ = _core.gather_windows(events, begin, end, length, self.n_items)
        return Windows(sequences, lengths)

    @torch.no_grad()
    def users(self, windows: Windows) -> Tensor:
        """Encode windows, (B, D')."""
        sequences = torch.from_numpy(windows.sequences.astype(np.int64)).to(self.device)
        lengths = torch.from_numpy(windows.lengths.astype(np.int64)).to(self.device)
        return self.student.encode(sequences, lengths, self.table)

    @property
    def window_offset(self) -> float:
        """What is added to the scores of a window's items."""
        offset = self.student.window_offset
        return 0.0 if offset is None else float(offset.detach())

    def bonuses(self, windows: Windows) -> ItemBonuses | None:
        """What the memory adds to the scores."""
        return (
            None if self.memory is None else self.memory.bonuses(windows.sequences, windows.lengths)
        )

    def top_n(
        self, histories: KnownItems, k: int, *, exclude_seen: bool, bias: Tensor | None
    ) -> Lists:
        """List for histories, none of which is empty.

        Args:
            histories: B of them.
            k: places of a list, in 1..N.
            exclude_seen: leave out every item of the history.
            bias: `self.bias`, or what `masked` made of it.

        Returns:
            Items uint32 (B, k) and scores float32 (B, k); missing places hold N and -inf.
        """
        windows = self.windows(histories)
        if exclude_seen:
            listed, offset = (histories.offsets, histories.items), -math.inf
        else:
            listed, offset = windows.lists(), self.window_offset
        return fused_top_n(
            self.users(windows),
            self.matrix,
            k,
            bias=bias,
            window=listed,
            window_offset=offset,
            bonuses=self.bonuses(windows),
        )

    def masked(self, shown: npt.NDArray[np.bool_] | None) -> Tensor | None:
        """The bias that keeps all items but those shown out of every list; None shows all."""
        if shown is None:
            return self.bias
        hidden = torch.from_numpy(~shown).to(self.device)
        bias = self.matrix.new_zeros(self.n_items) if self.bias is None else self.bias
        return bias.masked_fill(hidden, -math.inf)

    def popular(self, k: int, shown: npt.NDArray[np.bool_] | None) -> Lists:
        """One list of what is most often a train target, equal ones by index: (1, k) each.

        Raises:
            ArtifactError: it is not known.
        """
        if isinstance(self.popularity, ArtifactError):
            raise self.popularity
        order = np.argsort(-self.popularity, kind="stable")
        if shown is not None:
            order = order[shown[order]]
        items = np.full((1, k), self.n_items, dtype=np.uint32)
        scores = np.full((1, k), -math.inf, dtype=np.float32)
        best = order[:k]
        items[0, : len(best)] = best
        scores[0, : len(best)] = self.popularity[best]
        return items, scores

    def similar(self, items: npt.NDArray[np.uint32], k: int) -> Lists:
        """List the items of the nearest direction for each of some items, which is left out."""
        offsets = np.arange(len(items) + 1)
        rows = torch.from_numpy(items.astype(np.int64)).to(self.device)
        return fused_top_n(
            self.directions[rows],
            self.directions,
            k,
            window=(offsets, items),
            window_offset=-math.inf,
        )

    @torch.no_grad()
    def pair_scores(self, histories: KnownItems, asked: KnownItems) -> npt.NDArray[np.float32]:
        """Score the items asked for each history, none of which is empty, one after the other."""
        windows = self.windows(histories)
        row = np.repeat(np.arange(len(windows.lengths)), np.diff(asked.offsets))
        items = torch.from_numpy(asked.items.astype(np.int64)).to(self.device)
        users = self.users(windows)[torch.from_numpy(row).to(self.device)]
        scores = torch.linalg.vecdot(users, self.matrix[items])
        if self.bias is not None:
            scores = scores + self.bias[items]
        found = scores.cpu().numpy()
        # Pairs (row, item) as one number each, so that one search finds what moves them.
        pairs = row * self.n_items + asked.items
        offsets, listed = windows.lists()
        in_window = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets)) * self.n_items + listed
        found = found + np.float32(self.window_offset) * np.isin(pairs, in_window)
        bonuses = self.bonuses(windows)
        if bonuses is not None and len(bonuses.items):
            of_row = np.repeat(np.arange(len(bonuses.offsets) - 1), np.diff(bonuses.offsets))
            with_bonus = of_row * self.n_items + bonuses.items
            place = np.searchsorted(with_bonus, pairs).clip(max=len(with_bonus) - 1)
            found = found + np.where(with_bonus[place] == pairs, bonuses.values[place], 0)
        added: npt.NDArray[np.float32] = found.astype(np.float32)
        return added
