"""One row per public method, with what it promises; every property in ``tests/contract`` is tested on all rows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

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
    LayerAttribution,
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
    NeuronAttribution,
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
    Saliency,
    ShapleyValues,
    ShapleyValueSampling,
)
from pellucid.lrp import EpsilonPlus
from pellucid.testing import Subject, at_layer, at_neuron


@dataclass(frozen=True)
class Case(Subject):
    """A subject of the contract with a name."""

    name: str = ""
    method: type[Attribution] = Attribution
    """The public class that the row is for."""
    rules: bool = False
    """Needs to see every operation: models that differentiate inside themselves are refused."""


def row(name: str, method: type[Attribution], arguments: dict[str, Any] | None = None, **promises: Any) -> Case:
    """Write a row: layer and neuron methods are put at the ends of the model, where they explain inputs and outputs."""
    if issubclass(method, LayerAttribution):
        promises.setdefault("make", at_layer(method))
    elif issubclass(method, NeuronAttribution):
        promises.setdefault("make", at_neuron(method))
        promises["one_target"] = True
    return Case(**{"make": method, "arguments": arguments or {}, "name": name, "method": method, **promises})


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


def constant(inputs: Any) -> Any:
    """A baseline that is not zero, for each input."""
    return each(lambda _: 0.3, inputs)


def untargeted(model: Any, layer: Any) -> Any:
    """What a layer computes has no target."""
    method = LayerActivation(model, layer)

    def attribute(inputs: Any, target: Any = None, **given: Any) -> Any:
        del target
        return method.attribute(inputs, **given)

    return attribute


def spatial(model: Any) -> Any:
    """Guided Grad-CAM at the inputs, which get the spatial dimension that it needs."""

    def attribute(inputs: Any, **given: Any) -> Any:
        count = len(inputs) if isinstance(inputs, tuple) else 1

        def squeezed(*args: Any) -> Any:
            return model(*(v.squeeze(-1) for v in args[:count]), *args[count:])

        found = at_layer(GuidedGradCam)(squeezed)(each(lambda x: x.unsqueeze(-1), inputs), **given)
        return each(lambda a: a.squeeze(-1), found)

    return attribute


NOISY = "noise is drawn for each place of a batch"
SHARED = "neighbouring values share in an attribution"
ESTIMATE = "coalitions or orders are drawn, so that the estimate is not exact"
EXAMPLES = "values come from other examples, which are drawn for each place"
STABLE = "every division is made stable on its own, and a product and a sum are two operations"
PRODUCT = "two gradients are multiplied, and negative parts of one are cut"

AT_PLACES = {"batch": NOISY, "permutation": NOISY}
ON_PATHS = {"symmetry": NOISY, **AT_PLACES}
ESTIMATED = {"symmetry": ESTIMATE, "permutation": ESTIMATE}
EXCHANGED = {"batch": "one example alone has no other to take values from", "permutation": EXAMPLES}

CAP, EVALUATIONS, SAMPLES = "internal_batch_size", "perturbations_per_eval", "nt_samples_batch_size"
STEPS = {"n_steps": 40}
MIDDLE = {"n_steps": 40, "method": "riemann_middle"}
AUTO = {"n_steps": "auto", "tolerance": 0.01}
DRAWS = {"n_samples": 40, "stdevs": 0.05, "baselines": constant}
NOISE = {"nt_samples": 30, "stdevs": 0.05, "abs": False}
FEW = {"nt_samples": 5, "stdevs": 0.05}
TUNNEL = {"samples": True, "cap": SAMPLES, "exempt": ON_PATHS}
PATH = {"complete": True, "delta": True, "baselines": True, "cap": CAP, "tolerance": 1e-6}
PAIR = {"complete": True, "delta": True, "baselines": True, "rules": True}
GAME = {"baselines": True, "cap": EVALUATIONS}
SHARES = {"complete": True, **GAME}

CASES = [
    row("saliency", Saliency, {"abs": False}),
    row("saliency-magnitude", Saliency),
    row("input-x-gradient", InputXGradient),
    row("integrated-gradients", IntegratedGradients, STEPS, **PATH),
    row("integrated-gradients-auto", IntegratedGradients, AUTO, **{**PATH, "tolerance": 1e-3}),
    row("integrated-gradients-middle", IntegratedGradients, MIDDLE, **{**PATH, "tolerance": 1e-3}),
    row("gradient-shap", GradientShap, DRAWS, samples=True, cap=CAP, exempt=ON_PATHS),
    row(
        "smoothgrad",
        NoiseTunnel,
        NOISE,
        make=lambda f: NoiseTunnel(Saliency(f)),
        samples=True,
        cap=SAMPLES,
        exempt=AT_PLACES,
    ),
    row(
        "vargrad",
        NoiseTunnel,
        {"nt_type": "vargrad", **NOISE},
        make=lambda f: NoiseTunnel(Saliency(f)),
        samples=True,
        cap=SAMPLES,
        exempt={**AT_PLACES, "scale": "a variance is quadratic in the output"},
    ),
    row(
        "smooth-integrated-gradients",
        NoiseTunnel,
        {"nt_samples": 6, "stdevs": 0.05, "n_steps": 60},
        make=lambda f: NoiseTunnel(IntegratedGradients(f)),
        samples=True,
        cap=SAMPLES,
        exempt=ON_PATHS,
    ),
    row(
        "smooth-gradient-shap",
        NoiseTunnel,
        {"nt_samples": 5, "stdevs": 0.02, "baselines": constant, "n_samples": 20},
        make=lambda f: NoiseTunnel(GradientShap(f)),
        samples=True,
        cap=SAMPLES,
        exempt=ON_PATHS,
    ),
    row("smooth-deep-lift", NoiseTunnel, FEW, make=lambda f: NoiseTunnel(DeepLift(f)), rules=True, **TUNNEL),
    row("smooth-feature-ablation", NoiseTunnel, FEW, make=lambda f: NoiseTunnel(FeatureAblation(f)), **TUNNEL),
    row(
        "smooth-layer-integrated-gradients",
        NoiseTunnel,
        {**FEW, "n_steps": 60},
        make=at_layer(lambda f, layer: NoiseTunnel(LayerIntegratedGradients(f, layer))),
        heals=True,
        **TUNNEL,
    ),
    row("deep-lift", DeepLift, **PAIR, cap=CAP),
    row("deep-lift-reveal-cancel", DeepLift, {"rule": "reveal_cancel"}, **PAIR, cap=CAP),
    row("deep-lift-shap", DeepLiftShap, {"baselines": constant}, **PAIR, cap=CAP),
    row("guided-backprop", GuidedBackprop, rules=True, rectifiers=True),
    row("deconvolution", Deconvolution, rules=True, rectifiers=True),
    row("lrp", LRP, cap=CAP, rules=True, exempt={"form": STABLE}),
    row("lrp-epsilon-plus", LRP, {"composite": EpsilonPlus()}, cap=CAP, rules=True, exempt={"form": STABLE}),
    row("feature-ablation", FeatureAblation, **GAME),
    row(
        "occlusion",
        Occlusion,
        {"sliding_window_shapes": pairs_of_values},
        **GAME,
        exempt=dict.fromkeys(("missingness", "symmetry", "dummy", "permutation"), SHARED),
    ),
    row("feature-permutation", FeaturePermutation, {"n_repeats": 2}, samples=True, cap=EVALUATIONS, exempt=EXCHANGED),
    row("shapley-values", ShapleyValues, {"feature_mask": six_features}, **SHARES),
    row("shapley-value-sampling", ShapleyValueSampling, {"n_samples": 4}, samples=True, **SHARES, exempt=ESTIMATED),
    row(
        "kernel-shap",
        KernelShap,
        {"feature_mask": six_features, "n_samples": 24},
        samples=True,
        **SHARES,
        exempt={**ESTIMATED, "dummy": ESTIMATE, "missingness": ESTIMATE},
    ),
    row("lime", Lime, {"feature_mask": six_features, "n_samples": 24}, samples=True, **GAME, exempt=ESTIMATED),
    row("owen-values", OwenValues, {"feature_mask": six_features, "hierarchy": one_level}, **SHARES),
    row(
        "owen-values-sampled",
        OwenValues,
        {"feature_mask": six_features, "hierarchy": one_level, "n_samples": 4},
        samples=True,
        **SHARES,
        exempt=ESTIMATED,
    ),
    row(
        "layer-activation",
        LayerActivation,
        make=at_layer(untargeted),
        exempt=dict.fromkeys(("dummy", "scale"), "what a layer computes does not depend on the output"),
    ),
    row("layer-gradient-x-activation", LayerGradientXActivation),
    row(
        "layer-gradient",
        LayerGradientXActivation,
        make=at_layer(lambda f, layer: LayerGradientXActivation(f, layer, multiply_by_inputs=False)),
    ),
    row("layer-integrated-gradients", LayerIntegratedGradients, STEPS, **PATH, heals=True),
    row(
        "layer-integrated-gradients-auto",
        LayerIntegratedGradients,
        AUTO,
        **{**PATH, "tolerance": 1e-3},
        heals=True,
    ),
    row("layer-conductance", LayerConductance, STEPS, **PATH),
    row(
        "internal-influence",
        InternalInfluence,
        STEPS,
        baselines=True,
        cap=CAP,
        exempt={"missingness": "gradients are not multiplied with differences"},
    ),
    row("layer-grad-cam", LayerGradCam, {"attr_dim_summation": False, "layout": "channels_first"}),
    row("layer-deep-lift", LayerDeepLift, **PAIR),
    row("layer-deep-lift-shap", LayerDeepLiftShap, {"baselines": constant}, **PAIR, cap=CAP),
    row(
        "layer-gradient-shap",
        LayerGradientShap,
        DRAWS,
        samples=True,
        cap=CAP,
        heals=True,
        exempt={**ON_PATHS, "sizes": "where rows mix, the examples of a draw share their position: other draws"},
    ),
    row("layer-lrp", LayerLRP, rules=True, exempt={"form": STABLE}),
    row(
        "guided-grad-cam",
        GuidedGradCam,
        {"layout": "channels_first"},
        make=spatial,
        rules=True,
        rectifiers=True,
        exempt={"structure": "a single map is multiplied", "dummy": PRODUCT, "scale": PRODUCT},
    ),
    row("layer-feature-ablation", LayerFeatureAblation, cap=EVALUATIONS, heals=True),
    row(
        "layer-feature-permutation",
        LayerFeaturePermutation,
        {"n_repeats": 2},
        samples=True,
        cap=EVALUATIONS,
        heals=True,
        exempt=EXCHANGED,
    ),
    row("neuron-feature-ablation", NeuronFeatureAblation, **GAME),
    row("neuron-gradient", NeuronGradient),
    row("neuron-integrated-gradients", NeuronIntegratedGradients, STEPS, **{**PATH, "delta": False}),
    row(
        "neuron-conductance",
        NeuronConductance,
        STEPS,
        make=at_neuron(NeuronConductance, targeted=True),
        **{**PATH, "delta": False},
    ),
    row("neuron-deep-lift", NeuronDeepLift, **{**PAIR, "delta": False}),
    row("neuron-deep-lift-shap", NeuronDeepLiftShap, {"baselines": constant}, **{**PAIR, "delta": False}, cap=CAP),
    row("neuron-gradient-shap", NeuronGradientShap, DRAWS, samples=True, cap=CAP, exempt=ON_PATHS),
    row("neuron-guided-backprop", NeuronGuidedBackprop, rules=True, rectifiers=True),
    row("neuron-deconvolution", NeuronDeconvolution, rules=True, rectifiers=True),
]

_RULES, _ATTR, _LAYERS = "tests/rules/test_", "tests/attr/test_", "tests/layers/test_"
_PLAIN, _INSIDE = f"{_ATTR}against_references.py::test_", f"{_LAYERS}definitions.py::test_"

REFERENCES = {
    "Saliency": f"{_PLAIN}gradients",
    "InputXGradient": f"{_PLAIN}gradients",
    "IntegratedGradients": f"{_PLAIN}integrated_gradients",
    "GradientShap": f"{_PLAIN}gradient_shap_from_its_own_draws",
    "NoiseTunnel": f"{_PLAIN}noise_tunnel_from_its_own_draws",
    "DeepLift": f"{_RULES}rescale_rules.py::test_unary_is_the_slope_of_the_secant",
    "DeepLiftShap": f"{_INSIDE}deep_lift_shap",
    "GuidedBackprop": f"{_RULES}guided.py::test_every_form_of_relu",
    "Deconvolution": f"{_RULES}guided.py::test_every_form_of_relu",
    "LRP": "tests/rules/lrp/test_rules.py::test_three_layers",
    "FeatureAblation": f"{_ATTR}perturbation.py::test_ablation",
    "Occlusion": f"{_ATTR}perturbation.py::test_occlusion",
    "FeaturePermutation": f"{_ATTR}perturbation.py::test_permutation_of_two_examples_is_an_exchange",
    "ShapleyValues": f"{_ATTR}perturbation.py::test_shapley_values_of_random_games",
    "ShapleyValueSampling": f"{_ATTR}shapley_sampling.py::test_the_definition",
    "KernelShap": "tests/core/test_shapley_regression.py::test_all_coalitions_give_the_definition",
    "Lime": f"{_ATTR}lime.py::test_all_coalitions_give_the_weighted_regression",
    "LimeBase": f"{_ATTR}lime.py::test_lime_base_from_samples_in_either_space",
    "OwenValues": f"{_ATTR}hierarchies_and_interactions.py::test_owen_values_are_means_over_admissible_orders",
    "ShapleyInteractions": f"{_ATTR}hierarchies_and_interactions.py::test_interactions_are_those_of_the_definition",
    "DataLoaderAttribution": f"{_ATTR}dataloader.py::test_a_metric_of_the_data_set",
    "LayerActivation": f"{_INSIDE}activation_and_gradient",
    "LayerGradientXActivation": f"{_INSIDE}activation_and_gradient",
    "LayerIntegratedGradients": f"{_INSIDE}integrated_gradients",
    "LayerConductance": f"{_INSIDE}conductance_and_influence",
    "InternalInfluence": f"{_INSIDE}conductance_and_influence",
    "LayerGradCam": f"{_INSIDE}grad_cam",
    "GuidedGradCam": f"{_INSIDE}guided_grad_cam",
    "LayerDeepLift": f"{_INSIDE}deep_lift",
    "LayerDeepLiftShap": f"{_INSIDE}deep_lift_shap",
    "LayerGradientShap": f"{_INSIDE}gradient_shap",
    "LayerLRP": f"{_INSIDE}relevance",
    "LayerFeatureAblation": f"{_LAYERS}perturbation.py::test_the_target_is_applied_once",
    "LayerFeaturePermutation": f"{_LAYERS}perturbation.py::test_the_target_is_applied_once",
    "NeuronConductance": f"{_INSIDE}neuron_conductance",
    "NeuronFeatureAblation": f"{_LAYERS}perturbation.py::test_a_neuron_under_ablation",
    **dict.fromkeys(
        (
            *("NeuronGradient", "NeuronIntegratedGradients", "NeuronGradientShap", "NeuronDeepLift"),
            *("NeuronDeepLiftShap", "NeuronGuidedBackprop", "NeuronDeconvolution"),
        ),
        f"{_INSIDE}neurons",
    ),
}
"""By method, the test of its definition: a second implementation, slow and obvious."""

_BOTH = "tests/differential/test_"
_VALUES, _SPECIAL, _INNER = (f"{_BOTH}{part}.py::test_" for part in ("values", "special_cases", "layers"))

AGAINST_CAPTUM = {
    "Saliency": f"{_VALUES}saliency",
    "InputXGradient": f"{_VALUES}input_x_gradient",
    "IntegratedGradients": f"{_VALUES}integrated_gradients_at_exact_steps",
    "GradientShap": f"{_SPECIAL}gradient_shap_with_one_baseline_on_an_additive_model",
    "NoiseTunnel": f"{_VALUES}noise_tunnel_without_noise",
    "DeepLift": f"{_VALUES}deep_lift",
    "DeepLiftShap": f"{_VALUES}deep_lift_shap",
    "GuidedBackprop": f"{_VALUES}rectifiers",
    "Deconvolution": f"{_VALUES}rectifiers",
    "LRP": f"{_VALUES}lrp",
    "FeatureAblation": f"{_VALUES}feature_ablation",
    "Occlusion": f"{_VALUES}occlusion",
    "ShapleyValues": f"{_VALUES}shapley_values",
    "FeaturePermutation": f"{_VALUES}feature_permutation_by_a_function",
    "ShapleyValueSampling": f"{_ATTR}shapley_sampling.py::test_as_captum_in_the_limit",
    "KernelShap": f"{_ATTR}kernel_shap.py::test_captum_agrees_where_all_coalitions_are_drawn",
    "Lime": f"{_ATTR}lime.py::test_as_captum_with_all_samples_and_one_surrogate",
    "LimeBase": f"{_ATTR}lime.py::test_as_captum_with_all_samples_and_one_surrogate",
    "DataLoaderAttribution": f"{_ATTR}dataloader.py::test_as_captum",
    "LayerActivation": f"{_INNER}activations",
    "LayerGradientXActivation": f"{_INNER}gradient_times_activation",
    "LayerIntegratedGradients": f"{_INNER}layer_integrated_gradients",
    "LayerConductance": f"{_INNER}conductance_in_the_limit",
    "InternalInfluence": f"{_INNER}internal_influence",
    "LayerGradCam": f"{_INNER}grad_cam",
    "GuidedGradCam": f"{_INNER}guided_grad_cam",
    "LayerDeepLift": f"{_INNER}layer_deep_lift",
    "LayerDeepLiftShap": f"{_INNER}layer_deep_lift_shap",
    "LayerGradientShap": f"{_INNER}gradient_shap_where_nothing_is_left_to_chance",
    "LayerLRP": f"{_INNER}layer_lrp",
    "LayerFeatureAblation": f"{_INNER}layer_feature_ablation",
    "LayerFeaturePermutation": f"{_INNER}layer_feature_permutation",
    "NeuronGradient": f"{_INNER}neuron_gradients",
    "NeuronIntegratedGradients": f"{_INNER}neuron_integrated_gradients",
    "NeuronConductance": f"{_INNER}neuron_conductance",
    "NeuronDeepLift": f"{_INNER}neuron_deep_lift",
    "NeuronDeepLiftShap": f"{_INNER}neuron_deep_lift",
    "NeuronGuidedBackprop": f"{_INNER}neurons_under_rectifier_rules",
    "NeuronDeconvolution": f"{_INNER}neurons_under_rectifier_rules",
    "NeuronGradientShap": f"{_INNER}gradient_shap_where_nothing_is_left_to_chance",
    "NeuronFeatureAblation": f"{_INNER}neuron_feature_ablation",
}
"""By method that Captum has, the test that compares both where Captum is right."""

OTHER_RESULTS = {
    "DataLoaderAttribution": "takes a data loader instead of inputs",
    "LimeBase": "gives the representation of one model for one value",
    "ShapleyInteractions": "gives a matrix of features and features",
}
"""Methods whose inputs or results have another form; each has tests of its own."""
