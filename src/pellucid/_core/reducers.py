"""What becomes of the gradients at the points of a path, taken in block by block."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from pellucid._core.path import Points
from pellucid._core.structure import per_row, sum_per_row, wide


class Evaluated(NamedTuple):
    """A block of evaluations, everything shaped (samples, examples, ...).

    Attributes:
        points: where.
        gradients: one tensor per input.
        changes: empty, or one tensor (samples, values) with the change of the explained values from their
            references; ``values`` differs from the number of examples where the model mixes them.
    """

    points: Points
    gradients: tuple[Tensor, ...]
    changes: tuple[Tensor, ...] = ()

    @property
    def products(self) -> tuple[Tensor, ...]:
        """Gradients times displacements, in the displacements' dtype."""
        return tuple([g.to(d.dtype) * d for g, d in zip(self.gradients, self.points.displacements, strict=True)])

    def of(self, examples: Tensor) -> Evaluated:
        """Keep some examples only."""
        points = Points(*(tuple(v[:, examples.to(v.device)] for v in part) for part in self.points))
        gradients = tuple(g[:, examples.to(g.device)] for g in self.gradients)
        rows = self.gradients[0].shape[1]
        changes = tuple(c[:, examples.to(c.device)] if c.shape[1] == rows else c for c in self.changes)
        return Evaluated(points, gradients, changes)


class Reducer(Protocol):
    """Takes in gradients block by block."""

    def add(self, weights: Tensor, evaluated: Evaluated, examples: Tensor) -> None:
        """Take in a block of some samples of the chosen examples."""


class WeightedSum:
    """Sums ``w_k * gradient_k`` over the samples of each example, in float32 or wider."""

    def __init__(self, inputs: tuple[Tensor, ...]) -> None:
        """Start at zero."""
        self._inputs = inputs
        self._found: tuple[Tensor, ...] | None = None

    @property
    def sums(self) -> tuple[Tensor, ...]:
        """The sums so far, shaped as the inputs."""
        if self._found is None:
            with torch.inference_mode(False):
                self._found = tuple([torch.zeros(x.shape, dtype=wide(x.dtype), device=x.device) for x in self._inputs])
        return self._found

    def add(self, weights: Tensor, evaluated: Evaluated, examples: Tensor) -> None:
        """Take in a block."""
        self.add_values(weights, evaluated.gradients, examples)

    def add_values(self, weights: Tensor, values: tuple[Tensor, ...], examples: Tensor) -> None:
        """Take in values of shape (samples, examples, ...)."""
        if self._found is None and weights.shape[0] == 1 and examples.shape[0] == self._inputs[0].shape[0]:
            self._found = _weighted(values, weights.item(), [wide(x.dtype) for x in self._inputs])
            return
        add_weighted(self.sums, weights, values, examples)


def _weighted(values: tuple[Tensor, ...], weight: float, dtypes: Sequence[torch.dtype]) -> tuple[Tensor, ...]:
    """Weight a single sample; the results are tensors of their own."""
    return tuple([v[0].to(dtype) * weight for v, dtype in zip(values, dtypes, strict=True)])


def add_weighted(sums: tuple[Tensor, ...], weights: Tensor, values: tuple[Tensor, ...], examples: Tensor) -> None:
    """Add values of shape (samples, examples, ...), weighted by their samples, to sums over the samples."""
    for total, value in zip(sums, values, strict=True):
        v = value.to(total.dtype)
        if v.shape[:2] == (1, len(total)):
            total.add_(v[0], alpha=weights.item())
            continue
        part = torch.tensordot(weights.to(v.device, v.dtype), v, dims=1)
        if len(part) == len(total):
            total.add_(part)
        else:
            total.index_add_(0, examples.to(total.device), part)


class FoundSum:
    """A weighted sum of tensors whose shapes are known from the first block on.

    A tensor has one row per example, or a single one for the whole batch.
    """

    def __init__(self, examples: int) -> None:
        """Start empty."""
        self.sums: tuple[Tensor, ...] = ()
        self._examples = examples

    def add(self, weights: Tensor, evaluated: Evaluated, examples: Tensor) -> None:
        """Take in a block."""
        self.add_values(weights, evaluated.gradients, examples)

    def add_values(self, weights: Tensor, values: tuple[Tensor, ...], examples: Tensor) -> None:
        """Take in values of shape (samples, examples, ...) or (samples, 1, ...)."""
        if not self.sums and len(weights) == 1 and len(examples) == self._examples:
            self.sums = _weighted(values, weights.item(), [wide(v.dtype) for v in values])
            return
        if not self.sums:
            rows = [self._examples if v.shape[1] == len(examples) else 1 for v in values]
            with torch.inference_mode(False):
                self.sums = tuple(
                    torch.zeros((n, *v.shape[2:]), dtype=wide(v.dtype), device=v.device)
                    for n, v in zip(rows, values, strict=True)
                )
        add_weighted(self.sums, weights, values, examples)


class Moments:
    """Mean and variance over samples of ``gradient_k * displacement_k``, or of the gradients alone."""

    def __init__(self, inputs: tuple[Tensor, ...], multiply: bool) -> None:
        """Start empty."""
        self.multiply = multiply
        self.means: tuple[Tensor, ...] = ()
        self._squares: tuple[Tensor, ...] = ()
        self._inputs = inputs
        self._examples = inputs[0].shape[0]
        self._alike = 0
        """Samples of every example, as long as these are equally many."""
        self._counts: Tensor | None = None
        """Samples of each example from then on."""

    def add(self, weights: Tensor, evaluated: Evaluated, examples: Tensor) -> None:
        """Take in a block; weights are equal."""
        values = [g.to(wide(x.dtype)) for g, x in zip(evaluated.gradients, self._inputs, strict=True)]
        if self.multiply:
            values = [v * d.to(v.dtype) for v, d in zip(values, evaluated.points.displacements, strict=True)]
        new = weights.shape[0]
        if not self.means and examples.shape[0] == self._examples:  # nothing to merge with
            self.means = tuple([v.mean(0) for v in values])
            self._squares = tuple([(v - m).square_().sum(0) for v, m in zip(values, self.means, strict=True)])
            self._alike = new
            return
        if not self.means:
            self.means, self._squares = WeightedSum(self._inputs).sums, WeightedSum(self._inputs).sums
        if self._counts is None:
            with torch.inference_mode(False):
                self._counts = torch.full((self._examples,), self._alike, dtype=torch.float64)
        before = self._counts[examples]
        for mean, squares, value in zip(self.means, self._squares, values, strict=True):
            at = examples.to(value.device)
            found = value.mean(0)
            shift = found - mean[at]
            share = per_row(new / (before + new), found)
            squares[at] += (value - found).square().sum(0) + shift.square() * per_row(before, found) * share
            mean[at] += shift * share
        self._counts[examples] += new

    def variances(self) -> tuple[Tensor, ...]:
        """Population variance of the samples; never negative, since squares of deviations are summed."""
        return tuple(s / self._fewest() for s in self._squares)

    def _fewest(self) -> float:
        """Samples of the example that has fewest."""
        return self._alike if self._counts is None else float(self._counts.min())

    def standard_errors(self) -> tuple[Tensor, ...] | None:
        """Standard error of each mean, ``None`` after fewer than two samples."""
        n = self._fewest()
        if n < 2:
            return None
        return tuple((s / (n - 1) / n).sqrt() for s in self._squares)


class PerSample:
    """One number for each sample of each example: what it was attributed in all, minus what it should be.

    Where the explained values are not one per example, the numbers are of all examples together.
    """

    def __init__(self, examples: int, samples: int, like: Tensor) -> None:
        """Start at zero."""
        self._shape = examples, samples
        self._dtype, self._device = wide(like.dtype), like.device
        self._together = False

    @cached_property
    def _sums(self) -> Tensor:
        return self._zeros()

    @cached_property
    def _changes(self) -> Tensor:
        return self._zeros()

    @cached_property
    def _next(self) -> Tensor:
        """The sample of each example that comes next."""
        with torch.inference_mode(False):
            return torch.zeros(self._shape[0], dtype=torch.long)

    def _zeros(self) -> Tensor:
        with torch.inference_mode(False):
            return torch.zeros(self._shape, dtype=self._dtype, device=self._device)

    def add(self, products: tuple[Tensor, ...], changes: tuple[Tensor, ...], examples: Tensor) -> None:
        """Take in a block's ``gradient * displacement``, and the changes of the explained values if there are any."""
        parts = [sum_per_row(p, 2).to(self._device, self._dtype) for p in products]
        sums = (parts[0] if len(parts) == 1 else torch.stack(parts).sum(0)).T
        if sums.shape == self._shape:  # a single block with everything, which needs no places
            self._sums = sums
            columns = slice(0, self._shape[1])
        else:
            first = int(self._next[examples[0]])
            columns = slice(first, first + sums.shape[1])
            self._sums[self._rows_of(examples), columns] += sums
            self._next[examples] += sums.shape[1]
        for change in changes:
            self.expect(change.T, columns, examples)

    def _rows_of(self, examples: Tensor) -> Tensor | slice:
        """Index some rows; all of them, in their order, by a slice."""
        return slice(None) if len(examples) == self._shape[0] else examples

    def expect(self, changes: Tensor, columns: slice, examples: Tensor) -> None:
        """Take in the changes of the explained values, shape (values, samples)."""
        if len(changes) != len(examples):
            self._together = True
            self._changes[0, columns] += changes.sum(0).to(self._changes)
        elif changes.shape == self._shape:
            self._changes = changes.to(self._device, self._dtype)
        else:
            self._changes[self._rows_of(examples), columns] += changes.to(self._changes)

    def errors(self, together: bool = False) -> Tensor:
        """Sums minus changes, shape (N, samples), or (1, samples) where examples count together."""
        if together or self._together:
            return self._sums.sum(0, keepdim=True) - self._changes.sum(0, keepdim=True)
        return self._sums - self._changes

    def changes(self, together: bool = False) -> Tensor:
        """Changes of the explained values, shaped as ``errors``."""
        return self._changes.sum(0, keepdim=True) if together or self._together else self._changes
