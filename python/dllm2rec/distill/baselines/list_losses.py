"""Ranking distillation as other papers do it: pure functions of the student's scores, (B,) each.

Common arguments: `scores`, the student's of all items, (B, N); `items`, the teacher's lists, best
first, (B, K) int64; `kept`, 1 where a place holds an item, (B, K). Weights are made of scores
without a gradient. Where a paper draws items at random by some probability, the expected sum over
the items stands here: the same on average, without its noise and the same for every seed.
UnKD alone draws, one item of the same popularity for each place.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dllm2rec.distill.losses import softplus

Lists = tuple[Tensor, Tensor]  # items and kept
_TINY = 1e-12


def ranking_distillation_rd(
    scores: Tensor, lists: Lists, *, temperature: float, discrepancy: float
) -> Tensor:
    """RD: listed items are positives, those more that the student ranks too low.

    Jiaxi Tang and Ke Wang, "Ranking Distillation: Learning Compact Ranking Models With High
    Performance for Recommender System", KDD 2018: -sum_r w_r log sigmoid(s_r) with
    w_r = a_r b_r / sum_i a_i b_i, a_r proportional to exp(-r / lambda) by the place r = 1..K, and
    b_r = tanh(max(mu (rank_r - r), 0)) by the student's rank of the item. Ranks are counted over
    all items; the paper estimates them from a sample.

    Args:
        scores: (B, N).
        lists: items and kept.
        temperature: lambda.
        discrepancy: mu.
    """
    items, kept = lists
    place = _places(kept)
    static = torch.exp(-place / temperature) * kept
    dynamic = _below(student_ranks(scores, items), place, discrepancy)
    weight = static * dynamic
    weight = weight / weight.sum(1, keepdim=True).clamp(min=_TINY)
    return (weight * softplus(-scores.gather(1, items))).sum(1)


def collaborative_distillation(
    scores: Tensor, lists: Lists, labels: Tensor, *, temperature: float
) -> Tensor:
    """CD: soft labels for items that rank high with the teacher, and for those that do with it.

    Jae-woong Lee, Minjin Choi, Jongwuk Lee and Hyunjung Shim, "Collaborative Distillation for
    Top-N Recommendation", ICDM 2019: -[q log sigmoid(s) + (1 - q) log(1 - sigmoid(s))] of items
    drawn with a probability proportional to exp(-rank / lambda), by the teacher's ranks
    (teacher-guided) or the student's (student-guided). Here half of each, over the first K ranks;
    of an item that the teacher does not list q = 0.

    Args:
        scores: (B, N).
        lists: items and kept.
        labels: q, the teacher's, 0..1, (B, K); 0 where a place holds no item.
        temperature: lambda.
    """
    items, kept = lists
    by_teacher = _rank_shares(_places(kept), kept, temperature)
    guided = (by_teacher * _soft_bce(scores.gather(1, items), labels)).sum(1)
    own = scores.detach().topk(items.shape[1], dim=1).indices
    same = (own.unsqueeze(2) == items.unsqueeze(1)) & (kept > 0).unsqueeze(1)  # (B, K, K)
    own_labels = (same * labels.unsqueeze(1)).sum(2)
    everywhere = torch.ones_like(kept)
    by_student = _rank_shares(_places(everywhere), everywhere, temperature)
    has_list = kept.amax(1)
    own_part = (by_student * _soft_bce(scores.gather(1, own), own_labels)).sum(1) * has_list
    return (guided + own_part) / 2


def relaxed_ranking(scores: Tensor, lists: Lists, *, n_others: int) -> Tensor:
    """RRD: the list's order (Plackett-Luce), above L uninteresting items of no order.

    SeongKu Kang, Junyoung Hwang, Wonbin Kweon and Hwanjo Yu, "DE-RRD: A Knowledge Distillation
    Framework for Recommender System", CIKM 2020: -sum_k [s_k - log(sum_{i >= k} exp s_i +
    sum_{j in U} exp s_j)], U being L items that are not listed. In place of L drawn ones stands
    their expected sum, L / (N - listed) times that of all unlisted items.

    Args:
        scores: (B, N).
        lists: items and kept.
        n_others: L.
    """
    items, kept = lists
    n_items = scores.shape[1]
    n_unlisted = (n_items - kept.sum(1)).clamp(min=1)
    others = _unlisted(scores, items, kept).logsumexp(1) + torch.log(n_others / n_unlisted)
    return _plackett_luce(scores.gather(1, items), kept, kept, others)


def dual_correction(scores: Tensor, lists: Lists, *, discrepancy: float) -> Tensor:
    """DCD: items that the student ranks too low, in order, above those that it ranks too high.

    Youngjune Lee and Kee-Eung Kim, "Dual Correction Strategy for Ranking Distillation in Top-N
    Recommender System", CIKM 2021: of the listed items that the student ranks below their place r,
    each counts tanh(mu (rank - r)); of the student's own first K those that the teacher lists later
    count tanh(mu (r - rank)), those that it does not list 1. The relaxed ranking loss corrects the
    former over the latter. Of its two sides this is the users'; histories are not users, so there
    is no side of items.

    Args:
        scores: (B, N).
        lists: items and kept.
        discrepancy: mu.
    """
    items, kept = lists
    ranks, place = student_ranks(scores, items), _places(kept)
    too_low = _below(ranks, place, discrepancy) * kept
    k = items.shape[1]
    own = scores.detach().topk(k, dim=1).indices
    own_rank = torch.arange(1, k + 1, device=scores.device, dtype=scores.dtype).expand(own.shape)
    same = (own.unsqueeze(2) == items.unsqueeze(1)) & (kept > 0).unsqueeze(1)
    listed_at = (same * place.unsqueeze(1)).sum(2)
    later = _below(listed_at, own_rank, discrepancy)
    too_high = torch.where(same.any(2), later, torch.ones_like(later))
    above = (scores.gather(1, own) + torch.log(too_high.clamp(min=_TINY))).logsumexp(1)
    return _plackett_luce(scores.gather(1, items), too_low, too_low, above)


def unbiased_distillation(
    scores: Tensor, lists: Lists, drawn: Tensor, group_of: Tensor, *, temperature: float
) -> Tensor:
    """UnKD: within each group of popularity, a listed item above another of the same group.

    Gang Chen, Jiawei Chen, Fuli Feng, Sheng Zhou and Xiangnan He, "Unbiased Knowledge Distillation
    for Recommendation", WSDM 2023: items are split into groups that hold as many targets each; in
    a group, -log sigmoid(s_i - s_j) of pairs, i drawn with a probability proportional to
    exp(-rank in the group / mu), j any that ranks below it there. Groups weigh alike. What is
    listed later, or not at all, ranks below.

    Args:
        scores: (B, N).
        lists: items and kept.
        drawn: j for each place, of its item's group, (B, K) int64.
        group_of: of each item, (N,) int64.
        temperature: mu.
    """
    items, kept = lists
    group = group_of[items]
    alike = (group.unsqueeze(2) == group.unsqueeze(1)) & (kept > 0).unsqueeze(1)
    k = items.shape[1]
    first = torch.ones(k, k, dtype=torch.bool, device=scores.device).tril()
    rank = (alike & first).sum(2).to(scores.dtype)  # of each place within its group, from 1
    share = torch.exp(-rank / temperature) * kept
    total = (share.unsqueeze(1) * alike).sum(2)
    share = share / total.clamp(min=_TINY)
    above = (items.unsqueeze(1) == drawn.unsqueeze(2)) & (kept > 0).unsqueeze(1) & first
    pair = softplus(scores.gather(1, drawn) - scores.gather(1, items)) * ~above.any(2)
    n_groups = (kept / alike.sum(2).clamp(min=1)).sum(1).clamp(min=1)  # those that are listed
    return (share * pair).sum(1) / n_groups


def student_ranks(scores: Tensor, items: Tensor) -> Tensor:
    """The student's rank of each listed item, from 1, ties above it not counted, (B, K)."""
    scores = scores.detach()
    listed = scores.gather(1, items)
    ordered = scores.sort(1).values
    not_above = torch.searchsorted(ordered, listed.contiguous(), right=True)
    return (scores.shape[1] - not_above + 1).to(scores.dtype)


def popularity_groups(propensity: Tensor, n_groups: int) -> Tensor:
    """Split the items into groups that are targets about equally often, (N,) int64, rarest first.

    Args:
        propensity: `dros_propensity`, which rises with how often an item is a target, (N,).
        n_groups: at least 1.
    """
    share = propensity.cpu().double().pow(20)  # undoes the power of .05
    order = torch.argsort(share, stable=True)
    below = share[order].cumsum(0) - share[order]
    group = torch.empty_like(order)
    group[order] = (n_groups * below / share.sum()).long().clamp(max=n_groups - 1)
    return group.to(propensity.device)


def _places(kept: Tensor) -> Tensor:
    """1..K for each row, of the type of `kept`."""
    return torch.arange(1, kept.shape[1] + 1, device=kept.device, dtype=kept.dtype).expand(
        kept.shape
    )


def _below(rank: Tensor, place: Tensor, discrepancy: float) -> Tensor:
    """tanh(max(mu (rank - place), 0))."""
    return torch.tanh((discrepancy * (rank - place)).clamp(min=0))


def _rank_shares(place: Tensor, kept: Tensor, temperature: float) -> Tensor:
    """exp(-rank / lambda) over its sum, (B, K)."""
    weight = torch.exp(-place / temperature) * kept
    return weight / weight.sum(1, keepdim=True).clamp(min=_TINY)


def _soft_bce(scores: Tensor, labels: Tensor) -> Tensor:
    """-[q log sigmoid(s) + (1 - q) log(1 - sigmoid(s))]."""
    return softplus(scores) - labels * scores


def _unlisted(scores: Tensor, items: Tensor, kept: Tensor) -> Tensor:
    """The scores with -inf at listed items."""
    n_rows, n_items = scores.shape
    marks = torch.zeros(n_rows, n_items + 1, dtype=torch.bool, device=scores.device)
    marks.scatter_(1, torch.where(kept > 0, items, n_items), value=True)
    return scores.masked_fill(marks[:, :n_items], -torch.inf)


def _plackett_luce(listed: Tensor, weight: Tensor, there: Tensor, others: Tensor) -> Tensor:
    """-sum_k w_k [s_k - log(sum over i >= k that are there of exp s_i + exp(others))].

    Args:
        listed: (B, K).
        weight: (B, K).
        there: above 0 where a place takes part, (B, K).
        others: (B,), the logarithm of a sum.
    """
    left = listed.masked_fill(there <= 0, -torch.inf)
    # The largest goes out before the running sum from the end, so that nothing overflows.
    both = torch.cat([others.unsqueeze(1), left.flip(1)], dim=1)
    behind = torch.logcumsumexp(both, dim=1)[:, 1:].flip(1)
    taking = weight * (behind - listed)
    return torch.where(there > 0, taking, torch.zeros_like(taking)).sum(1)
