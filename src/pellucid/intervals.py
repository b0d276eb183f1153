"""Means with confidence intervals, by Student's t over the examples."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Interval:
    """A mean and the interval that holds the true one with the chosen confidence.

    Attributes:
        mean: of the values that are numbers.
        low: lower end; NaN with fewer than two values.
        high: upper end.
        count: how many values are numbers.
    """

    mean: float
    low: float
    high: float
    count: int

    @property
    def half(self) -> float:
        """Half its width."""
        return (self.high - self.low) / 2


def mean_interval(values: Tensor, confidence: float) -> Interval:
    """Estimate a mean from values of examples; those that are NaN are left out.

    ``mean +- t s / sqrt(n)`` with the (1 + confidence) / 2 quantile t of Student's distribution with n - 1 degrees of
    freedom. It is exact for normal values, and good for the means of many others.

    Example:
        >>> import torch
        >>> found = mean_interval(torch.tensor([1.0, 2.0, 3.0]), 0.95)
        >>> found.mean, round(found.half, 3)  # 4.303 / sqrt(3)
        (2.0, 2.484)

    Args:
        values: shape (N,).
        confidence: between 0 and 1.

    Returns:
        The interval.
    """
    known = values.detach().cpu().double()
    known = known[~known.isnan()]
    count = len(known)
    if not count:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean = float(known.mean())
    if count < 2:
        return Interval(mean, math.nan, math.nan, count)
    half = t_quantile((1 + confidence) / 2, count - 1) * float(known.std()) / math.sqrt(count)
    return Interval(mean, mean - half, mean + half, count)


def t_quantile(probability: float, freedom: int) -> float:
    """Compute a quantile of Student's distribution with a whole number of degrees of freedom, by bisection.

    Args:
        probability: at least one half.
        freedom: degrees of freedom.

    Returns:
        The number below which t lies with this probability.
    """
    low, high = 0.0, 1.0
    while t_probability(high, freedom) < probability:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if t_probability(middle, freedom) < probability else (low, middle)
    return (low + high) / 2


def t_probability(value: float, freedom: int) -> float:
    """Compute P(t <= value) for value >= 0: a finite series in cos of ``atan(value / sqrt(freedom))``.

    References:
        Abramowitz and Stegun (1964), Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    angle = math.atan(value / math.sqrt(freedom))
    cosine, odd = math.cos(angle), freedom % 2
    term, total = (cosine if odd else 1.0), 0.0
    for k in range(2 + odd, freedom + 1, 2):
        total += term
        term *= cosine**2 * (k - 1) / k
    inside = math.sin(angle) * total
    if odd:
        inside = (angle + inside) * 2 / math.pi
    return (1 + inside) / 2
