"""From gradient to attribution: each is the last step of a method's formula."""

from __future__ import annotations

from torch import Tensor

from pellucid._core.structure import sum_per_row


def copied(gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Take the gradients themselves, in memory of their own: g."""
    return tuple(g.clone() for g in gradients)


def magnitude(gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Take absolute values: |g|."""
    return tuple(g.abs() for g in gradients)


def times_value(gradients: tuple[Tensor, ...], inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Multiply with the input: g x."""
    return tuple(g * x for g, x in zip(gradients, inputs, strict=True))


def times_difference(
    gradients: tuple[Tensor, ...], inputs: tuple[Tensor, ...], baselines: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Multiply with the distance from the baseline: g (x - x'), in the gradients' dtype."""
    return tuple(g * (x.to(g.dtype) - b.to(g.dtype)) for g, x, b in zip(gradients, inputs, baselines, strict=True))


def total(attributions: tuple[Tensor, ...]) -> Tensor:
    """Sum the attributions of each example over all features and inputs, shape (N,)."""
    totals = [sum_per_row(a) for a in attributions]
    result = totals[0]
    for other in totals[1:]:
        result = result + other.to(result.device)
    return result
