r"""Relevance propagation as a rule table: relevance is value times modified gradient.

Sums, views, pooling means and maxima are native: gradient times value splits relevance by contributions,
and gives a maximum's to the winner. Beyond layers, whose rules a composite chooses:

* an elementwise function passes relevance on, :math:`g_x = g_y \, y / x` (its derivative where x is 0);
* a product of k factors gives each 1/k;
* a *gate* gets nothing from a product with a signal, which gets all. Gates are the values of functions that
  are not zero at zero, so that no part of them is due to their operand: sigmoid, exp, reciprocal and the
  like, softmax under ``softmax="stopped"``, and what linear operations and products make of gates alone;
* a normalisation is linear once its scale is a constant: the reciprocal of a deviation is a gate, so the
  norm written by hand gets the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from pellucid._core.rules.calculus import vjp
from pellucid._core.rules.call import Call, Slot
from pellucid._core.rules.carry import Gradients, Pullback
from pellucid._core.rules.expansions import ARITHMETIC
from pellucid._core.rules.lrp_audit import Books, relevance_sum
from pellucid._core.rules.lrp_choice import Modules, RuleChoice, kind_of
from pellucid._core.rules.lrp_composites import CONVOLUTION, DENSE
from pellucid._core.rules.lrp_graph import Nature, Pull, is_gate, reads_inputs
from pellucid._core.rules.lrp_rules import PropagationRule
from pellucid._core.rules.lrp_site import Channel, Site
from pellucid._core.rules.normalisation import NORMALISATION_PLANS, NORMALISATIONS, has_constant_weights, statistics
from pellucid._core.rules.precision import at_least_single
from pellucid._core.rules.recurrent import cell_step, unrolled
from pellucid._core.rules.recurrent_cells import CELLS
from pellucid._core.rules.table import Expansion, Occurrence, Rule, RuleTable
from pellucid._core.rules.vocabulary import Kind, _words

ZERO_AT_ZERO = _words(
    """
    relu relu6 leaky_relu prelu rrelu elu selu celu gelu silu mish hardswish hardshrink softshrink
    tanhshrink softsign tanh square abs absolute sqrt expm1 log log2 log10 log1p sin tan sinh asin atan
    asinh atanh erf round trunc fix sign sgn
    """
)
NOT_ZERO_AT_ZERO = _words(
    """
    sigmoid special_expit hardsigmoid exp exp2 special_exp2 rsqrt reciprocal softplus logsigmoid
    log_sigmoid cos cosh erfc special_erfc special_ndtr
    """
)
WITH_CONSTANT_PART = _words(
    """
    add sub subtract rsub __rsub__ cat concat concatenate stack hstack vstack dstack column_stack where
    masked_fill pad constant_pad_nd batch_norm instance_norm index_add index_put index_copy index_fill
    scatter scatter_add masked_scatter select_scatter slice_scatter diagonal_scatter
    """
)
_PASSING = ("relevance passes", "relevance passes, a gate in products")
_SUM_AND_PRODUCT = frozenset({"addmm", "baddbmm", "addbmm", "addmv", "addr"})

Function = Callable[[Gradients], Sequence[Tensor | None]]


class Treatment:
    """How one call of the method treats operations.

    Args:
        choice: The rules of layers.
        channel: The side channel of this pass.
        softmax: ``"native"`` or ``"stopped"``.
        books: Where to enter what operations absorb; None keeps no books.
    """

    def __init__(self, choice: RuleChoice, channel: Channel, softmax: str, books: Books | None) -> None:
        self._choice = choice
        self._channel = channel
        self._softmax = softmax
        self._books = books
        self._labels: dict[int, tuple[PropagationRule, str]] = {}
        self._uniform = Rule("equal shares", self._product)

    def table(self, name: str) -> RuleTable:
        """Return the rule table."""
        passing = Rule(_PASSING[0], self._unary)
        native = Rule("gradient", self._native)
        stopped = Rule("gradient, a gate in products", self._gate)
        linear = Rule("linear", self._linear)
        scale = Rule("normalisation with constant scale", self._normalisation)
        return RuleTable(
            name=name,
            kinds={
                Kind.UNARY: passing,
                Kind.PRODUCT: self._uniform,
                Kind.SOFTMAX: native if self._softmax == "native" else stopped,
                **({Kind.CONVEX: native, Kind.ORDER: native} if self._books is not None else {}),
            },
            names=dict.fromkeys(NORMALISATIONS, scale),
            linear=dict.fromkeys(WITH_CONSTANT_PART if self._books is not None else (), linear),
            expansions=_EXPANSIONS,
            region=passing,
            fallback=Rule("gradient", self._unknown),
            override=self.override,
            overrides=_is_chosen,
        )

    def override(self, operation: str, kind: Kind, modules: Modules) -> Rule | None:
        """Return the rule of a layer, or of any other operation that a composite or the user gave one."""
        if kind is Kind.PRODUCT and operation == "einsum":
            return self._uniform
        word = kind_of(operation, kind)
        if word in {CONVOLUTION, DENSE}:
            return Rule("z", lambda occurrence: self._layer(occurrence, operation, word, modules))
        rule = None if word is None else self._choice.find(operation, word, modules, _no)
        if rule is not None:
            found = rule
            return Rule(self._label(rule), lambda occurrence: self._ruled(occurrence, found))
        return None

    def _label(self, rule: PropagationRule) -> str:
        """Return the text of a rule, made once: a dataclass takes longer over it than over anything else."""
        known = self._labels.get(id(rule))
        if known is None:
            known = self._labels[id(rule)] = rule, repr(rule)
        return known[1]

    # -- layers

    def _layer(self, occurrence: Occurrence, operation: str, word: str, modules: Modules) -> Pullback | None:
        operand = occurrence.operands[0]
        rule = self._choice.find(operation, word, modules, lambda: reads_inputs(operand))
        if rule is None:
            return self._pull(occurrence, _own_gradient(occurrence.call), "z")
        return self._ruled(occurrence, rule)

    def _ruled(self, occurrence: Occurrence, rule: PropagationRule) -> Pullback | None:
        if len(occurrence.operands) > 1:
            return self._native(occurrence)
        label = self._label(rule)
        site = Site(occurrence, self._channel, label)

        def function(gradients: Gradients) -> Sequence[Tensor | None]:
            return (None,) if gradients[0] is None else (rule.propagate(site, gradients[0]),)

        return self._pull(occurrence, function, label, site=site)

    # -- everything else

    def _native(self, occurrence: Occurrence) -> Pullback | None:
        if self._books is None:
            return None
        return self._pull(occurrence, _own_gradient(occurrence.call), "gradient", Nature.NATIVE)

    def _linear(self, occurrence: Occurrence) -> Pullback:
        return self._pull(occurrence, _own_gradient(occurrence.call), "linear", Nature.NATIVE)

    def _gate(self, occurrence: Occurrence) -> Pullback:
        function = _own_gradient(occurrence.call)
        return self._pull(occurrence, function, "gradient, a gate in products", Nature.GATE)

    def _unknown(self, occurrence: Occurrence) -> Pullback | None:
        occurrence.ledger.unknown(occurrence.call.name, occurrence.call.line)
        if self._books is None or not _has_derivative(occurrence.call):
            return None
        return self._native(occurrence)

    def _normalisation(self, occurrence: Occurrence) -> Pullback | None:
        if not has_constant_weights(occurrence.call):
            return self._unknown(occurrence)
        function = _with_constant_scale(occurrence.call)
        return self._pull(occurrence, function, "normalisation with constant scale")

    def _unary(self, occurrence: Occurrence) -> Pullback | None:
        call = occurrence.call
        if len(call.operands) > 1 or call.operands[0].shape != call.results[0].shape:
            return self._unknown(occurrence)
        nature = Nature.SIGNAL if _vanishes_at_zero(call) else Nature.GATE
        label = _PASSING[0] if nature is Nature.SIGNAL else _PASSING[1]
        site = Site(occurrence, self._channel, label)

        def function(gradients: Gradients) -> Sequence[Tensor | None]:
            found = _passed(call, gradients[0])
            if found is not None and site.received is not None:
                found = found + site.as_gradient(site.received)
            return (found,)

        return self._pull(occurrence, function, label, nature, site)

    def _product(self, occurrence: Occurrence) -> Pullback:
        call = occurrence.call
        added = _summand(call)
        factors = [n for n in range(len(occurrence.operands)) if n != added]
        signals = [n for n in factors if not is_gate(occurrence.operands[n])] or factors
        label = f"equal shares of {len(signals)}" if len(signals) == len(factors) else "all to the signal"

        def function(gradients: Gradients) -> Sequence[Tensor | None]:
            found = vjp(call.again, call.operands, gradients)
            return [g if n == added else g / len(signals) if n in signals else None for n, g in enumerate(found)]

        return self._pull(occurrence, function, label, Nature.PRODUCT)

    def _pull(
        self,
        occurrence: Occurrence,
        function: Function,
        label: str,
        nature: Nature = Nature.SIGNAL,
        site: Site | None = None,
    ) -> Pull:
        call, books, channel = occurrence.call, self._books, self._channel
        inbox = site.receive if site is not None and label in _PASSING else None
        if books is None:
            return Pull(function, label, call.name, nature, inbox)

        def audited(gradients: Gradients) -> Sequence[Tensor | None]:
            found = function(gradients)
            if channel.open:
                amount = relevance_sum(gradients, call.results) - relevance_sum(found, call.operands)
                aside = 0.0 if site is None else site.balance_aside
                books.enter((call.name, label, call.line), amount + aside)
            return found

        return Pull(audited, label, call.name, nature, inbox)


def _own_gradient(call: Call) -> Function:
    return lambda gradients: vjp(call.again, call.operands, gradients)


def _has_derivative(call: Call) -> bool:
    with torch.enable_grad():
        results = call.again(*(operand.detach().requires_grad_() for operand in call.operands))
    return any(result.requires_grad for result in results)


def _passed(call: Call, gradient: Tensor | None) -> Tensor | None:
    """Pass relevance through an elementwise function: the slope of the chord from the origin."""
    if gradient is None:
        return None
    x, y = call.operands[0], call.results[0]
    if call.name == "relu":
        return torch.where(x > 0, gradient, 0)
    zero = x.abs() <= torch.finfo(x.dtype).tiny
    slope = (y / x.masked_fill(zero, 1)).conj()
    if bool(zero.any()):
        slope = torch.where(zero, vjp(call.again, call.operands, (torch.ones_like(y),))[0], slope)
    passed = gradient * slope
    return passed if x.is_complex() or not passed.is_complex() else passed.real


def _with_constant_scale(call: Call) -> Function:
    """Pull back through a normalisation whose scale, 1 / standard deviation, counts as a constant."""
    plan = NORMALISATION_PLANS[call.name](call)
    _, scale = statistics(call, plan)

    def pull(gradients: Gradients) -> Sequence[Tensor | None]:
        if gradients[0] is None:
            return (None,)
        g = at_least_single(gradients[0])
        shape = g.shape
        g = (g if plan.weight is None else g * plan.weight).reshape(plan.view) * scale
        return ((g - g.mean(plan.dims, keepdim=True) if plan.centred else g).reshape(shape),)

    return pull


def _vanishes_at_zero(call: Call) -> bool:
    if call.name in ZERO_AT_ZERO:
        return True
    if call.name in NOT_ZERO_AT_ZERO:
        return False
    with torch.no_grad():
        return not bool((call.again(torch.zeros_like(call.operands[0]))[0] != 0).all())


def _summand(call: Call) -> int | None:
    """Return the number of the active operand that is added to a product, as the first of addmm is."""
    first = call.argument(0, "input") if call.name in _SUM_AND_PRODUCT else None
    return first.number if isinstance(first, Slot) else None


def _add_product(summand: Tensor, one: Tensor, other: Tensor, *, value: Any = 1) -> Tensor:
    result: Tensor = summand + value * (one * other)
    return result


def _interpolate(start: Tensor, end: Tensor, weight: Any) -> Tensor:
    result: Tensor = start + weight * (end - start)
    return result


_EXPANSIONS: dict[str, Expansion] = {
    **ARITHMETIC,
    "addcmul": _add_product,
    "lerp": _interpolate,
    **{word: unrolled(word) for word in CELLS},
    **{f"{word}_cell": cell_step(word) for word in CELLS},
}


def _is_chosen(operation: str, kind: Kind) -> bool:
    """Tell whether `Treatment.override` may have something to say about an operation."""
    return kind_of(operation, kind) is not None or (kind is Kind.PRODUCT and operation == "einsum")


def _no() -> bool:
    return False
