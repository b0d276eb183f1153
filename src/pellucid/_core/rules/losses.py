"""Losses inside a model (energy functions, scoring heads), rewritten in single operations.

They are called with the arguments of torch's own kernels, in which a reduction is 0 (none), 1 (mean)
or 2 (sum).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def _reduced(each: Tensor, reduction: int) -> Tensor:
    if reduction == 0:
        return each
    return each.mean() if reduction == 1 else each.sum()


def _of_difference(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return the expansion of a loss that is an elementwise function of value - target."""

    def expand(value: Tensor, target: Tensor, reduction: int = 1, *parameters: Any, **named: Any) -> Tensor:
        return _reduced(function(value - target, *parameters, **named), reduction)

    return expand


def _smooth(difference: Tensor, beta: float = 1.0) -> Tensor:
    size = torch.abs(difference)
    if beta == 0:
        return size
    return torch.where(size < beta, torch.square(difference) * (0.5 / beta), size - 0.5 * beta)


def _huber(difference: Tensor, delta: float = 1.0) -> Tensor:
    size = torch.abs(difference)
    return torch.where(size <= delta, torch.square(difference) * 0.5, delta * (size - 0.5 * delta))


def _cross_entropy(
    value: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: int = 1,
    ignore_index: Any = -100,
    label_smoothing: float = 0.0,
) -> Any:
    if target.is_floating_point() or label_smoothing:
        return NotImplemented
    how = {0: "none", 1: "mean", 2: "sum"}[reduction]
    logarithms = torch.log_softmax(value, 1 if value.dim() > 1 else 0)
    return F.nll_loss(logarithms, target, weight, ignore_index=int(ignore_index), reduction=how)


def _binary_cross_entropy(value: Tensor, target: Tensor, weight: Tensor | None = None, reduction: int = 1) -> Tensor:
    log_one = torch.log(value).clamp_min(-100)
    log_other = torch.log(1 - value).clamp_min(-100)
    each = -(target * log_one + (1 - target) * log_other)
    return _reduced(each if weight is None else each * weight, reduction)


def _binary_cross_entropy_with_logits(
    value: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    pos_weight: Tensor | None = None,
    reduction: int = 1,
) -> Tensor:
    positive = target if pos_weight is None else target * pos_weight
    each = -(positive * F.logsigmoid(value) + (1 - target) * F.logsigmoid(-value))
    return _reduced(each if weight is None else each * weight, reduction)


LOSSES: dict[str, Callable[..., Any]] = {
    "mse_loss": _of_difference(torch.square),
    "l1_loss": _of_difference(torch.abs),
    "smooth_l1_loss": _of_difference(_smooth),
    "huber_loss": _of_difference(_huber),
    "cross_entropy_loss": _cross_entropy,
    "binary_cross_entropy": _binary_cross_entropy,
    "binary_cross_entropy_with_logits": _binary_cross_entropy_with_logits,
}
