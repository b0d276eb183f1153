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
    return FIRST_SHARE * 0.5 ** sum(now > mark for mark in HALVED_AT)


@dataclass(frozen=True)
class Windows:
    """Draws windows and signs for rows of inputs of these shapes."""

    shapes: tuple[tuple[int, ...], ...]

    def pair(self, rows: int, share: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Two windows for each row, in the same one of its inputs: weights of shape (rows, D), 0 outside."""
        sizes = torch.tensor([math.prod(s) for s in self.shapes], dtype=torch.float64)
        picked = torch.multinomial(sizes, rows, replacement=True, generator=generator)
        parts = [
            _squares(s, rows, share, generator) if len(s) == 3 else _subsets(math.prod(s), rows, share, generator)
            for s in self.shapes
        ]
        here = [(picked == i)[:, None] for i in range(len(parts))]
        first, second = ([part[k] * at for part, at in zip(parts, here, strict=True)] for k in range(2))
        return torch.cat(first, 1), torch.cat(second, 1)

    def signs(self, rows: int, generator: torch.Generator, stripes: bool = False) -> Tensor:
        """Random signs (rows, D): one per channel of images (and column for stripes), one per value of others."""
        parts = []
        for shape in self.shapes:
            of_image = (shape[0], 1, shape[2] if stripes else 1) if len(shape) == 3 else shape
            sign = torch.randint(0, 2, (rows, *of_image), generator=generator) * 2.0 - 1.0
            parts.append(sign.expand(rows, *shape).reshape(rows, -1))
        return torch.cat(parts, 1)


def _subsets(size: int, rows: int, share: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two random subsets; random weights of the first, and a second that is often empty, reach all directions."""
    first, second = torch.rand(2, rows, size, generator=generator)
    weights = torch.rand(rows, size, generator=generator).clamp_min(1e-3)
    emptied = torch.rand(rows, 1, generator=generator) < 0.5
    return weights * _chosen(first, share), (_chosen(second, share) & emptied).float()


def _chosen(drawn: Tensor, share: float) -> Tensor:
    return (drawn < share).scatter(1, drawn.argmin(1, keepdim=True), True)


def _squares(shape: tuple[int, ...], rows: int, share: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two squares over all channels, with weights that fall from the middle to the edge."""
    _, height, width = shape
    side = max(1, min(round(math.sqrt(share * height * width)), height, width))
    return _square(shape, rows, side, generator), _square(shape, rows, side, generator)


def _square(shape: tuple[int, ...], rows: int, side: int, generator: torch.Generator) -> Tensor:
    _, height, width = shape
    place = torch.rand(2, rows, generator=generator)
    down = torch.arange(height)[None] - (place[0] * (height - side + 1)).long()[:, None]
    right = torch.arange(width)[None] - (place[1] * (width - side + 1)).long()[:, None]
    inside = ((down >= 0) & (down < side))[:, :, None] & ((right >= 0) & (right < side))[:, None]
    weights = _hill(side)[down.clamp(0, side - 1)[:, :, None], right.clamp(0, side - 1)[:, None]] * inside
    return weights[:, None].expand(-1, *shape).reshape(rows, -1)


def _hill(side: int) -> Tensor:
    """Weights ``sum over k from 0 to m of 1 / (n + 1 - k)^2``, n = side // 2, at m steps from the edge."""
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
    windows = Windows(tuple(tuple(v.shape[1:]) for v in problem.asked.site.values))
    loss = problem.against(margin)
    begin = _first_points(problem, examples, windows, radius, generator)
    scores = problem.scores(begin, examples)
    found = Found(begin, loss(scores, examples), problem.fooled(scores, examples))
    for query in range(1, queries):
        left = (~found.fooled).nonzero()[:, 0].cpu()
        if not len(left):
            break
        chosen = examples[left]
        pair = windows.pair(len(left), share_of_values(query, queries), generator)
        drawn = [t.to(problem.inputs) for t in (*pair, windows.signs(len(left), generator))]
        point = _propose(problem, chosen, found.points[left], radius, drawn)
        scores = problem.scores(point, chosen)
        margins, fooled = loss(scores, chosen), problem.fooled(scores, chosen)
        better = (fooled | (margins > found.margins[left])).cpu()
        where = left[better]
        found.points[where], found.margins[where] = point[better], margins[better]
        found.fooled[where] = fooled[better]
    return found


def _first_points(
    problem: Problem, examples: Tensor, windows: Windows, radius: float, generator: torch.Generator
) -> Tensor:
    """Corners of the ball in stripes for Linf; for the others the same direction, to the ball's edge."""
    signs = windows.signs(len(examples), generator, stripes=True).to(problem.inputs)
    size = problem.ball.size(signs).clamp_min(1)[:, None]
    return problem.project(problem.inputs[examples] + radius * signs / size, examples, radius)


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
