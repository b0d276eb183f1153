r"""DeepLIFT's rescale rules: multipliers that are complete at every operation.

For an operation y = f(x) with reference (x', y'), the multipliers satisfy

.. math:: \sum m_x (x - x') = m_y (y - y')

exactly, and tend to the gradient as x' tends to x. Chained backwards through the model they
attribute the whole difference of outputs. One rule per kind of operation:

* `rescale`: elementwise functions, by the slope of the secant.
* `product`: multilinear maps, by the gradient at the midpoint.
* `softmax`: in closed form, by logarithmic means (softmax.py).
* `secant`: convex functions, by the one mixture of the two gradients that is complete.
* `order`: selections by rank, by an exact integral along the path (order.py).
* `path`: anything else, by quadrature along the path (path.py).
* `normalisation`: layer, group, batch and root-mean-square norms, in closed form (normalisation.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pellucid._core.rules.calculus import Tangent, line_integral, vjp
from pellucid._core.rules.call import Call
from pellucid._core.rules.carry import Gradients, Pullback, is_repeating
from pellucid._core.rules.path import integrate
from pellucid._core.rules.precision import at_least_single
from pellucid._core.rules.table import Occurrence, Rule


def secant_slope(call: Call, reference: Call) -> Tensor:
    """Return (y - y') / (x - x') elementwise, or the gradient where the difference would be rounding.

    Where x and x' agree to half their digits and the gradients at both are alike, their mean is used:
    its error is of third order in x - x', far below rounding, while the quotient has lost its digits.
    A kink between x and x' shows in the gradients, and there the quotient stays.
    """
    x, start = at_least_single(call.operands[0]), at_least_single(reference.operands[0])
    y, first = at_least_single(call.result()), at_least_single(reference.result())
    if call.name == "relu":
        return _slope_of_relu(x, start, y, first)
    closed = _CLOSED_SLOPES.get(call.name)
    slope = None if closed is None else closed(call, x, start, y, first)
    if slope is None:
        change = x - start
        slope = (y - first).div_(change)
        half_digits = torch.finfo(call.operands[0].dtype).eps ** 0.5
        far = change.div_(x).abs_() > half_digits  # not where both are zero
        if not bool(far.all()):
            slope = slope.contiguous()
            _use_gradients(slope.view(-1), far.logical_not_().flatten().nonzero().squeeze(1), call, reference)
    return slope if _is_finite(slope) else slope.nan_to_num_(0.0, 0.0, 0.0)


def _is_finite(slope: Tensor) -> bool:
    """Tell whether all is finite: reading is cheaper than writing."""
    return math.isfinite(slope.sum().item())


def _slope_of_power(call: Call, x: Tensor, start: Tensor, _: Tensor, __: Tensor) -> Tensor | None:
    exponent = call.argument(1, "exponent")
    return x + start if isinstance(exponent, int | float) and exponent == 2 else None


def _slope_of_inverse_root(_: Call, __: Tensor, ___: Tensor, y: Tensor, first: Tensor) -> Tensor:
    product = y * first
    return (product / (y + first)).mul_(product).neg_()


def _slope_of_relu(x: Tensor, start: Tensor, y: Tensor, first: Tensor) -> Tensor:
    """Divide: on one side of the kink both differences are the same number or one is zero, and across none cancels."""
    slope = (y - first).div_(x - start)
    if _is_finite(slope):
        return slope
    return torch.where(x == start, (x > 0).to(slope.dtype), slope).nan_to_num_(0.0, 0.0, 0.0)


_CLOSED_SLOPES: dict[str, Callable[[Call, Tensor, Tensor, Tensor, Tensor], Tensor | None]] = {
    "square": lambda _, x, start, *__: x + start,
    "pow": _slope_of_power,
    "__pow__": _slope_of_power,
    "reciprocal": lambda _, __, ___, y, first: (y * first).neg_(),
    "sqrt": lambda _, __, ___, y, first: (y + first).reciprocal_(),
    "rsqrt": _slope_of_inverse_root,
}
"""Secants without rounding that grows as x' tends to x, from (call, x, x', y, y'): mostly x - x' cancels."""


def _use_gradients(slope: Tensor, places: Tensor, call: Call, reference: Call) -> None:
    """Put the mean gradient into the slope at places where x and x' are near and their gradients alike."""
    x, start = (one.operands[0].flatten()[places] for one in (call, reference))
    if call.pointwise and reference.pointwise:
        here, there = _gradient(call, [x]), _gradient(reference, [start])
    else:
        here, there = (_gradient(one, one.operands).flatten()[places] for one in (call, reference))
    here, there = here.to(slope.dtype), there.to(slope.dtype)
    alike = (here - there).abs() <= 1e-3 * torch.maximum(here.abs(), there.abs())
    slope[places] = torch.where(alike | (x == start), (here + there) / 2, slope[places])


def _gradient(call: Call, at: Sequence[Tensor]) -> Tensor:
    return vjp(lambda *x: (call.again(*x)[0].sum(),), at, (call.operands[0].new_ones(()),))[0]


def _rescale(occurrence: Occurrence) -> Pullback:
    call, reference = occurrence.pair
    x = call.operands[0]
    if x.is_complex() and call.name in {"abs", "absolute", "__abs__"}:
        return _secant(occurrence)
    if len(call.operands) > 1 or x.shape != call.results[0].shape or not x.is_floating_point():
        return integrate(occurrence)
    slope = secant_slope(call, reference)
    return lambda gradients: (_into_slope(gradients[0], slope),)


def _into_slope(gradient: Tensor | None, slope: Tensor) -> Tensor | None:
    """Multiply as `times`, into the memory of the slope where it fits: a pullback is called once."""
    if gradient is None or gradient.dtype != slope.dtype or gradient.shape != slope.shape or is_repeating():
        return times(gradient, slope)
    return slope.mul_(gradient)


def times(gradient: Tensor | None, slope: Tensor) -> Tensor | None:
    """Multiply, in single precision or better."""
    return None if gradient is None else at_least_single(gradient) * slope


def _product(occurrence: Occurrence) -> Pullback:
    call, reference = occurrence.pair
    if len(call.operands) == 2 and call.autocast is None:
        direct = _DIRECT_PRODUCTS.get(call.name)
        one, other = call.operands
        plain = one.dtype == other.dtype and one.is_floating_point()
        if direct is not None and plain and min(one.dim(), other.dim()) >= 2:
            sums = [contiguous_sum(a, b) for a, b in zip(call.operands, reference.operands, strict=True)]
            return lambda gradients: direct(sums, gradients)
    if len(call.operands) <= 2:
        middle = [(a + b) / 2 for a, b in zip(call.operands, reference.operands, strict=True)]
        return lambda gradients: vjp(call.again, middle, gradients)
    count = (len(call.operands) + 1) // 2
    return lambda gradients: line_integral(call.again, reference.operands, call.operands, gradients, count)


def contiguous_sum(one: Tensor, other: Tensor) -> Tensor:
    """Add two tensors of one shape into contiguous memory, which products need not copy."""
    return torch.add(one, other, out=torch.empty_like(one, memory_format=torch.contiguous_format))


def _pull_mul(sums: Sequence[Tensor], gradients: Gradients) -> Sequence[Tensor | None]:
    """Pull back through a product, given the sums (twice the midpoints) of its factors."""
    (g,), (a, b) = gradients, sums
    if g is None:
        return None, None
    half = g / 2
    for_b = a.mul_(half) if a.shape == half.shape and not is_repeating() else half * a
    return half.mul_(b).sum_to_size(a.shape), for_b.sum_to_size(b.shape)


def _pull_matmul(sums: Sequence[Tensor], gradients: Gradients) -> Sequence[Tensor | None]:
    """Pull back through a matrix product, given the sums (twice the midpoints) of its factors."""
    (g,), (a, b) = gradients, sums
    if g is None:
        return None, None
    half = g / 2
    return (half @ b.mT).sum_to_size(a.shape), (a.mT @ half).sum_to_size(b.shape)


_DIRECT_PRODUCTS = {
    **dict.fromkeys(("mul", "multiply"), _pull_mul),
    **dict.fromkeys(("matmul", "__matmul__", "bmm", "mm"), _pull_matmul),
}


def _secant(occurrence: Occurrence) -> Pullback:
    """Mix the two gradients of a convex (or concave) map, per result, so that the mixture is complete.

    A convex y satisfies J(x') d <= y - y' <= J(x) d with d = x - x', so the weight lies in [0, 1].
    """
    call, reference = occurrence.pair

    def pull(gradients: Gradients) -> Sequence[Tensor | None]:
        change = [x - start for x, start in zip(call.operands, reference.operands, strict=True)]
        here, there = (Tangent(one.again, one.operands) for one in (call, reference))
        try:
            ends = here.push(change), there.push(change)
        except (NotImplementedError, RuntimeError):  # torch has no second derivative for the operation
            return integrate(occurrence)(gradients)
        weights = [
            None if high is None or low is None else mixture(y - first, high, low)
            for y, first, high, low in zip(call.results, reference.results, *ends, strict=True)
        ]
        pairs = [(g, w) for g, w in zip(gradients, weights, strict=True)]
        at_end = here.pull(tuple(None if g is None or w is None else g * w for g, w in pairs))
        at_start = there.pull(tuple(None if g is None or w is None else g * (1 - w) for g, w in pairs))
        return [a + b for a, b in zip(at_end, at_start, strict=True)]

    return pull


def mixture(change: Tensor, high: Tensor, low: Tensor) -> Tensor:
    """Return the weight of the gradient at x, given the change of y and those that both gradients tell."""
    width = high - low
    flat = width.abs() <= 8 * torch.finfo(width.dtype).eps * torch.maximum(high.abs(), low.abs())
    return torch.where(flat, 0.5, (change - low) / width)


RESCALE = Rule("rescale", _rescale, frugal=True)
PRODUCT = Rule("product", _product)
SECANT = Rule("secant of a convex function", _secant)
