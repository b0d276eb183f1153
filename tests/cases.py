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
    GuidedGradCam,
    InputXGradient,
    IntegratedGradients,
    InternalInfluence,
    KernelShap,
    LayerActivation,
    LayerConductance,
    LayerDeepLift,
    LayerDeepLiftShap,
    LayerFeatureAblation,
    LayerFeaturePermutation,
    LayerGradCam,
    LayerGradientShap,
    LayerGradientXActivation,
    LayerIntegratedGradients,
    LayerLRP,
    Lime,
    NeuronConductance,
    NeuronDeconvolution,
    NeuronDeepLift,
    NeuronDeepLiftShap,
    NeuronFeatureAblation,
    NeuronGradient,
    NeuronGradientShap,
    NeuronGuidedBackprop,
    NeuronIntegratedGradients,
    NoiseTunnel,
    Occlusion,
    OwenValues,
    PerturbationAttribution,
    Saliency,
    ShapleyValues,
    ShapleyValueSampling,
)
from pellucid.lrp import EpsilonPlus
from tests.layers.ends import AtInputs, AtOutput
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

    estimates: bool = False
    """Features without influence get the noise or bias of an estimate."""
    windows: bool = False
    """Neighbouring values share in an attribution."""

    explains: bool = True
    """Says what the output rests on, instead of only what a layer computes."""
    replays: bool = False
    """An error in a pass that skips what comes before a layer may be healed by a full pass."""

    @property
    def perturbs(self) -> bool:
        """Looks at what happens to the output, instead of at gradients."""
        perturbing = (PerturbationAttribution, LayerFeatureAblation, LayerFeaturePermutation, NeuronFeatureAblation)
        return isinstance(self.build(self.net()), perturbing)

    def net(self, features: int = 5) -> nn.Module:
        """A curved model that the method can explain."""
        return mlp(features, activation=nn.Softplus if self.rectifiers else nn.Tanh)

    def run(self, forward: Any, inputs: Any, **more: Any) -> Any:
        given = {k: v(inputs) if callable(v) else v for k, v in {**self.arguments, **more}.items()}
        if self.samples and "generator" not in given:
            given.setdefault("seed", 11)
        if isinstance(self.build, AtInputs | AtOutput):
            return self.build.run(forward, inputs, given)
        return self.build(forward).attribute(inputs, **given)


def each(function: Callable[[Any], Any], inputs: Any) -> Any:
    """Apply a function to the input, or to each of several."""
    return tuple(function(x) for x in inputs) if isinstance(inputs, tuple) else function(inputs)


def six_features(inputs: Any) -> Any:
    """A mask with at most six features, one per value in a row of up to six."""
    return each(lambda x: torch.arange(x[0].numel()).reshape(x.shape[1:]) % 6, inputs)


def one_level(inputs: Any) -> Any:
    """A hierarchy without groups for the features of ``six_features``."""
    tensors = inputs if isinstance(inputs, tuple) else (inputs,)
    return tuple(range(max(min(6, x[0].numel()) for x in tensors)))


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
    Case(
        "kernel-shap",
        KernelShap,
        {"feature_mask": six_features, "n_samples": 24},
        samples=True,
        baselines=True,
        cap="perturbations_per_eval",
        estimates=True,
    ),
    Case(
        "lime",
        Lime,
        {"feature_mask": six_features, "n_samples": 24},
        samples=True,
        baselines=True,
        cap="perturbations_per_eval",
        estimates=True,
    ),
    Case(
        "owen-values",
        OwenValues,
        {"feature_mask": six_features, "hierarchy": one_level},
        baselines=True,
        cap="perturbations_per_eval",
    ),
    Case(
        "owen-values-sampled",
        OwenValues,
        {"feature_mask": six_features, "hierarchy": one_level, "n_samples": 4},
        samples=True,
        baselines=True,
        cap="perturbations_per_eval",
    ),
]

STEPS = {"n_steps": 40}
DRAWS = {"n_samples": 40, "stdevs": 0.05, "baselines": 0.3}
CAP = "internal_batch_size"
CASES += [
    Case("layer-activation", AtInputs(LayerActivation), explains=False),
    Case("layer-gradient-x-activation", AtInputs(LayerGradientXActivation)),
    Case("layer-gradient", AtInputs(LayerGradientXActivation, multiply_by_inputs=False)),
    Case("layer-integrated-gradients", AtInputs(LayerIntegratedGradients), STEPS, True, False, True, CAP, replays=True),
    Case(
        "layer-integrated-gradients-auto",
        AtInputs(LayerIntegratedGradients),
        {"n_steps": "auto"},
        True,
        False,
        True,
        CAP,
        replays=True,
    ),
    Case("layer-conductance", AtInputs(LayerConductance), STEPS, True, False, True, CAP),
    Case("internal-influence", AtInputs(InternalInfluence), STEPS, baselines=True, cap=CAP),
    Case("layer-grad-cam", AtInputs(LayerGradCam), {"attr_dim_summation": False, "layout": "channels_first"}),
    Case("layer-deep-lift", AtInputs(LayerDeepLift), {}, True, False, True, rules=True),
    Case("layer-deep-lift-shap", AtInputs(LayerDeepLiftShap), {"baselines": 0.3}, True, False, True, CAP, rules=True),
    Case("layer-gradient-shap", AtInputs(LayerGradientShap), DRAWS, samples=True, cap=CAP, replays=True),
    Case("layer-lrp", AtInputs(LayerLRP), rules=True),
    Case(
        "guided-grad-cam",
        AtInputs(GuidedGradCam, spatial=True),
        {"layout": "channels_first"},
        rules=True,
        rectifiers=True,
    ),
    Case("layer-feature-ablation", AtInputs(LayerFeatureAblation), cap="perturbations_per_eval", replays=True),
    Case(
        "layer-feature-permutation",
        AtInputs(LayerFeaturePermutation),
        {"n_repeats": 2},
        samples=True,
        cap="perturbations_per_eval",
        replays=True,
    ),
    Case("neuron-feature-ablation", AtOutput(NeuronFeatureAblation), cap="perturbations_per_eval"),
    Case("neuron-gradient", AtOutput(NeuronGradient)),
    Case("neuron-integrated-gradients", AtOutput(NeuronIntegratedGradients), STEPS, baselines=True, cap=CAP),
    Case("neuron-conductance", AtOutput(NeuronConductance), STEPS, baselines=True, cap=CAP),
    Case("neuron-deep-lift", AtOutput(NeuronDeepLift), baselines=True, rules=True),
    Case("neuron-deep-lift-shap", AtOutput(NeuronDeepLiftShap), {"baselines": 0.3}, cap=CAP, rules=True),
    Case("neuron-gradient-shap", AtOutput(NeuronGradientShap), DRAWS, samples=True, cap=CAP),
    Case("neuron-guided-backprop", AtOutput(NeuronGuidedBackprop), rules=True, rectifiers=True),
    Case("neuron-deconvolution", AtOutput(NeuronDeconvolution), rules=True, rectifiers=True),
]

OTHER_RESULTS = {
    "DataLoaderAttribution": "takes a data loader instead of inputs",
    "LimeBase": "gives the representation of one model for one value",
    "ShapleyInteractions": "gives a matrix of features and features",
}
"""Methods whose inputs or results have another form; each has tests of its own."""
