"""Embedding distillation as other papers do it: the student's item vectors tell the teacher's.

Unlike the paper's projector these add nothing to the item vectors: they are one more term of the
loss, for the target item of each row, and are dropped when the student is folded.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

N_GROUPS = 8  # of items, in HTD
TOPOLOGY_SHARE = 0.5  # of the topology in HTD; the rest is the assignment to groups


class Hint(nn.Module):
    """Hint: a learned layer makes the teacher's vector of an item from the student's.

    Adriana Romero and others, "FitNets: Hints for Thin Deep Nets", ICLR 2015: 1/2 |W b + c - z|^2,
    z of unit length here.

    Args:
        teacher: z, (N, E).
        size: width of the student's vectors.
    """

    teacher: Tensor

    def __init__(self, teacher: Tensor, size: int) -> None:
        super().__init__()
        self.regressor = nn.Linear(size, teacher.shape[1])
        self.register_buffer("teacher", teacher, persistent=False)

    def forward(self, vectors: Tensor, items: Tensor) -> Tensor:
        """The loss of each row.

        Args:
            vectors: the student's of the items, (B, D).
            items: (B,).
        """
        made: Tensor = self.regressor(vectors)
        return (made - F.embedding(items, self.teacher)).square().sum(1) / 2


class TopologyHint(nn.Module):
    """HTD: the student's items are alike as the teacher's are, coarsely and within each group.

    SeongKu Kang, Junyoung Hwang, Wonbin Kweon and Hwanjo Yu, "Topology Distillation for Recommender
    System", KDD 2021. A layer assigns each item to one of G groups by its teacher's vector; the
    groups' own layers make the teacher's vector from the student's (the assignment's loss,
    |sum_g z_g f_g(b) - t|^2). The topology of the batch's items is their cosines with the mean of
    each group, and with the items of their own group: mean squared differences between student and
    teacher of both. The paper draws assignments (Gumbel softmax); here the likeliest one is taken,
    with the gradient of the softmax.

    Args:
        teacher: t, (N, E), of unit length.
        size: width D of the student's vectors.
    """

    teacher: Tensor

    def __init__(self, teacher: Tensor, size: int) -> None:
        super().__init__()
        width = teacher.shape[1]
        self.groups = nn.Linear(width, N_GROUPS)
        self.experts = nn.Linear(size, N_GROUPS * width)
        self.register_buffer("teacher", teacher, persistent=False)

    def forward(self, vectors: Tensor, items: Tensor) -> Tensor:
        """The loss of each row, which depends on the other rows of the batch.

        Args:
            vectors: the student's of the items, (B, D).
            items: (B,).
        """
        teacher = F.embedding(items, self.teacher)
        assigned = self.assigned(teacher)
        topology = group_topology(vectors, teacher, assigned)
        made: Tensor = self.experts(vectors).view(len(vectors), N_GROUPS, -1)
        told = (made * assigned.unsqueeze(2)).sum(1)
        assignment = (told - teacher).square().sum(1)
        return TOPOLOGY_SHARE * topology + (1 - TOPOLOGY_SHARE) * assignment

    def assigned(self, teacher: Tensor) -> Tensor:
        """The group of each item as 0 and 1, with the softmax's gradient, (B, G)."""
        logits: Tensor = self.groups(teacher)
        soft = logits.softmax(1)
        hard = F.one_hot(soft.argmax(1), N_GROUPS).to(soft.dtype)
        taken: Tensor = hard + soft - soft.detach()
        return taken


def group_topology(student: Tensor, teacher: Tensor, assigned: Tensor) -> Tensor:
    """Squared differences of cosines: with each group's mean, and within the own group, (B,).

    Args:
        student: (B, D).
        teacher: (B, E).
        assigned: the group of each row as 0 and 1, (B, G).
    """
    sizes = assigned.detach().sum(0)
    there = (sizes > 0).to(assigned.dtype)
    to_means, to_items = [], []
    for vectors in (student, teacher):
        means = (assigned.T @ vectors) / sizes.clamp(min=1).unsqueeze(1)
        unit = F.normalize(vectors, dim=1)
        to_means.append(unit @ F.normalize(means, dim=1).T * there)
        to_items.append(unit @ unit.T)
    coarse = (to_means[0] - to_means[1]).square().sum(1) / there.sum().clamp(min=1)
    together = assigned @ assigned.T
    fine = ((to_items[0] - to_items[1]).square() * together).sum(1)
    return coarse + fine / together.detach().sum(1).clamp(min=1)


def embedding_loss(method: str, vectors: Tensor, size: int, seed_std: float) -> Hint | TopologyHint:
    """What learns with the student from the teacher's vectors.

    Args:
        method: "hint" or "htd".
        vectors: the teacher's, (N, E).
        size: width of the student's item vectors.
        seed_std: deviation of the layers' first weights, drawn from torch's global generator.
    """
    teacher = F.normalize(vectors.detach().float(), dim=1)
    loss = Hint(teacher, size) if method == "hint" else TopologyHint(teacher, size)
    for layer in loss.children():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=seed_std)
            nn.init.zeros_(layer.bias)
    return loss


def loss_of_targets(loss: nn.Module, ids: nn.Embedding, targets: Tensor) -> Tensor:
    """The loss of each row's target, by the student's own vectors, (B,)."""
    found: Tensor = loss(F.embedding(targets, ids.weight), targets)
    return found
