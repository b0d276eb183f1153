"""What a metric is asked, checked and in one internal form before the model runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid._core.checks import accept_dense
from pellucid._core.door import accept_baselines, accept_optional_count
from pellucid._core.site import Question
from pellucid._core.structure import all_finite, names_of
from pellucid.errors import invalid_type, invalid_value
from pellucid.metrics._features import Features, accept_features
from pellucid.metrics._scoring import Scoring


@dataclass(frozen=True)
class Asked:
    """A question with the attributions that are to be judged and what a removed feature becomes."""

    question: Question
    attributions: tuple[Tensor, ...]
    baselines: tuple[Tensor, ...]
    features: Features
    scoring: Scoring

    def totals(self) -> Tensor:
        """What each feature was attributed in all, shape (N, F)."""
        return self.features.totals(self.attributions)


def accept(question: Question, attributions: Any, baselines: Any, feature_mask: Any, cap: Any) -> Asked:
    """Check attributions, baselines and features against a question.

    Args:
        question: model, inputs, target and additional arguments.
        attributions: one value per input value.
        baselines: see ``pellucid.typing.BaselineLike``.
        feature_mask: which values are removed together.
        cap: rows per forward pass at most.

    Returns:
        Everything in its internal form.
    """
    inputs, template = question.inputs, question.template
    return Asked(
        question,
        accept_attributions(attributions, inputs),
        accept_baselines(baselines, inputs, template),
        accept_features(feature_mask, inputs),
        Scoring(question, accept_optional_count("max_examples_per_batch", cap)),
    )


def accept_maps(attributions: Any, name: str = "attributions") -> tuple[Tensor, ...]:
    """Check attributions by themselves: finite real numbers with the same N rows in each tensor."""
    given = attributions if isinstance(attributions, tuple) else (attributions,)
    if not given:
        raise invalid_value(name, "an empty tuple", "there is nothing to judge", "at least one tensor")
    for part, value in zip(names_of(name, attributions), given, strict=True):
        if not isinstance(value, Tensor):
            raise invalid_type(part, f"a {type(value).__name__}", "only tensors are scored", "a torch.Tensor")
        if not accept_dense(part, value).is_floating_point():
            raise invalid_type(part, f"a tensor of dtype {value.dtype}", "attributions are real numbers", "floats")
        if value.dim() == 0 or len(value) == 0:
            raise invalid_value(part, f"of shape {tuple(value.shape)}", "dimension 0 counts the examples", "(N, ...)")
        if not all_finite(value):
            wrong = int((~torch.isfinite(value)).sum())
            why = "values that are not finite have no order and no sum"
            raise invalid_value(part, f"a tensor with {wrong} NaN or infinite values", why, "finite attributions")
    if len({len(value) for value in given}) != 1:
        rows = " and ".join(str(len(value)) for value in given)
        raise invalid_value(name, f"a tuple with {rows} rows", "row i belongs to example i", "the same N everywhere")
    return tuple(value.detach() for value in given)


def accept_attributions(attributions: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Check that attributions hold one finite value per input value, and bring them to the inputs' device."""
    found = accept_maps(attributions)
    shapes = [tuple(a.shape) for a in found], [tuple(x.shape) for x in inputs]
    if shapes[0] != shapes[1]:
        raise invalid_value(
            "attributions", f"of shape {_shown(shapes[0])}", f"inputs have {_shown(shapes[1])}",
            "one value per input value (attributions.expand_as(inputs) / C for a map that C channels share)",
        )  # fmt: skip
    return tuple(a.to(x.device) for a, x in zip(found, inputs, strict=True))


def _shown(shapes: list[tuple[int, ...]]) -> str:
    return str(shapes[0]) if len(shapes) == 1 else " and ".join(map(str, shapes))
