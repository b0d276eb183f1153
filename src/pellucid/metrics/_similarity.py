"""How much two explanations agree, example by example."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pellucid._core.checks import accept_choice


def exact(value: Tensor) -> Tensor:
    """Give the widest floating-point numbers that the value's device has."""
    return value.to(torch.float32 if value.device.type == "mps" else torch.float64)


def pearson(first: Tensor, second: Tensor, dim: int) -> Tensor:
    """Pearson's correlation along a dimension, in float64; NaN where one of the two does not vary."""
    both = [exact(value) for value in (first, second)]
    centred = [value - value.mean(dim, keepdim=True) for value in both]
    sizes = [value.norm(dim=dim) for value in centred]
    rounding = [64 * torch.finfo(v.dtype).eps * b.norm(dim=dim) for v, b in zip((first, second), both, strict=True)]
    varied = (sizes[0] > rounding[0]) & (sizes[1] > rounding[1])
    product = (centred[0] * centred[1]).sum(dim) / torch.where(varied, sizes[0] * sizes[1], 1.0)
    return torch.where(varied, product.clamp(-1, 1), torch.nan)


def mean_ranks(values: Tensor) -> Tensor:
    """Places of the values in their row, 0 for the smallest; equal values share the mean of their places."""
    ordered = values.contiguous().sort(dim=1).values
    below = torch.searchsorted(ordered, values.contiguous(), side="left")
    up_to = torch.searchsorted(ordered, values.contiguous(), side="right")
    return exact(below + up_to - 1) / 2


def spearman(first: Tensor, second: Tensor) -> Tensor:
    """Correlation of the ranks, shape (N,)."""
    return pearson(mean_ranks(first), mean_ranks(second), dim=1)


def cosine(first: Tensor, second: Tensor) -> Tensor:
    """Cosine of the angle between the two, shape (N,); NaN where one of them is zero."""
    first, second = exact(first), exact(second)
    sizes = first.norm(dim=1) * second.norm(dim=1)
    return torch.where(sizes > 0, (first * second).sum(1) / torch.where(sizes > 0, sizes, 1.0), torch.nan)


SIMILARITIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "spearman": spearman,
    "pearson": lambda a, b: pearson(a, b, dim=1),
    "cosine": cosine,
}


def similarity_named(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    """Find a measure of agreement by its name; each takes two tensors (N, values)."""
    return SIMILARITIES[accept_choice("similarity", name, SIMILARITIES, "there is no such measure")]
