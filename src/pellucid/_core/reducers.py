"""What becomes of the gradients at the points of a path, taken in block by block."""

from __future__ import annotations

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
        with torch.inference_mode(False):
            self.sums = tuple(torch.zeros(x.shape, dtype=wide(x.dtype), device=x.device) for x in inputs)

    def add(self, weights: Tensor, evaluated: Evaluated, examples: Tensor) -> None:
        """Take in a block."""
        self.add_values(weights, evaluated.gradients, examples)

    def add_values(self, weights: Tensor, values: tuple[Tensor, ...], examples: Tensor) -> None:
        """Take in values of shape (samples, examples, ...)."""
        for total, gradient in zip(self.sums, values, strict=True):
            g = gradient.to(total.dtype)
            if g.shape[:2] == (1, len(total)):
                total.add_(g[0], alpha=weights.item())
                continue
            part = torch.tensordot(weights.to(g.device, g.dtype), g, dims=1)
            if len(part) == len(total):
                total.add_(part)
            else:
                total.index_add_(0, examples.to(total.device), part)


class FoundSum(WeightedSum):
    """A weighted sum of tensors whose shapes are known from the first block on.

    A tensor has one row per example, or a single one for the whole batch.
    """

    def __init__(self, examples: int) -> None:
        """Start empty."""
        self.sums: tuple[Tensor, ...] = ()
        self._examples = examples

    def add_values(self, weights: Tensor, values: tuple[Tensor, ...], examples: Tensor) -> None:
        """Take in values of shape (samples, examples, ...) or (samples, 1, ...)."""
        if not self.sums and len(weights) == 1 and len(examples) == self._examples:
            self.sums = tuple(v[0].to(wide(v.dtype)) * float(weights[0]) for v in values)
            return
        if not self.sums:
            rows = [self._examples if v.shape[1] == len(examples) else 1 for v in values]
            with torch.inference_mode(False):
                self.sums = tuple(
                    torch.zeros((n, *v.shape[2:]), dtype=wide(v.dtype), device=v.device)
                    for n, v in zip(rows, values, strict=True)
                )
        super().add_values(weights, values, examples)


class Moments:
    """Mean and variance over samples of ``gradient_k * displacement_k``, or of the gradients alone."""

    def __init__(self, inputs: tuple[Tensor, ...], multiply: bool) -> None:
        """Start empty."""
        self.multiply = multiply
        self.means = WeightedSum(inputs).sums
        self._squares = WeightedSum(inputs).sums
        self._begun = False
        with torch.inference_mode(False):
            self._counts = torch.zeros(inputs[0].shape[0], dtype=torch.float64)

    def add(self, weights: Tensor, evaluated: Evaluated, examples: Tensor) -> None:
        """Take in a block; weights are equal."""
        before = self._counts[examples]
        new = len(weights)
        for i, gradient in enumerate(evaluated.gradients):
            value = gradient.to(self.means[i].dtype)
            if self.multiply:
                value = value * evaluated.points.displacements[i].to(value.dtype)
            at = examples.to(value.device)
            mean = value.mean(0)
            if not self._begun and len(examples) == len(self._counts):  # nothing to merge with
                self._squares[i].copy_((value - mean).square_().sum(0))
                self.means[i].copy_(mean)
                continue
            shift = mean - self.means[i][at]
            share = per_row(new / (before + new), mean)
            self._squares[i][at] += (value - mean).square().sum(0) + shift.square() * per_row(before, mean) * share
            self.means[i][at] += shift * share
        self._counts[examples] += new
        self._begun = True

    def variances(self) -> tuple[Tensor, ...]:
        """Population variance of the samples; never negative, since squares of deviations are summed."""
        return tuple(s / float(self._counts.min()) for s in self._squares)

    def standard_errors(self) -> tuple[Tensor, ...] | None:
        """Standard error of each mean, ``None`` after fewer than two samples."""
        n = float(self._counts.min())
        if n < 2:
            return None
        return tuple((s / (n - 1) / n).sqrt() for s in self._squares)


class PerSample:
    """One number for each sample of each example: what it was attributed in all, minus what it should be.

    Where the explained values are not one per example, the numbers are of all examples together.
    """

    def __init__(self, examples: int, samples: int, like: Tensor) -> None:
        """Start at zero."""
        with torch.inference_mode(False):
            self._sums = torch.zeros(examples, samples, dtype=wide(like.dtype), device=like.device)
            self._changes = torch.zeros_like(self._sums)
            self._next = torch.zeros(examples, dtype=torch.long)
        self._together = False

    def add(self, evaluated: Evaluated, examples: Tensor) -> None:
        """Take in ``sum(gradient * displacement)``, and the changes of the explained values if there are any."""
        displacements = evaluated.points.displacements
        first = int(self._next[examples[0]])
        columns = slice(first, first + len(displacements[0]))
        place = self._rows_of(examples), columns
        for gradient, displacement in zip(evaluated.gradients, displacements, strict=True):
            products = gradient.to(displacement.dtype) * displacement
            summed = sum_per_row(products.flatten(0, 1)).reshape(products.shape[:2])
            self._sums[place] += summed.T.to(self._sums)
        for change in evaluated.changes:
            self.expect(change.T, columns, examples)
        self._next[examples] += columns.stop - columns.start

    def _rows_of(self, examples: Tensor) -> Tensor | slice:
        """Index some rows; all of them, in their order, by a slice."""
        return slice(None) if len(examples) == len(self._sums) else examples

    def expect(self, changes: Tensor, columns: slice, examples: Tensor) -> None:
        """Take in the changes of the explained values, shape (values, samples)."""
        if len(changes) == len(examples):
            self._changes[self._rows_of(examples), columns] += changes.to(self._changes)
        else:
            self._together = True
            self._changes[0, columns] += changes.sum(0).to(self._changes)

    def errors(self, together: bool = False) -> Tensor:
        """Sums minus changes, shape (N, samples), or (1, samples) where examples count together."""
        if together or self._together:
            return self._sums.sum(0, keepdim=True) - self._changes.sum(0, keepdim=True)
        return self._sums - self._changes

    def changes(self, together: bool = False) -> Tensor:
        """Changes of the explained values, shaped as ``errors``."""
        return self._changes.sum(0, keepdim=True) if together or self._together else self._changes
