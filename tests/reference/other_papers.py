"""The losses of other papers, row by row and item by item, in plain Python."""

from __future__ import annotations

import math

import numpy as np


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def rank_of(scores: list[float], item: int) -> int:
    """From 1: one more than the items that score above it."""
    return 1 + sum(other > scores[item] for other in scores)


def best(scores: list[float], k: int) -> list[int]:
    return sorted(range(len(scores)), key=lambda item: -scores[item])[:k]


def rd(scores: list[float], listed: list[int], temperature: float, mu: float) -> float:
    weights = [
        math.exp(-r / temperature) * math.tanh(max(mu * (rank_of(scores, item) - r), 0))
        for r, item in enumerate(listed, 1)
    ]
    if not sum(weights):
        return 0.0
    pairs = zip(weights, listed, strict=True)
    return -sum(w / sum(weights) * math.log(sigmoid(scores[item])) for w, item in pairs)


def cd(
    scores: list[float], listed: list[int], labels: list[float], k: int, temperature: float
) -> float:
    if not listed:
        return 0.0

    def part(items: list[int]) -> float:
        shares = np.exp(-np.arange(1, len(items) + 1) / temperature)
        total = 0.0
        for share, item in zip(shares / shares.sum(), items, strict=True):
            q = labels[listed.index(item)] if item in listed else 0.0
            p = sigmoid(scores[item])
            total -= share * (q * math.log(p) + (1 - q) * math.log(1 - p))
        return total

    return (part(listed) + part(best(scores, k))) / 2


def plackett_luce(
    scores: list[float], above: list[int], weights: list[float], rest: float
) -> float:
    total = 0.0
    for place, item in enumerate(above):
        left = sum(math.exp(scores[other]) for other in above[place:])
        total -= weights[place] * (scores[item] - math.log(left + rest))
    return total


def rrd(scores: list[float], listed: list[int], n_others: int) -> float:
    unlisted = [item for item in range(len(scores)) if item not in listed]
    rest = n_others * sum(math.exp(scores[item]) for item in unlisted) / len(unlisted)
    return plackett_luce(scores, listed, [1.0] * len(listed), rest)


def dcd(scores: list[float], listed: list[int], k: int, mu: float) -> float:
    low = {
        item: math.tanh(mu * (rank_of(scores, item) - place))
        for place, item in enumerate(listed, 1)
        if rank_of(scores, item) > place
    }
    rest = 0.0
    for rank, item in enumerate(best(scores, k), 1):
        counts = 1.0
        if item in listed:
            counts = math.tanh(mu * max(listed.index(item) + 1 - rank, 0))
        rest += counts * math.exp(scores[item])
    return plackett_luce(scores, [*low], [*low.values()], rest)


def unkd(
    scores: list[float], listed: list[int], drawn: list[int], group: list[int], temperature: float
) -> float:
    total, groups = 0.0, {group[item] for item in listed}
    for one in groups:
        places = [place for place, item in enumerate(listed) if group[item] == one]
        shares = [math.exp(-rank / temperature) for rank in range(1, len(places) + 1)]
        for share, place in zip(shares, places, strict=True):
            other = drawn[place]
            if other in listed[: place + 1]:
                continue  # it ranks above
            gap = scores[listed[place]] - scores[other]
            total -= share / sum(shares) * math.log(sigmoid(gap))
    return total / max(len(groups), 1)


def topology(student: np.ndarray, teacher: np.ndarray, group: list[int]) -> list[float]:
    """Differences of cosines with the groups' means, and with the items of the own group."""

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))

    groups = sorted(set(group))
    found = []
    for row, own in enumerate(group):
        coarse = 0.0
        for one in groups:
            members = [n for n, other in enumerate(group) if other == one]
            cosines = [
                cosine(vectors[row], vectors[members].mean(axis=0))
                for vectors in (student, teacher)
            ]
            coarse += (cosines[0] - cosines[1]) ** 2
        together = [n for n, other in enumerate(group) if other == own]
        fine = [
            (cosine(student[row], student[n]) - cosine(teacher[row], teacher[n])) ** 2
            for n in together
        ]
        found.append(coarse / len(groups) + sum(fine) / len(together))
    return found
