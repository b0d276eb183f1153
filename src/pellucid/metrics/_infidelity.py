"""Infidelity: do the attributions foretell what a perturbation of the input does to the output?"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from pellucid._core.checks import accept_function
from pellucid._core.door import accept_baselines, accept_optional_count, accept_question, accept_samples
from pellucid._core.model import with_gradients
from pellucid._core.progress import progress
from pellucid._core.random import generator_of
from pellucid._core.structure import wide
from pellucid.docstrings import documented
from pellucid.errors import invalid_type
from pellucid.metrics._asked import Asked, accept_attributions
from pellucid.metrics._drawing import accept_drawn, calls, grid, side_by_side
from pellucid.metrics._scoring import Given, Replaced, Scoring
from pellucid.typing import BaselineLike, ForwardFunction, TargetLike, Tensors


@with_gradients
@documented(
    perturb_func="Draws perturbations: called with the inputs, each example repeated side by side (a tensor if there"
    " is one, else a tuple), and with the baselines if there are any; returns (perturbations I, perturbed inputs)."
    " See infidelity_perturb_func_decorator.",
    baselines="... They are only passed on to perturb_func.",
    n_perturb_samples="Number of perturbations per example.",
    normalize="Whether the attributions are scaled by the factor that suits them best, so that only their pattern"
    " counts.",
)
def infidelity(
    forward_func: ForwardFunction,
    perturb_func: Callable[..., Any],
    inputs: Tensors,
    attributions: Tensors,
    baselines: BaselineLike = None,
    additional_forward_args: Any = None,
    target: TargetLike = None,
    n_perturb_samples: int = 10,
    max_examples_per_batch: int | None = None,
    normalize: bool = False,
    *,
    show_progress: bool = False,
) -> Tensor:
    """Measure how far attributions are from foretelling the effect of perturbations.

    With attributions A, perturbations I and perturbed inputs x_I, the mean over I of

    ``(beta * sum(I * A) - (F(x) - F(x_I)))^2``

    where beta is 1, or with ``normalize`` the factor that makes the mean smallest. Range: 0 to infinity, in the
    output's unit squared; lower is better. Law: 0 for the gradient of a linear function and I = x - x_I.

    Each perturbation costs one evaluation, the inputs one more, and the check of the first shared pass another.

    Example:
        >>> import torch
        >>> from pellucid.metrics import infidelity
        >>> linear = lambda x: x @ torch.tensor([3.0, -2.0])
        >>> shift = lambda x: (torch.full_like(x, 0.5), x - 0.5)
        >>> x = torch.zeros(1, 2)
        >>> infidelity(linear, shift, x, torch.tensor([[3.0, -2.0]]))  # its gradient
        tensor([0.])
        >>> infidelity(linear, shift, x, torch.tensor([[3.0, 0.0]]))  # (0.5 * 3 - 0.5 * (3 - 2))^2
        tensor([1.])

    {arguments}

    Returns:
        Scores, shape (N,).

    {raises}

    References:
        Yeh, Hsieh, Suggala, Inouye and Ravikumar (2019), On the (In)fidelity and Sensitivity of Explanations,
        arXiv:1901.09392.
    """
    question = accept_question(forward_func, inputs, target, additional_forward_args)
    found = accept_attributions(attributions, question.inputs)
    if baselines is not None:
        accept_baselines(baselines, question.inputs, inputs)
    accept_function("perturb_func", perturb_func)
    samples = accept_samples("n_perturb_samples", n_perturb_samples)
    scoring = Scoring(question, accept_optional_count("max_examples_per_batch", max_examples_per_batch))
    told, outputs = [], []
    with progress(show_progress, "Infidelity", samples * scoring.examples) as bar:
        for copies in calls(question.inputs, samples):
            shifts, values = _draw(perturb_func, question.inputs, baselines, copies)
            told.append(_products(found, shifts))
            outputs.append(scoring.along(Given(values), bar))
            del shifts, values  # before the next are drawn
    return _error(_joined(told), scoring.reference() - _joined(outputs), normalize)


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _draw(
    perturb_func: Callable[..., Any], inputs: tuple[Tensor, ...], baselines: BaselineLike, copies: int
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Call the user's function; perturbations and perturbed inputs come back in shape (copies, N, ...)."""
    given = [side_by_side(inputs, copies)]
    if baselines is not None:
        given.append(_repeated(baselines, len(inputs[0]), copies))
    with torch.no_grad():
        drawn = perturb_func(*given)
    if not isinstance(drawn, tuple | list) or len(drawn) != 2:
        raise invalid_type(
            "perturb_func", f"a function that returns a {type(drawn).__name__}",
            "infidelity needs the perturbations and the perturbed inputs",
            "one that returns both, or one with @infidelity_perturb_func_decorator() around it",
        )  # fmt: skip
    both = [
        accept_drawn(n, d, inputs, copies) for n, d in zip(("perturbations", "perturbed inputs"), drawn, strict=True)
    ]
    shifts, values = (tuple(grid(v, len(inputs[0]), copies) for v in part) for part in both)
    return shifts, tuple(v.to(x.device, x.dtype) for v, x in zip(values, inputs, strict=True))


def _repeated(baselines: Any, examples: int, copies: int) -> Any:
    """Repeat baselines that have one row per example beside it, as the inputs are."""
    if isinstance(baselines, tuple):
        parts = tuple(_repeated(part, examples, copies) for part in baselines)
        return parts if len(parts) > 1 else parts[0]
    own = isinstance(baselines, Tensor) and len(baselines) == examples > 1
    return baselines.repeat_interleave(copies, dim=0) if own else baselines


def _products(attributions: tuple[Tensor, ...], shifts: tuple[Tensor, ...]) -> Tensor:
    """Sums of perturbation times attribution, shape (copies, N)."""
    sums = []
    for attribution, shift in zip(attributions, shifts, strict=True):
        rows = attribution.to(wide(attribution.dtype)).reshape(len(attribution), -1, 1)
        moved = shift.to(rows.device, rows.dtype).reshape(*shift.shape[:2], -1)
        sums.append(torch.bmm(moved.transpose(0, 1), rows).squeeze(2).T)
    total = sums[0]
    for other in sums[1:]:
        total = total + other.to(total)
    return total


def _error(told: Tensor, happened: Tensor, normalize: bool, least: float = -torch.inf) -> Tensor:
    """Mean squared difference over the perturbations, dimension 0; ``least`` is the smallest factor allowed."""
    told = told.to(happened.device, torch.promote_types(told.dtype, happened.dtype))
    if normalize:
        size = told.square().sum(0)
        told = told * ((told * happened).sum(0) / torch.where(size > 0, size, 1.0)).clamp_min(least)
    return (told - happened).square().mean(0)


def removal_infidelity(asked: Asked, seeds: Sequence[int]) -> Tensor:
    """Compute infidelity where I removes features: each goes to the baseline with probability one fifth.

    Attributions are taken as contributions, scaled by the best factor that does not turn their signs round: with a
    negative one a reversed explanation would be as good as the right one.
    """
    present, totals = asked.features.present(), asked.totals()
    told = totals.new_zeros(len(seeds), len(totals))

    def chosen(samples: range) -> Tensor:
        draws = [torch.rand(present.shape, generator=generator_of(seeds[sample])) < 0.2 for sample in samples]
        marks = torch.stack(draws).to(present.device) & present
        told[samples.start : samples.stop] = torch.where(marks, totals, 0.0).sum(2)
        return marks

    path = Replaced(asked.question.inputs, asked.baselines, asked.features, chosen, len(seeds))
    happened = asked.scoring.reference() - asked.scoring.all_along(path, "Infidelity", show_progress=False)
    return _error(told, happened, normalize=True, least=0.0)


def infidelity_perturb_func_decorator(
    multiply_by_inputs: bool = True,
) -> Callable[[Callable[..., Any]], Callable[..., tuple[tuple[Tensor, ...], tuple[Tensor, ...]]]]:
    """Let a function that returns perturbed inputs alone serve as ``perturb_func`` of ``infidelity``.

    The perturbations become ``(x - x_I) / (x - x')`` for attributions that are multiplied with the distance from
    a baseline x' (zero if there is none), and ``x - x_I`` for others; where x = x' nothing is divided.

    Example:
        >>> import torch
        >>> from pellucid.metrics import infidelity_perturb_func_decorator
        >>> halve = infidelity_perturb_func_decorator(True)(lambda x: x / 2)
        >>> halve(torch.tensor([[4.0, 0.0]]))
        ((tensor([[0.5000, 0.0000]]),), (tensor([[2., 0.]]),))

    Args:
        multiply_by_inputs: whether the attributions are multiplied with the inputs or their distance from a baseline.

    Returns:
        A decorator.
    """

    def decorate(perturb_func: Callable[..., Any]) -> Callable[..., tuple[tuple[Tensor, ...], tuple[Tensor, ...]]]:
        accept_function("perturb_func", perturb_func)

        @functools.wraps(perturb_func)
        def both(inputs: Tensors, baselines: BaselineLike = None) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
            found = perturb_func(inputs) if baselines is None else perturb_func(inputs, baselines)
            values = inputs if isinstance(inputs, tuple) else (inputs,)
            perturbed = accept_drawn("perturbed inputs", found, values, 1)
            bases = baselines if isinstance(baselines, tuple) else (0.0 if baselines is None else baselines,)
            shifts = [x - p for x, p in zip(values, perturbed, strict=True)]
            if multiply_by_inputs:
                bases = bases * len(values) if len(bases) == 1 else bases
                distances = [x - b for x, b in zip(values, bases, strict=True)]
                shifts = [s / torch.where(d != 0, d, 1.0) for s, d in zip(shifts, distances, strict=True)]
            return tuple(shifts), perturbed

        return both

    return decorate
