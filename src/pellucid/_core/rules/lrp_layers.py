r"""A layer as relevance rules see it: affine in its operand, with weights that a rule may replace.

The rules of relevance propagation speak of the contributions :math:`z_{ij} = x_i w_{ij}` of operand i to
result j. None is ever formed: sums over i are runs of the layer with other operands and weights, and sums
over j are pullbacks of such runs.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pellucid._core.rules.calculus import vjp
from pellucid._core.rules.call import Call, tensors_in
from pellucid._core.rules.lrp_transpose import pull_layer
from pellucid._core.rules.vocabulary import _words
from pellucid.errors import UnsupportedModelError

_SCALED = frozenset({"addmm", "baddbmm", "addbmm", "addmv"})
_WITH_BIAS = _words("linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d convolution")
_BIAS = {**dict.fromkeys(_WITH_BIAS, (2, "bias")), **dict.fromkeys(_SCALED, (0, "input"))}
ELEMENTWISE_AFFINE = frozenset({"batch_norm", "instance_norm", "mul", "multiply"})


def split(value: Tensor) -> tuple[Tensor, Tensor]:
    """Return the positive and the negative part of a tensor."""
    return value.clamp_min(0), value.clamp_max(0)


class Layer:
    r"""One call of an affine operation, :math:`y_j = \sum_i x_i w_{ij} + b_j`.

    Args:
        call: The recorded call, with one active operand.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self.x = call.operands[0]
        if call.results[0].is_complex():
            raise _without_weights(call, "computes with complex numbers")
        self._elementwise = call.name in ELEMENTWISE_AFFINE
        if self._elementwise:
            if call.operands[0].shape != call.results[0].shape:
                raise _without_weights(call, "broadcasts its operand")
            self._own: Tensor | None = None
            self._own_bias: Tensor | None = None
            self.weight = vjp(call.again, call.operands, (torch.ones_like(call.results[0]),))[0]
            self.bias: Tensor | None = call.results[0] - self.weight * self.x
            return
        bias = None
        if call.name in _BIAS:
            bias = call.argument(*_BIAS[call.name])
        constants = [
            tensor
            for tensor in tensors_in((call.args, tuple(call.kwargs.values())))
            if tensor.is_floating_point() and tensor is not bias
        ]
        if len(constants) != 1 or not (bias is None or isinstance(bias, Tensor)):
            raise _without_weights(call, f"has {len(constants)} constant factors")
        self._own, self._own_bias = constants[0], bias
        alpha, beta = self._factors()
        self.weight = constants[0] if alpha == 1 else alpha * constants[0]
        self.bias = bias if bias is None or beta == 1 else beta * bias

    def _factors(self) -> tuple[Any, Any]:
        if self._call.name not in _SCALED:
            return 1, 1
        return self._call.kwargs.get("alpha", 1), self._call.kwargs.get("beta", 1)

    def run(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return the layer's result for another operand, other weights and another bias (None: zero)."""
        if self._elementwise:
            return x * weight if bias is None else x * weight + bias
        return self._with(weight, bias).again(x)[0]

    def pull(self, weight: Tensor, gradient: Tensor) -> Tensor:
        r"""Return :math:`\sum_j w_{ij} g_j` for other weights."""
        return gradient * weight if self._elementwise else pull_layer(self._with(weight, None), gradient)

    def positive_sum(self) -> Tensor:
        """Return the sum of the positive contributions to each result, the bias included."""
        bias = None if self.bias is None else self.bias.clamp_min(0)
        return self._sum_by_sign(*split(self.weight), bias)

    def negative_sum(self) -> Tensor:
        """Return the sum of the negative contributions to each result, the bias included."""
        bias = None if self.bias is None else self.bias.clamp_max(0)
        up, down = split(self.weight)
        return self._sum_by_sign(down, up, bias)

    def _sum_by_sign(self, at_positive: Tensor, at_negative: Tensor, bias: Tensor | None) -> Tensor:
        if not self._mixed:
            return self.run(self.x, at_positive, bias)
        up, down = split(self.x)
        return self.run(up, at_positive, bias) + self.run(down, at_negative)

    def pull_positive(self, gradient: Tensor) -> Tensor:
        """Pull back through the positive contributions only."""
        return self._pull_by_sign(gradient, *split(self.weight))

    def pull_negative(self, gradient: Tensor) -> Tensor:
        """Pull back through the negative contributions only."""
        up, down = split(self.weight)
        return self._pull_by_sign(gradient, down, up)

    def _pull_by_sign(self, gradient: Tensor, at_positive: Tensor, at_negative: Tensor) -> Tensor:
        found = self.pull(at_positive, gradient)
        return torch.where(self.x >= 0, found, self.pull(at_negative, gradient)) if self._mixed else found

    @functools.cached_property
    def _mixed(self) -> bool:
        """Whether some operands are negative; after a rectifier none is, and half of the work is saved."""
        return bool((self.x < 0).any())

    def _with(self, weight: Tensor, bias: Tensor | None) -> Call:
        if self._own_bias is not None and bias is None:
            bias = torch.zeros_like(self._own_bias)
        new = [(self._own, weight), (self._own_bias, bias)]
        args, kwargs = _replaced(self._call.args, new), _replaced(self._call.kwargs, new)
        kwargs |= {name: 1 for name in ("alpha", "beta") if name in kwargs and self._call.name in _SCALED}
        return replace(self._call, args=args, kwargs=kwargs)


def _without_weights(call: Call, why: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"'{call.name}' at {call.line} {why}, and rules that look at the weights of a layer need one real "
        "tensor of weights. Give it Epsilon, Norm or Pass instead."
    )


def _replaced(value: Any, new: list[tuple[Tensor | None, Tensor | None]]) -> Any:
    if isinstance(value, Tensor):
        return next((b for a, b in new if value is a), value)
    if isinstance(value, dict):
        return {key: _replaced(part, new) for key, part in value.items()}
    if isinstance(value, tuple | list) and any(isinstance(part, Tensor | tuple | list) for part in value):
        return type(value)([_replaced(part, new) for part in value])
    return value
