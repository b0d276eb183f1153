"""Layers at both ends of any function, so that methods for layers and neurons stand under the same contract.

At a layer that passes the inputs on, a layer method explains the inputs; at one that passes the output on, a neuron is
an output. Properties of methods for inputs hold there as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from pellucid.testing._subject import asked
from pellucid.typing import ForwardFunction

LayerMethod = Callable[[ForwardFunction, nn.Module], Any]


class Passes(nn.Module):
    """Passes on what it gets."""

    def forward(self, *values: Any) -> Any:
        """Return the values."""
        return values[0] if len(values) == 1 else values


def at_layer(make: LayerMethod) -> Callable[[ForwardFunction], Any]:
    """Turn a method for layers into one for inputs, by a layer that the inputs pass.

    Example:
        >>> import torch
        >>> from pellucid.attr import InputXGradient, LayerGradientXActivation
        >>> from pellucid.testing import at_layer, mlp
        >>> x, model = torch.ones(2, 5, dtype=torch.float64), mlp()
        >>> a = at_layer(LayerGradientXActivation)(model)(x, target=0)
        >>> torch.equal(a, InputXGradient(model).attribute(x, target=0))
        True

    Args:
        make: from model and layer to a method, which is called as ``method.attribute(inputs, target=..., ...)`` or
            ``method(inputs, target=..., ...)``.

    Returns:
        A function from model to a method for inputs, as ``check_method`` takes it.
    """

    def made(forward: ForwardFunction) -> Callable[..., Any]:
        def attribute(inputs: Any, **given: Any) -> Any:
            count = len(inputs) if isinstance(inputs, tuple) else 1
            layer = Passes()

            def model(*args: Any) -> Any:
                values = layer(*args[:count])
                return forward(*(values if isinstance(values, tuple) else (values,)), *args[count:])

            method = make(model, layer)
            single = inputs[0] if isinstance(inputs, tuple) and count == 1 else inputs
            found = asked(method)(single, **given)
            return (found,) if isinstance(inputs, tuple) and not isinstance(found, tuple) else found

        return attribute

    return made


def at_neuron(make: LayerMethod, targeted: bool = False) -> Callable[[ForwardFunction], Any]:
    """Turn a method for neurons into one for outputs, by a layer that the output passes: targets become neurons.

    Example:
        >>> import torch
        >>> from pellucid.attr import NeuronGradient, Saliency
        >>> from pellucid.testing import at_neuron, mlp
        >>> x, model = torch.ones(2, 5, dtype=torch.float64), mlp()
        >>> a = at_neuron(NeuronGradient)(model)(x, target=0)
        >>> torch.equal(a, Saliency(model).attribute(x, target=0, abs=False))
        True

    Args:
        make: from model and layer to a method, which is called as ``method.attribute(inputs, neuron, ...)`` or
            ``method(inputs, neuron, ...)``.
        targeted: whether the method takes a ``target`` beside the neuron.

    Returns:
        A function from model to a method for outputs, as ``check_method`` takes it with ``one_target=True``.
    """

    def made(forward: ForwardFunction) -> Callable[..., Any]:
        layer = Passes()
        method = make(lambda *args: layer(_first_of(forward(*args))), layer)

        def attribute(inputs: Any, target: Any = None, **given: Any) -> Any:
            neuron = _whole if target is None else target
            more = {"target": target} if targeted else {}
            return asked(method)(inputs, neuron, **more, **given)

        return attribute

    return made


def _whole(value: Tensor) -> Tensor:
    """Select the neuron of a layer that has one."""
    return value


def _first_of(output: Any) -> Any:
    """The first floating-point tensor of an output."""
    if isinstance(output, Tensor):
        return output
    values = output.values() if isinstance(output, Mapping) else output
    return next(v for v in values if isinstance(v, Tensor) and v.is_floating_point())
