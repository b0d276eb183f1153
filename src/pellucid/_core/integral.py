"""Integrals of gradients along the line from baseline to input, and their completeness.

The sum of ``(x - x') * integral of the gradient`` over all features is ``F(x) - F(x')`` (the fundamental
theorem of calculus): what a quadrature misses of it is the completeness error, delta.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from pellucid._core import report
from pellucid._core.checks import is_number
from pellucid._core.combine import times_difference, total
from pellucid._core.differentiation import Differentiation, plain_gradients
from pellucid._core.door import accept_samples
from pellucid._core.gradient import Evaluator, evaluating
from pellucid._core.path import Line
from pellucid._core.progress import Progress, progress
from pellucid._core.quadrature import nested_nodes, quadrature, romberg_row
from pellucid._core.reducers import WeightedSum
from pellucid._core.site import Question
from pellucid.errors import ConvergenceWarning, invalid_value

FIRST_CHECK = 2
"""Level of the nested rule (9 points) at which convergence is looked at for the first time."""
LAST_LEVEL = 8
"""Level (6561 points) at which the nested rule gives up."""
LOOSE = 0.05
"""Relative completeness error from which on a result of fixed steps gets a warning."""


@dataclass(frozen=True)
class Steps:
    """How many points are taken, and by which rule (see ``accept_steps``)."""

    count: int | Literal["auto"]
    method: str
    tolerance: float


def accept_steps(n_steps: int | Literal["auto"], method: str, tolerance: float) -> Steps:
    """Check the arguments of a quadrature."""
    if not isinstance(n_steps, str) or n_steps != "auto":
        quadrature(method, accept_samples("n_steps", n_steps))
    elif method != "gausslegendre":
        raise invalid_value("method", repr(method), "n_steps='auto' chooses a nested rule itself", "no method")
    elif not is_number(tolerance) or not 0 < tolerance < 1:
        raise invalid_value("tolerance", repr(tolerance), "it is relative", "a number between 0 and 1")
    return Steps(n_steps, method, tolerance)


class Integrated(NamedTuple):
    """Integrals along the line for one target.

    Attributes:
        integral: mean gradient on the line.
        attributions: it times the distance from the baseline.
        delta: completeness error.
        ends: explained values at both ends.
    """

    integral: tuple[Tensor, ...]
    attributions: tuple[Tensor, ...]
    delta: Tensor
    ends: Ends


class Ends(NamedTuple):
    """Explained values at both ends of the path, shape (N,), or (1,) for one value per batch."""

    at_inputs: Tensor
    at_baselines: Tensor

    @property
    def difference(self) -> Tensor:
        """F(x) - F(x'), in float32 or wider."""
        wider = torch.promote_types(self.at_inputs.dtype, torch.float32)
        return self.at_inputs.to(wider) - self.at_baselines.to(wider)

    def together(self) -> Ends:
        """The values of all examples together, where a model mixes them and none is complete on its own."""
        return Ends(self.at_inputs.sum().reshape(1), self.at_baselines.sum().reshape(1))

    def gather(self, per_example: Tensor) -> Tensor:
        """Bring sums per example to the shape of the values: one per example, or one for the batch."""
        same = per_example.shape == self.at_inputs.shape
        return (per_example if same else per_example.sum().reshape(1)).to(self.at_inputs.device)


def ends_of(evaluator: Evaluator, baselines: tuple[Tensor, ...]) -> list[Ends]:
    """Evaluate both ends of the path for each target, each on the batch as it was given."""
    inputs = evaluator.question.inputs
    start = tuple(b.expand_as(x) for b, x in zip(baselines, inputs, strict=True))
    return [Ends(*both) for both in zip(evaluator.scores(), evaluator.scores_at(start), strict=True)]


def complete_ends(evaluator: Evaluator, ends: Ends) -> Ends:
    """Give the ends whose difference attributions sum to: per example, or together if the model mixes them."""
    return ends.together() if evaluator.mixes else ends


def completeness_error(attributions: tuple[Tensor, ...], ends: Ends) -> Tensor:
    """Compute delta = sum of attributions - (F(x) - F(x'))."""
    return ends.gather(total(attributions)) - ends.difference


def line_integrals(
    question: Question,
    starts: tuple[Tensor, ...],
    steps: Steps,
    cap: int | None,
    title: str | None,
    differentiate: Differentiation = plain_gradients,
) -> list[Integrated]:
    """Integrate the gradient of each target from a baseline to the explained values, and check completeness.

    Args:
        question: what is asked.
        starts: the baselines.
        steps: how many points.
        cap: rows per pass at most.
        title: of the progress bar, ``None`` for none.
        differentiate: how one pass is differentiated.

    Returns:
        One result per target. The check is reported, and a large error warned about.
    """
    rows = None if steps.count == "auto" else steps.count * question.site.examples
    with (
        evaluating(question, cap, differentiate) as evaluator,
        progress(title is not None, title or "", rows) as bar,
    ):
        both = ends_of(evaluator, starts)
        points: int | Tensor
        if steps.count == "auto":
            integrals, points = nested_integral(evaluator, starts, both, steps.tolerance, bar)
        else:
            integrals, points = fixed_integral(evaluator, starts, steps.method, steps.count, bar), steps.count
        both = [complete_ends(evaluator, ends) for ends in both]
    results = []
    for integral, ends in zip(integrals, both, strict=True):
        attributions = times_difference(integral, question.inputs, starts)
        delta = completeness_error(attributions, ends)
        warn_if_incomplete(delta, ends, points, steps.tolerance if steps.count == "auto" else None)
        results.append(Integrated(integral, attributions, delta, ends))
    report.check(delta=question.stacked([found.delta for found in results]), n_steps=points)
    return results


def fixed_integral(
    evaluator: Evaluator, baselines: tuple[Tensor, ...], method: str, n_steps: int, bar: Progress
) -> list[tuple[Tensor, ...]]:
    """Integrate the gradient of each target with a quadrature of ``n_steps`` points."""
    inputs = evaluator.question.inputs
    integrals = [WeightedSum(inputs) for _ in evaluator.question.targets]
    evaluator.accumulate(integrals, Line(inputs, baselines, *quadrature(method, n_steps)), bar)
    return [integral.sums for integral in integrals]


def nested_integral(
    evaluator: Evaluator, baselines: tuple[Tensor, ...], ends: list[Ends], tolerance: float, bar: Progress
) -> tuple[list[tuple[Tensor, ...]], Tensor]:
    """Integrate the gradient of each target with as many points as each example needs.

    The intervals of the midpoint rule are cut in three, every point being evaluated once, and the sums are
    extrapolated (Romberg), until both |delta| <= tolerance |F(x) - F(x')| and the attributions of an example
    change between two levels by less than tolerance times their sum of magnitudes.

    Args:
        evaluator: of the question.
        baselines: start of the path.
        ends: explained values at both ends, one pair per target.
        tolerance: relative, see above.
        bar: counts rows.

    Returns:
        The integral of each target, and the number of points that each example took, shape (N,).
    """
    inputs = evaluator.question.inputs
    active = evaluator.all
    points = torch.zeros(len(active), dtype=torch.long)
    rules = [_Refined(inputs) for _ in ends]
    for level in range(LAST_LEVEL + 1):
        nodes = nested_nodes(level)
        line = Line(inputs, baselines, nodes, torch.ones_like(nodes))
        evaluator.accumulate([rule.sums for rule in rules], line, bar, active)
        done = torch.ones(len(points), dtype=torch.bool)
        for rule, both in zip(rules, ends, strict=True):
            old, new = rule.best, rule.refine(level, active)
            done &= _converged(old, new, inputs, baselines, complete_ends(evaluator, both), tolerance).cpu()
        points[active] = 3**level
        if level >= FIRST_CHECK:
            active = active[~done[active]]
        if not len(active):
            break
    return [rule.best for rule in rules], points


class _Refined:
    """One target's integral from level to level of the nested rule."""

    def __init__(self, inputs: tuple[Tensor, ...]) -> None:
        self.sums = WeightedSum(inputs)
        self.best = WeightedSum(inputs).sums
        self._rows: list[list[Tensor]] = [[] for _ in inputs]

    def refine(self, level: int, active: Tensor) -> tuple[Tensor, ...]:
        """Extrapolate the sums of this level, and keep the result for the active examples."""
        self._rows = [romberg_row(row, s / 3**level) for row, s in zip(self._rows, self.sums.sums, strict=True)]
        new = tuple(row[-1] for row in self._rows)
        best = tuple(b.clone() for b in self.best)
        for kept, value in zip(best, new, strict=True):
            kept[active.to(kept.device)] = value[active.to(kept.device)]
        self.best = best
        return new


def _converged(
    old: tuple[Tensor, ...],
    new: tuple[Tensor, ...],
    inputs: tuple[Tensor, ...],
    baselines: tuple[Tensor, ...],
    ends: Ends,
    tolerance: float,
) -> Tensor:
    """Which examples have converged, shape (N,)."""
    attributions = times_difference(new, inputs, baselines)
    before = times_difference(old, inputs, baselines)
    magnitude = ends.gather(total(tuple(a.abs() for a in attributions)))
    change = ends.gather(total(tuple((a - b).abs() for a, b in zip(attributions, before, strict=True))))
    delta = completeness_error(attributions, ends).abs()
    rounding = _rounding(ends)
    fine = (delta <= tolerance * torch.maximum(ends.difference.abs(), magnitude / 100) + rounding) & (
        change <= tolerance * magnitude + rounding
    )
    return fine.expand(inputs[0].shape[0])


def _rounding(ends: Ends) -> Tensor:
    """What rounding alone can make of a difference of outputs."""
    largest = torch.maximum(ends.at_inputs.abs(), ends.at_baselines.abs())
    return 64 * torch.finfo(ends.at_inputs.dtype).eps * largest.to(ends.difference.dtype)


def warn_if_incomplete(delta: Tensor, ends: Ends, n_steps: int | Tensor, tolerance: float | None = None) -> None:
    """Warn where the completeness error is large, and say what would help.

    Args:
        delta: completeness errors.
        ends: explained values at both ends.
        n_steps: number of points taken, per example if they were chosen automatically.
        tolerance: relative tolerance of the automatic choice, ``None`` for a fixed number of points.
    """
    allowed = LOOSE if tolerance is None else tolerance
    largest = torch.maximum(ends.at_inputs.abs(), ends.at_baselines.abs()).to(delta.dtype)
    scale = torch.maximum(ends.difference.abs(), largest / 100)
    wrong = delta.abs() > allowed * scale + _rounding(ends)
    if not bool(wrong.any()):
        return
    share = delta.abs() / scale.clamp_min(torch.finfo(delta.dtype).tiny)
    worst = int(torch.where(wrong, share, torch.zeros_like(share)).argmax())
    if isinstance(n_steps, int):
        enough = int(n_steps * max(2.0, float(share[worst]) / LOOSE))
        advice = f"n_steps={n_steps} is too few: try about n_steps={enough}, or n_steps='auto'"
    else:
        advice = f"{int(n_steps.max())} points were not enough: the function may jump along the path"
    report.notify(
        ConvergenceWarning,
        f"The attributions of {int(wrong.sum())} of {len(delta)} examples do not sum to the difference of outputs: in"
        f" example {worst} they miss {float(share[worst]):.1%} of it (delta {float(delta[worst]):.3g}); {advice}.",
    )
