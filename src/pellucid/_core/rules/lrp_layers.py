r"""Rules of layer-wise relevance propagation for layers: linear maps with weights.

With contributions :math:`z_{jk} = x_j w_{jk}`, a rule says how the relevance :math:`R_k` of each result is
divided among the operands. Relevance travels as a *modified gradient* g with R = x g, which makes additions,
views and pooling means native. Rules whose shares are proportional to x have such a gradient exactly, by
sign of x where they treat signs differently. `box`, `squared_weights` and `flat` are not proportional to x:
they belong to the first layer, and their gradient is R / x (the pass replaces zeros in the input by values
that are too small to matter).

Biases take part in denominators and keep their share: it is absorbed, and the audit counts it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid._core.rules.calculus import vjp
from pellucid._core.rules.call import Call, Slot
from pellucid._core.rules.carry import Gradients, Pullback
from pellucid._core.rules.table import Occurrence, Rule

_BIAS_AT = {"addmm": 0, "baddbmm": 0, "addmv": 0, "addbmm": 0}
_SCALING = frozenset({"mul", "multiply", "lerp", "addcmul", "kron", "outer", "cross", "linalg_cross"})
STABILISER = 1e-9

Map = Callable[[Tensor], Tensor]


def stabilised(value: Tensor, epsilon: float) -> Tensor:
    """Return value + epsilon * sign(value), with the sign of zero taken as plus."""
    return value + epsilon * torch.where(value >= 0, 1.0, -1.0).to(value.dtype)


def _ratio(relevance: Tensor, total: Tensor) -> Tensor:
    """Divide relevance by the total it is shared over; nothing is shared over zero."""
    return torch.where(total == 0, 0.0, relevance / total.masked_fill(total == 0, 1))


@dataclass(frozen=True, eq=False)
class Layer:
    """A recorded linear map, to be evaluated with other weights.

    Args:
        call: The call; its one active operand is the layer's input.
    """

    call: Call

    def with_weights(self, change: Map | None, bias: Map | None = None) -> Callable[[Tensor], Tensor]:
        """Return the map with its weights changed, and its bias changed or (None) left out."""
        place = _BIAS_AT.get(self.call.name, 2)
        takes_bias = self.call.name.startswith(("linear", "conv")) or self.call.name in _BIAS_AT
        args = [
            self._changed(value, bias if takes_bias and at == place else change, takes_bias and at == place)
            for at, value in enumerate(self.call.args)
        ]
        kwargs = {
            key: self._changed(value, bias if key == "bias" else change, key == "bias")
            for key, value in self.call.kwargs.items()
        }

        def apply(x: Tensor) -> Tensor:
            filled = [x if isinstance(value, Slot) else value for value in args]
            result: Tensor = self.call.function(*filled, **kwargs)
            return result

        return apply

    def _changed(self, value: Any, change: Map | None, is_bias: bool) -> Any:
        if not isinstance(value, Tensor) or not value.is_floating_point():
            return value
        if change is None:
            return torch.zeros_like(value) if is_bias else value
        return change(value)


def _pull(function: Map, at: Tensor, weights: Tensor) -> Tensor:
    return vjp(lambda x: (function(x),), [at], (weights,))[0]


def _plus(value: Tensor) -> Tensor:
    return value.clamp_min(0)


def _minus(value: Tensor) -> Tensor:
    return value.clamp_max(0)


Share = Callable[[Layer, Tensor, Tensor, Tensor], Tensor]
"""From a layer, its input, its result and the arriving gradient to the modified gradient of the input."""


def _rule(name: str, share: Share) -> Rule:
    def linearise(occurrence: Occurrence) -> Pullback | None:
        call = occurrence.call
        if len(call.operands) != 1 or call.name in _SCALING:
            return None

        def pull(gradients: Gradients) -> Sequence[Tensor | None]:
            g = gradients[0]
            return (None if g is None else share(Layer(call), call.operands[0], call.results[0], g),)

        return pull

    return Rule(name, linearise)


def epsilon(stabiliser: float = 1e-6) -> Rule:
    r"""Epsilon rule: :math:`R_j = \sum_k z_{jk} R_k / (z_k + \epsilon\, \mathrm{sign} z_k)`."""

    def share(layer: Layer, x: Tensor, y: Tensor, g: Tensor) -> Tensor:
        return vjp(layer.call.again, [x], (g * _ratio(y, stabilised(y, stabiliser)),))[0]

    return _rule(f"epsilon ({stabiliser:g})", share)


def gamma(strength: float = 0.25) -> Rule:
    r"""Generalised gamma rule: contributions with the sign of the result count :math:`1 + \gamma` times."""

    def share(layer: Layer, x: Tensor, y: Tensor, g: Tensor) -> Tensor:
        rising = layer.with_weights(lambda w: w + strength * _plus(w), lambda b: b + strength * _plus(b))
        falling = layer.with_weights(lambda w: w + strength * _minus(w), lambda b: b + strength * _minus(b))
        bare = (
            layer.with_weights(lambda w: w + strength * _plus(w)),
            layer.with_weights(lambda w: w + strength * _minus(w)),
        )
        up, down = _plus(x), _minus(x)
        relevance = g * y
        above = _ratio(relevance, rising(up) + bare[1](down)) * (y > 0)
        below = _ratio(relevance, falling(up) + bare[0](down)) * (y < 0)
        at_plus = _pull(bare[0], x, above) + _pull(bare[1], x, below)
        at_minus = _pull(bare[1], x, above) + _pull(bare[0], x, below)
        return torch.where(x >= 0, at_plus, at_minus)

    return _rule(f"gamma ({strength:g})", share)


def alpha_beta(alpha: float = 2.0, beta: float = 1.0) -> Rule:
    r"""Alpha-beta rule: :math:`R_j = \sum_k (\alpha z_{jk}^+ / z_k^+ - \beta z_{jk}^- / z_k^-) R_k`."""

    def share(layer: Layer, x: Tensor, y: Tensor, g: Tensor) -> Tensor:
        plus, minus = layer.with_weights(_plus), layer.with_weights(_minus)
        up, down = _plus(x), _minus(x)
        relevance = g * y
        positive = alpha * _ratio(relevance, layer.with_weights(_plus, _plus)(up) + minus(down))
        negative = -beta * _ratio(relevance, layer.with_weights(_minus, _minus)(up) + plus(down))
        at_plus = _pull(plus, x, positive) + _pull(minus, x, negative)
        at_minus = _pull(minus, x, positive) + _pull(plus, x, negative)
        return torch.where(x >= 0, at_plus, at_minus)

    return _rule(f"alpha-beta ({alpha:g}, {beta:g})", share)


def z_plus() -> Rule:
    """ZPlus rule: only positive contributions; alpha-beta with (1, 0)."""
    return Rule("z-plus", alpha_beta(1.0, 0.0).linearise)


def _by_relevance(relevance: Tensor, x: Tensor) -> Tensor:
    return _ratio(relevance, x)


def box(low: float | Tensor, high: float | Tensor) -> Rule:
    r"""ZBox rule for inputs in [low, high]: :math:`z_{jk} = x_j w_{jk} - l_j w_{jk}^+ - h_j w_{jk}^-`."""

    def share(layer: Layer, x: Tensor, y: Tensor, g: Tensor) -> Tensor:
        bottom = torch.as_tensor(low, dtype=x.dtype, device=x.device).expand_as(x)
        top = torch.as_tensor(high, dtype=x.dtype, device=x.device).expand_as(x)
        parts = (
            (layer.with_weights(None), x),
            (layer.with_weights(_plus), -bottom),
            (layer.with_weights(_minus), -top),
        )
        total = torch.stack([function(value) for function, value in parts]).sum(0)
        shared = _ratio(g * y, stabilised(total, STABILISER))
        return _by_relevance(torch.stack([v * _pull(f, x, shared) for f, v in parts]).sum(0), x)

    return _rule("z-box", share)


def squared_weights() -> Rule:
    r"""WSquare rule: :math:`R_j = \sum_k w_{jk}^2 R_k / \sum_i w_{ik}^2`."""
    return _rule("w-square", _independent_of_x(torch.square))


def flat() -> Rule:
    """Flat rule: every connected operand gets the same share."""
    return _rule("flat", _independent_of_x(torch.ones_like))


def _independent_of_x(change: Map) -> Share:
    def share(layer: Layer, x: Tensor, y: Tensor, g: Tensor) -> Tensor:
        function = layer.with_weights(change)
        shared = _ratio(g * y, function(torch.ones_like(x)))
        return _by_relevance(_pull(function, x, shared), x)

    return share
