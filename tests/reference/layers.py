"""Slow, obvious second implementations of layer methods: one example, one point, one Jacobian at a time.

A model is given in two parts: ``before(*inputs) -> z`` and ``after(z, *inputs) -> output``.
"""

import torch
from torch.autograd.functional import jacobian


def _point(x, base, a):
    return tuple(b + a * (v - b) for v, b in zip(x, base, strict=True))


def _nodes(steps):
    """Midpoints in each of ``steps`` equal intervals, with a Gauss rule of 3 points in each."""
    root = (3 / 5) ** 0.5
    for k in range(steps):
        for t, w in ((-root, 5 / 18), (0.0, 4 / 9), (root, 5 / 18)):
            yield (k + 0.5 + t / 2) / steps, w / steps


def conductance(before, after, x, base, select, steps=14):
    """Layer conductance of one example: its gradient at the layer times the layer's Jacobian times the direction."""
    total = 0.0
    direction = tuple(v - b for v, b in zip(x, base, strict=True))
    for a, w in _nodes(steps):
        point = _point(x, base, a)
        z = before(*point)
        jacobians = jacobian(before, point)
        speed = sum(torch.tensordot(j, v, dims=v.dim()) for j, v in zip(jacobians, direction, strict=True))
        g = jacobian(lambda v, p=point: select(after(v, *p)), z)
        total = total + w * g * speed
    return total


def neuron_conductance(before, after, x, base, select, neurons, steps=14):
    """Conductance of each input value through each of some neurons (flat indices), summed."""
    totals = [torch.zeros_like(v) for v in x]
    for a, w in _nodes(steps):
        point = _point(x, base, a)
        z = before(*point)
        g = jacobian(lambda v, p=point: select(after(v, *p)), z).flatten()
        jacobians = jacobian(before, point)
        for total, j, v, b in zip(totals, jacobians, x, base, strict=True):
            rows = j.reshape(-1, *v.shape)
            for n in neurons:
                total.add_(w * g[n] * rows[n] * (v - b))
    return tuple(totals)


def internal_influence(before, after, x, base, select, steps=14):
    """Mean gradient at the layer along the path of the inputs."""
    total = 0.0
    for a, w in _nodes(steps):
        point = _point(x, base, a)
        total = total + w * jacobian(lambda v, p=point: select(after(v, *p)), before(*point))
    return total


def grad_cam(before, after, x, select, relu=False, summed=True):
    """Channels in dimension 1, weighted one by one with their mean gradient."""
    z = before(*x)
    g = jacobian(lambda v: select(after(v, *x)), z)
    maps = [z[:, c] * g[:, c].mean() for c in range(z.shape[1])]
    found = sum(maps)[:, None] if summed else torch.stack(maps, dim=1)
    return found.clamp_min(0) if relu else found
