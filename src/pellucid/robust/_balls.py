"""The three balls in which attacks search: sizes, projections, directions and random points.

Everything works on rows: tensors of shape (n, D), one row per example. A box gives each value its own range; a
value that may not change has an empty one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Box(NamedTuple):
    """Lowest and highest allowed values, each of shape (n, D) or (1, D); ``free`` where all values are allowed."""

    low: Tensor
    high: Tensor
    free: bool = False

    @classmethod
    def around(cls, low: Tensor, high: Tensor, values: Tensor, free: bool = False) -> Box:
        """Give bounds that broadcast to values (N, ...) the shape of their rows."""
        if low.numel() == high.numel() == 1:
            return cls(low.reshape(1, 1), high.reshape(1, 1), free)
        lowest, highest = (b.expand(values.shape).reshape(len(values), -1) for b in (low, high))
        return cls(lowest, highest, free)

    def clamp(self, points: Tensor) -> Tensor:
        """Move points into the box."""
        return points if self.free else torch.minimum(torch.maximum(points, self.low), self.high)

    def rows(self, chosen: Tensor) -> Box:
        """The ranges of some examples."""
        return self if self.low.shape[0] == 1 else Box(self.low[chosen], self.high[chosen])


@dataclass(frozen=True)
class Ball:
    """A norm, and what attacks ask of its balls.

    Attributes:
        name: Linf, L2 or L1.
        order: the p of the norm.
        into: moves displacements into the ball of a radius and, with their base, into a box.
        steepest: the displacement of norm 1 along which a linear function with this gradient grows most, given
            where values can still move.
        draw: displacements drawn uniformly from the ball of radius 1.
    """

    name: str
    order: float
    into: Callable[[Tensor, float | Tensor, Tensor, Box], Tensor]
    steepest: Callable[[Tensor, Tensor], Tensor]
    draw: Callable[[int, int, torch.Generator], Tensor]

    def size(self, displacements: Tensor) -> Tensor:
        """Norm of each row."""
        size: Tensor = torch.linalg.vector_norm(displacements, self.order, dim=1)
        return size

    def project(self, points: Tensor, center: Tensor, radius: float | Tensor, box: Box) -> Tensor:
        """Move points into the ball around their center and into the box, in which the center lies."""
        return box.clamp(center + self.into(points - center, radius, center, box))

    def climb(self, points: Tensor, gradients: Tensor, box: Box) -> Tensor:
        """Direction of steepest ascent among those that do not leave the box at once."""
        free = torch.where(gradients > 0, points < box.high, points > box.low)
        return self.steepest(gradients, free)


def corner(center: Tensor, signs: Tensor, radius: float) -> Tensor:
    """Farthest point in the directions of signs whose values lie within the radius, to the last bit of their dtype."""
    base = center.double()
    point = torch.add(base, signs, alpha=radius).to(center.dtype)
    too_far = (point - base).abs() > radius  # in float64
    return torch.where(too_far, torch.nextafter(point, center), point)


def settle(points: Tensor, center: Tensor, radius: float, ball: Ball, box: Box) -> Tensor:
    """Move points that rounding left outside the ball inside it, to the last bit of the center's dtype.

    The displacement is shrunk in float64 and rounded towards the center, so that no value's distance grows.
    """
    base = center.double()
    points = points.to(center.dtype)
    wide = points.double() - base
    size = ball.size(wide)
    outside = size > radius
    if not bool(outside.any()):
        return points
    if ball.order == torch.inf:
        inner = wide.clamp(-radius, radius)
    else:
        inner = wide * (radius * (1 - 1e-14) / size.clamp_min(radius))[:, None]
    moved = (base + inner).to(points.dtype)
    too_far = (moved.double() - base).abs() > inner.abs()
    moved = torch.where(too_far, torch.nextafter(moved, center), moved)
    return box.clamp(torch.where(outside[:, None], moved, points))


# -- Linf


def _into_cube(displacements: Tensor, radius: float | Tensor, center: Tensor, box: Box) -> Tensor:
    del center, box
    if isinstance(radius, Tensor):
        return torch.minimum(torch.maximum(displacements, -radius), radius)
    return displacements.clamp(-radius, radius)


def _signs(gradients: Tensor, free: Tensor) -> Tensor:
    del free
    return gradients.sign()


def _draw_cube(rows: int, width: int, generator: torch.Generator) -> Tensor:
    return torch.rand(rows, width, generator=generator, dtype=torch.float64) * 2 - 1


# -- L2


def _into_sphere(displacements: Tensor, radius: float | Tensor, center: Tensor, box: Box) -> Tensor:
    del center, box
    size: Tensor = torch.linalg.vector_norm(displacements, 2, dim=1, keepdim=True)
    return displacements * (radius / size.clamp_min(torch.finfo(size.dtype).tiny)).clamp(max=1.0)


def _unit(gradients: Tensor, free: Tensor) -> Tensor:
    gradients = gradients * free
    largest = gradients.abs().amax(1, keepdim=True).clamp_min(torch.finfo(gradients.dtype).tiny)
    scaled = gradients / largest  # squares of tiny gradients would vanish
    size: Tensor = torch.linalg.vector_norm(scaled, 2, dim=1, keepdim=True)
    return scaled / size.clamp_min(0.5)


def _draw_sphere(rows: int, width: int, generator: torch.Generator) -> Tensor:
    direction = torch.randn(rows, width, generator=generator, dtype=torch.float64)
    length = torch.rand(rows, 1, generator=generator, dtype=torch.float64) ** (1.0 / width)
    size: Tensor = torch.linalg.vector_norm(direction, 2, dim=1, keepdim=True)
    return direction * (length / size)


# -- L1


def _into_diamond(displacements: Tensor, radius: float | Tensor, center: Tensor, box: Box) -> Tensor:
    """The nearest point of ball and box together: d = sign(v) clamp(|v| - t, 0, room) with the t that fits.

    ``sum clamp(|v| - t, 0, room)`` falls in t, and is linear between the sorted values of |v| and |v| - room.
    """
    room = torch.where(displacements > 0, box.high - center, center - box.low).clamp_min(0)
    length = displacements.abs()
    limit = torch.as_tensor(radius, dtype=length.dtype, device=length.device).reshape(-1)
    limit = limit.expand(length.shape[0])
    kept = torch.minimum(length, room)
    knots = torch.cat([length, (length - room).clamp_min(0)], 1)
    slopes = torch.cat([torch.ones_like(length), -torch.ones_like(length)], 1)
    knots, order = knots.sort(1, descending=True)
    slopes = slopes.gather(1, order).cumsum(1)
    gains = torch.cat([torch.zeros_like(knots[:, :1]), (slopes[:, :-1] * (knots[:, :-1] - knots[:, 1:])).cumsum(1)], 1)
    enough = gains >= limit[:, None]
    enough[:, -1] = True  # there everything is kept, whatever rounding says
    first = enough.to(torch.int8).argmax(1, keepdim=True).clamp_min(1)
    above, rate = gains.gather(1, first - 1)[:, 0], slopes.gather(1, first - 1)[:, 0]
    shift = knots.gather(1, first - 1)[:, 0] - (limit - above) / rate.clamp_min(1)
    shift = torch.where(kept.sum(1) > limit, shift, torch.zeros_like(shift))[:, None]
    return displacements.sign() * torch.minimum((length - shift).clamp_min(0), room)


def _one_entry(gradients: Tensor, free: Tensor) -> Tensor:
    strength = gradients.abs() * free
    best = strength.argmax(1, keepdim=True)
    step = gradients.gather(1, best).sign() * (strength.gather(1, best) > 0)
    return torch.zeros_like(gradients).scatter(1, best, step)


def _draw_diamond(rows: int, width: int, generator: torch.Generator) -> Tensor:
    shares = -torch.rand(rows, width + 1, generator=generator, dtype=torch.float64).clamp_min(1e-300).log()
    signs = torch.randint(0, 2, (rows, width), generator=generator, dtype=torch.int64) * 2.0 - 1.0
    return signs * shares[:, :width] / shares.sum(1, keepdim=True)


BALLS: dict[str, Ball] = {
    "Linf": Ball("Linf", torch.inf, _into_cube, _signs, _draw_cube),
    "L2": Ball("L2", 2.0, _into_sphere, _unit, _draw_sphere),
    "L1": Ball("L1", 1.0, _into_diamond, _one_entry, _draw_diamond),
}
"""The balls by the names that arguments use."""
