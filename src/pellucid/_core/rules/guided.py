r"""Guided backpropagation and deconvolution: one rule on rectifiers, every other operation native.

With f a rectifier and g the gradient that arrives at its result,

.. math:: \text{guided: } \max(g, 0) \, \max(f'(x), 0) \qquad \text{deconvolution: } \max(g, 0)

For the ReLU, f'(x) is the indicator of x > 0 and these are the published rules. What counts as a rectifier:

* ``relu``, ``relu6``, ``leaky_relu``, ``prelu``, ``rrelu``, ``threshold``, and the smooth ``gelu``, ``silu``,
  ``mish``, ``elu``, ``selu``, ``celu``, ``softplus``, ``hardswish``;
* ``clamp``, ``clamp_min``, ``clip`` and ``hardtanh`` with a lower bound of zero; ``maximum`` and ``fmax``
  with a constant zero;
* the same written by hand as one elementwise function, such as ``x * (x > 0)``, ``where(x > 0, x, 0.1 * x)``
  ``x * sigmoid(x)`` or ``(x + x.abs()) / 2``: recognised by its values at a few places, which must be those
  of c max(x, 0) up to the leak and bend that the named ones have.

For smooth and leaky rectifiers the slope f' takes the place of the indicator, clipped at zero where a
smooth rectifier dips. Saturating functions (tanh, sigmoid), ``abs`` and shrinkages are no rectifiers and keep
their gradient. ``Certificate.count`` of the rule's name tells how many were met.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pellucid._core.rules.calculus import vjp
from pellucid._core.rules.call import Call
from pellucid._core.rules.carry import Pullback
from pellucid._core.rules.precision import at_least_single
from pellucid._core.rules.recurrent import cell_step, unrolled
from pellucid._core.rules.table import Occurrence, Rule, RuleTable

ALWAYS = [
    "relu",
    "relu6",
    "leaky_relu",
    "prelu",
    "rrelu",
    "threshold",
    "gelu",
    "silu",
    "mish",
    "elu",
    "selu",
    "celu",
    "softplus",
    "hardswish",
]
BOUNDED = ("clamp", "clamp_min", "clip", "hardtanh")
MAXIMA = ("maximum", "fmax", "max")
_FAR = 6.0
_BENT = 0.15
_LEAK = 0.25

Shape = Callable[[Call], Callable[[Tensor], Tensor]]
"""From a rectifier's call to what takes the arriving gradient to the one that goes on."""


def _guided(call: Call) -> Callable[[Tensor], Tensor]:
    if call.name == "relu":  # torch's own backward: only the result is kept, by the call, which guards it from writes
        call.operands.clear()
        return lambda gradient: torch.ops.aten.threshold_backward.default(gradient.clamp_min(0), call.results[0], 0)
    slope = vjp(call.again, call.operands, (torch.ones_like(call.results[0]),))[0].clamp_min_(0)
    return lambda gradient: gradient.clamp_min(0) * slope


def _deconvolved(call: Call) -> Callable[[Tensor], Tensor]:
    del call
    return lambda gradient: gradient.clamp_min(0)


def _rectified(shape: Shape, applies: Callable[[Call], bool]) -> Callable[[Occurrence], Pullback | None]:
    def linearise(occurrence: Occurrence) -> Pullback | None:
        call = occurrence.call
        if len(call.operands) != 1 or call.operands[0].shape != call.results[0].shape or not applies(call):
            return None
        onward = shape(call)
        return lambda gradients: (None if gradients[0] is None else onward(gradients[0]),)

    return linearise


def _always(_: Call) -> bool:
    return True


def _bounded_below_by_zero(call: Call) -> bool:
    first = "min_val" if call.name == "hardtanh" else "min"
    bound = call.argument(1, first, -1.0 if call.name == "hardtanh" else None)
    return _is_zero(bound)


def _maximum_with_zero(call: Call) -> bool:
    values = [*call.args, *call.kwargs.values()]
    constants = [value for value in values if isinstance(value, Tensor | int | float)]
    return len(values) == 2 and len(constants) == 1 and _is_zero(constants[0])


def _is_zero(value: object) -> bool:
    if isinstance(value, Tensor):
        return not bool(value.any())
    return isinstance(value, int | float) and value == 0


def looks_rectified(call: Call) -> bool:
    """Tell whether a function written by hand has the shape of c max(x, 0) with some c > 0.

    Its values at a few places decide, whatever the values are that it was called with: nearly straight on
    the right, nearly flat on the left, and small at zero.
    """

    def at(place: float) -> Tensor:
        return at_least_single(call.again(torch.full_like(call.operands[0], place))[0]) / _FAR

    scale = at(_FAR)
    straight = (at(_FAR / 2) - scale / 2).abs() <= _BENT * scale
    flat = (at(-_FAR).abs() <= _LEAK * scale) & (at(-_FAR / 2).abs() <= _LEAK * scale)
    return bool(((scale > 0) & straight & flat & (at(0.0).abs() <= _BENT * scale)).all())


def _table(name: str, shape: Shape) -> RuleTable:
    names = {word: Rule(name, _rectified(shape, _always)) for word in ALWAYS}
    names |= {word: Rule(name, _rectified(shape, _bounded_below_by_zero)) for word in BOUNDED}
    names |= {word: Rule(name, _rectified(shape, _maximum_with_zero)) for word in MAXIMA}
    return RuleTable(
        name=name,
        names=names,
        expansions={"rnn_relu": unrolled("rnn_relu"), "rnn_relu_cell": cell_step("rnn_relu")},
        region=Rule(name, _rectified(shape, looks_rectified)),
        joins_sums=True,
    )


GUIDED = _table("guided backpropagation", _guided)
DECONVOLUTION = _table("deconvolution", _deconvolved)
