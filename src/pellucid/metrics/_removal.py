"""Faithfulness by removal: what happens to the output while the features that matter most go, or come?

Each feature's importance is the sum of its attributions. Removed features take the value of the baseline; equal
importances stand in an order that is drawn once and the same in every call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pellucid._core.checks import is_finite, is_number
from pellucid._core.door import accept_count, accept_question
from pellucid._core.model import with_gradients
from pellucid.docstrings import documented
from pellucid.errors import invalid_type, invalid_value
from pellucid.metrics._asked import Asked, accept
from pellucid.metrics._curve import Curve
from pellucid.metrics._features import ranks
from pellucid.metrics._scoring import Replaced
from pellucid.typing import BaselineLike, ForwardFunction, TargetLike, Tensors

STEPS = 32
"""Points of a removal curve by default, if there are that many features."""
BINS = (0.01, 0.05, 0.1, 0.2, 0.5)
"""Shares of features that are taken out or kept, as the authors of ERASER have them."""
_STEPS_TEXT = "Points of the curve after the first; None takes every feature, up to 32 points."


@with_gradients
@documented(n_steps=_STEPS_TEXT)
def deletion(
    model: ForwardFunction,
    inputs: Tensors,
    attributions: Tensors,
    target: TargetLike = None,
    baselines: BaselineLike = None,
    additional_forward_args: Any = None,
    *,
    feature_mask: Tensors | None = None,
    n_steps: int | None = None,
    max_examples_per_batch: int | None = None,
    show_progress: bool = False,
) -> Curve:
    """Take features away, the highest attribution first, and measure the area under the output.

    ``integral over q from 0 to 1 of F(x with the top q of its features at the baseline)``, by trapezoids. In the unit
    of the output; lower is better: what the explanation names first should be missed first.

    Example:
        >>> import torch
        >>> from pellucid.metrics import deletion
        >>> model = lambda x: x.sum(1)
        >>> x = torch.tensor([[3.0, 1.0]])
        >>> deletion(model, x, x).values  # F = 4, then without the 3, then without both
        tensor([[4., 1., 0.]])
        >>> deletion(model, x, x).score, deletion(model, x, -x).score
        (tensor([1.5000]), tensor([2.5000]))

    {arguments}

    Returns:
        The curve over the share of features removed, and its area as the score.

    {raises}

    References:
        Petsiuk, Das and Saenko (2018), RISE, arXiv:1806.07421; Samek, Binder, Montavon, Lapuschkin and Mueller
        (2017), arXiv:1509.06321.
    """
    question = accept_question(model, inputs, target, additional_forward_args)
    asked = accept(question, attributions, baselines, feature_mask, max_examples_per_batch)
    sizes = _steps(asked, n_steps)
    rest = _outputs(asked, sizes[:, 1:], keep=False, show=("Deletion", show_progress))
    values = torch.cat([asked.scoring.reference()[:, None], rest], dim=1)
    at = as_shares(sizes, asked.features.counts, values)
    return Curve("deletion", _area(values, at), at, values, "share of features removed")


@with_gradients
@documented(n_steps=_STEPS_TEXT)
def insertion(
    model: ForwardFunction,
    inputs: Tensors,
    attributions: Tensors,
    target: TargetLike = None,
    baselines: BaselineLike = None,
    additional_forward_args: Any = None,
    *,
    feature_mask: Tensors | None = None,
    n_steps: int | None = None,
    max_examples_per_batch: int | None = None,
    show_progress: bool = False,
) -> Curve:
    """Start from the baseline, put features in, the highest attribution first, and measure the area.

    ``integral over q from 0 to 1 of F(baseline with the top q of the features of x)``, by trapezoids. In the unit
    of the output; higher is better: what the explanation names first should bring the output back first.

    Example:
        >>> import torch
        >>> from pellucid.metrics import insertion
        >>> model = lambda x: x.sum(1)
        >>> x = torch.tensor([[3.0, 1.0]])
        >>> insertion(model, x, x).values
        tensor([[0., 3., 4.]])

    {arguments}

    Returns:
        The curve over the share of features inserted, and its area as the score.

    {raises}

    References:
        Petsiuk, Das and Saenko (2018), RISE: Randomized Input Sampling for Explanation, arXiv:1806.07421.
    """
    question = accept_question(model, inputs, target, additional_forward_args)
    asked = accept(question, attributions, baselines, feature_mask, max_examples_per_batch)
    sizes = _steps(asked, n_steps)
    rest = _outputs(asked, sizes[:, :-1], keep=True, show=("Insertion", show_progress))
    values = torch.cat([rest, asked.scoring.reference()[:, None]], dim=1)
    at = as_shares(sizes, asked.features.counts, values)
    return Curve("insertion", _area(values, at), at, values, "share of features inserted")


@with_gradients
@documented(fractions="Shares of the features to take out, above 0 and at most 1; their numbers are rounded up.")
def comprehensiveness(
    model: ForwardFunction,
    inputs: Tensors,
    attributions: Tensors,
    target: TargetLike = None,
    baselines: BaselineLike = None,
    additional_forward_args: Any = None,
    *,
    fractions: Sequence[float] = BINS,
    feature_mask: Tensors | None = None,
    max_examples_per_batch: int | None = None,
    show_progress: bool = False,
) -> Curve:
    """Measure how much of the output goes with the features that the explanation puts first.

    ``mean over q of F(x) - F(x with its top q at the baseline)``. In the unit of the output; higher is better.

    Example:
        >>> import torch
        >>> from pellucid.metrics import comprehensiveness
        >>> x = torch.tensor([[3.0, 1.0]])
        >>> comprehensiveness(lambda x: x.sum(1), x, x, fractions=(0.5,)).score  # 4 - 1
        tensor([3.])

    {arguments}

    Returns:
        The outputs; the score is their mean loss.

    {raises}

    References:
        DeYoung, Jain, Rajani, Lehman, Xiong, Socher and Wallace (2020), ERASER, arXiv:1911.03429.
    """
    question = accept_question(model, inputs, target, additional_forward_args)
    asked = accept(question, attributions, baselines, feature_mask, max_examples_per_batch)
    return _mean_loss(asked, fractions, "comprehensiveness", keep=False, show_progress=show_progress)


@with_gradients
@documented(fractions="Shares of the features to keep, above 0 and at most 1; their numbers are rounded up.")
def sufficiency(
    model: ForwardFunction,
    inputs: Tensors,
    attributions: Tensors,
    target: TargetLike = None,
    baselines: BaselineLike = None,
    additional_forward_args: Any = None,
    *,
    fractions: Sequence[float] = BINS,
    feature_mask: Tensors | None = None,
    max_examples_per_batch: int | None = None,
    show_progress: bool = False,
) -> Curve:
    """Measure how much of the output is missing when only the features that the explanation puts first are there.

    ``mean over q of F(x) - F(baseline with the top q of x)``. In the unit of the output; lower is better.

    Example:
        >>> import torch
        >>> from pellucid.metrics import sufficiency
        >>> x = torch.tensor([[3.0, 1.0]])
        >>> sufficiency(lambda x: x.sum(1), x, x, fractions=(0.5,)).score  # 4 - 3
        tensor([1.])

    {arguments}

    Returns:
        The outputs; the score is their mean loss.

    {raises}

    References:
        DeYoung et al. (2020), arXiv:1911.03429.
    """
    question = accept_question(model, inputs, target, additional_forward_args)
    asked = accept(question, attributions, baselines, feature_mask, max_examples_per_batch)
    return _mean_loss(asked, fractions, "sufficiency", keep=True, show_progress=show_progress)


@with_gradients
@documented(
    tolerance="How far the output may be from that at the input, as a share of its distance from that at the baseline.",
    n_steps="Numbers of features that are tried; None tries every one, up to 32.",
)
def effective_complexity(
    model: ForwardFunction,
    inputs: Tensors,
    attributions: Tensors,
    target: TargetLike = None,
    baselines: BaselineLike = None,
    additional_forward_args: Any = None,
    *,
    tolerance: float = 0.1,
    feature_mask: Tensors | None = None,
    n_steps: int | None = None,
    max_examples_per_batch: int | None = None,
    show_progress: bool = False,
) -> Tensor:
    """Measure which share of the features is needed to give the output, the largest magnitudes first.

    The least ``k / F`` with ``|F(x) - F(baseline with the k features of largest |A|)| <= tolerance |F(x) -
    F(baseline)|``. Range: 0 to 1; lower is simpler. What is left out stands at the baseline, where the authors draw it
    from the data.

    Example:
        >>> import torch
        >>> from pellucid.metrics import effective_complexity
        >>> x = torch.tensor([[8.0, 1.0, 1.0, 0.0]])
        >>> effective_complexity(lambda x: x.sum(1), x, x, tolerance=0.15)  # 8 + 1 of 10
        tensor([0.5000])

    {arguments}

    Returns:
        Scores, shape (N,).

    {raises}

    References:
        Nguyen and Martinez (2020), On Quantitative Aspects of Model Interpretability, arXiv:2007.07584.
    """
    question = accept_question(model, inputs, target, additional_forward_args)
    asked = accept(question, attributions, baselines, feature_mask, max_examples_per_batch)
    if not is_number(tolerance) or not 0 <= tolerance < 1:
        raise invalid_value("tolerance", repr(tolerance), "it is a share of a change", "a number from 0 to below 1")
    sizes = _steps(asked, n_steps)
    reference = asked.scoring.reference()
    show = ("Effective complexity", show_progress)
    values = torch.cat(
        [_outputs(asked, sizes[:, :-1], keep=True, show=show, magnitudes=True), reference[:, None]], dim=1
    )
    allowed = tolerance * (reference - values[:, 0]).abs() + 8 * torch.finfo(values.dtype).eps * reference.abs()
    enough = (reference[:, None] - values).abs() <= allowed[:, None]
    first = enough.to(torch.uint8).argmax(1, keepdim=True)
    return as_shares(sizes, asked.features.counts, values).gather(1, first)[:, 0]


def _mean_loss(asked: Asked, fractions: Sequence[float], name: str, *, keep: bool, show_progress: bool) -> Curve:
    """Outputs with shares of the features removed, or with only these kept, and what is missing on average."""
    sizes = share_sizes(fractions, asked.features.counts)
    reference = asked.scoring.reference()
    values = _outputs(asked, sizes, keep=keep, show=(name.capitalize(), show_progress))
    at = as_shares(sizes, asked.features.counts, values)
    axis = f"share of features {'kept' if keep else 'removed'}"
    return Curve(name, (reference[:, None] - values).mean(1), at, values, axis)


def _steps(asked: Asked, n_steps: int | None) -> Tensor:
    """Numbers of features from none to all, shape (N, steps + 1)."""
    most = asked.features.most
    steps = min(most, STEPS) if n_steps is None else min(most, accept_count("n_steps", n_steps))
    counts = asked.features.counts
    shares = torch.arange(steps + 1, dtype=torch.float64) / steps
    return (shares * counts.cpu()[:, None]).round().long().to(counts.device)


def share_sizes(fractions: Sequence[float], counts: Tensor) -> Tensor:
    """Give the numbers of features that shares of them are, rounded up, shape (N, shares)."""
    if not isinstance(fractions, tuple | list):
        raise invalid_type(
            "fractions", f"a {type(fractions).__name__}", "it lists shares", "a tuple such as (0.1, 0.5)"
        )
    if not fractions:
        raise invalid_value("fractions", "empty", "there is nothing to average", "at least one share")
    for i, share in enumerate(fractions):
        if not is_number(share):
            raise invalid_type(f"fractions[{i}]", f"a {type(share).__name__}", "it is a share", "a number")
        if not (is_finite(share) and 0 < share <= 1):
            raise invalid_value(f"fractions[{i}]", str(share), "it is a share of the features", "above 0, at most 1")
    shares = torch.tensor([float(s) for s in fractions], dtype=torch.float64)
    return (shares * counts.cpu()[:, None] - 1e-9).ceil().long().to(counts.device)


def as_shares(sizes: Tensor, counts: Tensor, like: Tensor) -> Tensor:
    """Give numbers of features (N, K) as shares of each example's, in dtype and on device of the scores."""
    return sizes.to(like) / counts.to(like)[:, None]


def _outputs(asked: Asked, sizes: Tensor, *, keep: bool, show: tuple[str, bool], magnitudes: bool = False) -> Tensor:
    """Outputs with the first features removed, or with only these kept, shape (N, K)."""
    totals = asked.totals()
    places = ranks(totals.abs() if magnitudes else totals, asked.features.present())

    def chosen(samples: range) -> Tensor:
        return (places < sizes.T[samples.start : samples.stop, :, None]) != keep

    path = Replaced(asked.question.inputs, asked.baselines, asked.features, chosen, sizes.shape[1])
    return asked.scoring.all_along(path, *show).T.contiguous()


def _area(values: Tensor, at: Tensor) -> Tensor:
    return torch.trapezoid(values, at.to(values), dim=1)
