"""The one table of what is compared: each method with its arguments, and the evaluations it cannot do without.

Both libraries get the same arguments, and beyond them their defaults. The bare evaluations are counted per example:

* ``forward``: a forward pass without a graph, ``gradient``: one with the gradient of the inputs,
  ``step``: the same, each after the one before it, so that no two share a pass;
* ``before``: a forward pass of only the part before the layer, ``after``: of only the part after it, with its
  gradient, ``quick``: the same without, ``neuron``: of the part before the layer with the gradient of the inputs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.subjects import Subject

STEPS, SAMPLES, COPIES, ORDERS, COALITIONS, DRAWS = 50, 20, 20, 26, 100, 50
REFERENCES = 5
ROWS = ("MLP x 1", "MLP x 16")
IMAGES = ("small CNN x 1", "small CNN x 8", "CNN x 4")
MODULES = (*ROWS, *IMAGES)
EVERY = (*MODULES, "transformer x 4")
SOME = ("MLP x 1", "small CNN x 8", "CNN x 4")
SOME_MORE = (*SOME, "transformer x 4")
BATCHES = ("MLP x 16", "small CNN x 8", "CNN x 4")
CONVOLUTIONS = ("small CNN x 8", "CNN x 4")

Call = Callable[[], object]
Work = dict[str, float]


@dataclass(frozen=True)
class Row:
    """One method.

    Attributes:
        name: what the tables say.
        scope: the table that it stands in.
        subjects: names of what it is measured on.
        call: from a library (``pellucid`` or ``captum``), a model, a batch, a subject and an amount of work to a call.
        bare: from a subject and an amount of work to the passes that each example needs.
        work: the amount: steps, samples, features.
        more: an amount with which the peak of memory is measured again; ``None`` where there is none.
    """

    name: str
    scope: str
    subjects: tuple[str, ...]
    call: Callable[[ModuleType, nn.Module, Tensor, Subject, int], Call]
    bare: Callable[[Subject, int], Work]
    work: int = 1
    more: int | None = None


@dataclass(frozen=True)
class Attributed:
    """A call of ``library.attr.Name(model).attribute(x, **arguments)``.

    Attributes:
        name: of the class.
        arguments: from subject and work to arguments.
        layer: whether the class takes a layer.
        only: from the amount of work to arguments of our call alone: what makes the samples equal.
    """

    name: str
    arguments: Callable[[Subject, int], Mapping[str, Any]]
    layer: bool = False
    only: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, library: ModuleType, model: nn.Module, x: Tensor, subject: Subject, work: int) -> Call:
        """Prepare the call; the method is made outside of what is timed."""
        build = getattr(library.attr, self.name)
        method = build(model, layer_of(model, subject)) if self.layer else build(model)
        given = dict(self.arguments(subject, work))
        if library.__name__ == "pellucid":
            given |= self.only
        return functools.partial(method.attribute, x, **given)


def layer_of(model: nn.Module, subject: Subject) -> nn.Module:
    """Find the layer that is explained: the last before the cut."""
    del subject
    return model.before[-1]


def target(subject: Subject, work: int) -> dict[str, Any]:
    """Explain the first class."""
    del subject, work
    return {"target": 0}


def references(subject: Subject, work: int) -> Tensor:
    """Draw so many baselines."""
    return torch.randn(work, *subject.shape[1:], generator=torch.Generator().manual_seed(1))


def segments(most: int) -> Callable[[Subject, int], dict[str, Any]]:
    """Explain the first class by at most so many features, or by as many as the amount of work says."""
    return lambda subject, work: {"target": 0, "feature_mask": subject.segments(work if most == 0 else most)}


def windows(subject: Subject, work: int) -> dict[str, Any]:
    """Slide windows without overlap, about as many as the amount of work says."""
    if subject.kind == "rows":
        return {"target": 0, "sliding_window_shapes": (2,)}
    side = 1 << max(1, int((subject.shape[2] ** 2 / work) ** 0.5).bit_length() - 1)
    return {"target": 0, "sliding_window_shapes": (3, side, side), "strides": (3, side, side)}


def windowed(subject: Subject, work: int) -> Work:
    """Count the passes of a slide."""
    if subject.kind == "rows":
        return {"forward": subject.shape[1]}
    side = windows(subject, work)["strides"][1]
    return {"forward": (subject.shape[2] // side) ** 2 + 1}


def each(**passes: float) -> Callable[[Subject, int], Work]:
    """Need so many passes."""
    return lambda *_: passes


def per(unit: str, extra: float = 0) -> Callable[[Subject, int], Work]:
    """Need as many passes as there is work, and some more."""
    return lambda _, work: {unit: work + extra}


def per_feature(most: int, times: float = 1) -> Callable[[Subject, int], Work]:
    """Need a pass for each feature."""
    return lambda subject, work: {"forward": times * subject.features(most or work) + 1}


def shift(x: Tensor) -> tuple[Tensor, Tensor]:
    """Gaussian noise and what it makes of the inputs."""
    noise = 0.1 * torch.randn_like(x)
    return noise, x - noise


def _infidelity(library: ModuleType, model: nn.Module, x: Tensor, subject: Subject, work: int) -> Call:
    del subject
    scored = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    return functools.partial(library.metrics.infidelity, model, shift, x, scored, target=0, n_perturb_samples=work)


def _sensitivity(library: ModuleType, model: nn.Module, x: Tensor, subject: Subject, work: int) -> Call:
    del subject
    explain = library.attr.Saliency(model).attribute
    return functools.partial(library.metrics.sensitivity_max, explain, x, target=0, n_perturb_samples=work)


def _attack(name: str, *arguments: float) -> Callable[[ModuleType, nn.Module, Tensor, Subject, int], Call]:
    def call(library: ModuleType, model: nn.Module, x: Tensor, subject: Subject, work: int) -> Call:
        attack = getattr(library.robust, name)(model, nn.CrossEntropyLoss(reduction="none"))
        labels = torch.zeros(subject.size, dtype=torch.long)
        given = (*arguments, work) if name == "PGD" else arguments
        return functools.partial(attack.perturb, x, *given, target=labels)

    return call


def _noised(name: str) -> Callable[[ModuleType, nn.Module, Tensor, Subject, int], Call]:
    def call(library: ModuleType, model: nn.Module, x: Tensor, subject: Subject, work: int) -> Call:
        del subject
        method = library.attr.NoiseTunnel(getattr(library.attr, name)(model))
        return functools.partial(method.attribute, x, nt_samples=work, stdevs=0.1, target=0)

    return call


def at_layer(subject: Subject, work: int) -> dict[str, Any]:
    """Ablate the layer's channels, or its values where it has no places."""
    del work
    mask = {"images": lambda: torch.arange(width_of(subject))[:, None, None], "rows": lambda: None}[subject.kind]()
    return {"target": 0, "layer_mask": mask}


@functools.cache
def width_of(subject: Subject) -> int:
    """Count the layer's channels or values."""
    model, x = subject.prepare()
    return int(model.before(x[:1]).shape[1])


def neuron(**more: Callable[[Subject, int], Any]) -> Callable[[Subject, int], dict[str, Any]]:
    """Explain a neuron."""
    return lambda subject, work: {
        "neuron_selector": subject.neuron(),
        **{name: value(subject, work) for name, value in more.items()},
    }


def _steps(subject: Subject, work: int) -> dict[str, Any]:
    del subject
    return {"target": 0, "n_steps": work}


def _drawn(subject: Subject, work: int) -> dict[str, Any]:
    return {"target": 0, "n_samples": work, "baselines": references(subject, REFERENCES)}


def _against(subject: Subject, work: int) -> dict[str, Any]:
    return {"target": 0, "baselines": references(subject, work)}


def _sampled(most: int) -> Callable[[Subject, int], dict[str, Any]]:
    return lambda subject, work: {"target": 0, "n_samples": work, "feature_mask": subject.segments(most)}


def _n(subject: Subject, work: int) -> int:
    del subject
    return work


PAIR = each(gradient=1, forward=1)
INPUTS = [
    Row("Saliency", "inputs", EVERY, Attributed("Saliency", target), each(gradient=1)),
    Row("InputXGradient", "inputs", EVERY, Attributed("InputXGradient", target), each(gradient=1)),
    Row(
        "IntegratedGradients",
        "inputs",
        EVERY,
        Attributed("IntegratedGradients", _steps),
        per("gradient"),
        STEPS,
        400,
    ),
    Row("GradientShap", "inputs", EVERY, Attributed("GradientShap", _drawn), per("gradient"), SAMPLES, 400),
    Row("NoiseTunnel(Saliency)", "inputs", EVERY, _noised("Saliency"), per("gradient"), COPIES, 400),
    Row("DeepLift", "inputs", MODULES, Attributed("DeepLift", target), PAIR),
    Row(
        "DeepLiftShap",
        "inputs",
        MODULES,
        Attributed("DeepLiftShap", _against),
        per("gradient", 1),
        REFERENCES,
        100,
    ),
    Row("GuidedBackprop", "inputs", MODULES, Attributed("GuidedBackprop", target), each(gradient=1)),
    Row("Deconvolution", "inputs", MODULES, Attributed("Deconvolution", target), each(gradient=1)),
    Row("LRP", "inputs", ROWS, Attributed("LRP", target), each(gradient=1)),
    Row("FeatureAblation", "inputs", MODULES, Attributed("FeatureAblation", segments(0)), per_feature(0), 64, 256),
    Row("Occlusion", "inputs", MODULES, Attributed("Occlusion", windows), windowed, 64, 256),
    Row(
        "FeaturePermutation",
        "inputs",
        BATCHES,
        Attributed("FeaturePermutation", segments(0), only={"n_repeats": 1}),
        per_feature(0),
        64,
        256,
    ),
    Row(
        "ShapleyValues",
        "inputs",
        ("MLP x 1", "MLP x 16", "small CNN x 1"),
        Attributed("ShapleyValues", segments(5)),
        each(forward=2**5),
    ),
    Row(
        "ShapleyValueSampling",
        "inputs",
        MODULES,
        Attributed("ShapleyValueSampling", _sampled(16)),
        lambda subject, work: {"forward": work * (subject.features(16) - 1) + 2},
        ORDERS,
        200,
    ),
    Row(
        "KernelShap",
        "inputs",
        ("MLP x 1", "small CNN x 1"),
        Attributed("KernelShap", _sampled(16)),
        per("forward"),
        COALITIONS,
        1000,
    ),
    Row(
        "Lime",
        "inputs",
        ("MLP x 1", "small CNN x 1"),
        Attributed("Lime", _sampled(16)),
        per("forward"),
        COALITIONS,
        1000,
    ),
]
LAYERS = [
    Row(
        "LayerActivation",
        "layers",
        SOME_MORE,
        Attributed("LayerActivation", lambda *_: {}, layer=True),
        each(before=1),
    ),
    Row(
        "LayerGradientXActivation",
        "layers",
        SOME_MORE,
        Attributed("LayerGradientXActivation", target, layer=True),
        each(before=1, after=1),
    ),
    Row(
        "LayerGradCam", "layers", CONVOLUTIONS, Attributed("LayerGradCam", target, layer=True), each(before=1, after=1)
    ),
    Row(
        "GuidedGradCam",
        "layers",
        CONVOLUTIONS,
        Attributed("GuidedGradCam", target, layer=True),
        each(gradient=1, after=1),
    ),
    Row(
        "LayerIntegratedGradients",
        "layers",
        SOME_MORE,
        Attributed("LayerIntegratedGradients", _steps, layer=True),
        per("after"),
        STEPS,
        400,
    ),
    Row(
        "LayerConductance",
        "layers",
        SOME_MORE,
        Attributed("LayerConductance", _steps, layer=True),
        lambda _, work: {"before": work, "after": work},
        STEPS,
        400,
    ),
    Row(
        "InternalInfluence",
        "layers",
        SOME_MORE,
        Attributed("InternalInfluence", _steps, layer=True),
        lambda _, work: {"before": work, "after": work},
        STEPS,
        400,
    ),
    Row(
        "LayerDeepLift",
        "layers",
        SOME,
        Attributed("LayerDeepLift", target, layer=True),
        each(before=2, after=1, quick=1),
    ),
    Row(
        "LayerDeepLiftShap",
        "layers",
        SOME,
        Attributed("LayerDeepLiftShap", _against, layer=True),
        lambda subject, work: {"before": work / subject.size + 1, "after": work, "quick": 1},
        REFERENCES,
        100,
    ),
    Row(
        "LayerGradientShap",
        "layers",
        SOME_MORE,
        Attributed("LayerGradientShap", _drawn, layer=True),
        per("after"),
        SAMPLES,
        400,
    ),
    Row(
        "LayerFeatureAblation",
        "layers",
        SOME,
        Attributed("LayerFeatureAblation", at_layer, layer=True),
        lambda subject, _: {"before": 1, "quick": width_of(subject) + 1},
    ),
]
NEURONS = [
    Row("NeuronGradient", "neurons", SOME_MORE, Attributed("NeuronGradient", neuron(), layer=True), each(neuron=1)),
    Row(
        "NeuronIntegratedGradients",
        "neurons",
        SOME_MORE,
        Attributed("NeuronIntegratedGradients", neuron(n_steps=_n), layer=True),
        per("neuron"),
        STEPS,
        400,
    ),
    Row(
        "NeuronConductance",
        "neurons",
        SOME_MORE,
        Attributed("NeuronConductance", neuron(n_steps=_n, target=lambda *_: 0), layer=True),
        per("gradient"),
        STEPS,
        400,
    ),
    Row(
        "NeuronDeepLift",
        "neurons",
        SOME,
        Attributed("NeuronDeepLift", neuron(), layer=True),
        each(neuron=1, before=1),
    ),
    Row(
        "NeuronDeepLiftShap",
        "neurons",
        SOME,
        Attributed("NeuronDeepLiftShap", neuron(baselines=references), layer=True),
        per("neuron", 1),
        REFERENCES,
        100,
    ),
    Row(
        "NeuronGradientShap",
        "neurons",
        SOME_MORE,
        Attributed(
            "NeuronGradientShap",
            neuron(n_samples=_n, baselines=lambda subject, _: references(subject, REFERENCES)),
            layer=True,
        ),
        per("neuron"),
        SAMPLES,
        400,
    ),
    Row(
        "NeuronGuidedBackprop",
        "neurons",
        SOME,
        Attributed("NeuronGuidedBackprop", neuron(), layer=True),
        each(neuron=1),
    ),
    Row(
        "NeuronDeconvolution",
        "neurons",
        SOME,
        Attributed("NeuronDeconvolution", neuron(), layer=True),
        each(neuron=1),
    ),
    Row(
        "NeuronFeatureAblation",
        "neurons",
        SOME,
        Attributed(
            "NeuronFeatureAblation",
            neuron(feature_mask=lambda subject, work: subject.segments(work)),
            layer=True,
        ),
        lambda subject, work: {"before": subject.features(work) + 1},
        64,
        256,
    ),
]
OTHERS = [
    Row("infidelity", "metrics", SOME_MORE, _infidelity, per("forward", 1), DRAWS, 400),
    Row("sensitivity_max", "metrics", SOME_MORE, _sensitivity, per("gradient", 1), 10, 100),
    Row("FGSM", "attacks", SOME_MORE, _attack("FGSM", 0.1), each(gradient=1)),
    Row("PGD", "attacks", SOME_MORE, _attack("PGD", 0.1, 0.02), per("step"), 10, 100),
]
METHODS = {row.name: row for row in (*INPUTS, *LAYERS, *NEURONS, *OTHERS)}
"""Every method by its name."""
NOT_MEASURED = {
    "LayerLRP": "Captum's fails at the layer that the others are measured at, since it has no rule",
    "LayerFeaturePermutation": "Captum's picks the target twice and fails",
    "LimeBase": "its parts are the user's",
    "DataLoaderAttribution": "it runs other methods over data sets",
}
"""Methods that both libraries have and that stand in no row, with the reason."""
