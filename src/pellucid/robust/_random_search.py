"""The random search of the Square attack: local changes that are kept if they help; no gradients are asked for.

A proposal changes one window of one input: a square over all channels of an image (the last two of its three
dimensions), a random subset of the values of anything else. Windows shrink with time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.robust._losses import margin
from pellucid.robust._problem import Problem

FIRST_SHARE = 0.8
"""Share of the values in the first windows."""
HALVED_AT = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Queries after which windows are halved in area, for a budget of 10,000; scaled for others."""


def share_of_values(query: int, queries: int) -> float:
    """Share of the values that a window changes."""
    now = query / queries * 10_000
    return FIRST_SHARE / 2 ** sum(now > mark for mark in HALVED_AT)


@dataclass(frozen=True)
class Windows:
    """Draws windows of rows: boolean tensors (n, D), the same for an example whoever else is searched."""

    shapes: tuple[tuple[int, ...], ...]
    examples: int

    def draw(self, share: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Two windows for each example of the batch, in the same one of its inputs: (windows, weights) of each."""
        first = self._one_of_each(share, generator)
        second = self._one_of_each(share, generator)
        sizes = torch.tensor([math.prod(s) for s in self.shapes], dtype=torch.float64)
        picked = torch.multinomial(sizes, self.examples, replacement=True, generator=generator)
        return self._only(first, picked), self._only(second, picked)

    def _only(self, parts: list[Tensor], picked: Tensor) -> Tensor:
        return torch.cat([part * (picked == i)[:, None] for i, part in enumerate(parts)], 1)

    def _one_of_each(self, share: float, generator: torch.Generator) -> list[Tensor]:
        return [
            self._squares(s, share, generator) if len(s) == 3 else self._subset(math.prod(s), share, generator)
            for s in self.shapes
        ]

    def _squares(self, shape: tuple[int, ...], share: float, generator: torch.Generator) -> Tensor:
        """Weights that fall from the middle of a square to its edge, 0 outside."""
        _, height, width = shape
        side = max(1, min(round(math.sqrt(share * height * width)), height, width))
        place = torch.rand(2, self.examples, generator=generator)
        top = (place[0] * (height - side + 1)).long()
        left = (place[1] * (width - side + 1)).long()
        pyramid = torch.zeros(self.examples, height, width)
        hill = _hill(side)
        rows, columns = torch.arange(height)[None] - top[:, None], torch.arange(width)[None] - left[:, None]
        inside = ((rows >= 0) & (rows < side))[:, :, None] & ((columns >= 0) & (columns < side))[:, None]
        pyramid = hill[rows.clamp(0, side - 1)[:, :, None], columns.clamp(0, side - 1)[:, None]] * inside
        return pyramid[:, None].expand(-1, *shape).reshape(self.examples, -1)

    def _subset(self, size: int, share: float, generator: torch.Generator) -> Tensor:
        count = max(1, round(share * size))
        ranks = torch.rand(self.examples, size, generator=generator).argsort(1).argsort(1)
        return (ranks < count).float()

    def signs(self, generator: torch.Generator) -> Tensor:
        """One random sign per example and channel of images, and per value of anything else."""
        parts = []
        for shape in self.shapes:
            drawn = shape[:1] if len(shape) == 3 else (math.prod(shape),)
            sign = torch.randint(0, 2, (self.examples, *drawn), generator=generator) * 2.0 - 1.0
            if len(shape) == 3:
                sign = sign[:, :, None, None].expand(-1, *shape)
            parts.append(sign.reshape(self.examples, -1))
        return torch.cat(parts, 1)

    def stripes(self, generator: torch.Generator) -> Tensor:
        """Signs that are constant along the columns of images, and random for anything else."""
        parts = []
        for shape in self.shapes:
            drawn = (shape[0], 1, shape[2]) if len(shape) == 3 else shape
            sign = torch.randint(0, 2, (self.examples, *drawn), generator=generator) * 2.0 - 1.0
            parts.append(sign.expand(self.examples, *shape).reshape(self.examples, -1))
        return torch.cat(parts, 1)


def _hill(side: int) -> Tensor:
    """Weights ``sum over k from 0 to m of 1 / (n + 1 - k)^2``, n = side // 2, that grow with the distance m to the edge."""
    n = side // 2
    steps = torch.tensor([1.0 / (n + 1 - k) ** 2 for k in range(n + 1)]).cumsum(0)
    here = torch.arange(side)
    to_edge = torch.minimum(here, side - 1 - here).clamp(max=n)
    return steps[torch.minimum(to_edge[:, None], to_edge[None])]


@dataclass
class Found:
    """The points with the largest margin of the best other class, and whether they fool the model."""

    points: Tensor
    margins: Tensor
    fooled: Tensor


def random_search(problem: Problem, examples: Tensor, radius: float, queries: int, generator: torch.Generator) -> Found:
    """Search the balls of some examples for points that fool the model, by scores alone.

    Args:
        problem: what is attacked.
        examples: numbers of the examples.
        radius: of the balls.
        queries: evaluations per example.
        generator: of the proposals.

    Returns:
        What was found.
    """
    windows = Windows(tuple(tuple(v.shape[1:]) for v in problem.asked.site.values), len(problem.all))
    loss = problem.against(margin)
    begin = _first_points(problem, windows, radius, generator)[examples]
    scores = problem.scores(begin, examples)
    found = Found(begin, loss(scores, examples), problem.fooled(scores, examples))
    for query in range(1, queries):
        share = share_of_values(query, queries)
        first, second = windows.draw(share, generator)
        signs = windows.signs(generator)
        left = (~found.fooled).nonzero()[:, 0].cpu()
        if not len(left):
            break
        chosen = examples[left]
        drawn = [t[chosen].to(problem.inputs) for t in (first, second, signs)]
        point = _propose(problem, chosen, found.points[left], radius, drawn)
        scores = problem.scores(point, chosen)
        margins, fooled = loss(scores, chosen), problem.fooled(scores, chosen)
        better = (fooled | (margins > found.margins[left])).cpu()
        where = left[better]
        found.points[where], found.margins[where] = point[better], margins[better]
        found.fooled[where] = fooled[better]
    return found


def _first_points(problem: Problem, windows: Windows, radius: float, generator: torch.Generator) -> Tensor:
    """Corners of the ball in stripes for Linf; for the others a random direction that reaches the ball's edge."""
    signs = windows.stripes(generator).to(problem.inputs)
    size = problem.ball.size(signs).clamp_min(1)[:, None]
    return problem.project(problem.inputs + radius * signs / size, problem.all, radius)


def _propose(problem: Problem, examples: Tensor, points: Tensor, radius: float, drawn: list[Tensor]) -> Tensor:
    first, second, signs = drawn
    if problem.ball.order == torch.inf:
        moved = torch.where(first > 0, problem.inputs[examples] + radius * signs, points)
        return problem.project(moved, examples, radius)
    order = problem.ball.order
    away = points - problem.inputs[examples]
    either = (first > 0) | (second > 0)
    spare = (radius**order - problem.ball.size(away) ** order).clamp_min(0)
    mass = (problem.ball.size(away * either) ** order + spare) ** (1 / order)
    old = away * (first > 0)
    unit = old / problem.ball.size(old).clamp_min(torch.finfo(old.dtype).tiny)[:, None]
    fresh = signs * first / problem.ball.size(first).clamp_min(1e-12)[:, None]
    mixed = unit + fresh
    moved = mixed * (mass / problem.ball.size(mixed).clamp_min(1e-12))[:, None]
    return problem.project(problem.inputs[examples] + torch.where(either, moved, away), examples, radius)
