"""Layers pulled back by their transpose, without running them again: what most calls of most models are."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn.grad import conv1d_input, conv2d_input, conv3d_input

from pellucid._core.rules.calculus import vjp
from pellucid._core.rules.call import Call, Slot

_CONVOLUTIONS: dict[str, tuple[Callable[..., Tensor], int]] = {
    "conv1d": (conv1d_input, 3),
    "conv2d": (conv2d_input, 4),
    "conv3d": (conv3d_input, 5),
}


def pull_layer(call: Call, gradient: Tensor) -> Tensor:
    """Pull the gradient of a call's first result back to its one active operand."""
    weight = call.argument(1, "weight")
    if isinstance(weight, Tensor) and isinstance(call.argument(0, "input"), Slot) and call.autocast is None:
        if call.name == "linear":
            return gradient.matmul(weight)
        if call.name in _CONVOLUTIONS:
            convolution, dims = _CONVOLUTIONS[call.name]
            padding = call.argument(4, "padding", 0)
            x, groups = call.operands[0], call.argument(6, "groups", 1)
            if x.dim() == dims and not isinstance(padding, str) and groups == 1:  # else its kernel may take minutes
                stride, dilation = call.argument(3, "stride", 1), call.argument(5, "dilation", 1)
                return convolution(x.shape, weight, gradient, stride, padding, dilation, groups)
    rest = (None,) * (len(call.results) - 1)
    return vjp(call.again, call.operands, (gradient, *rest))[0]
