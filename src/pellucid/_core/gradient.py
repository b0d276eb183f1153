"""Gradients of a question along a path, block by block.

The first block that holds more than the batch as it was given is compared with the plain pass over that
batch. If they disagree, rows influence each other (graph networks, statistics over the batch, a fixed
batch size, an argument that is no row per example), and every further pass holds the batch as given.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor

from pellucid._core import report
from pellucid._core.batching import Block, KeptBytes, RowLimit, after, fits_whole
from pellucid._core.model import borrowed, modules_of
from pellucid._core.output import output_tensor, select
from pellucid._core.path import Line, Path, Points
from pellucid._core.progress import Progress, progress
from pellucid._core.site import Question
from pellucid._core.structure import names_of, per_row, wide
from pellucid.errors import ExpansionWarning, PellucidError, UnusedInputWarning, invalid_value

_SHAPE_ERRORS = (RuntimeError, ValueError, IndexError, TypeError, AssertionError)
"""What models raise that cannot take another batch size."""


class _NotExpandableError(Exception):
    """The rows of a block influence each other."""


class Reducer(Protocol):
    """Takes in gradients block by block."""

    def add(self, weights: Tensor, gradients: tuple[Tensor, ...], points: Points, examples: Tensor) -> None:
        """Take in gradients of shape (samples, examples, ...) at the chosen examples."""


class Evaluator:
    """Evaluates one question; lives as long as one call."""

    def __init__(self, question: Question, cap: int | None) -> None:
        """Prepare; nothing is evaluated yet."""
        self.question = question
        self.site = question.site
        self.all = torch.arange(self.site.examples)
        self.limit = RowLimit.of(question.inputs, cap)
        self._plain: Tensor | None = None
        self._checked = False
        self._measuring = False
        self._used: set[int] | None = None

    @property
    def mixes(self) -> bool:
        """Whether rows were seen to influence each other."""
        return self.limit.whole

    # -- values

    def outputs(self) -> Tensor:
        """Evaluate the model's output at the inputs, on the batch as it was given."""
        if self._plain is None:
            self._plain = self._run_plain(self.question.inputs)
            report.keep_outputs(self._plain)
        return self._plain

    def score(self) -> Tensor:
        """Explained values at the inputs, shape (N,), or (1,) where the function gives one per batch."""
        return select(self.outputs(), self.question.target)

    def score_at(self, values: tuple[Tensor, ...]) -> Tensor:
        """Explained values at other values of the whole batch, shaped as ``score()``."""
        return select(self._run_plain(values), self.question.target)

    def _run_plain(self, values: tuple[Tensor, ...]) -> Tensor:
        report.count(self.site.examples)
        with torch.no_grad():
            try:
                return output_tensor(self.site.run_whole(tuple(v.clone() for v in values))).detach()
            except RuntimeError as error:
                if "does not require grad" not in str(error):
                    raise
        leaves = tuple(v.detach().clone().requires_grad_() for v in values)  # it differentiates inside itself
        return output_tensor(self.site.run_whole(leaves)).detach()

    def doubles(self) -> bool:
        """Tell whether the batch, put twice into one pass, gives its outputs twice."""
        expected = self.outputs()
        doubled = tuple(torch.cat([x, x]) for x in self.question.inputs)
        report.count(2 * self.site.examples)
        with torch.no_grad():
            try:
                found = output_tensor(self.site.run_rows(doubled, self.all, 2))
            except _SHAPE_ERRORS:
                return False
        return expected.dim() > 0 and agree(found, torch.cat([expected, expected]))

    # -- gradients

    def point_gradients(self, reducer: Reducer, path: Path, bar: Progress) -> None:
        """Take gradients at one point per example: in a single pass if that is small enough."""
        if not self.limit.fixed and fits_whole(self.question.inputs):
            self.limit.rows = max(self.limit.rows, self.site.examples)
        self.accumulate(reducer, path, bar)

    def accumulate(self, reducer: Reducer, path: Path, bar: Progress, chosen: Tensor | None = None) -> None:
        """Send the gradients at all points of a path to a reducer.

        Args:
            reducer: takes in each block's gradients.
            path: points and weights.
            bar: counts rows.
            chosen: examples to evaluate, all by default.
        """
        chosen = self.all if chosen is None else chosen
        self._measuring = path.samples * len(chosen) > self.limit.rows
        place = (0, 0)
        while place[0] < path.samples:
            block = self.limit.next_block(place, path.samples, len(chosen))
            try:
                points, gradients = self._block(path, block, chosen)
            except _NotExpandableError as reason:
                self._go_whole(path.samples, str(reason))
                continue
            except torch.OutOfMemoryError:
                samples, examples = block.shape
                if not self.limit.halve(samples * examples):
                    raise
                continue
            reducer.add(path.weights(block.samples), gradients, points, chosen[block.examples])
            bar.update(block.shape[0] * block.shape[1])
            place = after(block, len(chosen))

    def _block(self, path: Path, block: Block, chosen: Tensor) -> tuple[Points, tuple[Tensor, ...]]:
        """Points and gradients of a block, shaped (samples, examples, ...)."""
        examples = chosen[block.examples]
        if self.limit.whole or (block.shape[0] == 1 and len(examples) == self.site.examples):
            points = path.points(block.samples, self.all)
            gradients = self._whole_pass(tuple(v[0] for v in points.values))
            if len(examples) == self.site.examples:
                return points, tuple(g.unsqueeze(0) for g in gradients)
            return path.points(block.samples, examples), tuple(g[examples].unsqueeze(0) for g in gradients)
        points = path.points(block.samples, examples)
        rows = tuple(v.flatten(0, 1) for v in points.values)
        gradients = self._checked_pass(rows, examples) if not self._checked else self._rows_pass(rows, examples)[1]
        return points, tuple(g.reshape(*block.shape, *g.shape[1:]) for g in gradients)

    def _whole_pass(self, values: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        with self._measured(self.site.examples):
            leaves, lent = _lend(values)
            report.count(self.site.examples)
            output = output_tensor(self.site.run_whole(lent))
            return self._backward(select(output, self.question.target), leaves)

    def _rows_pass(self, rows: tuple[Tensor, ...], examples: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Output and gradients of copies of the chosen examples, copy after copy."""
        count, repeats = rows[0].shape[0], rows[0].shape[0] // len(examples)
        with self._measured(count):
            leaves, lent = _lend(rows)
            report.count(count)
            output = output_tensor(self.site.run_rows(lent, examples, repeats))
            if output.dim() == 0 or output.shape[0] != count:
                raise _NotExpandableError(f"{count} rows gave an output of shape {tuple(output.shape)}")
            selected = select(output, self.question.target.rows(examples, repeats))
            return output.detach(), self._backward(selected, leaves)

    def _checked_pass(self, rows: tuple[Tensor, ...], examples: Tensor) -> tuple[Tensor, ...]:
        """The first expanded pass, with the inputs themselves as its last copy, compared with the plain pass."""
        expected = self.outputs()
        if expected.dim() == 0 or expected.shape[0] != self.site.examples:
            raise _NotExpandableError(f"the output has shape {tuple(expected.shape)}")
        anchored = tuple(
            torch.cat([r, x[examples.to(x.device)]]) for r, x in zip(rows, self.question.inputs, strict=True)
        )
        try:
            output, gradients = self._rows_pass(anchored, examples)
        except PellucidError:
            raise
        except _SHAPE_ERRORS as error:
            self._insist(anchored, examples, error)
            raise _NotExpandableError(f"{type(error).__name__}: {error}") from error
        if not agree(output[-len(examples) :], expected[examples.to(expected.device)]):
            raise _NotExpandableError("a row gave another output among other rows than alone")
        self._checked = True
        return tuple(g[: len(r)] for g, r in zip(gradients, rows, strict=True))

    def _insist(self, rows: tuple[Tensor, ...], examples: Tensor, error: Exception) -> None:
        """Tell a model that cannot take expanded rows from one that failed just now: it fails again."""
        if isinstance(error, torch.OutOfMemoryError):
            raise error
        try:
            self._rows_pass(rows, examples)
        except (_NotExpandableError, *_SHAPE_ERRORS):
            return
        raise error

    def _backward(self, selected: Tensor, leaves: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if not selected.requires_grad:
            raise invalid_value(
                "forward_func",
                "a function whose output has no gradient",
                "nothing differentiable connects it with the inputs (detach, no_grad, argmax, a detour through numpy)",
                "a function that is differentiable, or a perturbation method",
            )
        found = torch.autograd.grad(selected.sum(), leaves, allow_unused=True)
        self._used = (self._used or set()) | {i for i, g in enumerate(found) if g is not None}
        return tuple(torch.zeros_like(x) if g is None else g for g, x in zip(found, leaves, strict=True))

    @contextmanager
    def _measured(self, rows: int) -> Iterator[None]:
        """Learn from the first pass how many rows one pass may have, if there will be more than one."""
        if self.limit.fixed or not self._measuring:
            yield
            return
        kept = KeptBytes(modules_of(self.site.forward))
        with kept.counting():
            yield
        self.limit.learn(kept.total, rows)

    def _go_whole(self, samples: int, reason: str) -> None:
        self.limit.whole = True
        report.notify(
            ExpansionWarning,
            "The rows of a larger batch do not give what they give in the batch as it is, so each of the"
            f" {samples} points takes a forward pass of its own ({reason}). If the model mixes the examples of a"
            " batch, as graph networks do, this is right and needed.",
        )

    def finish(self) -> None:
        """Say which inputs had no influence at all, if any gradient was taken."""
        if self._used is None:
            return
        for i, name in enumerate(names_of("inputs", self.question.template)):
            if i not in self._used:
                report.notify(
                    UnusedInputWarning,
                    f"{name} has no influence on the explained output, so its attributions are zero.",
                )


@contextmanager
def evaluating(question: Question, cap: int | None = None) -> Iterator[Evaluator]:
    """Borrow the model for the evaluations of one question.

    Args:
        question: what is asked.
        cap: rows per forward pass at most, chosen by the library if ``None``.

    Yields:
        The evaluator.
    """
    with borrowed(question.site.forward, question.inputs[0].device):
        evaluator = Evaluator(question, cap)
        yield evaluator
        evaluator.finish()


def agree(found: Tensor, expected: Tensor) -> bool:
    """Tell whether outputs that should be equal are equal up to the rounding of their dtype."""
    if found.shape != expected.shape:
        return False
    found, expected = found.to(wide(found.dtype)), expected.to(wide(expected.dtype))
    scale = expected.abs().amax() if expected.numel() else expected.sum()
    eps = torch.finfo(expected.dtype).eps
    return bool(torch.allclose(found, expected, rtol=0.0, atol=float(scale) * eps**0.6 + eps, equal_nan=True))


def rows_are_independent(question: Question) -> bool:
    """Tell whether a doubled batch gives the outputs of the batch as it is, twice."""
    with evaluating(question) as evaluator:
        return evaluator.doubles()


def gradients_at_inputs(question: Question) -> tuple[Tensor, ...]:
    """Compute the gradient of the explained output at the inputs, in float32 or wider."""
    inputs = question.inputs
    here = Line(inputs, inputs, torch.ones(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64))
    gradients = WeightedSum(inputs)
    with evaluating(question) as evaluator, progress(False, "", None) as bar:
        evaluator.point_gradients(gradients, here, bar)
    return gradients.sums


def _lend(values: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Leaves to differentiate by, and copies of them that the model may write into."""
    leaves = tuple(v.detach().requires_grad_() for v in values)
    return leaves, tuple(leaf.clone() for leaf in leaves)


class WeightedSum:
    """Sums ``w_k * gradient_k`` over the samples of each example, in float32 or wider."""

    def __init__(self, inputs: tuple[Tensor, ...]) -> None:
        """Start at zero."""
        with torch.inference_mode(False):
            self.sums = tuple(torch.zeros(x.shape, dtype=wide(x.dtype), device=x.device) for x in inputs)

    def add(self, weights: Tensor, gradients: tuple[Tensor, ...], points: Points, examples: Tensor) -> None:
        """Take in a block."""
        del points
        for total, gradient in zip(self.sums, gradients, strict=True):
            g = gradient.to(total.dtype)
            part = torch.tensordot(weights.to(g.device, g.dtype), g, dims=1)
            if len(examples) == len(total):
                total.add_(part)
            else:
                total.index_add_(0, examples.to(total.device), part)


class Moments:
    """Mean and variance over samples of ``gradient_k * displacement_k``, or of the gradients alone."""

    def __init__(self, inputs: tuple[Tensor, ...], multiply: bool) -> None:
        """Start empty."""
        self.multiply = multiply
        self.means = WeightedSum(inputs).sums
        self._squares = WeightedSum(inputs).sums
        self._counts = torch.zeros(inputs[0].shape[0], dtype=torch.float64)

    def add(self, weights: Tensor, gradients: tuple[Tensor, ...], points: Points, examples: Tensor) -> None:
        """Take in a block; weights are equal."""
        before = self._counts[examples]
        new = len(weights)
        for i, gradient in enumerate(gradients):
            value = gradient.to(self.means[i].dtype)
            if self.multiply and points.displacements is not None:
                value = value * points.displacements[i].to(value.dtype)
            at = examples.to(value.device)
            mean = value.mean(0)
            shift = mean - self.means[i][at]
            share = per_row(new / (before + new), mean)
            self._squares[i][at] += (value - mean).square().sum(0) + shift.square() * per_row(before, mean) * share
            self.means[i][at] += shift * share
        self._counts[examples] += new

    def variances(self) -> tuple[Tensor, ...]:
        """Population variance of the samples; never negative, since squares of deviations are summed."""
        return tuple(s / float(self._counts.min()) for s in self._squares)

    def standard_errors(self) -> tuple[Tensor, ...] | None:
        """Standard error of each mean, ``None`` after fewer than two samples."""
        n = float(self._counts.min())
        if n < 2:
            return None
        return tuple((s / (n - 1) / n).sqrt() for s in self._squares)
