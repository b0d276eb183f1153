"""One row per public method; every property is tested on all rows."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from pellucid.attr import (
    LRP,
    Attribution,
    Deconvolution,
    DeepLift,
    DeepLiftShap,
    GradientShap,
    GuidedBackprop,
    InputXGradient,
    IntegratedGradients,
    NoiseTunnel,
    Saliency,
)
from pellucid.lrp import EpsilonPlus
from tests.models import mlp


@dataclass(frozen=True)
class Case:
    """A method with the arguments that the tests call it with, and what it is capable of."""

    name: str
    build: Callable[[Any], Attribution]
    arguments: dict[str, Any] = field(default_factory=dict)
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

    def net(self, features: int = 5) -> nn.Module:
        """A curved model that the method can explain."""
        return mlp(features, activation=nn.Softplus if self.rectifiers else nn.Tanh)

    def run(self, forward: Any, inputs: Any, **more: Any) -> Any:
        given = {**self.arguments, **more}
        if self.samples and "generator" not in given:
            given.setdefault("seed", 11)
        return self.build(forward).attribute(inputs, **given)


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
]
