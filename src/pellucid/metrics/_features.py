"""What is removed together: each input value on its own, or the groups of a feature mask.

All metrics that remove features ask here which value belongs to which feature, how much a feature was
attributed in all, and in which order features go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid._core.random import generator_of
from pellucid._core.structure import names_of, wide
from pellucid.errors import InvalidValueError, invalid_type, invalid_value


@dataclass(frozen=True)
class Features:
    """Which input value belongs to which feature.

    Attributes:
        shapes: shape of one example of each input.
        counts: number of features of each example, shape (N,).
        index: per input the feature of each value, shape (N, values); empty where each value is its own.
    """

    shapes: tuple[torch.Size, ...]
    counts: Tensor
    index: tuple[Tensor, ...] = ()

    @property
    def most(self) -> int:
        """Number of features F of the example that has most."""
        return int(self.counts.max())

    def present(self) -> Tensor:
        """Tell which of F features each example has, shape (N, F)."""
        return torch.arange(self.most, device=self.counts.device) < self.counts[:, None]

    def totals(self, values: tuple[Tensor, ...]) -> Tensor:
        """Sum the values of each feature, shape (N, F), in float32 or wider."""
        flat = [v.to(wide(v.dtype)).flatten(1) if v.dim() > 1 else v.to(wide(v.dtype))[:, None] for v in values]
        if not self.index:
            return torch.cat([v.to(flat[0].device) for v in flat], dim=1)
        sums = flat[0].new_zeros(len(self.counts), self.most)
        for value, index in zip(flat, self.index, strict=True):
            sums.scatter_add_(1, index.to(sums.device), value.to(sums))
        return sums

    def spread(self, marks: Tensor, examples: Tensor) -> tuple[Tensor, ...]:
        """Give each value of the chosen examples the mark of its feature.

        Args:
            marks: one per feature, shape (samples, E, F), for the E chosen examples.
            examples: which examples these are.

        Returns:
            One tensor of shape (samples, E, ...) per input.
        """
        if not self.index:
            sizes = [shape.numel() for shape in self.shapes]
            parts = torch.split(marks, sizes, dim=2)
        else:
            chosen = [index[examples.to(index.device)].expand(len(marks), -1, -1) for index in self.index]
            parts = tuple(marks.gather(2, index) for index in chosen)
        return tuple(p.reshape(*p.shape[:2], *shape) for p, shape in zip(parts, self.shapes, strict=True))


def accept_features(mask: Any, inputs: tuple[Tensor, ...]) -> Features:
    """Check a feature mask and number its features 0, 1, ... without gaps, for each example apart.

    Args:
        mask: ``None``, or an integer tensor per input that broadcasts to it; equal numbers are one feature, also
            across the tensors of a tuple.
        inputs: the checked inputs.

    Returns:
        The features.

    Raises:
        InvalidTypeError: if a mask is no integer tensor.
        InvalidValueError: if it does not broadcast to its input.
    """
    examples, device = inputs[0].shape[0], inputs[0].device
    shapes = tuple(x.shape[1:] for x in inputs)
    if mask is None:
        counts = torch.full((examples,), sum(s.numel() for s in shapes), device=device)
        return Features(shapes, counts)
    given = mask if isinstance(mask, tuple) else (mask,)
    if len(given) != len(inputs):
        count = f"{len(given)} tensor(s)"
        raise invalid_value("feature_mask", count, f"there are {len(inputs)} inputs", "one mask per input, as a tuple")
    names = names_of("feature_mask", mask)
    flat = [_flat_mask(n, m, x) for n, m, x in zip(names, given, inputs, strict=True)]
    rows = max(len(part) for part in flat)
    joined = torch.cat([part.expand(rows, -1).to(device) for part in flat], dim=1)
    numbered = [row.unique(return_inverse=True) for row in joined]
    counts = torch.tensor([len(found) for found, _ in numbered], device=device).expand(examples)
    index = torch.stack([inverse for _, inverse in numbered]).expand(examples, -1)
    return Features(shapes, counts, torch.split(index, [part.shape[1] for part in flat], dim=1))


def _flat_mask(name: str, mask: Any, x: Tensor) -> Tensor:
    """Check one mask and flatten it to shape (1 or N, values)."""
    if not isinstance(mask, Tensor) or mask.is_floating_point() or mask.is_complex() or mask.dtype == torch.bool:
        given = f"a tensor of dtype {mask.dtype}" if isinstance(mask, Tensor) else f"a {type(mask).__name__}"
        raise invalid_type(name, given, "features are counted by whole numbers", "an integer tensor")
    if mask.dim() != x.dim():
        raise _unfitting(name, mask, x)
    try:
        full = mask.expand(max(len(mask), 1), *x.shape[1:])
    except RuntimeError:
        raise _unfitting(name, mask, x) from None
    if len(full) not in {1, len(x)}:
        raise _unfitting(name, mask, x)
    return full.reshape(len(full), -1).long()


def _unfitting(name: str, mask: Tensor, x: Tensor) -> InvalidValueError:
    return invalid_value(
        name,
        f"a tensor of shape {tuple(mask.shape)}",
        f"the input has shape {tuple(x.shape)}",
        "as many dimensions, each of them 1 or that of the input (the first 1 or N)",
    )


def ranks(values: Tensor, present: Tensor, seed: int = 0) -> Tensor:
    """Give each feature its place, 0 for the largest value; equal values stand in an order drawn from the seed.

    A sort that keeps ties in their order would remove the upper left corner of a sparse map first. Features
    that an example does not have come last.

    Args:
        values: shape (N, F).
        present: which features an example has, shape (N, F).
        seed: of the order of equal values.

    Returns:
        Whole numbers, shape (N, F).
    """
    features = values.shape[1]
    shuffle = torch.randperm(features, generator=generator_of(seed)).to(values.device)
    order = values.masked_fill(~present, -torch.inf)[:, shuffle].argsort(dim=1, descending=True, stable=True)
    places = torch.arange(features, device=values.device).expand_as(order)
    found = torch.empty_like(order).scatter_(1, order, places)
    return torch.empty_like(found).index_copy_(1, shuffle, found)
