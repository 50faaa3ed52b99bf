"""A student whose items lie in several processes: each holds a range of the table's rows.

The encoder is whole in all. `shard` cuts a student, `whole_student` and `whole_tensors` put its
parts together in the first process, `own_tensors` cuts what a saved state holds.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dllm2rec.errors import ConfigError
from dllm2rec.runtime.distributed import gathered, rank, rows_to_first, size
from dllm2rec.students.embedding import ItemEmbedding
from dllm2rec.students.student import Student

TABLE, BIAS = "embedding.ids.weight", "bias"
OF_EACH = ("exp_avg", "exp_avg_sq", "average")  # what the optimizer's state has of each weight


class ShardedEmbedding(ItemEmbedding):
    """The vectors of this process's items; those of others are looked up where they are.

    Args:
        whole: the table of all items, without a teacher's vectors.

    Attributes:
        own: the items of this process.
    """

    def __init__(self, whole: ItemEmbedding) -> None:
        rows = whole.ids.weight
        super().__init__(1, rows.shape[1], None, 0.0, None)
        self.n_items = whole.n_items
        self.own = own_items(whole.n_items)
        self.ids.weight = nn.Parameter(rows.detach()[self.own].clone())

    def forward(self, sequences: Tensor, table: Tensor | None) -> Tensor:
        """As `ItemEmbedding`, without a table of the same places in all processes; no gradient."""
        if table is not None:
            return super().forward(sequences, table)
        return look_up(self.ids.weight, sequences, self.own)


def own_items(n_items: int) -> slice:
    """This process's range of the items: as many in each, but for one."""
    return slice(rank() * n_items // size(), (rank() + 1) * n_items // size())


@torch.no_grad()
def look_up(rows: Tensor, items: Tensor, own: slice) -> Tensor:
    """Fetch rows of the table from the processes that hold them, exactly as they are.

    Args:
        rows: this process's, (n_own, ...).
        items: any shape, the same in all processes; an item that nobody holds, such as the padding,
            gives zeros.
        own: which items the rows are.

    Returns:
        Of each item its row, in all processes.
    """
    is_own, places = own_places(items, own)
    found = F.embedding(places, rows.detach().reshape(len(rows), -1))
    found = found.masked_fill(~is_own.unsqueeze(-1), 0).reshape(*items.shape, *rows.shape[1:])
    return gathered(found, "looking up items")


def own_places(items: Tensor, own: slice) -> tuple[Tensor, Tensor]:
    """Which items this process holds, and in which row each; any row for the others."""
    is_own = (items >= own.start) & (items < own.stop)
    return is_own, (items - own.start).masked_fill(~is_own, 0)


def shard(student: Student) -> Student:
    """Keep this process's rows of the student's table and bias, and let go of the others.

    Raises:
        ConfigError: there are fewer than two processes, or fewer items than processes.
    """
    if size() < 2 or student.n_items < size():
        raise too_few(student.n_items)
    student.embedding = ShardedEmbedding(student.embedding)
    if student.bias is not None:
        own = own_items(student.n_items)
        student.bias = nn.Parameter(student.bias.detach()[own].clone())
    return student


def too_few(n_items: int) -> ConfigError:
    """The error of a table that cannot be shared out."""
    return ConfigError(
        f"train.shard_items = true in {size()} processes with {n_items} items, expected two "
        "processes or more and an item for each; start under torchrun, or set "
        "train.shard_items = false"
    )


def is_sharded(student: Student) -> bool:
    """Whether this process holds a part of the student's items alone."""
    return isinstance(student.embedding, ShardedEmbedding)


def replicated(student: Student) -> list[Tensor]:
    """The weights that all processes hold."""
    parts = {TABLE, BIAS} if is_sharded(student) else set()
    return [weight for name, weight in student.named_parameters() if name not in parts]


def whole_student(student: Student) -> Student | None:
    """Put a sharded student together on the CPU of the first process; all processes call it.

    Returns:
        The student, what it was where it is not sharded; None in processes other than the first.
    """
    if not is_sharded(student):
        return student
    tensors = whole_tensors(student, dict(student.state_dict()), prefix="")
    if rank() > 0:
        return None
    whole = copy.deepcopy(student, {id(student.embedding): None}).cpu()
    whole.embedding = ItemEmbedding(1, student.embedding.ids.embedding_dim, None, 0.0, None)
    whole.embedding.n_items = student.n_items
    n_rows, width = tensors[TABLE].shape
    whole.embedding.ids = nn.Embedding(n_rows, width, student.n_items, _weight=tensors[TABLE])
    if whole.bias is not None:
        whole.bias = nn.Parameter(tensors[BIAS])
    return whole


def whole_tensors(
    student: Student, tensors: dict[str, Tensor], prefix: str = "student."
) -> dict[str, Tensor]:
    """Put the tensors of a training together in the first process, as one process has them.

    All processes call it. Those other than the first get empty tensors for what is in parts.
    """
    parts = _in_parts(student, prefix)
    return {
        name: _whole(tensor, student.n_items, padded=parts[name]) if name in parts else tensor
        for name, tensor in tensors.items()
    }


def own_tensors(student: Student, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Cut what `whole_tensors` gave: this process's part of each."""
    own, parts = own_items(student.n_items), _in_parts(student, "student.")
    return {name: part[own] if name in parts else part for name, part in tensors.items()}


def _in_parts(student: Student, prefix: str) -> dict[str, bool]:
    """The names of the tensors that are in parts, and whether the padding has a row in each."""
    if not is_sharded(student):
        return {}
    names = [name for name, _ in student.named_parameters()]
    found: dict[str, bool] = {}
    for name in {TABLE, BIAS}.intersection(names):
        number = names.index(name)
        of_optimizer = (f"optimizer.{number}.{kind}" for kind in OF_EACH)
        found |= dict.fromkeys([f"{prefix}{name}", *of_optimizer], name == TABLE)
    return found


def _whole(own_rows: Tensor, n_items: int, *, padded: bool) -> Tensor:
    rows = rows_to_first(own_rows.detach(), n_items + padded, n_items)
    return rows if rank() == 0 else own_rows.new_empty(0)
