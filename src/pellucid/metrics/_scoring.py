"""Explained outputs at many points without gradients: several samples and examples share a forward pass.

The model is borrowed for each batch of points and given back in between, so that a function of the user's
that draws random numbers (``perturb_func``) moves its generator as if it had been called alone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid._core.batching import rows_without_graph
from pellucid._core.differentiation import ValuesOnly
from pellucid._core.gradient import Evaluator
from pellucid._core.model import borrowed
from pellucid._core.path import Path, Points
from pellucid._core.progress import Progress, progress
from pellucid._core.reducers import Evaluated
from pellucid._core.site import Question
from pellucid._core.structure import wide
from pellucid.errors import InvalidValueError, invalid_value
from pellucid.metrics._features import Features


class Scoring:
    """Evaluates the explained output of one question at any points; lives as long as one call."""

    def __init__(self, question: Question, cap: int | None) -> None:
        """Prepare; nothing is evaluated yet."""
        self.question = question
        self.examples = len(question.inputs[0])
        self._evaluator = Evaluator(question, cap or rows_without_graph(question.inputs), ValuesOnly())

    def reference(self) -> Tensor:
        """Explained outputs at the inputs, shape (N,), in float32 or wider."""
        with nullcontext() if self._evaluator.knows_outputs else self._borrowed():
            return _one_each(self._evaluator.scores()[0], self.examples)

    def at(self, values: tuple[Tensor, ...]) -> Tensor:
        """Explained outputs at other values of the whole batch, shape (N,)."""
        with self._borrowed():
            return _one_each(self._evaluator.scores_at(values)[0], self.examples)

    def along(self, path: Path, bar: Progress) -> Tensor:
        """Explained outputs at all points of a path, shape (samples, N), in float32 or wider."""
        table = _Table(path.samples, self.examples)
        with self._borrowed():
            self._evaluator.accumulate([table], path, bar)
        return table.values

    def _borrowed(self) -> AbstractContextManager[None]:
        return borrowed(self.question.site.forward, self.question.inputs[0].device)

    def all_along(self, path: Path, name: str, show_progress: bool) -> Tensor:
        """Explained outputs along a path, with a progress bar of their own."""
        with progress(show_progress, name, path.samples * self.examples) as bar:
            return self.along(path, bar)


class _Table:
    """Collects explained values, sample by sample for each example."""

    values: Tensor
    """Set by the first block."""

    def __init__(self, samples: int, examples: int) -> None:
        self._shape = samples, examples
        self._next: Tensor | None = None

    def add(self, weights: Tensor, evaluated: Evaluated, examples: Tensor) -> None:
        """Take in a block."""
        (found,) = evaluated.changes
        if found.shape[1] != examples.shape[0]:
            raise no_score_each(len(examples))
        if found.shape == self._shape:  # a single block with everything
            self.values = found.to(wide(found.dtype))
            return
        if self._next is None:
            self.values = torch.empty(self._shape, dtype=wide(found.dtype), device=found.device)
            self._next = torch.zeros(self._shape[1], dtype=torch.long)
        first = int(self._next[examples[0]])
        samples = torch.arange(first, first + len(weights))
        self.values[samples[:, None], examples[None, :]] = found.to(self.values.dtype)
        self._next[examples] += len(weights)


def _one_each(score: Tensor, examples: int) -> Tensor:
    if len(score) != examples:
        raise no_score_each(examples)
    return score.to(wide(score.dtype))


def no_score_each(examples: int) -> InvalidValueError:
    """Build the error for a function that does not return one value per example."""
    return invalid_value(
        "forward_func",
        f"a function that returns one value for {examples} examples",
        "an example is scored by its own output",
        "a function that returns one row per example, or one example at a time",
    )


@dataclass(frozen=True)
class Replaced:
    """A path whose samples are the inputs with chosen features at the values of the baseline.

    Values are selected, not multiplied with a mask.

    Attributes:
        inputs: the checked inputs.
        baselines: one tensor with 1 or N rows per input.
        features: which values belong together.
        chosen: from the numbers of some samples to the features that are replaced, shape (samples, N, F).
        samples: number of samples.
    """

    inputs: tuple[Tensor, ...]
    baselines: tuple[Tensor, ...]
    features: Features
    chosen: Callable[[range], Tensor]
    samples: int

    def weights(self, samples: slice) -> Tensor:
        """One for each sample."""
        return torch.ones(len(range(self.samples)[samples]))

    def points(self, samples: slice, examples: Tensor) -> Points:
        """Inputs of some samples of the chosen examples."""
        marks = self.chosen(range(self.samples)[samples])
        spread = self.features.spread(marks[:, examples.to(marks.device)], examples)
        found = []
        for x, base, gone in zip(self.inputs, self.baselines, spread, strict=True):
            at = examples.to(x.device)
            found.append(torch.where(gone.to(x.device), base if len(base) == 1 else base[at], x[at]))
        return Points(tuple(found))


@dataclass(frozen=True)
class Given:
    """A path of points that are already there: per input a tensor of shape (samples, N, ...)."""

    values: tuple[Tensor, ...]

    @property
    def samples(self) -> int:
        """Number of points per example."""
        return self.values[0].shape[0]

    def weights(self, samples: slice) -> Tensor:
        """One for each sample."""
        return torch.ones(len(range(self.samples)[samples]))

    def points(self, samples: slice, examples: Tensor) -> Points:
        """Points of some samples of the chosen examples."""
        whole = examples.shape[0] == self.values[0].shape[1]  # slices are views, rows by number are copies
        return Points(tuple(v[samples] if whole else v[samples][:, examples.to(v.device)] for v in self.values))
