"""Pair counts and the bonuses of a memory again, in slow and obvious Python."""

from __future__ import annotations

import math
import re
from collections import Counter

import numpy as np


def counts(sequences, lengths, targets, n_items, decay, most_ages):
    """M, (N, N): the sum of decay**age of each (window item, target)."""
    table = np.zeros((n_items, n_items))
    for window, length, target in zip(sequences, lengths, targets, strict=True):
        for age, item in enumerate(window[:length][::-1][:most_ages]):
            table[item, target] += np.float32(decay**age)
    return table


def values(counted, power, scale, most):
    """log(1 + M / (row sum ** power * scale)) of the `most` highest counts of each item, else 0."""
    table = np.zeros_like(counted)
    for item, row in enumerate(counted):
        strongest = sorted(np.flatnonzero(row), key=lambda b: (-row[b], b))[:most]
        for b in strongest:
            table[item, b] = np.log1p(row[b] / (row.sum() ** power * scale))
    return table


def bonuses(sequences, lengths, table, age_weights):
    """What each row's items gain, (B, N)."""
    gained = np.zeros((len(lengths), table.shape[1]))
    for row, (window, length) in enumerate(zip(sequences, lengths, strict=True)):
        for age, item in enumerate(window[:length][::-1][: len(age_weights)]):
            gained[row] += np.float64(age_weights[age]) * table[item]
    return gained


def cosines(titles, most):
    """How similar each title is to each other, (N, N): the `most` highest of each row, else 0."""
    words = [re.findall(r"\w\w+", title.casefold()) for title in titles]
    in_titles = Counter(word for title in words for word in set(title))
    vectors = []
    for title in words:
        weights = {
            word: (1 + math.log(n)) * (1 + math.log((1 + len(titles)) / (1 + in_titles[word])))
            for word, n in Counter(title).items()
            if in_titles[word] > 1
        }
        length = math.sqrt(sum(weight**2 for weight in weights.values()))
        vectors.append({word: weight / length for word, weight in weights.items()})
    table = np.zeros((len(titles), len(titles)))
    for a, mine in enumerate(vectors):
        row = {
            b: sum(weight * theirs.get(word, 0) for word, weight in mine.items())
            for b, theirs in enumerate(vectors)
            if b != a
        }
        for b in sorted(row, key=lambda b: (-round(row[b], 9), b))[:most]:
            table[a, b] = row[b]
    return table
