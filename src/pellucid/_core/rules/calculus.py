"""Derivatives of a recorded call: vector products at a point, and their integral along the operands."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pellucid._core.rules.carry import Gradients

Function = Callable[..., tuple[Tensor, ...]]


def vjp(function: Function, at: Sequence[Tensor], gradients: Gradients) -> list[Tensor]:
    """Pull multipliers of the results back to the operands: the transposed Jacobian at a point."""
    with torch.enable_grad():
        points = [point.detach().requires_grad_() for point in at]
        return _pull(function(*points), points, gradients)


def _pull(results: Sequence[Tensor], points: Sequence[Tensor], gradients: Gradients) -> list[Tensor]:
    used = [
        (result, gradient.to(result.dtype))
        for result, gradient in zip(results, gradients, strict=True)
        if gradient is not None and result.requires_grad
    ]
    if not used:
        return [torch.zeros_like(point) for point in points]
    found = torch.autograd.grad([r for r, _ in used], points, [g for _, g in used], allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(points, found, strict=True)]


class Tangent:
    """A call linearised at one point: pushes directions forward and pulls multipliers back.

    Two backward passes push a direction, because forward-mode differentiation lacks formulas for some
    operations and keeps state that threads share.

    Example:
        >>> import torch
        >>> square = Tangent(lambda x: (x * x,), [torch.tensor([3.0])])
        >>> square.push([torch.tensor([1.0])])[0], square.pull((torch.tensor([1.0]),))[0]
        (tensor([6.]), tensor([6.]))
    """

    def __init__(self, function: Function, at: Sequence[Tensor]) -> None:
        with torch.enable_grad():
            self._points = [point.detach().requires_grad_() for point in at]
            self._results = function(*self._points)

    def push(self, directions: Sequence[Tensor]) -> list[Tensor | None]:
        """Return the change of each result along a direction; None for results without a derivative."""
        smooth = [result for result in self._results if result.requires_grad]
        with torch.enable_grad():
            # any weights do, since pulling back is linear; some formulas break down at zero
            weights = [torch.ones_like(result, requires_grad=True) for result in smooth]
            pulled = torch.autograd.grad(
                smooth, self._points, weights, create_graph=True, retain_graph=True, allow_unused=True
            )
            used = [(p, d) for p, d in zip(pulled, directions, strict=True) if p is not None and p.requires_grad]
            pushed: Sequence[Tensor | None] = [None] * len(weights)
            if used:
                pushed = torch.autograd.grad(
                    [p for p, _ in used], weights, [d.to(p.dtype) for p, d in used], allow_unused=True
                )
        filled = iter([torch.zeros_like(r) if g is None else g for r, g in zip(smooth, pushed, strict=True)])
        return [next(filled).detach() if result.requires_grad else None for result in self._results]

    def pull(self, gradients: Gradients) -> list[Tensor]:
        """Return the multipliers of the operands; the linearisation is used up."""
        return _pull(self._results, self._points, gradients)


@functools.lru_cache(maxsize=64)
def gauss_legendre(count: int) -> tuple[tuple[float, float], ...]:
    """Return nodes and weights on [0, 1] that are exact for polynomials up to degree ``2 * count - 1``."""
    import numpy as np  # noqa: PLC0415 # only quadratures need it

    nodes, weights = np.polynomial.legendre.leggauss(count)
    return tuple((float(node + 1) / 2, float(weight) / 2) for node, weight in zip(nodes, weights, strict=True))


def line_integral(
    function: Function, start: Sequence[Tensor], end: Sequence[Tensor], gradients: Gradients, count: int
) -> list[Tensor]:
    r"""Average the pulled-back multipliers over the straight line between two points.

    .. math:: \int_0^1 J(x' + t (x - x'))^T m \, dt
    """
    total: list[Tensor] | None = None
    for node, weight in gauss_legendre(count):
        point = [torch.lerp(a, b, node) for a, b in zip(start, end, strict=True)]
        found = [weight * g for g in vjp(function, point, gradients)]
        total = found if total is None else [a + b for a, b in zip(total, found, strict=True)]
    return total or []
