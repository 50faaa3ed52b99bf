"""Which item comes next, from the vectors of titles: a linear model between frozen vectors.

A history is asked as one vector q, an item answers as one vector z, both of length 1:

    q = unit(A x + B sum_k decay**k y_k)    x the vector of the newest item, y_k of the k-th before
    z = unit(C v)                           v the vector of the item's title

and the score of an item is `scale * q.z`. A, B, C (E, E) begin as the identity, so that the
untrained model is the mean of the last items; they are trained by a softmax over the targets of the
batch and items drawn uniformly, each corrected by how often it is drawn. The encoder stays as it
is: one pass over the titles, and then a minute of products on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from dllm2rec.data.dataset import Windows

BATCH = 1024
DRAWN = 2048  # items per step, beside the targets of the batch
DECAY = 0.6
SCALE = 20.0  # a distance of .05, the temperature of students' lists, is one unit of score
LEARNING_RATE = 1e-3


@dataclass(frozen=True, eq=False)
class NextItem:
    """A fitted model.

    Attributes:
        newest: A, float32 (E, E).
        older: B, float32 (E, E).
        item: C, float32 (E, E).
        vectors: of all titles, float32 (N + 1, E); the last row is that of the padding, zeros.
    """

    newest: Tensor
    older: Tensor
    item: Tensor
    vectors: Tensor

    @classmethod
    def untrained(cls, vectors: npt.NDArray[np.float32], device: str) -> NextItem:
        """The mean of the last items, weighted by their age."""
        table = F.pad(torch.from_numpy(vectors).to(device), (0, 0, 0, 1))
        eye = torch.eye(vectors.shape[1], device=device)
        return cls(eye.clone(), eye.clone(), eye.clone(), table)

    def queries(self, newest_first: Tensor) -> Tensor:
        """Ask for histories: items, newest first, N behind the oldest, (B, L) -> (B, E)."""
        found = self.vectors[newest_first]
        ages = DECAY ** torch.arange(1, found.shape[1], device=found.device)
        older = (found[:, 1:] * ages[:, None]).sum(1)
        return F.normalize(found[:, 0] @ self.newest + older @ self.older, dim=1)

    def items(self, chosen: Tensor | None = None) -> Tensor:
        """Answer for some items, by default all: (N, E)."""
        vectors = self.vectors[:-1] if chosen is None else self.vectors[chosen]
        return F.normalize(vectors @ self.item, dim=1)

    def copied(self) -> NextItem:
        """The same numbers, which further training does not change."""
        newest, older, item = (one.detach().clone() for one in (self.newest, self.older, self.item))
        return NextItem(newest, older, item, self.vectors)


def newest_first(windows: Windows, n_items: int) -> npt.NDArray[np.int64]:
    """Turn windows round: (B, L), n_items behind the oldest item."""
    ages = np.arange(windows.sequences.shape[1])
    place = windows.lengths[:, None].astype(np.int64) - 1 - ages
    turned = np.take_along_axis(windows.sequences, np.maximum(place, 0), axis=1)
    return np.where(place >= 0, turned, n_items).astype(np.int64)


def trained_epochs(
    model: NextItem,
    histories: npt.NDArray[np.int64],
    targets: npt.NDArray[np.uint32],
    *,
    seed: int,
    report: Callable[[int, int], None] | None = None,
) -> Iterator[NextItem]:
    """Train without end, and give the model after each epoch; what is given stays as it is.

    Args:
        model: where to begin; it is not changed.
        histories: of the rows, as `newest_first` gives them, (R, L).
        targets: (R,).
        seed: of the order of the rows and of the items drawn.
        report: told how many rows of the epoch are done, and of how many.
    """
    work = model.copied()
    device, n_items = work.vectors.device, len(work.vectors) - 1
    maps = [work.newest, work.older, work.item]
    for one in maps:
        one.requires_grad_()
    optimizer = torch.optim.Adam(maps, lr=LEARNING_RATE)
    rows, wanted = torch.from_numpy(histories), torch.from_numpy(targets.astype(np.int64))
    share = torch.bincount(wanted, minlength=n_items).float() / max(1, len(wanted))
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(rows), generator=generator)
        for done, batch in enumerate(torch.split(order, BATCH), start=1):
            drawn = torch.randint(0, n_items, (DRAWN,), generator=generator)
            candidates = torch.cat([wanted[batch], drawn])
            # How often an item is among the candidates, on average.
            expected = len(batch) * share[candidates] + DRAWN / n_items
            twice = candidates == wanted[batch][:, None]
            twice[torch.arange(len(batch)), torch.arange(len(batch))] = False
            scores = (
                SCALE * work.queries(rows[batch].to(device)) @ (work.items(candidates.to(device)).T)
            )
            scores = scores - expected.log().to(device)
            scores = scores.masked_fill(twice.to(device), -torch.inf)
            loss = F.cross_entropy(scores, torch.arange(len(batch), device=device))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if report is not None:
                report(min(done * BATCH, len(rows)), len(rows))
        yield work.copied()
