r"""Layer-wise relevance propagation as tables: composites of rules, and the audit of what is absorbed.

Relevance R = x g travels as a modified gradient g. Besides the layers (lrp_layers.py):

* additions, views and pooling means are native; a maximum passes relevance to its winner;
* an elementwise function passes relevance on, g_x = g y / x (the identity rule);
* a product of k active operands gives each 1/k of the relevance;
* normalisations treat their statistic as a constant, fused or written by hand;
* softmax keeps its gradient (AttnLRP) or is a constant (CP-LRP).

The audit compares, at every operation, the relevance that arrives with the relevance that goes on. Its
entries sum to the output minus the relevance of the inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from pellucid._core.rules.calculus import vjp
from pellucid._core.rules.carry import Gradients, Pullback
from pellucid._core.rules.expansions import ARITHMETIC
from pellucid._core.rules.lrp_layers import alpha_beta, box, epsilon, gamma, z_plus
from pellucid._core.rules.normalisation import NORMALISATION_PLANS, statistics
from pellucid._core.rules.precision import at_least_single
from pellucid._core.rules.recurrent import cell_step, unrolled
from pellucid._core.rules.recurrent_cells import CELLS
from pellucid._core.rules.table import NATIVE, STOP, Occurrence, Rule, RuleTable
from pellucid._core.rules.vocabulary import Kind


def _identity(occurrence: Occurrence) -> Pullback | None:
    call = occurrence.call
    x, y = call.operands[0], call.results[0]
    if len(call.operands) != 1 or x.shape != y.shape or not x.is_floating_point():
        return None
    zero = x == 0
    factor = y / x.masked_fill(zero, 1)
    if bool(zero.any()):
        slope = vjp(call.again, [x], (torch.ones_like(y),))[0]
        factor = torch.where(zero, slope.nan_to_num(0.0, 0.0, 0.0), factor)
    factor = factor.nan_to_num(0.0, 0.0, 0.0)
    return lambda gradients: (None if gradients[0] is None else gradients[0] * factor,)


def _divided(occurrence: Occurrence) -> Pullback:
    call = occurrence.call
    count = len(call.operands)
    return lambda gradients: [g / count for g in vjp(call.again, call.operands, gradients)]


def _constant_statistic(occurrence: Occurrence) -> Pullback | None:
    call = occurrence.call
    if len(call.operands) != 1:
        return None
    plan = NORMALISATION_PLANS[call.name](call)
    _, scale = statistics(call, plan)

    def pull(gradients: Gradients) -> Sequence[Tensor | None]:
        if gradients[0] is None:
            return (None,)
        g = at_least_single(gradients[0])
        g = g if plan.weight is None else g * plan.weight
        m = g.reshape(plan.view) * scale
        m = m - m.mean(plan.dims, keepdim=True) if plan.centred else m
        return (m.reshape(call.operands[0].shape),)

    return pull


PASS = Rule("identity", _identity)
SHARED = Rule("shared among factors", _divided)
NORM = Rule("constant statistic", _constant_statistic)

_STOPPED = ("rsqrt", "reciprocal")


def _unknown(occurrence: Occurrence) -> Pullback | None:
    occurrence.ledger.unknown(occurrence.call.name, occurrence.call.line)
    return None


UNKNOWN = Rule("gradient, for want of a rule", _unknown)


def composite(
    name: str,
    layer: Rule,
    *,
    convolution: Rule | None = None,
    first: Rule | None = None,
    softmax: Rule = NATIVE,
) -> RuleTable:
    """Return a table of relevance propagation.

    Args:
        name: How the certificate names it.
        layer: Rule for linear maps with weights.
        convolution: Rule for convolutions; None means ``layer``.
        first: Rule for layers that the inputs enter directly; None means as others.
        softmax: `NATIVE` or `STOP`.
    """
    convolutions = [f"{kind}{n}d" for kind in ("conv", "conv_transpose") for n in (1, 2, 3)]
    return RuleTable(
        name=name,
        kinds={Kind.UNARY: PASS, Kind.PRODUCT: SHARED, Kind.LAYER: layer, Kind.SOFTMAX: softmax},
        names={
            **dict.fromkeys(NORMALISATION_PLANS, NORM),
            **dict.fromkeys(_STOPPED, STOP),
            **(dict.fromkeys(convolutions, convolution) if convolution is not None else {}),
        },
        expansions={
            **ARITHMETIC,
            **{cell: unrolled(cell) for cell in CELLS},
            **{f"{cell}_cell": cell_step(cell) for cell in CELLS},
        },
        region=PASS,
        fallback=UNKNOWN,
        first=first,
    )


def epsilon_plus(stabiliser: float = 1e-6) -> RuleTable:
    """EpsilonPlus: epsilon in dense layers, z-plus in convolutions."""
    return composite("LRP (EpsilonPlus)", epsilon(stabiliser), convolution=z_plus())


def epsilon_alpha2_beta1(stabiliser: float = 1e-6) -> RuleTable:
    """EpsilonAlpha2Beta1: epsilon in dense layers, alpha-beta (2, 1) in convolutions."""
    return composite("LRP (EpsilonAlpha2Beta1)", epsilon(stabiliser), convolution=alpha_beta(2.0, 1.0))


def epsilon_gamma_box(
    low: float | Tensor, high: float | Tensor, stabiliser: float = 1e-6, strength: float = 0.25
) -> RuleTable:
    """EpsilonGammaBox: z-box in the first layer, gamma in convolutions, epsilon in dense layers."""
    return composite(
        "LRP (EpsilonGammaBox)", epsilon(stabiliser), convolution=gamma(strength), first=box(low, high)
    )


def attention_lrp(stabiliser: float = 1e-9) -> RuleTable:
    """AttnLRP: epsilon in layers, products shared, the gradient of softmax."""
    return composite("AttnLRP", epsilon(stabiliser))


def conservative_propagation(stabiliser: float = 1e-9) -> RuleTable:
    """CP-LRP: as AttnLRP with softmax as a constant; conserves in nets without biases."""
    return composite("CP-LRP", epsilon(stabiliser), softmax=STOP)


def audited(table: RuleTable) -> RuleTable:
    """Return the table with every operation's absorbed relevance written into the certificate."""

    def wrap(rule: Rule) -> Rule:
        return rule if rule is STOP else Rule(rule.name, _audit(rule.linearise))

    kinds = {kind: wrap(table.kinds.get(kind, NATIVE)) for kind in Kind}
    return replace(
        table,
        kinds=kinds,
        names={name: wrap(rule) for name, rule in table.names.items()},
        region=None if table.region is None else wrap(table.region),
        first=None if table.first is None else wrap(table.first),
    )


def _audit(linearise: Callable[[Occurrence], Pullback | None]) -> Callable[[Occurrence], Pullback]:
    def audit(occurrence: Occurrence) -> Pullback:
        call = occurrence.call
        inner = linearise(occurrence) or (lambda gradients: vjp(call.again, call.operands, gradients))

        def pull(gradients: Gradients) -> Sequence[Tensor | None]:
            found = inner(gradients)
            arrived = _relevance(zip(gradients, call.results, strict=True))
            gone = _relevance(zip(found, call.operands, strict=True))
            occurrence.ledger.absorbed(call.name, arrived - gone)
            return found

        return pull

    return audit


def _relevance(pairs: Iterable[tuple[Tensor | None, Tensor]]) -> float:
    total = 0.0
    for g, value in pairs:
        if g is not None:
            finite = torch.where((g == 0) | ~value.isfinite(), 0, g.conj() * value)
            total += float(finite.real.sum())
    return total
