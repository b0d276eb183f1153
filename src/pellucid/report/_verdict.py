"""The check that an explanation carries, said in plain language.

A complete method promises that its values sum to the difference of two outputs; a sampled one has a
random error. Both become a level (good, fair, poor, none) and a sentence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pellucid._core.checks import accept_instance, accept_text, shown
from pellucid.errors import invalid_type, invalid_value
from pellucid.explanation import Explanation

Level = Literal["good", "fair", "poor", "none"]

_RANK: dict[Level, int] = {"none": 0, "good": 1, "fair": 2, "poor": 3}
_TITLES = {
    "deep_lift": "DeepLIFT",
    "deep_lift_shap": "DeepLIFT SHAP",
    "grad_cam": "Grad-CAM",
    "gradient_shap": "GradientSHAP",
    "guided_grad_cam": "Guided Grad-CAM",
    "input_x_gradient": "Input \N{MULTIPLICATION SIGN} gradient",
    "kernel_shap": "KernelSHAP",
    "lime": "LIME",
    "lrp": "LRP",
    "smoothgrad": "SmoothGrad",
    "smoothgrad_squared": "SmoothGrad squared",
    "vargrad": "VarGrad",
}


@dataclass(frozen=True)
class Verdict:
    """How far a result can be trusted: a level, a sentence, and the numbers behind it."""

    level: Level
    text: str
    detail: str = ""

    @property
    def rank(self) -> int:
        """Severity, for sorting: none, good, fair, poor."""
        return _RANK[self.level]


def method_title(name: str) -> str:
    """Return a method's name as a person writes it.

    Example:
        >>> method_title("integrated_gradients"), method_title("gradient_shap")
        ('Integrated gradients', 'GradientSHAP')
    """
    accept_text("name", name, "it is the name of a method")
    return _TITLES.get(name, name.replace("_", " ").capitalize())


def explanation_title(explanation: Explanation) -> str:
    """Return the name of an explanation's method, with the layer or the neuron that it explains.

    Example:
        >>> import pellucid, torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU())
        >>> explanation_title(pellucid.explain(model, torch.ones(1, 2), method="saliency", layer="0", neuron=1))
        'Saliency of neuron 1 of 0'
    """
    accept_explanation("explanation", explanation)
    title = method_title(explanation.method)
    if explanation.layer is None:
        return title
    if explanation.neuron is not None:
        return f"{title} of neuron {explanation.neuron} of {explanation.layer}"
    return f"{title} at {explanation.layer}"


def accept_explanation(name: str, value: object) -> None:
    """Check what is shown."""
    accept_instance(name, value, Explanation, "what pellucid.explain returned")


def single_tensor(value: object, name: str) -> Tensor:
    """Return the one tensor of a value that may be a tuple of one."""
    if isinstance(value, tuple) and len(value) == 1:
        value = value[0]
    if not isinstance(value, torch.Tensor):
        raise invalid_type(
            name, f"a {type(value).__name__}", "a report shows one input tensor", "explanations of one tensor"
        )
    return value


def verdict_of(explanation: Explanation, position: int) -> Verdict:
    """Say what an explanation's own check found for one example.

    Args:
        explanation: The result of `pellucid.explain`.
        position: Which example, from 0.

    Returns:
        The worse of the completeness check and the sampling check; level ``"none"`` if there is neither.
    """
    accept_explanation("explanation", explanation)
    everything = _flat(explanation.attributions)
    if isinstance(position, bool) or not isinstance(position, int):
        raise invalid_type("position", f"a {type(position).__name__}", "it counts the examples", "an int")
    if not -len(everything) <= position < len(everything):
        raise invalid_value("position", shown(position), f"there are {len(everything)} examples", "an int from 0 on")
    values = everything[position]
    found = []
    if _is_relevance(explanation) and explanation.delta is not None:
        own = len(explanation.delta) == len(everything)
        sums = (values, explanation.delta[position]) if own else (everything, explanation.delta.sum())
        found.append(_conservation(float(sums[0].sum()), float(sums[1])))
    elif explanation.delta is not None:
        own = len(explanation.delta) == len(everything)  # else the model mixes its examples: complete together only
        bypass = torch.zeros_like(explanation.delta) if explanation.bypass is None else explanation.bypass
        checks = (explanation.delta, bypass.to(explanation.delta))
        delta, beside = (float(c[position] if own else c.sum()) for c in checks)
        found.append(_completeness(float((values if own else everything).sum()), delta, beside))
    if explanation.standard_error is not None:
        error = _flat(explanation.standard_error)[position]
        found.append(_sampling(float(values.norm()), float(error.norm())))
    if not found:
        return Verdict("none", "no check exists for this method")
    worst = max(found, key=lambda verdict: verdict.rank)
    return Verdict(worst.level, "; ".join(v.text for v in found), "; ".join(v.detail for v in found))


def _flat(value: Tensor | tuple[Tensor, ...]) -> Tensor:
    """Return one or several tensors as one of shape (N, values)."""
    parts = value if isinstance(value, tuple) else (value,)
    return torch.cat([part.double().flatten(1) if part.dim() > 1 else part.double()[:, None] for part in parts], 1)


def _completeness(total: float, delta: float, bypass: float) -> Verdict:
    difference = total + bypass - delta
    share = abs(bypass) / max(abs(difference), 1e-12)
    beside = f" with the {_percent(share)} that bypasses the layer" if share >= 0.01 else ""
    detail = f"delta {_short(delta)}"
    if math.isnan(total) or math.isnan(delta):
        return Verdict("poor", "holds values that are not numbers", detail)
    gap = abs(delta) / max(abs(difference), 1e-12) if delta else 0.0
    if gap < 0.01:
        return Verdict("good", f"sums{beside} to the output difference within {_percent(gap)}", detail)
    if gap < 0.05:
        return Verdict("fair", f"misses the output difference{beside} by {_percent(gap)}", detail)
    return Verdict("poor", f"misses the output difference{beside} by {_percent(gap)}", detail)


def _is_relevance(explanation: Explanation) -> bool:
    return explanation.certificate is not None and explanation.certificate.method.startswith("relevance")


def _conservation(total: float, delta: float) -> Verdict:
    """Relevance that biases and rules absorb is no mistake, but it should be known."""
    output = total - delta
    gap = abs(delta) / max(abs(output), 1e-12) if delta else 0.0
    detail = f"absorbed {_short(-delta)}"
    if not gap >= 0.01:
        return Verdict("good", f"sums to the output within {_percent(gap)}", detail)
    return Verdict("fair", f"biases and rules absorbed {_percent(gap)} of the output", detail)


def _sampling(size: float, error: float) -> Verdict:
    detail = f"standard error {_short(error)}"
    share = error / size if size else (0.0 if not error else 1.0)
    if not share < 0.25:  # also NaN
        return Verdict("poor", f"random error about {_percent(share)}: take more samples", detail)
    if share < 0.1:
        return Verdict("good", f"random error about {_percent(share)}", detail)
    return Verdict("fair", f"random error about {_percent(share)}: read the pattern, not single values", detail)


def _percent(share: float) -> str:
    if math.isnan(share) or share > 10:
        return "more than 1000\N{NO-BREAK SPACE}%"
    if share < 1e-5:
        return "0.001\N{NO-BREAK SPACE}%"
    digits = 3 if share < 1e-4 else 2 if share < 1e-2 else 1 if share < 0.1 else 0
    return f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


def _short(number: float) -> str:
    return f"{number:.2g}".replace("-", "\N{MINUS SIGN}")
