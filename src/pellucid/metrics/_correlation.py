"""Faithfulness by correlation: do sums of attributions rise and fall with what removing their features costs?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pellucid._core import report
from pellucid._core.door import accept_count, accept_question, accept_samples
from pellucid._core.model import with_gradients
from pellucid._core.random import draw_seeds, generator_of
from pellucid.docstrings import documented
from pellucid.errors import NonFiniteWarning, invalid_type, invalid_value
from pellucid.metrics._asked import Asked, accept
from pellucid.metrics._curve import Curve
from pellucid.metrics._scoring import Replaced
from pellucid.metrics._similarity import pearson
from pellucid.typing import BaselineLike, ForwardFunction, TargetLike, Tensors


@with_gradients
@documented(
    n_samples="Number of random subsets per example.",
    subset_size="Number of features in each; None takes a fifth of them.",
)
def faithfulness_correlation(
    model: ForwardFunction,
    inputs: Tensors,
    attributions: Tensors,
    target: TargetLike = None,
    baselines: BaselineLike = None,
    additional_forward_args: Any = None,
    *,
    n_samples: int = 100,
    subset_size: int | None = None,
    feature_mask: Tensors | None = None,
    max_examples_per_batch: int | None = None,
    generator: torch.Generator | None = None,
    seed: int | None = None,
    show_progress: bool = False,
) -> Tensor:
    """Correlate what random subsets of features are attributed with what removing them takes from the output.

    Pearson's correlation, over random subsets S of one size, of ``sum of A_i over S`` and ``F(x) - F(x with S at the
    baseline)``. Range: -1 to 1; higher is better. Law: 1 for the exact attributions of an additive function.
    NaN where one of the two does not vary, with a notice.

    Example:
        >>> import torch
        >>> from pellucid.metrics import faithfulness_correlation
        >>> weights = torch.tensor([3.0, -2.0, 1.0, 0.5, 4.0])
        >>> x = torch.ones(1, 5)
        >>> score = faithfulness_correlation(lambda x: x @ weights, x, x * weights, subset_size=2, seed=0)
        >>> bool((score - 1).abs() < 1e-6)
        True

    {arguments}

    Returns:
        Scores, shape (N,).

    {raises}

    References:
        Bhatt, Weller and Moura (2020), Evaluating and Aggregating Feature-based Model Explanations, arXiv:2005.00631.
    """
    question = accept_question(model, inputs, target, additional_forward_args)
    asked = accept(question, attributions, baselines, feature_mask, max_examples_per_batch)
    counts = asked.features.counts
    if subset_size is None:
        sizes = (counts / 5).ceil().long()
    else:
        accept_count("subset_size", subset_size)
        _check_size("subset_size", subset_size, counts)
        sizes = torch.full_like(counts, subset_size)
    seeds = draw_seeds(accept_samples("n_samples", n_samples, 2), generator, seed)
    subsets = _Subsets(asked, sizes[:, None], [seeds])
    found = subsets.correlations(("Faithfulness correlation", show_progress))[:, 0]
    _note_undefined(found)
    return found


@with_gradients
@documented(
    sizes="Subset sizes n; None takes up to ten from 1 to F - 1, evenly apart.",
    n_samples="Number of random subsets of each size per example.",
)
def sensitivity_n(
    model: ForwardFunction,
    inputs: Tensors,
    attributions: Tensors,
    target: TargetLike = None,
    baselines: BaselineLike = None,
    additional_forward_args: Any = None,
    *,
    sizes: Sequence[int] | None = None,
    n_samples: int = 100,
    feature_mask: Tensors | None = None,
    max_examples_per_batch: int | None = None,
    generator: torch.Generator | None = None,
    seed: int | None = None,
    show_progress: bool = False,
) -> Curve:
    """Correlate attributions with the effect of removal, for subsets of every size n.

    At each n, Pearson's correlation over random subsets S of n features of ``sum of A_i over S`` and ``F(x) - F(x
    with S at the baseline)``; the score is its mean over n. Range: -1 to 1; higher is better. Law: 1 at every n
    for the exact attributions of an additive function.

    Example:
        >>> import torch
        >>> from pellucid.metrics import sensitivity_n
        >>> weights = torch.tensor([3.0, -2.0, 1.0, 0.5])
        >>> x = torch.ones(1, 4)
        >>> found = sensitivity_n(lambda x: x @ weights, x, x * weights, sizes=(1, 2), n_samples=20, seed=0)
        >>> bool((found.values - 1).abs().max() < 1e-6)
        True

    {arguments}

    Returns:
        The correlations over n, and their mean as the score.

    {raises}

    References:
        Ancona, Ceolini, Oztireli and Gross (2018), Towards Better Understanding of Gradient-based Attribution
        Methods for Deep Neural Networks, arXiv:1711.06104.
    """
    question = accept_question(model, inputs, target, additional_forward_args)
    asked = accept(question, attributions, baselines, feature_mask, max_examples_per_batch)
    wanted = _sizes(sizes, asked.features.counts)
    count = accept_samples("n_samples", n_samples, 2)
    seeds = draw_seeds(count * wanted.shape[1], generator, seed)
    subsets = _Subsets(asked, wanted, [seeds[i : i + count] for i in range(0, len(seeds), count)])
    found = subsets.correlations(("Sensitivity-n", show_progress))
    score = found.nanmean(1)
    _note_undefined(score)
    return Curve("sensitivity-n", score, wanted.to(found), found, "features removed (n)", "correlation")


def _sizes(sizes: Sequence[int] | None, counts: Tensor) -> Tensor:
    """Subset sizes of each example, shape (N, K)."""
    least = int(counts.min())
    if sizes is None:
        steps = max(1, min(10, least - 1))
        shares = torch.linspace(0, 1, steps, dtype=torch.float64)
        return (1 + shares * (counts.cpu()[:, None] - 2).clamp_min(0)).round().long().to(counts.device)
    if not isinstance(sizes, tuple | list) or not sizes:
        raise invalid_type("sizes", repr(sizes), "it lists numbers of features", "a tuple of ints, or None")
    for i, size in enumerate(sizes):
        _check_size(f"sizes[{i}]", accept_count(f"sizes[{i}]", size), counts)
    return torch.tensor(list(sizes), device=counts.device).expand(len(counts), -1)


def _check_size(name: str, size: int, counts: Tensor) -> None:
    least = int(counts.min())
    if size > least:
        raise invalid_value(name, str(size), f"an example has {least} features", f"an int from 1 to {least}")


class _Subsets:
    """Random subsets of features: which, what they are attributed, and what their removal takes away."""

    def __init__(self, asked: Asked, sizes: Tensor, seeds: list[list[int]]) -> None:
        """Prepare the subsets: of ``sizes[:, k]`` features, one for each of ``seeds[k]``."""
        self.asked = asked
        self.sizes = sizes.cpu()
        self.seeds = [seed for some in seeds for seed in some]
        self.each = len(seeds[0])
        self.totals = asked.totals()
        self.present = asked.features.present().cpu()
        self.sums = self.totals.new_zeros(len(self.seeds), len(sizes))

    def chosen(self, samples: range) -> Tensor:
        """Features of some subsets of each example, shape (samples, N, F); their attributions are summed on the way."""
        found = []
        for sample in samples:
            draw = torch.rand(self.present.shape, generator=generator_of(self.seeds[sample]), dtype=torch.float64)
            marks = _smallest(draw, self.present, self.sizes[:, sample // self.each]).to(self.totals.device)
            self.sums[sample] = torch.where(marks, self.totals, 0.0).sum(1)
            found.append(marks)
        return torch.stack(found)

    def correlations(self, show: tuple[str, bool]) -> Tensor:
        """Correlations of sums and effects, shape (N, sizes)."""
        asked = self.asked
        reference = asked.scoring.reference()
        path = Replaced(asked.question.inputs, asked.baselines, asked.features, self.chosen, len(self.seeds))
        effects = reference - asked.scoring.all_along(path, *show)
        rounding = 16 * torch.finfo(effects.dtype).eps * reference.abs()
        effects = torch.where(effects.abs() > rounding, effects, 0.0)
        sums = self.sums.to(effects).reshape(-1, self.each, len(reference))
        return pearson(sums, effects.reshape(sums.shape), dim=1).T.contiguous()


def _smallest(draw: Tensor, present: Tensor, sizes: Tensor) -> Tensor:
    """Mark the smallest draws of each example, as many as its size says, among the features that it has."""
    draw = draw.masked_fill(~present, torch.inf)
    if bool((sizes == sizes[0]).all()):
        return draw <= draw.kthvalue(int(sizes[0]), dim=1, keepdim=True).values
    return draw <= draw.sort(dim=1).values.gather(1, sizes[:, None] - 1)


def _note_undefined(scores: Tensor) -> None:
    wrong = int(scores.isnan().sum())
    if wrong:
        report.notify(
            NonFiniteWarning,
            f"{wrong} of {len(scores)} examples have no correlation (NaN): all subsets are attributed the same, or"
            " removing them changes nothing.",
        )
