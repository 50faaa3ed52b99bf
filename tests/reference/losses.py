"""The losses, row by row and term by term, in float64."""

from __future__ import annotations

import math

import numpy as np


def log_sum_exp(values):
    largest = max(values)
    if largest == -math.inf:
        return largest
    return largest + math.log(math.fsum(math.exp(value - largest) for value in values))


def softplus(value):
    return max(value, 0.0) + math.log1p(math.exp(-abs(value)))


def bce(target_scores, negative_scores):
    rows = []
    for target, negatives in zip(target_scores, negative_scores, strict=True):
        terms = [softplus(-target), *(softplus(score) for score in negatives)]
        rows.append(math.fsum(terms))
    return np.array(rows)


def dros_row(scores, positive, propensity, temperature):
    exponents = [
        weight * (score - (item == positive)) ** 2 / temperature
        for item, (score, weight) in enumerate(zip(scores, propensity, strict=True))
    ]
    return log_sum_exp(exponents)


def dros(scores, targets, propensity, temperature):
    rows = zip(scores, targets, strict=True)
    return np.array([dros_row(row, target, propensity, temperature) for row, target in rows])


def dros_propensity(target_counts):
    total = sum(int(count) + 1 for count in target_counts)
    return np.array([((int(count) + 1) / total) ** 0.05 for count in target_counts])


def softmax_cross_entropy(scores, targets):
    rows = zip(scores, targets, strict=True)
    return np.array([log_sum_exp(list(row)) - row[target] for row, target in rows])


def sampled_softmax(target_scores, negative_scores, target_log_q, negative_log_q):
    rows = []
    for row, target in enumerate(target_scores):
        corrected = target - target_log_q[row]
        pairs = zip(negative_scores[row], negative_log_q[row], strict=True)
        rows.append(log_sum_exp([corrected, *(s - q for s, q in pairs)]) - corrected)
    return np.array(rows)


def ranking_distillation(candidate_scores, weights):
    rows = zip(candidate_scores, weights, strict=True)
    return np.array(
        [math.fsum(w * softplus(-s) for s, w in zip(*row, strict=True)) for row in rows]
    )


def soft_target_probabilities(distance, keep, temperature):
    result = np.zeros(np.shape(distance))
    for row in range(len(result)):
        kept = [k for k in range(result.shape[1]) if keep[row][k]]
        if kept:
            logits = {k: -distance[row][k] / temperature for k in kept}
            total = log_sum_exp(list(logits.values()))
            for k in kept:
                result[row, k] = math.exp(logits[k] - total)
    return result


def soft_target_cross_entropy(scores, targets, ranking, probabilities, share):
    """The mixture written as one cross entropy with a target distribution over all items."""
    rows = []
    for row, target in enumerate(targets):
        distribution = np.zeros(len(scores[row]))
        has_list = any(q > 0 for q in probabilities[row])
        distribution[target] += 1 - share if has_list else 1.0
        for item, q in zip(ranking[row], probabilities[row], strict=True):
            distribution[item] += share * q
        total = log_sum_exp(list(scores[row]))
        rows.append(
            math.fsum(p * (total - s) for p, s in zip(distribution, scores[row], strict=True))
        )
    return np.array(rows)


def authors_distillation(scores, negatives, ranking, weights, propensity, dro_weight, temperature):
    """The authors' loop over candidates, with its (B, 1) x (B,) product written out."""
    total, n_rows = 0.0, len(scores)
    for k in range(len(ranking[0])):
        robust = [
            dros_row(scores[b], ranking[b][k], propensity, temperature) for b in range(n_rows)
        ]
        for b in range(n_rows):
            positive = softplus(-scores[b][ranking[b][k]])
            negative = softplus(-(1 - scores[b][negatives[b]]))
            total += weights[b][k] * (positive + negative) / n_rows
        square = [[weights[b][k] * robust[c] for c in range(n_rows)] for b in range(n_rows)]
        total += dro_weight * float(np.mean(square))
    return total


def consistency(scores, ranking, k):
    best = [sorted(range(len(row)), key=lambda item: (-row[item], item))[:k] for row in scores]
    return np.array(
        [[float(item in top) for item in row] for row, top in zip(ranking, best, strict=True)]
    )
