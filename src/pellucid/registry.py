"""The methods that ``pellucid.explain`` and the command line know by name."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from pellucid import attr
from pellucid._core.checks import accept_choice
from pellucid.attr import Attribution
from pellucid.errors import invalid_value

QUADRATURE = "quadrature"
"""What ``explain`` calls the ``method`` argument of integrated gradients, since its own ``method`` is the method."""
SMOOTH_SAMPLES = 25
"""Noisy copies that the SmoothGrad family takes by default here."""
SMOOTH_SHARE = 0.15
"""Their standard deviation as a share of the inputs' range, as the authors of SmoothGrad advise."""


_REST = inspect.Parameter.VAR_KEYWORD


@dataclass(frozen=True)
class MethodInfo:
    """A method by name.

    Attributes:
        name: what ``explain(method=...)`` takes.
        summary: one line that says what the method computes.
        build: makes the method from the model.
        attribution: class of the method whose arguments are accepted.
        defaults: arguments that differ from the class's defaults; callables are given the inputs.
        needs_layer: whether it explains a layer only (``explain(layer=...)``).
    """

    name: str
    summary: str
    build: Callable[[Any], Attribution]
    attribution: type[Attribution]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    needs_layer: bool = False

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """Parameters of the method's ``attribute`` by the names under which ``explain`` takes them."""
        found = inspect.signature(self.attribution.attribute).parameters
        return {QUADRATURE if name == "method" else name: p for name, p in found.items() if name != "self"}

    @property
    def wraps(self) -> bool:
        """Whether the method passes arguments on to another one."""
        return any(p.kind is p.VAR_KEYWORD for p in self.parameters.values())

    def takes(self, name: str) -> bool:
        """Tell whether ``explain`` takes this argument for the method."""
        return name in self.defaults or (name in self.parameters and self.parameters[name].kind is not _REST)

    def filled(self, arguments: Mapping[str, Any], inputs: tuple[Tensor, ...]) -> dict[str, Any]:
        """Give the arguments together with this method's own defaults, under the names ``explain`` takes."""
        own = {k: v(inputs) if callable(v) else v for k, v in self.defaults.items()}
        return {**own, **arguments}


def _first_line(cls: type) -> str:
    return (inspect.getdoc(cls) or "").partition("\n")[0]


def _plain(name: str, cls: type[Attribution]) -> MethodInfo:
    return MethodInfo(name, _first_line(cls), cls, cls)


def _inside(name: str, cls: type[Attribution]) -> MethodInfo:
    def build(model: Any) -> Attribution:
        raise invalid_value("layer", "None", f"{name} explains a layer of {type(model).__name__}", "explain(layer=...)")

    return MethodInfo(name, _first_line(cls), build, cls, needs_layer=True)


def _share_of_range(inputs: tuple[Tensor, ...]) -> tuple[float, ...]:
    return tuple(SMOOTH_SHARE * float(x.max() - x.min()) for x in inputs)


def _eighths(inputs: tuple[Tensor, ...]) -> tuple[tuple[int, ...], ...]:
    """Windows of one value of a row; else of all of the first dimension (channels, steps) and an eighth of others."""
    return tuple(
        (*x.shape[1:2], *(math.ceil(size / 8) for size in x.shape[2:])) if x.dim() > 2 else (1,) for x in inputs
    )


def _half_windows(inputs: tuple[Tensor, ...]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(math.ceil(size / 2) for size in window) for window in _eighths(inputs))


def _smooth(name: str, nt_type: str, summary: str) -> MethodInfo:
    defaults = {"nt_type": nt_type, "nt_samples": SMOOTH_SAMPLES, "stdevs": _share_of_range, "abs": False}
    return MethodInfo(name, summary, lambda model: attr.NoiseTunnel(attr.Saliency(model)), attr.NoiseTunnel, defaults)


@functools.cache
def methods() -> tuple[MethodInfo, ...]:
    """List the methods that can be chosen by name.

    Example:
        >>> import pellucid
        >>> [m.name for m in pellucid.methods()][:2]
        ['saliency', 'input_x_gradient']
    """
    return (
        _plain("saliency", attr.Saliency),
        _plain("input_x_gradient", attr.InputXGradient),
        _plain("integrated_gradients", attr.IntegratedGradients),
        _plain("gradient_shap", attr.GradientShap),
        _plain("deep_lift", attr.DeepLift),
        _plain("deep_lift_shap", attr.DeepLiftShap),
        _plain("guided_backprop", attr.GuidedBackprop),
        _plain("deconvolution", attr.Deconvolution),
        _plain("lrp", attr.LRP),
        _plain("feature_ablation", attr.FeatureAblation),
        MethodInfo(
            "occlusion",
            _first_line(attr.Occlusion),
            attr.Occlusion,
            attr.Occlusion,
            {"sliding_window_shapes": _eighths, "strides": _half_windows},
        ),
        _plain("feature_permutation", attr.FeaturePermutation),
        _plain("shapley_values", attr.ShapleyValues),
        _plain("shapley_value_sampling", attr.ShapleyValueSampling),
        _plain("kernel_shap", attr.KernelShap),
        _plain("lime", attr.Lime),
        _plain("owen_values", attr.OwenValues),
        _smooth("smoothgrad", "smoothgrad", "Gradients averaged over noisy copies of the input."),
        _smooth(
            "smoothgrad_squared",
            "smoothgrad_sq",
            "Squared gradients averaged over noisy copies of the input.",
        ),
        _smooth("vargrad", "vargrad", "Variance of the gradients over noisy copies of the input."),
        _inside("layer_activation", attr.LayerActivation),
        _inside("layer_conductance", attr.LayerConductance),
        _inside("internal_influence", attr.InternalInfluence),
        _inside("grad_cam", attr.LayerGradCam),
        _inside("guided_grad_cam", attr.GuidedGradCam),
    )


def method_named(name: str) -> MethodInfo:
    """Find a method by its name.

    Raises:
        InvalidValueError: if there is none of this name.
    """
    known = {method.name: method for method in methods()}
    return known[accept_choice("method", name, known, "there is no such method")]
