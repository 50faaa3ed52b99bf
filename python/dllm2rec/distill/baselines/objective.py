"""What a baseline puts in the place of the paper's ranking loss."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dllm2rec.config.model import Config
from dllm2rec.distill.baselines import list_losses
from dllm2rec.distill.baselines.list_losses import popularity_groups
from dllm2rec.distill.teacher_lists import TeacherLists

DISCREPANCY = 0.1  # mu of RD and DCD, as RD's authors have it
RANK_TEMPERATURE = 10.0  # lambda of CD and mu of UnKD, in ranks
N_GROUPS = 4  # of popularity, in UnKD

# Of all scores, (B, N), and the lists of the rows: the term of each row, (B,).
ListLoss = Callable[[Tensor, TeacherLists], Tensor]


def list_loss(config: Config, propensity: Tensor) -> ListLoss | None:
    """What learns from the lists in the place of the paper's loss; None for the paper's own.

    Args:
        config: of one ranking weight.
        propensity: the item weights of DROS, (N,).
    """
    method, top_k = config.distillation.ranking_method, config.distillation.top_k

    def rd(scores: Tensor, lists: TeacherLists) -> Tensor:
        temperature = config.distillation.position_temperature
        return list_losses.ranking_distillation_rd(
            scores, _of(lists), temperature=temperature, discrepancy=DISCREPANCY
        )

    def cd(scores: Tensor, lists: TeacherLists) -> Tensor:
        # The teacher's shares of a list; its best item is a positive.
        best = lists.probability.amax(1, keepdim=True)
        labels = lists.probability / best.clamp(min=torch.finfo(best.dtype).tiny)
        return list_losses.collaborative_distillation(
            scores, _of(lists), labels, temperature=RANK_TEMPERATURE
        )

    def rrd(scores: Tensor, lists: TeacherLists) -> Tensor:
        return list_losses.relaxed_ranking(scores, _of(lists), n_others=top_k)

    def dcd(scores: Tensor, lists: TeacherLists) -> Tensor:
        return list_losses.dual_correction(scores, _of(lists), discrepancy=DISCREPANCY)

    if method == "dllm2rec":
        return None
    if method == "unkd":
        return _unkd(propensity)
    return {"rd": rd, "cd": cd, "rrd": rrd, "dcd": dcd}[method]


def _unkd(propensity: Tensor) -> ListLoss:
    group_of = popularity_groups(propensity, N_GROUPS)
    by_group = torch.argsort(group_of, stable=True)
    sizes = torch.bincount(group_of, minlength=N_GROUPS)
    first = sizes.cumsum(0) - sizes

    def unkd(scores: Tensor, lists: TeacherLists) -> Tensor:
        items, kept = _of(lists)
        group = group_of[items]
        # Below 1 in float32 too, so that the place is one of the group's.
        number = (torch.rand(items.shape, device=scores.device) * sizes[group]).long()
        drawn = by_group[first[group] + torch.minimum(number, sizes[group] - 1)]
        return list_losses.unbiased_distillation(
            scores, (items, kept), drawn, group_of, temperature=RANK_TEMPERATURE
        )

    return unkd


def _of(lists: TeacherLists) -> tuple[Tensor, Tensor]:
    return lists.items.long(), lists.kept
