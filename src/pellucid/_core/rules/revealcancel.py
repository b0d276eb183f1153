r"""DeepLIFT's RevealCancel rule (Shrikumar et al. 2017, section 3.5.3).

With :math:`\Delta z^\pm` the sums of the positive and of the negative contributions to z,

.. math::
    \Delta y^+ = \tfrac12 [f(z' + \Delta z^+) - f(z')] + \tfrac12 [f(z) - f(z' + \Delta z^-)]

and likewise for the negative ones: the Shapley values of the two. Their multipliers
:math:`\Delta y^\pm / \Delta z^\pm` go back separately to the summands of that sign. Where no sum precedes a
nonlinearity, there is one summand and the rule equals rescale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from pellucid._core.rules.call import Call
from pellucid._core.rules.carry import Gradients, Pullback
from pellucid._core.rules.deeplift import RESCALE, secant_slope
from pellucid._core.rules.precision import at_least_single
from pellucid._core.rules.table import Occurrence, Rule


def _at(call: Call, point: Tensor) -> Call:
    point = point.to(call.operands[0].dtype)
    return replace(call, operands=[point], results=[result.detach() for result in call.again(point)])


def _reveal_cancel(occurrence: Occurrence) -> Pullback | None:
    call, reference = occurrence.pair
    total, start = call.summed, reference.summed
    if total is None or start is None:
        return RESCALE.linearise(occurrence)
    up, down = total.changes(start)
    risen, fallen = _at(reference, reference.operands[0] + up), _at(reference, reference.operands[0] + down)
    positive = (secant_slope(risen, reference) + secant_slope(call, fallen)) / 2
    negative = (secant_slope(fallen, reference) + secant_slope(call, risen)) / 2

    def pull(gradients: Gradients) -> Sequence[Tensor | None]:
        g = gradients[0]
        if g is None:
            return [None] * len(total.leaves())
        g = at_least_single(g)
        found: list[Tensor] = total.pull(start, g * positive, g * negative)
        return found

    return pull


REVEAL_CANCEL = Rule("reveal-cancel", _reveal_cancel, of_sums=True, frugal=True)
