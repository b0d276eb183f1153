"""What DeepLIFT and DeepLIFT SHAP share: pairs of inputs and references, attributed under rules."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pellucid._core import report
from pellucid._core.gradient import evaluating
from pellucid._core.path import Pairs
from pellucid._core.progress import progress
from pellucid._core.reducers import Evaluated, PerSample, WeightedSum
from pellucid._core.ruled import PairedRules, whole_certificate
from pellucid._core.rules import Certificate
from pellucid._core.site import Question
from pellucid.errors import CompletenessWarning, invalid_type

Combine = Callable[..., Any]

COMPLETE = 1e-3
"""Relative completeness error from which on a result under rules gets a warning; exact rules reach rounding."""


class _Attributed:
    """Mean over references of what each pair is attributed, and the completeness error of each pair."""

    def __init__(self, question: Question, samples: int, multiply: bool, custom: Combine | None) -> None:
        self.mean = WeightedSum(question.inputs)
        self.pairs = PerSample(question.site.examples, samples, question.inputs[0])
        self._multiply = multiply
        self._custom = custom
        self._arity = 0 if custom is None else _arity(custom)

    def add(self, weights: Tensor, evaluated: Evaluated, examples: Tensor) -> None:
        """Take in a block of pairs."""
        products = evaluated.products
        self.pairs.add(products, evaluated.changes, examples)
        if self._custom is not None:
            products = _customised(self._custom, self._arity, evaluated)
        elif not self._multiply:
            products = evaluated.gradients
        self.mean.add_values(weights, products, examples)


def _customised(custom: Combine, arity: int, evaluated: Evaluated) -> tuple[Tensor, ...]:
    """Call the user's function on rows: multipliers, and inputs and baselines if it takes them."""
    points = evaluated.points
    parts = (evaluated.gradients, points.values, points.references)
    rows = [tuple(v.flatten(0, 1) for v in part) for part in parts]
    found = custom(*rows[:arity])
    shapes = [v.shape for v in rows[0]]
    if not isinstance(found, tuple) or [getattr(v, "shape", None) for v in found] != shapes:
        raise invalid_type(
            "custom_attribution_func",
            f"a function that returned a {type(found).__name__}",
            f"a tuple of tensors of shapes {[tuple(s) for s in shapes]} is expected, shaped as the multipliers",
            "a function of (multipliers), (multipliers, inputs) or (multipliers, inputs, baselines)",
        )
    return tuple(f.detach().reshape(v.shape) for f, v in zip(found, points.values, strict=True))


def _arity(custom: Any) -> int:
    if not callable(custom):
        given = f"a {type(custom).__name__}"
        raise invalid_type("custom_attribution_func", given, "it cannot be called", "a function, or None")
    try:
        parameters = inspect.signature(custom).parameters.values()
    except ValueError:  # a function written in C that says nothing about its arguments
        return 3
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return 3
    count = sum(p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD} for p in parameters)
    if not 1 <= count <= 3:
        raise invalid_type(
            "custom_attribution_func",
            f"a function of {count} arguments",
            "it is called with multipliers, inputs and baselines, or the first of these",
            "a function of one to three arguments",
        )
    return count


class PairedResults(NamedTuple):
    """What pairs were attributed, one entry per target.

    Attributes:
        attributions: mean over the references.
        errors: completeness errors, shape (N, references), or (1, references) where examples are complete together
            only.
        changes: differences of the explained values, shaped as the errors.
    """

    attributions: list[tuple[Tensor, ...]]
    errors: list[Tensor]
    changes: list[Tensor]


def attribute_pairs(
    question: Question,
    references: tuple[Tensor, ...],
    rules: PairedRules,
    combine: tuple[bool, Combine | None],
    cap: int | None,
    title: str | None,
) -> PairedResults:
    """Attribute all pairs for each target, and report certificate and delta.

    Args:
        question: what is asked.
        references: per input a tensor (samples, 1 or N, ...).
        rules: the rules, which keep the certificates.
        combine: whether multipliers are multiplied with differences, and the user's function in place of that.
        cap: rows per pass at most.
        title: of the progress bar, ``None`` for none.

    Returns:
        What each target was attributed.
    """
    path = Pairs(question.inputs, references)
    attributed = [_Attributed(question, path.samples, *combine) for _ in question.targets]
    total = path.samples * question.site.examples
    with (
        evaluating(question, cap, rules) as evaluator,
        progress(title is not None, title or "", total) as bar,
    ):
        run = evaluator.point_gradients if path.samples == 1 else evaluator.accumulate
        run(attributed, path, bar)
        mixes = evaluator.mixes
    certificate = whole_certificate(rules.certificates)
    results: PairedResults = PairedResults([], [], [])
    for each in attributed:
        errors, changes = each.pairs.errors(mixes), each.pairs.changes(mixes)
        slack = _rounding(question.inputs[0].dtype, errors.dtype)
        if not bool((errors.abs() <= slack).all()):  # else they are complete, whatever the size of the changes
            errors, changes = _together_if_only_so(errors, changes, each.pairs, slack)
            _warn_if_incomplete(errors, changes, certificate, slack)
        results.attributions.append(each.mean.sums)
        results.errors.append(errors)
        results.changes.append(changes)
    if report.is_listened_to():
        report.check(delta=question.stacked([errors.mean(1) for errors in results.errors]), certificate=certificate)
    return results


def _rounding(dtype: torch.dtype, wide: torch.dtype) -> float:
    """What rounding may leave, relative to the outputs: sums lose some digits, a low precision its last bits."""
    return max(1e4 * torch.finfo(wide).eps, 4 * torch.finfo(dtype).eps)


def _together_if_only_so(errors: Tensor, changes: Tensor, pairs: PerSample, slack: float) -> tuple[Tensor, Tensor]:
    """Errors of all examples together where these are complete and those of each are not: the model mixes them."""
    if len(errors) == 1 or not bool(_too_large(errors, changes, slack).any()):
        return errors, changes
    joint = pairs.errors(together=True), pairs.changes(together=True)
    return (errors, changes) if bool(_too_large(*joint, slack).any()) else joint


def _too_large(errors: Tensor, changes: Tensor, slack: float) -> Tensor:
    sizes = changes.abs()
    return ~(errors.abs() <= COMPLETE * sizes + slack * (1 + sizes.amax()))


def _warn_if_incomplete(errors: Tensor, changes: Tensor, certificate: Certificate, slack: float) -> None:
    wrong = _too_large(errors, changes, slack)
    if not bool(wrong.any()):
        return
    reasons = [*certificate.switches, *(f"no rule for {name}" for name in certificate.unknown)]
    because = "; ".join(reasons[:3]) or "values beyond the precision of its dtype; try float64"
    worst = int((errors.abs().amax(1)).argmax())
    report.notify(
        CompletenessWarning,
        f"The attributions of {int(wrong.any(1).sum())} of {len(errors)} examples do not sum to the difference of"
        f" outputs (example {worst}: delta {float(errors[worst].abs().amax()):.3g}). Not attributed: {because}.",
    )
