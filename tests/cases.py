"""One row per public method; every property is tested on all rows."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from pellucid.attr import (
    LRP,
    Attribution,
    Deconvolution,
    DeepLift,
    DeepLiftShap,
    FeatureAblation,
    FeaturePermutation,
    GradientShap,
    GuidedBackprop,
    InputXGradient,
    IntegratedGradients,
    NoiseTunnel,
    Occlusion,
    Saliency,
    ShapleyValues,
    ShapleyValueSampling,
)
from pellucid.lrp import EpsilonPlus
from tests.models import mlp


@dataclass(frozen=True)
class Case:
    """A method with the arguments that the tests call it with, and what it is capable of."""

    name: str
    build: Callable[[Any], Attribution]
    arguments: dict[str, Any] = field(default_factory=dict)
    """Functions among these are given the inputs."""
    complete: bool = False
    """Attributions sum to F(x) - F(baseline), up to what the quadrature misses."""
    samples: bool = False
    """Random numbers are drawn."""
    baselines: bool = False
    """Takes baselines, one reference per example."""
    cap: str | None = None
    """Name of the argument that caps the rows of a pass."""
    rules: bool = False
    """Needs to see every operation: models that differentiate inside themselves are refused."""
    rectifiers: bool = False
    """Needs a rectifier in the model."""

    windows: bool = False
    """Neighbouring values share in an attribution."""

    def net(self, features: int = 5) -> nn.Module:
        """A curved model that the method can explain."""
        return mlp(features, activation=nn.Softplus if self.rectifiers else nn.Tanh)

    def run(self, forward: Any, inputs: Any, **more: Any) -> Any:
        given = {k: v(inputs) if callable(v) else v for k, v in {**self.arguments, **more}.items()}
        if self.samples and "generator" not in given:
            given.setdefault("seed", 11)
        return self.build(forward).attribute(inputs, **given)


def each(function: Callable[[Any], Any], inputs: Any) -> Any:
    """Apply a function to the input, or to each of several."""
    return tuple(function(x) for x in inputs) if isinstance(inputs, tuple) else function(inputs)


def six_features(inputs: Any) -> Any:
    """A mask with at most six features, one per value in a row of up to six."""
    return each(lambda x: torch.arange(x[0].numel()).reshape(x.shape[1:]) % 6, inputs)


def pairs_of_values(inputs: Any) -> Any:
    """Windows of two values along each dimension."""
    return each(lambda x: tuple(min(2, size) for size in x.shape[1:]), inputs)


CASES = [
    Case("saliency", Saliency, {"abs": False}),
    Case("saliency-magnitude", Saliency),
    Case("input-x-gradient", InputXGradient),
    Case("integrated-gradients", IntegratedGradients, {"n_steps": 40}, True, False, True, "internal_batch_size"),
    Case(
        "integrated-gradients-auto", IntegratedGradients, {"n_steps": "auto"}, True, False, True, "internal_batch_size"
    ),
    Case(
        "integrated-gradients-middle",
        IntegratedGradients,
        {"n_steps": 40, "method": "riemann_middle"},
        True,
        False,
        True,
        "internal_batch_size",
    ),
    Case(
        "gradient-shap",
        GradientShap,
        {"n_samples": 40, "stdevs": 0.05, "baselines": 0.3},
        samples=True,
        cap="internal_batch_size",
    ),
    Case(
        "smoothgrad",
        lambda f: NoiseTunnel(Saliency(f)),
        {"nt_samples": 30, "stdevs": 0.05, "abs": False},
        samples=True,
        cap="nt_samples_batch_size",
    ),
    Case(
        "vargrad",
        lambda f: NoiseTunnel(Saliency(f)),
        {"nt_type": "vargrad", "nt_samples": 30, "stdevs": 0.05, "abs": False},
        samples=True,
        cap="nt_samples_batch_size",
    ),
    Case(
        "smooth-integrated-gradients",
        lambda f: NoiseTunnel(IntegratedGradients(f)),
        {"nt_samples": 6, "stdevs": 0.05, "n_steps": 60},
        samples=True,
        cap="nt_samples_batch_size",
    ),
    Case(
        "smooth-gradient-shap",
        lambda f: NoiseTunnel(GradientShap(f)),
        {"nt_samples": 5, "stdevs": 0.02, "baselines": 0.3, "n_samples": 20},
        samples=True,
        cap="nt_samples_batch_size",
    ),
    Case("deep-lift", DeepLift, {}, True, False, True, "internal_batch_size", rules=True),
    Case(
        "deep-lift-reveal-cancel",
        DeepLift,
        {"rule": "reveal_cancel"},
        True,
        False,
        True,
        "internal_batch_size",
        rules=True,
    ),
    Case(
        "deep-lift-shap",
        DeepLiftShap,
        {"baselines": 0.3},
        complete=True,
        baselines=True,
        cap="internal_batch_size",
        rules=True,
    ),
    Case("guided-backprop", GuidedBackprop, {}, rules=True, rectifiers=True),
    Case("deconvolution", Deconvolution, {}, rules=True, rectifiers=True),
    Case("lrp", LRP, {}, cap="internal_batch_size", rules=True),
    Case("lrp-epsilon-plus", LRP, {"composite": EpsilonPlus()}, cap="internal_batch_size", rules=True),
    Case("feature-ablation", FeatureAblation, baselines=True, cap="perturbations_per_eval"),
    Case(
        "occlusion",
        Occlusion,
        {"sliding_window_shapes": pairs_of_values},
        baselines=True,
        cap="perturbations_per_eval",
        windows=True,
    ),
    Case("feature-permutation", FeaturePermutation, {"n_repeats": 2}, samples=True, cap="perturbations_per_eval"),
    Case(
        "shapley-values",
        ShapleyValues,
        {"feature_mask": six_features},
        baselines=True,
        cap="perturbations_per_eval",
    ),
    Case(
        "shapley-value-sampling",
        ShapleyValueSampling,
        {"n_samples": 4},
        samples=True,
        baselines=True,
        cap="perturbations_per_eval",
    ),
]
