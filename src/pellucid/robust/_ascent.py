"""The ascent of Auto-PGD: steps shrink where they stop to help, so that no step size has to be chosen."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid._core.random import generator_of
from pellucid.robust._losses import Loss
from pellucid.robust._problem import Problem, Slopes

MOMENTUM = 0.75
"""Share of the new step in a move; the rest continues the last one."""
RISING = 0.75
"""A step size stays if at least this share of the steps since the last look raised the loss."""
FIRST_LOOK, LOOKS_SHORTEN, SHORTEST_LOOK = 0.22, 0.03, 0.06
"""Times of the looks, in shares of all steps."""
L1_STAGES = ((3.0, 0.3), (2.0, 0.3), (1.0, 0.4))
"""For L1: the search runs in balls of these radii first, for these shares of the steps."""
L1_FIRST_SHARE, L1_LOOK, L1_SHRINK, L1_SAME = 0.2, 0.04, 1.5, 0.95
"""For L1: share of entries in the first steps, time between looks, factor of steps and entries, when these stay."""
L1_LEAST = 0.1
"""For L1: the smallest step, as a share of the radius."""


@dataclass
class Ascent:
    """Where the examples of one search have got to.

    Attributes:
        points: of each example the point with the highest loss, or the one that fooled the model.
        losses: the highest loss.
        fooled: whether the model was fooled.
    """

    points: Tensor
    losses: Tensor
    fooled: Tensor

    def improve(self, places: Tensor, other: Ascent) -> None:
        """Take over what another search found for some of the examples, where that is better."""
        better = other.fooled | (other.losses > self.losses[places])
        where = places[better.cpu()]
        self.points[where], self.losses[where] = other.points[better], other.losses[better]
        self.fooled[where] = other.fooled[better]


@dataclass(frozen=True)
class _Climb:
    """The state of the examples that are still climbing; every field has one row per example."""

    place: Tensor  # row in the ascent
    example: Tensor
    point: Tensor
    previous: Tensor
    loss: Tensor
    gradient: Tensor
    best: Tensor
    best_loss: Tensor
    best_gradient: Tensor
    step: Tensor
    entries: Tensor  # for L1: how many entries a step changes
    rises: Tensor  # since the last look
    last_best: Tensor  # at the last look
    kept: Tensor  # whether the last look left the step alone

    def rows(self, chosen: Tensor) -> _Climb:
        return _Climb(*(getattr(self, f.name)[chosen] for f in dataclasses.fields(self)))

    def to(self, **changes: Tensor) -> _Climb:
        return dataclasses.replace(self, **changes)


def ascend(problem: Problem, examples: Tensor, loss: Loss, radius: float, start: Tensor, n_iter: int) -> Ascent:
    """Search the balls of some examples for the highest loss, until the model is fooled.

    Args:
        problem: what is attacked.
        examples: numbers of the examples.
        loss: what is raised.
        radius: of the balls.
        start: where the search begins, one row per example.
        n_iter: number of steps.

    Returns:
        The ascent.
    """
    if problem.ball.order != 1.0:
        return _stage(problem, examples, loss, radius, start, n_iter)
    found = Ascent(start, torch.full_like(start[:, 0], -torch.inf), torch.zeros_like(start[:, 0], dtype=torch.bool))
    for factor, share in L1_STAGES:
        begin = problem.project(found.points, examples, factor * radius)
        steps = max(1, round(share * n_iter))
        found = _stage(problem, examples, loss, factor * radius, begin, steps, within=radius)
    return found


def _stage(
    problem: Problem,
    examples: Tensor,
    loss: Loss,
    radius: float,
    start: Tensor,
    n_iter: int,
    within: float | None = None,
) -> Ascent:
    sparse = problem.ball.order == 1.0
    counts = within is None or within == radius  # in the wider balls of L1, fooling does not count
    seen = problem.slopes(start, examples, loss)
    ascent = Ascent(start.clone(), seen.losses.clone(), torch.zeros_like(seen.losses, dtype=torch.bool))
    climb = _begin(problem, examples, start, seen, radius)
    climb = _record(problem, ascent, climb, seen.scores, counts)
    looks = set(range(0, n_iter, max(1, math.ceil(L1_LOOK * n_iter)))) - {0} if sparse else _looks(n_iter)
    since = 0
    for i in range(n_iter):
        if not len(climb.example):
            break
        point = _move(problem, climb, radius, first=i == 0)
        seen = problem.slopes(point, climb.example, loss)
        climb = _arrived(climb, point, seen)
        climb = _record(problem, ascent, climb, seen.scores, counts)
        since += 1
        if i + 1 in looks:
            climb = _look_sparse(problem, climb, radius) if sparse else _look(climb, since)
            since = 0
    ascent.points[climb.place], ascent.losses[climb.place] = climb.best, climb.best_loss
    return ascent


def _looks(n_iter: int) -> set[int]:
    """Steps after which the step size is looked at: 0.22, then ever shorter shares of all steps."""
    before, now = 0.0, FIRST_LOOK
    looks = set()
    while now < 1:
        looks.add(math.ceil(now * n_iter - 1e-9))
        before, now = now, now + max(now - before - LOOKS_SHORTEN, SHORTEST_LOOK)
    return looks


def _begin(problem: Problem, examples: Tensor, start: Tensor, seen: Slopes, radius: float) -> _Climb:
    n, width = start.shape
    sparse = problem.ball.order == 1.0
    losses, gradients = seen.losses, seen.gradients
    step = torch.full_like(losses, radius if sparse else 2 * radius)
    entries = torch.full_like(losses, max(1.0, L1_FIRST_SHARE * width))
    place = torch.arange(n)
    zero = torch.zeros_like(losses)
    return _Climb(
        place, examples, start, start, losses, gradients, start, losses, gradients, step, entries, zero, losses,
        torch.zeros_like(losses, dtype=torch.bool),
    )  # fmt: skip


def _move(problem: Problem, climb: _Climb, radius: float, first: bool) -> Tensor:
    """One step with momentum, each part projected."""
    if problem.ball.order == 1.0:
        direction = _sparse_signs(climb, problem)
    else:
        direction = problem.ball.steepest(climb.gradient, torch.ones_like(climb.gradient, dtype=torch.bool))
    aim = problem.project(climb.point + climb.step[:, None] * direction, climb.example, radius)
    if first:
        return aim
    mixed = climb.point + MOMENTUM * (aim - climb.point) + (1 - MOMENTUM) * (climb.point - climb.previous)
    return problem.project(mixed, climb.example, radius)


def _sparse_signs(climb: _Climb, problem: Problem) -> Tensor:
    """Signs of the largest gradients among entries that can move, of norm 1 in all."""
    box = problem.box.rows(climb.example)
    gradient = climb.gradient
    free = torch.where(gradient > 0, climb.point < box.high, climb.point > box.low)
    strength = gradient.abs() * free
    ranks = strength.argsort(1, descending=True).argsort(1)
    chosen = (ranks < climb.entries.round()[:, None]) & (strength > 0)
    return gradient.sign() * chosen / chosen.sum(1, keepdim=True).clamp_min(1)


def _arrived(climb: _Climb, point: Tensor, seen: Slopes) -> _Climb:
    better = seen.losses > climb.best_loss
    return climb.to(
        previous=climb.point,
        point=point,
        rises=climb.rises + (seen.losses > climb.loss),
        loss=seen.losses,
        gradient=seen.gradients,
        best=torch.where(better[:, None], point, climb.best),
        best_gradient=torch.where(better[:, None], seen.gradients, climb.best_gradient),
        best_loss=torch.where(better, seen.losses, climb.best_loss),
    )


def _record(problem: Problem, ascent: Ascent, climb: _Climb, scores: Tensor, counts: bool) -> _Climb:
    """Note who is fooled; they climb no further."""
    if not counts:
        return climb
    fooled = problem.fooled(scores, climb.example)
    if not bool(fooled.any()):
        return climb
    done = climb.rows(fooled.cpu())
    ascent.points[done.place], ascent.losses[done.place] = done.point, done.loss
    ascent.fooled[done.place] = True
    return climb.rows(~fooled.cpu())


def _back_to_best(climb: _Climb, back: Tensor) -> _Climb:
    here = back[:, None]
    point = torch.where(here, climb.best, climb.point)
    return climb.to(
        point=point,
        previous=torch.where(here, point, climb.previous),
        gradient=torch.where(here, climb.best_gradient, climb.gradient),
        loss=torch.where(back, climb.best_loss, climb.loss),
        rises=torch.zeros_like(climb.rises),
        last_best=climb.best_loss,
    )


def _look(climb: _Climb, since: int) -> _Climb:
    """Halve steps of which too few helped, or that stayed as long as the best loss did; and go back to the best."""
    halve = (climb.rises < RISING * since) | (climb.kept & (climb.best_loss <= climb.last_best))
    climb = climb.to(step=torch.where(halve, climb.step / 2, climb.step), kept=~halve)
    return _back_to_best(climb, halve)


def _look_sparse(problem: Problem, climb: _Climb, radius: float) -> _Climb:
    """Follow the number of entries that the best point changes; while it stays the same, shorten the steps."""
    changed = (climb.best != problem.inputs[climb.example]).sum(1).to(climb.step)
    entries = (changed / L1_SHRINK).clamp_min(1.0)
    same = entries / climb.entries >= L1_SAME
    shorter = (climb.step / L1_SHRINK).clamp_min(L1_LEAST * radius)
    climb = climb.to(entries=entries, step=torch.where(same, shorter, torch.full_like(climb.step, radius)))
    return _back_to_best(climb, ~same)


def searches(
    problem: Problem, examples: Tensor, runs: Sequence[tuple[Loss, int]], radius: float, n_iter: int
) -> Iterator[Ascent]:
    """Search from random points, once per loss and seed; later searches leave out who is fooled.

    Args:
        problem: what is attacked.
        examples: numbers of the examples.
        runs: what is raised, and the seed of the random point, for each search.
        radius: of the balls.
        n_iter: number of steps of each search.

    Yields:
        After each search the best of all so far, an object that is updated later.
    """
    best: Ascent | None = None
    for loss, seed in runs:
        left = torch.arange(len(examples)) if best is None else (~best.fooled).nonzero()[:, 0].cpu()
        if not len(left):
            return
        start = problem.random_points(examples[left], radius, generator_of(seed))
        found = ascend(problem, examples[left], loss, radius, start, n_iter)
        if best is None:
            best = found
        else:
            best.improve(left, found)
        yield best
