"""The table of methods as data: what each asks, costs, needs and promises, and where it comes from.

``tests/docs/test_method_table.py`` compares it with the library: every method has a row, the costs are those that
``pellucid.explain`` reports, and the references are those of the docstrings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

ONE_GRAPH = "the graph of the batch"
PAIR_GRAPH = "the graph of inputs and references"
CHUNK = "one chunk"
CHUNK_OUTPUTS = "one chunk; the outputs of all coalitions"
NO_BASELINE = "no"
BASELINE = "yes, zeros by default"
DISTRIBUTION = "a distribution"
OVERHEAD = 9
"""Passes at most, beside those in the table: ends of a path, and the check that rows do not influence each other."""


Count = Callable[[Mapping[str, Any], int], float]
"""Passes, from the arguments of a call and the number of features."""


@dataclass(frozen=True)
class Method:
    """A row of the table.

    Attributes:
        title: the method in words.
        classes: its classes in ``pellucid.attr``: for inputs, for layers, for neurons.
        names: its names in ``pellucid.explain``.
        question: what it answers.
        passes: model evaluations of an example, in words.
        count: the same as a number, from the arguments of a measured call and the number of features.
        memory: what is held at once.
        baseline: whether it compares with a baseline.
        law: what its result promises.
        keys: where it comes from, as keys of ``references.bib``.
        arguments: a call whose cost is measured; functions are given the inputs.
        at_most: whether passes are a bound that the measured call need not reach.
    """

    title: str
    classes: tuple[str, ...]
    names: tuple[str, ...]
    question: str
    passes: str
    count: Count | None
    memory: str
    baseline: str
    law: str
    keys: tuple[str, ...]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    at_most: bool = False


def fixed(passes: int) -> Count:
    """The same number of passes whatever is asked."""
    return lambda *_: passes


def given(name: str) -> Count:
    """As many passes as an argument says."""
    return lambda arguments, _: arguments[name]


def one_each(_: Any, n: int) -> float:
    """A pass for each feature."""
    return n


def repeated(arguments: Mapping[str, Any], n: int) -> float:
    """A pass for each feature and repetition."""
    return n * arguments["n_repeats"]


def all_subsets(_: Any, n: int) -> float:
    """A pass for each set of features."""
    return 2**n


def along_orders(arguments: Mapping[str, Any], n: int) -> float:
    """A pass for each step of each order, both ends shared."""
    return (n - 1) * arguments["n_samples"] + 1


def in_two_groups(_: Any, n: int) -> float:
    """Nobody and everybody, each group alone, and the parts of a group with and without the other group."""
    return 2 + (2**2 - 2) + 2 * 2 * (2 ** (n // 2) - 2)


def halves(inputs: Any) -> Any:
    """Two groups of features."""
    n = inputs.shape[1]
    return tuple(range(n // 2)), tuple(range(n // 2, n))


def five_rows(inputs: Any) -> Any:
    """Five baselines."""
    return (inputs[:1] + inputs.new_tensor([[0.1], [0.2], [0.3], [0.4], [0.5]])) / 2


GRADIENTS = (
    Method(
        "Saliency", ("Saliency", "NeuronGradient"), ("saliency",),
        "How strongly does the output react to a small change of each value?",
        "1", fixed(1), ONE_GRAPH, NO_BASELINE, "the gradient, or its magnitude", ("simonyan2014deep",),
    ),
    Method(
        "Input times gradient", ("InputXGradient", "LayerGradientXActivation"), ("input_x_gradient",),
        "What does each value contribute, to first order?",
        "1", fixed(1), ONE_GRAPH, NO_BASELINE, "complete on linear models without bias",
        ("shrikumar2016not",),
    ),
    Method(
        "Integrated gradients",
        ("IntegratedGradients", "LayerIntegratedGradients", "NeuronIntegratedGradients"), ("integrated_gradients",),
        "How does the change from a baseline split into values?",
        "n_steps (50)", given("n_steps"), CHUNK, BASELINE, "complete", ("sundararajan2017axiomatic",),
        {"n_steps": 30},
    ),
    Method(
        "Gradient SHAP", ("GradientShap", "LayerGradientShap", "NeuronGradientShap"), ("gradient_shap",),
        "The same against a distribution of baselines?",
        "n_samples (5)", given("n_samples"), CHUNK, DISTRIBUTION, "complete in expectation",
        ("lundberg2017unified", "erion2021improving"), {"baselines": five_rows, "n_samples": 12, "seed": 0},
    ),
    Method(
        "Noise tunnel: SmoothGrad, its square, VarGrad", ("NoiseTunnel",),
        ("smoothgrad", "smoothgrad_squared", "vargrad"),
        "What does a method say on average around the input, and how much does it vary there?",
        "nt_samples (5; 25 by name) times the method's", given("nt_samples"), CHUNK,
        "as the method", "without noise the method itself; the variance is never negative",
        ("smilkov2017smoothgrad", "adebayo2018local"), {"nt_samples": 12, "seed": 0},
    ),
)  # fmt: skip

RULES = (
    Method(
        "DeepLIFT", ("DeepLift", "LayerDeepLift", "NeuronDeepLift"), ("deep_lift",),
        "How does the change from a reference split, operation by operation?",
        "2", fixed(2), PAIR_GRAPH, BASELINE, "complete, with a certificate",
        ("shrikumar2017learning",),
    ),
    Method(
        "DeepLIFT SHAP", ("DeepLiftShap", "LayerDeepLiftShap", "NeuronDeepLiftShap"), ("deep_lift_shap",),
        "The same, averaged over references?",
        "2 per reference at most", fixed(2 * 5), CHUNK, DISTRIBUTION, "complete on average",
        ("lundberg2017unified",), {"baselines": five_rows}, at_most=True,
    ),
    Method(
        "Layer-wise relevance propagation", ("LRP", "LayerLRP"), ("lrp",),
        "How does the output split, handed back layer by layer?",
        "1", fixed(1), ONE_GRAPH, NO_BASELINE,
        "conserves relevance but for what biases and stabilisers absorb; audit", ("bach2015pixel",),
    ),
    Method(
        "Guided backpropagation", ("GuidedBackprop", "NeuronGuidedBackprop"), ("guided_backprop",),
        "Which positive evidence passes the rectifiers in both directions?",
        "1", fixed(1), ONE_GRAPH, NO_BASELINE, "none; a picture, not a share of the output",
        ("springenberg2014striving",),
    ),
    Method(
        "Deconvolution", ("Deconvolution", "NeuronDeconvolution"), ("deconvolution",),
        "Which positive evidence passes the rectifiers on the way back?",
        "1", fixed(1), ONE_GRAPH, NO_BASELINE, "none; a picture, not a share of the output",
        ("zeiler2014visualizing",),
    ),
)  # fmt: skip

PERTURBATION = (
    Method(
        "Feature ablation", ("FeatureAblation", "LayerFeatureAblation", "NeuronFeatureAblation"),
        ("feature_ablation",), "What does the output lose without each feature?",
        "n", one_each, CHUNK, BASELINE, "exact on additive models", ("zeiler2014visualizing",),
    ),
    Method(
        "Occlusion", ("Occlusion",), ("occlusion",), "What does it lose without each window?",
        "1 per window", one_each, CHUNK, BASELINE,
        "windows of one value: feature ablation", ("zeiler2014visualizing",),
    ),
    Method(
        "Feature permutation", ("FeaturePermutation", "LayerFeaturePermutation"), ("feature_permutation",),
        "What does it lose when a feature is another example's?",
        "n times n_repeats (5)", repeated, CHUNK, NO_BASELINE,
        "zero without influence; standard error", ("breiman2001random",), {"n_repeats": 3, "seed": 0},
    ),
    Method(
        "Over a data set", ("DataLoaderAttribution",), (), "What does a metric of a whole data set lose?",
        "those of the method, over the data set", None, CHUNK, "as the method", "as the method",
        ("fisher2019all", "covert2020understanding"),
    ),
)  # fmt: skip

GAMES = (
    Method(
        "Shapley values", ("ShapleyValues",), ("shapley_values",),
        "What does each feature add, on average over all orders?",
        "2^n, n up to 20", all_subsets, CHUNK_OUTPUTS, BASELINE, "complete, symmetric, dummy, linear; exact",
        ("shapley1953value", "lundberg2017unified"),
    ),
    Method(
        "Sampled Shapley values", ("ShapleyValueSampling",), ("shapley_value_sampling",),
        "The same over random orders?",
        "at most (n - 1) n_samples (25, made even) + 1", along_orders, CHUNK, BASELINE,
        "unbiased, complete; standard error",
        ("castro2009polynomial", "strumbelj2010efficient", "mitchell2022sampling"),
        {"n_samples": 10, "seed": 0}, at_most=True,
    ),
    Method(
        "Kernel SHAP", ("KernelShap",), ("kernel_shap",), "The same by regression?",
        "n_samples (20 n, at least 256, at most 2^n)", given("n_samples"), CHUNK_OUTPUTS, BASELINE,
        "complete at every budget; exact with all coalitions; standard error",
        ("lundberg2017unified", "covert2021improving", "musco2025provably"), {"n_samples": 100, "seed": 0},
    ),
    Method(
        "Owen values", ("OwenValues",), ("owen_values",), "The same when features come in groups of groups?",
        "2 + sum over contexts of (2^children - 2) up to 4,096, then sampled orders",
        in_two_groups, CHUNK, BASELINE,
        "complete; a group gets its value as one feature", ("owen1977values", "winter1989value"),
        {"hierarchy": halves},
    ),
    Method(
        "Shapley interactions", ("ShapleyInteractions",), (), "What do pairs add beyond the sum of both?",
        "2^n up to 12 features, then 4 n (n - 1) + 8", all_subsets, CHUNK_OUTPUTS, BASELINE,
        "rows sum to Shapley values",
        ("grabisch1999axiomatic", "lundberg2018consistent", "bordt2023shapley"), {"target": 0},
    ),
    Method(
        "LIME", ("Lime", "LimeBase"), ("lime",), "Which sparse linear model fits around the input?",
        "n_samples (20 n, at least 256, at most 2^n)", given("n_samples"), CHUNK_OUTPUTS, BASELINE,
        "the fit is reported; unpenalised, exact on additive models", ("ribeiro2016should",),
        {"n_samples": 100, "seed": 0},
    ),
)  # fmt: skip

LAYERS = (
    Method(
        "Activation", ("LayerActivation",), ("layer_activation",), "What does a layer compute?",
        "1", fixed(1), ONE_GRAPH, NO_BASELINE, "none; the values themselves", (), {"layer": "1"},
    ),
    Method(
        "Conductance", ("LayerConductance", "NeuronConductance"), ("layer_conductance",),
        "How much of the change flows through each value of a layer, or from each input through a neuron?",
        "n_steps (50)", given("n_steps"), CHUNK, BASELINE, "complete with the bypassing share",
        ("dhamdhere2018important", "shrikumar2018computationally"), {"layer": "1", "n_steps": 30},
    ),
    Method(
        "Internal influence", ("InternalInfluence",), ("internal_influence",),
        "How strongly does the output react to a layer's values, along a path of inputs?",
        "n_steps (50)", given("n_steps"), CHUNK, BASELINE, "on a linear rest of the model its gradient",
        ("leino2018influence",), {"layer": "1", "n_steps": 30},
    ),
    Method(
        "Grad-CAM", ("LayerGradCam",), ("grad_cam",), "Where in a layer lies the evidence?",
        "1", fixed(1), ONE_GRAPH, NO_BASELINE,
        "sums to the output where pooling and a linear layer without bias follow", ("selvaraju2017gradcam",),
        {"layer": "1"},
    ),
    Method(
        "Guided Grad-CAM", ("GuidedGradCam",), ("guided_grad_cam",),
        "The same, in the detail of guided backpropagation?",
        "2", fixed(2), ONE_GRAPH, NO_BASELINE, "the product of both", ("selvaraju2017gradcam",),
        {"layer": "0"},
    ),
)  # fmt: skip

METHODS = {
    "Gradients and paths": GRADIENTS,
    "Rules for operations": RULES,
    "Perturbation": PERTURBATION,
    "Shapley values and surrogates": GAMES,
    "Inside the model": LAYERS,
}
"""Rows by group, in the order of the page."""
