"""The nearest point of a hyperplane inside a box, in each norm, exactly.

Wanted is the smallest displacement d with ``w . (x + d) + b = 0`` and x + d in the box. Each value moves in the
direction that brings the hyperplane nearer, by ``t_i`` at most its room ``u_i``; with ``a = |w|`` and the deficit
``c = |w . x + b|`` that leaves: the smallest t with ``sum a_i t_i = c`` and ``0 <= t <= u``. Its form is
``t_i = min(u_i, m)`` for Linf, ``t_i = min(u_i, m a_i)`` for L2, and for L1 the largest ``a_i`` are used up first.
Where the hyperplane does not meet the box, all room is used.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pellucid.robust._balls import Ball, Box


def onto_hyperplane(points: Tensor, normals: Tensor, values: Tensor, ball: Ball, box: Box) -> Tensor:
    """Displacements from points to the hyperplane ``normals . d + values = 0``.

    Args:
        points: shape (n, D), inside the box.
        normals: shape (n, D).
        values: the linear function at the points, shape (n,).
        ball: the norm.
        box: the allowed ranges.

    Returns:
        Tensor of shape (n, D).
    """
    direction = -normals * torch.where(values > 0, 1.0, -1.0).to(normals.dtype)[:, None]
    weight = direction.abs()
    room = torch.where(direction > 0, box.high - points, points - box.low).clamp_min(0)
    room = torch.where(weight > 0, room, torch.zeros_like(room))
    move = _greedily if ball.order == 1.0 else _evenly
    amount = move(weight, room, values.abs(), weight if ball.order == 2.0 else torch.ones_like(weight))
    return direction.sign() * amount


def _evenly(weight: Tensor, room: Tensor, deficit: Tensor, speed: Tensor) -> Tensor:
    """Find t_i = min(u_i, m s_i) with sum a_i t_i = c: m lies between two of the sorted u_i / s_i."""
    speed = torch.where(weight > 0, speed, torch.ones_like(speed))
    knots, order = (room / speed).sort(1)
    used = (weight * room).gather(1, order)
    rate = (weight * speed).gather(1, order)
    before = _sums_before(used)
    running = rate.flip(1).cumsum(1).flip(1)
    reached = before + knots * running
    enough = reached >= deficit[:, None]
    first = enough.to(torch.int8).argmax(1, keepdim=True)
    tiny = torch.finfo(weight.dtype).tiny
    level = (deficit[:, None] - before.gather(1, first)) / running.gather(1, first).clamp_min(tiny)
    level = torch.where(enough.any(1, keepdim=True), level, torch.full_like(level, torch.inf))
    return torch.minimum(room, level * speed)


def _greedily(weight: Tensor, room: Tensor, deficit: Tensor, speed: Tensor) -> Tensor:
    """Use up the values of largest weight first."""
    del speed
    weight, order = weight.sort(1, descending=True)
    room = room.gather(1, order)
    left = (deficit[:, None] - _sums_before(weight * room)).clamp_min(0)
    amount = torch.minimum(room, left / weight.clamp_min(torch.finfo(weight.dtype).tiny))
    return torch.zeros_like(room).scatter(1, order, amount)


def _sums_before(values: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(values[:, :1]), values[:, :-1].cumsum(1)], 1)
