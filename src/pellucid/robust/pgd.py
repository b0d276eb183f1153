"""Projected gradient descent: many small steps, each followed by a projection into the ball."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pellucid._core.door import accept_count, accept_forward, accept_samples
from pellucid._core.progress import progress
from pellucid._core.random import draw_seeds, generator_of
from pellucid._core.structure import like
from pellucid.docstrings import documented
from pellucid.robust._asking import Asked, Bound, accept_bound, accept_norm, accept_size
from pellucid.robust._balls import Ball, Box, settle
from pellucid.robust._oracle import Values
from pellucid.robust._slope import accept_loss, sloping
from pellucid.robust._texts import LABELS
from pellucid.robust.perturbation import Perturbation
from pellucid.typing import ForwardFunction, TargetLike, Tensors


class PGD(Perturbation):
    """Steps along the loss's gradient, each followed by a projection into the ball around the input and the bounds.

    ``x_(k+1) = project(x_k + step_size * direction(dL/dx))``, from x or a random point of the ball. The direction is
    the gradient's sign in every norm, or with ``normalized`` the steepest ascent of the norm: the sign for Linf,
    ``g / |g|_2`` for L2, and for L1 one step of the entry with the largest gradient among those that can move. The
    default loss is that of FGSM. Law: the result lies in the ball and within the bounds, in the last bit too.

    With a tuple of inputs each tensor has a ball of its own. For L1 the projection is the exact one onto ball and
    bounds together; for Linf and L2 values are clamped to the bounds after it.

    Example:
        >>> import torch
        >>> from pellucid.robust import PGD
        >>> logits = lambda x: torch.stack([3 * x[:, 0] + 4 * x[:, 1], 0 * x[:, 0]], 1)
        >>> x = torch.tensor([[1.0, 1.0]])
        >>> PGD(logits).perturb(x, 0.5, 0.2, 9, target=0, norm="L2", normalized=True) - x  # against (3, 4)
        tensor([[-0.3000, -0.4000]])

    References:
        Madry, Makelov, Schmidt, Tsipras and Vladu (2018), Towards Deep Learning Models Resistant to Adversarial
        Attacks, arXiv:1706.06083.
    """

    @documented()
    def __init__(
        self,
        forward_func: ForwardFunction,
        loss_func: Callable[..., Any] | None = None,
        lower_bound: Bound = float("-inf"),
        upper_bound: Bound = float("inf"),
    ) -> None:
        """Attack a function.

        {arguments}
        """
        self.forward_func = accept_forward(forward_func)
        self.loss_func = accept_loss(loss_func)
        self.lower_bound = accept_bound("lower_bound", lower_bound)
        self.upper_bound = accept_bound("upper_bound", upper_bound)

    @documented(
        target=LABELS,
        step_size="Length of a step.",
        step_num="Number of steps.",
        random_start="Whether the first run begins at a random point of the ball instead of the input.",
        normalized="Whether steps of length step_size follow the norm's steepest ascent instead of signs.",
        n_restarts="Number of runs, all but the first from random points; of each example the result with the highest"
        " loss is kept (the lowest if targeted).",
    )
    def perturb(
        self,
        inputs: Tensors,
        radius: float,
        step_size: float,
        step_num: int,
        target: TargetLike,
        additional_forward_args: Any = None,
        targeted: bool = False,
        random_start: bool = False,
        norm: str = "Linf",
        mask: Tensors | None = None,
        *,
        normalized: bool = False,
        n_restarts: int = 1,
        generator: torch.Generator | None = None,
        seed: int | None = None,
        show_progress: bool = False,
    ) -> Tensors:
        """Take the steps.

        {arguments}

        Returns:
            Perturbed inputs, in the structure of the inputs.

        Raises:
            InvalidTypeError: for arguments of a wrong type.
            InvalidValueError: for arguments that do not fit together.
        """
        bounds = self.lower_bound, self.upper_bound
        asked = Asked.accept(self.forward_func, inputs, additional_forward_args, bounds, mask)
        ball, reach = accept_norm(norm), accept_size("radius", radius)
        walk = _Walk(asked, ball, reach, accept_size("step_size", step_size), normalized)
        steps, runs = accept_count("step_num", step_num), accept_samples("n_restarts", n_restarts)
        random = runs if random_start else runs - 1
        seeds = draw_seeds(random, generator, seed) if random else []
        starts = [None] * (runs - random) + [generator_of(s) for s in seeds]
        best: Values = ()
        highest: Tensor | None = None
        rows = runs * steps * asked.site.examples
        with (
            sloping(asked, self.loss_func, target, targeted, "PGD") as slope,
            progress(show_progress, "PGD", rows) as bar,
        ):
            for start in starts:
                points = walk.start(start)
                for _ in range(steps):
                    points = walk.step(points, slope.at(points))
                    bar.update(asked.site.examples)
                points = walk.settled(points)
                if runs == 1:
                    return like(inputs, points)
                losses = slope.losses(points)
                best, highest = _better(points, losses, best, highest)
        return like(inputs, best)


@dataclass(frozen=True)
class _Walk:
    """Where a step leads: everything that stays the same from step to step."""

    asked: Asked
    ball: Ball
    radius: float
    step_size: float
    normalized: bool

    @cached_property
    def rows(self) -> list[tuple[Tensor, Box]]:
        """Of each input the rows and their box."""
        asked = self.asked
        triples = zip(asked.site.values, asked.low, asked.high, strict=True)
        return [(x.reshape(len(x), -1), Box.around(low, high, x, asked.free)) for x, low, high in triples]

    def start(self, generator: torch.Generator | None) -> Values:
        """The inputs, or random points of the balls around them."""
        if generator is None:
            return self.asked.site.values
        points = []
        for i, x in enumerate(self.asked.site.values):
            center, box = self.rows[i]
            offset = (
                self.ball.draw(center.shape[0], center.shape[1], generator).to(center.device, center.dtype)
                * self.radius
            )
            if self.asked.mask is not None:
                offset = offset * self.asked.mask[i].expand(x.shape).reshape(center.shape)
            points.append(box.clamp(center + offset).reshape(x.shape))
        return tuple(points)

    def step(self, points: Values, gradients: Values) -> Values:
        """One step from points of the whole batch."""
        moved = []
        for i, (point, gradient) in enumerate(zip(points, gradients, strict=True)):
            center, box = self.rows[i]
            here, slope = point.reshape(center.shape), gradient.reshape(center.shape)
            direction = self.ball.climb(here, slope, box) if self.normalized else slope.sign()
            there = torch.add(here, direction, alpha=self.step_size)
            moved.append(self.ball.project(there, center, self.radius, box).reshape(point.shape))
        return tuple(moved)

    def settled(self, points: Values) -> Values:
        """The points, inside the balls and bounds to the last bit."""
        return tuple(
            box.clamp(settle(p.reshape(c.shape), c, self.radius, self.ball, box)).reshape(p.shape)
            for p, (c, box) in zip(points, self.rows, strict=True)
        )


def _better(points: Values, losses: Tensor, best: Values, highest: Tensor | None) -> tuple[Values, Tensor]:
    """Keep of each example the points of the higher loss."""
    if highest is None:
        return points, losses
    wins = losses > highest
    kept = []
    for new, old in zip(points, best, strict=True):
        where = wins.to(new.device).expand(len(new)) if wins.numel() == 1 else wins.to(new.device)
        kept.append(torch.where(where.reshape(-1, *(1,) * (new.dim() - 1)), new, old))
    return tuple(kept), torch.where(wins, losses, highest)
