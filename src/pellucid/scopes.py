"""The same method at the inputs, at a layer, and for a neuron: which class explains which."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from pellucid import attr
from pellucid._core.neuron import neuron_function
from pellucid._core.taps import accept_place, module_named
from pellucid.attr import Attribution
from pellucid.errors import invalid_type, invalid_value
from pellucid.registry import MethodInfo
from pellucid.typing import ForwardFunction

AT_LAYER: dict[str, Callable[..., Attribution]] = {
    "saliency": lambda model, layer: attr.LayerGradientXActivation(model, layer, multiply_by_inputs=False),
    "input_x_gradient": attr.LayerGradientXActivation,
    "integrated_gradients": attr.LayerIntegratedGradients,
    "gradient_shap": attr.LayerGradientShap,
    "deep_lift": attr.LayerDeepLift,
    "deep_lift_shap": attr.LayerDeepLiftShap,
    "lrp": attr.LayerLRP,
    "feature_ablation": attr.LayerFeatureAblation,
    "feature_permutation": attr.LayerFeaturePermutation,
    "layer_activation": attr.LayerActivation,
    "layer_conductance": attr.LayerConductance,
    "internal_influence": attr.InternalInfluence,
    "grad_cam": attr.LayerGradCam,
    "guided_grad_cam": attr.GuidedGradCam,
}
"""What explains a layer's values, by the name of the method."""
OF_NEURON: dict[str, Callable[..., Attribution]] = {"layer_conductance": attr.NeuronConductance}
"""What explains a neuron by other means than as an output."""


def scoped(
    info: MethodInfo, forward: ForwardFunction, layer: nn.Module | str | None, neuron: Any
) -> tuple[MethodInfo, ForwardFunction]:
    """Give the method, and the function that it explains, in the scope that is asked for.

    A neuron is an output: every method explains it by explaining the function that returns it.

    Args:
        info: the method.
        forward: the function to explain.
        layer: a module of it, its name, or ``None`` for the inputs.
        neuron: selector of a neuron of the layer, or ``None``.

    Returns:
        The method and the function.

    Raises:
        InvalidValueError: if the method does not exist in this scope, or there is no such layer.
        InvalidTypeError: if the layer is neither a module nor a name.
    """
    if layer is None:
        if neuron is not None:
            raise invalid_value("neuron", repr(neuron), "a neuron belongs to a layer", "layer= as well")
        if info.needs_layer:
            raise invalid_value("layer", "None", f"{info.name} explains a layer", "a module of the model, or its name")
        return info, forward
    module = module_named(forward, layer) if isinstance(layer, str) else layer
    if not isinstance(module, nn.Module):
        raise invalid_type("layer", f"a {type(layer).__name__}", "it is no module", "a module of the model or its name")
    if neuron is None:
        return _made_at(info, AT_LAYER, module, "a layer"), forward
    if info.needs_layer:
        return _made_at(info, OF_NEURON, module, "a neuron"), forward
    return info, neuron_function(forward, accept_place(forward, module, None, at_input=False), neuron, None)


def _made_at(
    info: MethodInfo, table: Mapping[str, Callable[..., Attribution]], layer: nn.Module, scope: str
) -> MethodInfo:
    make = table.get(info.name)
    if make is None:
        others = f"one of {', '.join(table)}, or explain pellucid.rest_of(model, layer, inputs)"
        raise invalid_value("method", repr(info.name), f"it does not explain {scope} by itself", others)
    made = make(_nothing, layer)
    return replace(info, build=lambda model: make(model, layer), attribution=type(made), needs_layer=False)


def _nothing(*_: Any) -> None:
    """Stand in for a model while a method is only looked at."""
