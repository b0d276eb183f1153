"""Slow, obvious second implementations: one example, one point, one pass at a time."""

import torch


def gradient(function, x, select):
    """Gradient of ``select(function(x))`` for one example (a batch of one)."""
    x = tuple(v.clone().requires_grad_() for v in x)
    return torch.autograd.grad(select(function(*x)), x)


def integrated_gradients(function, x, baseline, select, n_steps=2000):
    """Midpoint rule, one pass per point."""
    totals = [torch.zeros_like(v) for v in x]
    for k in range(n_steps):
        a = (k + 0.5) / n_steps
        point = tuple(b + a * (v - b) for v, b in zip(x, baseline, strict=True))
        for total, g in zip(totals, gradient(function, point, select), strict=True):
            total.add_(g / n_steps)
    return tuple(t * (v - b) for t, v, b in zip(totals, x, baseline, strict=True))


def expected_gradients(function, select, draws):
    """Mean over explicit draws of (noisy input, baseline, position)."""
    values = []
    for end, start, a in draws:
        point = tuple(s + a * (e - s) for e, s in zip(end, start, strict=True))
        grads = gradient(function, point, select)
        values.append([g * (e - s) for g, e, s in zip(grads, end, start, strict=True)])
    return tuple(torch.stack(parts).mean(0) for parts in zip(*values, strict=True))
