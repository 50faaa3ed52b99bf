"""The student: item vectors, a sequence encoder, and scores over all items."""

from __future__ import annotations

import copy
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dllm2rec.config.model import StudentConfig
from dllm2rec.data.device_rows import PassWindows
from dllm2rec.errors import InputError
from dllm2rec.students.authors_sasrec import AuthorsSASRec
from dllm2rec.students.caser import Caser
from dllm2rec.students.embedding import ItemEmbedding
from dllm2rec.students.gru4rec import GRU4Rec
from dllm2rec.students.sasrec import SASRec
from dllm2rec.students.text_projection import TextProjection
from dllm2rec.students.window_offset import (
    add_window_offset_,
    keep_real,
    newest_last,
    read_lengths,
)

Encoder = GRU4Rec | Caser | SASRec | AuthorsSASRec
Sides = Literal["input", "both"]


class Student(nn.Module):
    """A small sequential recommender; the three differ in `encoder` alone.

    A training step projects the table once and shares it between both sides:

        table = student.item_table()
        users = student.encode(sequences, lengths, table)
        matrix, bias = student.output_items(table)

    None of the three waits for the device or has a shape that depends on data.

    Args:
        embedding: vectors of the items in the window.
        encoder: window of vectors -> user.
        config: what it was built from.
        sides: with a teacher, whether its vectors also score items ("both") or not ("input").
        max_length: L.

    Attributes:
        window_offset: what is added to the scores of the window's items, () or None.
        embedding_loss: what learns from the teacher's vectors by a term of the loss, while the
            student is trained; or None.
        kept_projection: of a folded student, what projected the teacher's vectors; else None.
    """

    def __init__(
        self,
        embedding: ItemEmbedding,
        encoder: Encoder,
        config: StudentConfig,
        sides: Sides,
        max_length: int,
    ) -> None:
        super().__init__()
        self.config = config
        self.sides = sides
        self.n_items = embedding.n_items
        self.max_length = max_length
        self.embedding = embedding
        self.encoder = encoder
        size, width = config.hidden_size, encoder.width
        is_narrowed = config.tied and width != size  # Caser's 112 meet a table of 64
        self.bridge = nn.Linear(width, size) if is_narrowed else None
        self.output = None if config.tied else nn.Linear(width, self.n_items)
        has_bias = config.tied and config.output_bias
        self.bias = nn.Parameter(torch.zeros(self.n_items)) if has_bias else None
        self.window_offset = nn.Parameter(torch.zeros(())) if config.window_offset else None
        self.kept_projection: TextProjection | None = None
        self.embedding_loss: nn.Module | None = None

    @property
    def ties_table(self) -> bool:
        """Whether one table embeds the window's items and scores all, the teacher's part included.

        Otherwise an output layer scores, or the table without the teacher's part.
        """
        with_teacher = self.embedding.projector is not None
        return self.output is None and (self.sides == "both" or not with_teacher)

    def text_projection(self) -> TextProjection | None:
        """What an item that training never saw is scored by; None where text does not score.

        That is without a teacher's vectors, and where they are on the input side alone.
        """
        projector = self.embedding.projector
        if projector is None or not self.ties_table:
            return self.kept_projection
        weight = np.array(self.embedding.weight, np.float32)
        matrix, shift = _arrays(projector)
        hidden = self.embedding.hidden
        if hidden is None:
            return TextProjection(matrix, shift, weight)
        return TextProjection(matrix, shift, weight, *_arrays(hidden))

    def item_table(self) -> Tensor | None:
        """All item vectors with the teacher's part, (N + 1, D); None where no step needs them all.

        That is without a teacher, and where an output layer scores, which sees no teacher.
        """
        if self.embedding.projector is None or self.output is not None:
            return None
        return self.embedding.table()

    def encode(self, sequences: Tensor, lengths: Tensor, table: Tensor | None) -> Tensor:
        """Turn windows into users.

        Args:
            sequences: items, oldest first, right-padded, (B, L) int64; places from the row's length
                on are ignored.
            lengths: how many are real, (B,) int64 in 0..L. A row without items is read as one
                padding item: finite, and the same for all such rows.
            table: what `item_table()` gave, or that of other items, (any number + 1, D): its last
                row is the padding's.

        Returns:
            Users, (B, D'), D' being the width of `output_items`.

        Raises:
            InputError: the windows are not L wide.
        """
        if sequences.ndim != 2 or sequences.shape[1] != self.max_length:
            raise InputError(
                f"sequences {tuple(sequences.shape)}, expected (rows, {self.max_length}); "
                f"pad or cut the windows to the student's max_length"
            )
        place = newest_last if self.encoder.reads_newest_last else keep_real
        padding = self.n_items if table is None else len(table) - 1
        windows = place(sequences, lengths, padding)
        users: Tensor = self.encoder(self.embedding(windows, table), lengths)
        return users if self.bridge is None else self.bridge(users)

    def encode_places(self, windows: PassWindows, table: Tensor | None) -> Tensor:
        """Turn the histories up to some places of windows into users, in one pass over each window.

        Args:
            windows: P windows, and the place that each of B rows reads.
            table: as of `encode`.

        Returns:
            Users, (B, D'), as `encode` gives them of the window's items up to that place.
        """
        encoder = self.encoder
        assert isinstance(encoder, SASRec | GRU4Rec)  # noqa: S101 - the configuration says so
        place = newest_last if encoder.reads_newest_last else keep_real
        padding = self.n_items if table is None else len(table) - 1
        items = place(windows.sequences, windows.lengths, padding)
        hidden = encoder.places(self.embedding(items, table), windows.lengths)
        length = hidden.shape[1]
        ends = read_lengths(windows.lengths)[windows.own]
        if encoder.reads_newest_last:
            ends = torch.full_like(ends, length)
        index = windows.own * length + (ends - 1 - windows.age).clamp(min=0)
        # Of F.embedding the backward pass is deterministic on CUDA.
        users = F.embedding(index, hidden.flatten(0, 1))
        return users if self.bridge is None else self.bridge(users)

    def output_items(self, table: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """What scores the items: scores = users @ matrix.T + bias, before the window offset.

        Args:
            table: what `item_table()` gave.

        Returns:
            The matrix (N, D') and the bias (N,) or None.
        """
        if self.output is not None:
            return self.output.weight, self.output.bias
        rows = table if table is not None and self.ties_table else self.embedding.id_rows()
        return rows[: self.n_items], self.bias

    def forward(self, sequences: Tensor, lengths: Tensor) -> Tensor:
        """Score all items after each window: (B, L), (B,) -> (B, N), window offset included."""
        table = self.item_table()
        users = self.encode(sequences, lengths, table)
        matrix, bias = self.output_items(table)
        scores = F.linear(users, matrix, bias)
        if self.window_offset is None:
            return scores
        windows = keep_real(sequences, lengths, self.n_items)
        return add_window_offset_(scores, windows, self.window_offset)

    @torch.no_grad()
    def fold(self) -> Student:
        """Copy the student without the teacher: same scores, its vectors folded into the table.

        A tied student with the teacher on the input side becomes an untied one: its two sides are
        two tables from then on. `config` of the copy says so, and `build_student` on it, without
        teacher embeddings, gives a student that loads the copy's state dict.
        """
        # A memo of None leaves these out of the copy instead of holding them twice for a moment.
        frozen = (self.embedding.teacher, self.embedding.known, self.embedding_loss)
        folded = copy.deepcopy(self, {id(part): None for part in frozen if part is not None})
        if self.output is None and not self.ties_table:
            _untie(folded, *self.output_items(None))
        folded.kept_projection = self.text_projection()
        folded.embedding.projector, folded.embedding.hidden = None, None
        folded.embedding_loss = None
        folded.embedding.ids.weight.copy_(self.embedding.table())
        return folded


def _arrays(layer: nn.Linear) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The matrix and the shift of a linear layer."""
    parts = (part.detach().cpu().numpy() for part in (layer.weight, layer.bias))
    matrix, shift = (np.ascontiguousarray(part, dtype=np.float32) for part in parts)
    return matrix, shift


def _untie(student: Student, matrix: Tensor, bias: Tensor | None) -> None:
    """Make the student score by `matrix` and `bias` of its own, its bridge multiplied in."""
    bias = matrix.new_zeros(student.n_items) if bias is None else bias
    if student.bridge is not None:
        bias = bias + matrix @ student.bridge.bias
        matrix = matrix @ student.bridge.weight
    # On "meta" first: fresh weights would draw from the generator that dropout uses.
    output = nn.Linear(matrix.shape[1], student.n_items, device="meta", dtype=matrix.dtype)
    output.weight, output.bias = nn.Parameter(matrix.clone()), nn.Parameter(bias.clone())
    student.output, student.bridge, student.bias = output, None, None
    student.config = student.config.model_copy(update={"tied": False})
