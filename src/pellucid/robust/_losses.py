"""What attacks raise: functions of scores (rows, classes) and labels (rows,), one value per row.

All are larger the nearer a row is to another class. None of them flattens out where a model is confident:
cross-entropy does (its gradient is the probability of the other classes, which underflows), so its place is taken
by the log-odds against the label, ``log(1 - p) - log p``. Cross-entropy is an increasing function of it, so signs
and directions of the gradients are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""From the output of some rows, and the numbers of their examples, to one value per row."""

SUM_TOLERANCE = 1e-4
"""How far probabilities may be from summing to one and still be taken for such."""


def are_probabilities(scores: Tensor, dim: int = 1) -> Tensor:
    """Tell for each row whether it lies in [0, 1] and sums to one along a dimension."""
    detached = scores.detach()
    total = detached.sum(dim, dtype=torch.promote_types(scores.dtype, torch.float32))
    tolerance = max(SUM_TOLERANCE, 8 * torch.finfo(scores.dtype).eps)
    inside = (detached >= 0) & (detached <= 1 + tolerance)
    return inside.all(dim) & ((total - 1).abs() <= tolerance)


def log_scores(scores: Tensor) -> Tensor:
    """Turn probabilities into logits, row by row; logits stay as they are."""
    tiny = torch.finfo(scores.dtype).tiny
    return torch.where(are_probabilities(scores)[:, None], scores.clamp_min(tiny).log(), scores)


def _others(scores: Tensor, labels: Tensor) -> Tensor:
    return scores.scatter(1, labels[:, None], -torch.inf)


def _own(scores: Tensor, labels: Tensor) -> Tensor:
    return scores.gather(1, labels[:, None])[:, 0]


def log_odds(scores: Tensor, labels: Tensor) -> Tensor:
    """The log-odds against the label, ``logsumexp of the other scores - score``: cross-entropy without its plateau."""
    return _others(scores, labels).logsumexp(1) - _own(scores, labels)


def margin(scores: Tensor, labels: Tensor) -> Tensor:
    """The best other score minus the label's: positive where the prediction is wrong."""
    return _others(scores, labels).amax(1) - _own(scores, labels)


def dlr(scores: Tensor, labels: Tensor) -> Tensor:
    """Difference of logits ratio: the margin divided by largest minus third largest score.

    With fewer than 3 classes there is no third, and the margin stands in.
    """
    if scores.shape[1] < 3:
        return margin(scores, labels)
    ordered = scores.sort(1, descending=True).values
    return margin(scores, labels) / _safe(ordered[:, 0] - ordered[:, 2])


def margin_to(scores: Tensor, labels: Tensor, wanted: Tensor) -> Tensor:
    """Score of the wanted class minus the label's."""
    return _own(scores, wanted) - _own(scores, labels)


def dlr_to(scores: Tensor, labels: Tensor, wanted: Tensor) -> Tensor:
    """Targeted difference of logits ratio: divided by largest minus mean of third and fourth largest score.

    With fewer than 4 classes the margin stands in.
    """
    if scores.shape[1] < 4:
        return margin_to(scores, labels, wanted)
    ordered = scores.sort(1, descending=True).values
    return margin_to(scores, labels, wanted) / _safe(ordered[:, 0] - (ordered[:, 2] + ordered[:, 3]) / 2)


def _safe(span: Tensor) -> Tensor:
    return span.clamp_min(torch.finfo(span.dtype).tiny ** 0.5)


UNTARGETED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": log_odds,
    "dlr": dlr,
    "margin": margin,
}
"""Losses by the names that arguments use."""
