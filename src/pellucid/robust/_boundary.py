"""The walk of the fast adaptive boundary attack: back and forth over the boundary, ever nearer to the input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid._core.random import generator_of
from pellucid.robust._hyperplane import onto_hyperplane
from pellucid.robust._losses import margin_to
from pellucid.robust._problem import Problem

OVERSHOOT = 1.05
"""Steps go this many times the way to the linearised boundary."""
LARGEST_BIAS = 0.1
"""Largest weight of the step that begins at the input instead of the current point."""
BACK = 0.9
"""Where the model is fooled, the walk goes on from this share of the way out."""
HALVINGS = 24
"""Of the segment between the input and the nearest point found, at the end."""
POLISHES = 3
"""Times that the input is projected onto the tangent of the boundary at the nearest point, at the end."""


@dataclass
class Nearest:
    """The nearest points found that fool the model; distances are infinite where there is none."""

    points: Tensor
    distances: Tensor

    def improve(self, places: Tensor, points: Tensor, distances: Tensor) -> None:
        """Take over nearer points of some examples."""
        nearer = distances < self.distances[places]
        where = places[nearer.cpu()]
        self.points[where], self.distances[where] = points[nearer], distances[nearer]


def walk(problem: Problem, examples: Tensor, wanted: Tensor, start: Tensor, n_iter: int, nearest: Nearest) -> None:
    """Walk along the boundary to the wanted class of each example, and keep what is nearest.

    Args:
        problem: what is attacked.
        examples: numbers of the examples.
        wanted: class of each example of the whole batch.
        start: first points, one row per example.
        n_iter: number of steps.
        nearest: improved in place; one row per example of ``examples``.
    """
    loss = problem.towards(margin_to, wanted)
    center, box = problem.inputs[examples], problem.box.rows(examples)
    places = torch.arange(len(examples))
    ball, point = problem.ball, start
    for _ in range(n_iter):
        seen = problem.slopes(point, examples, loss)
        here = onto_hyperplane(point, seen.gradients, seen.losses, ball, box)
        at_center = seen.losses + (seen.gradients * (center - point)).sum(1)
        there = onto_hyperplane(center, seen.gradients, at_center, ball, box)
        near, far = ball.size(here), ball.size(there)
        bias = (near / (near + far).clamp_min(torch.finfo(near.dtype).tiny)).clamp(max=LARGEST_BIAS)[:, None]
        point = box.clamp((1 - bias) * (point + OVERSHOOT * here) + bias * (center + OVERSHOOT * there))
        fooled = problem.fooled(problem.scores(point, examples), examples)
        distances = torch.where(fooled, problem.distances(point, examples), torch.inf)
        nearest.improve(places, point, distances)
        point = torch.where(fooled[:, None], center + BACK * (point - center), point)


def refine(problem: Problem, examples: Tensor, nearest: Nearest) -> None:
    """Halve the way to the nearest points, then to the nearest points of the boundary's tangents there.

    The way to a tangent leads over the nearest points of the hyperplanes parallel to it, so that for a linear model
    it ends in the nearest point of all, whatever the bounds are.
    """
    rows = torch.isfinite(nearest.distances).nonzero()[:, 0].cpu()
    if not len(rows):
        return
    chosen = examples[rows]
    center, box = problem.inputs[chosen], problem.box.rows(chosen)
    far = nearest.points[rows]
    nearest.improve(rows, *_halved(problem, chosen, lambda share: center + share[:, None] * (far - center)))
    wanted = problem.labels.clone()
    for _ in range(POLISHES):
        point = nearest.points[rows]
        wanted[chosen] = problem.scores(point, chosen).argmax(1)
        seen = problem.slopes(point, chosen, problem.towards(margin_to, wanted))
        gradients = seen.gradients
        gap = OVERSHOOT * (seen.losses + (gradients * (center - point)).sum(1))

        def way(share: Tensor, normals: Tensor = gradients, gap: Tensor = gap) -> Tensor:
            return center + onto_hyperplane(center, normals, share * gap, problem.ball, box)

        nearest.improve(rows, *_halved(problem, chosen, way))


def _halved(problem: Problem, examples: Tensor, way: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """The first points on ways from the inputs (shares 0 to 1) that fool the model, with their distances."""
    box = problem.box.rows(examples)
    high = torch.ones_like(problem.inputs[examples, 0])
    low, best = torch.zeros_like(high), box.clamp(way(high))
    fooled = problem.fooled(problem.scores(best, examples), examples)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        point = box.clamp(way(middle))
        here = problem.fooled(problem.scores(point, examples), examples)
        best = torch.where(here[:, None], point, best)
        low, high = torch.where(here, low, middle), torch.where(here, middle, high)
    return best, torch.where(fooled, problem.distances(best, examples), torch.inf)


def nearest_points(
    problem: Problem, examples: Tensor, n_classes: int, n_iter: int, seeds: list[int], radius: float | None = None
) -> Nearest:
    """Search the nearest points that fool the model, from the inputs and then from random points around them.

    Args:
        problem: what is attacked.
        examples: numbers of the examples.
        n_classes: most likely other classes that are aimed at one after the other.
        n_iter: steps of each walk.
        seeds: of the random points of all walks but the first.
        radius: largest distance of random points; examples within it need no further walk.

    Returns:
        The points.
    """
    found = Nearest(problem.inputs[examples].clone(), torch.full((len(examples),), torch.inf).double())
    found.distances = found.distances.to(found.points.device)
    reach = torch.inf if radius is None else radius
    for run in range(len(seeds) + 1):
        for wanted in problem.runners_up(n_classes).unbind(1):
            left = torch.arange(len(examples))
            if radius is not None:
                left = (found.distances > radius).nonzero()[:, 0].cpu()
            if not len(left):
                return found
            chosen = examples[left]
            start = problem.inputs[chosen]
            part = Nearest(start.clone(), torch.full_like(found.distances[left], torch.inf))
            if run:
                around = _around(found.distances[left], reach).to(start)
                start = problem.random_points(chosen, around, generator_of(seeds[run - 1]))
            walk(problem, chosen, wanted, start, n_iter, part)
            refine(problem, chosen, part)
            found.improve(left, part.points, part.distances)
    return found


def _around(distances: Tensor, reach: float) -> Tensor:
    """Radius of random starts: half the smaller of the best distance and the reach, 1 where neither is known."""
    smaller = distances.clamp(max=reach)
    return torch.where(torch.isfinite(smaller), smaller, torch.ones_like(smaller)) / 2
