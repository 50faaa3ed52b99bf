"""Student's t: tail probabilities and quantiles, all that is needed of a statistics package."""

from __future__ import annotations

import math

_STEPS = 10_000  # of the fraction; far fewer are taken
_TINY = 1e-300


def upper_tail(t: float, df: float) -> float:
    """The probability of more than t with `df` degrees of freedom, which may be infinite.

    P(T > t) = I(df / (df + t^2); df / 2, 1 / 2) / 2 for t >= 0, with the regularised incomplete
    beta function I.
    """
    if t < 0:
        return 1 - upper_tail(-t, df)
    if math.isinf(df):
        return math.erfc(t / math.sqrt(2)) / 2
    return _incomplete_beta(df / (df + t * t), df / 2, 0.5) / 2


def quantile(p: float, df: float) -> float:
    """The t below which the probability is p, for 0.5 <= p < 1."""
    low, high = 0.0, 1.0
    while upper_tail(high, df) > 1 - p:
        high *= 2
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if upper_tail(middle, df) > 1 - p else (low, middle)
    return (low + high) / 2


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """I(x; a, b) by its continued fraction, from the side where it converges fast.

    Abramowitz and Stegun, 26.5.8.
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(1 - x, b, a)
    front = a * math.log(x) + b * math.log1p(-x) - _log_beta(a, b)
    return math.exp(front) / a / _fraction(x, a, b)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _fraction(x: float, a: float, b: float) -> float:
    """1 + d1 / (1 + d2 / (1 + ...)), forward, by Lentz's method."""
    value = numerator = 1.0
    denominator = 0.0
    for n in range(1, _STEPS):
        m = n // 2
        if n % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        denominator = 1 / _not_zero(1 + term * denominator)
        numerator = _not_zero(1 + term / numerator)
        change = numerator * denominator
        value *= change
        if abs(change - 1) < 1e-15:
            break
    return value


def _not_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
