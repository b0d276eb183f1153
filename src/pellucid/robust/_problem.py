"""A classification problem as the strong attacks see it: rows, labels, a box around them and scores.

All inputs of an example are one row of numbers, whatever their number and shapes, so a ball is one ball around the
whole example.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pellucid._core.expansion import agree
from pellucid._core.model import borrowed
from pellucid._core.structure import like, wide
from pellucid.errors import invalid_value
from pellucid.robust._asking import Asked, accept_labels, class_labels
from pellucid.robust._balls import Ball, Box, settle
from pellucid.robust._losses import Loss, log_scores
from pellucid.robust._oracle import DIFFERS, Oracle, Values, without_graph
from pellucid.typing import Tensors

LabelLoss = Callable[[Tensor, Tensor], Tensor]
"""From scores (rows, classes) and labels (rows,) to one value per row."""


class Slopes(NamedTuple):
    """Scores, loss and its gradient at some rows."""

    scores: Tensor
    losses: Tensor
    gradients: Tensor


@dataclass(frozen=True)
class Rows:
    """How tensors of examples become rows (n, D), and back."""

    values: tuple[Tensor, ...]

    @cached_property
    def own(self) -> torch.dtype:
        """Dtype of the inputs; the wide one where they differ."""
        dtypes = {v.dtype for v in self.values}
        return dtypes.pop() if len(dtypes) == 1 else self.wide

    @cached_property
    def wide(self) -> torch.dtype:
        """Dtype of the rows."""
        dtype = torch.float32
        for value in self.values:
            dtype = torch.promote_types(dtype, wide(value.dtype))
        return dtype

    def pack(self, values: Values) -> Tensor:
        """Put the tensors of each example into one row."""
        device = self.values[0].device
        return torch.cat([v.reshape(len(v), -1).to(device, self.wide) for v in values], 1)

    def unpack(self, rows: Tensor) -> Values:
        """Take rows apart."""
        widths = [math.prod(v.shape[1:]) for v in self.values]
        parts = torch.split(rows, widths, 1)
        return tuple(
            p.to(v.device, v.dtype).reshape(len(p), *v.shape[1:]) for p, v in zip(parts, self.values, strict=True)
        )


class Problem:
    """Inputs with labels, and what attacks may do and ask; lives as long as one call."""

    def __init__(self, asked: Asked, ball: Ball, target: Any) -> None:
        """Put everything into rows; nothing is evaluated yet."""
        self.asked = asked
        self.ball = ball
        self.oracle = Oracle(asked.site)
        self.rows = Rows(asked.site.values)
        self.inputs = self.rows.pack(asked.site.values)
        self.box = self._box()
        self.all = self.oracle.all
        self.wavers = False
        """Whether the model's output changed from one pass to the next."""
        self._target = target

    def _box(self) -> Box:
        low, high = [], []
        for i, x in enumerate(self.asked.site.values):
            ends = self.asked.low[i].expand(x.shape), self.asked.high[i].expand(x.shape)
            if self.asked.mask is not None:
                free = self.asked.mask[i].expand(x.shape) > 0
                ends = torch.where(free, ends[0], x), torch.where(free, ends[1], x)
            low.append(ends[0])
            high.append(ends[1])
        return Box(self.rows.pack(tuple(low)), self.rows.pack(tuple(high)))

    # -- the model

    @cached_property
    def labels(self) -> Tensor:
        """The correct class of each example."""
        scores = self._checked(self.oracle.plain())
        return class_labels(self._target, len(scores), scores.shape[1]).to(self.inputs.device)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.oracle.plain().shape[1]

    def _checked(self, output: Tensor) -> Tensor:
        if output.dim() != 2 or output.shape[1] < 2:
            raise invalid_value(
                "forward_func",
                f"a function whose output has shape {tuple(output.shape)}",
                "a prediction is the class with the largest score",
                "a function that returns scores of shape (N, classes), classes >= 2; for one logit z per example,"
                " torch.stack([-z, z], 1)",
            )
        return output

    def scores(self, points: Tensor, examples: Tensor) -> Tensor:
        """Scores at rows of some examples."""
        output = self.oracle.outputs(self.rows.unpack(points), examples)
        return log_scores(self._checked(output).to(self.inputs.device))

    def slopes(self, points: Tensor, examples: Tensor, loss: Loss) -> Slopes:
        """Scores, loss and its gradient at rows of some examples; what is no number counts as least or as zero."""

        def of(output: Tensor, rows: Tensor) -> Tensor:
            return loss(log_scores(self._checked(output)), rows)

        seen = self.oracle.gradients(self.rows.unpack(points), examples, of)
        gradients = torch.nan_to_num(self.rows.pack(seen.gradients), nan=0.0)
        device = points.device
        losses = seen.losses.to(device, points.dtype)
        losses = losses.where(~losses.isnan(), -torch.inf)
        return Slopes(log_scores(seen.outputs.to(device)), losses, gradients)

    def against(self, loss: LabelLoss) -> Loss:
        """A loss of scores and labels, as one of scores and numbers of examples."""
        return lambda scores, examples: loss(scores, self.labels[examples].to(scores.device))

    def towards(self, loss: Callable[[Tensor, Tensor, Tensor], Tensor], wanted: Tensor) -> Loss:
        """A loss of scores, labels and wanted classes (N,), as one of scores and numbers of examples."""
        return lambda scores, examples: loss(
            scores, self.labels[examples].to(scores.device), wanted[examples].to(scores.device)
        )

    def fooled(self, scores: Tensor, examples: Tensor) -> Tensor:
        """Tell which rows are not given their label."""
        return scores.argmax(1) != self.labels[examples]

    def runners_up(self, count: int) -> Tensor:
        """The classes with the largest scores at the inputs, the label left out, shape (N, count)."""
        scores = log_scores(self.oracle.plain().to(self.inputs.device)).clone()
        scores.scatter_(1, self.labels[:, None], -torch.inf)
        return scores.argsort(dim=1, descending=True, stable=True)[:, : min(count, self.classes - 1)]

    # -- balls

    def project(self, points: Tensor, examples: Tensor, radius: float) -> Tensor:
        """Move rows into the balls and boxes of their examples."""
        return self.ball.project(points, self.inputs[examples], radius, self.box.rows(examples))

    def settle(self, points: Tensor, examples: Tensor, radius: float) -> Tensor:
        """Move rows into the balls and boxes to the last bit of the inputs' dtype."""
        box = self.box.rows(examples)
        low, high = box.low.to(self.rows.own), box.high.to(self.rows.own)
        center = self.inputs[examples].to(self.rows.own)
        return settle(points, center, radius, self.ball, Box(low, high)).to(self.rows.wide)

    def distances(self, points: Tensor, examples: Tensor) -> Tensor:
        """Norm of the displacements of rows, in float64."""
        return self.ball.size(points.double() - self.inputs[examples].double())

    def random_points(self, examples: Tensor, radius: float | Tensor, generator: torch.Generator) -> Tensor:
        """Random rows of the balls of some examples."""
        draws = self.ball.draw(len(examples), self.inputs.shape[1], generator).to(self.inputs)
        center, box = self.inputs[examples], self.box.rows(examples)
        reach = radius[:, None] if isinstance(radius, Tensor) else radius
        return self.ball.project(center + draws * reach, center, reach, box)

    def answer(self, points: Tensor) -> Tensors:
        """Give rows of all examples the structure of the inputs."""
        return like(self.asked.template, self.rows.unpack(points))


@contextmanager
def posing(asked: Asked, ball: Ball, target: Any) -> Iterator[Problem]:
    """Borrow the model for a problem.

    Args:
        asked: inputs with what may be done to them.
        ball: the norm.
        target: labels as the user gave them.

    Yields:
        The problem.

    Raises:
        InvalidValueError: if labels are missing or do not fit, inputs lie outside the bounds, or examples of a batch
            influence each other.
    """
    accept_labels(target, asked.site.examples)
    if asked.outside():
        raise invalid_value(
            "inputs",
            f"a batch with {asked.outside()} values outside the bounds",
            "attacks would start outside of what is allowed",
            "inputs clamped to lower_bound and upper_bound, or wider bounds",
        )
    with borrowed(asked.site.forward, asked.site.values[0].device):
        problem = Problem(asked, ball, target)
        _ = problem.labels  # checks them before the attack begins
        _check_independence(problem)
        yield problem


def _check_independence(problem: Problem) -> None:
    """Refuse models that mix examples: what is done to one would count for another.

    Where the output changes by itself, only those that cannot take a part of the batch are seen.
    """
    problem.oracle.trust_rows()
    again = without_graph(lambda: problem.oracle.ask(problem.asked.site.values, problem.all))
    problem.wavers = not agree(again, problem.oracle.plain())
    examples = problem.all
    if len(examples) < 2:
        return
    reason = problem.oracle.why_rows_mix(examples, max(1, min(len(examples) // 2, problem.oracle.limit.rows)))
    if reason is not None and not (problem.wavers and reason == DIFFERS):
        raise invalid_value(
            "forward_func",
            f"a function that mixes the examples of a batch ({reason})",
            "each example is attacked on its own",
            "a function of independent examples (model.eval() for batch norm), or one example per call",
        )
