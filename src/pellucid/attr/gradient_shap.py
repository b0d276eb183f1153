"""GradientSHAP: expected gradients between random baselines and noisy inputs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pellucid._core import report
from pellucid._core.door import (
    accept_count,
    accept_distribution,
    accept_optional_count,
    accept_question,
    accept_stdevs,
)
from pellucid._core.gradient import Evaluator, evaluating
from pellucid._core.path import RandomLine
from pellucid._core.progress import progress
from pellucid._core.random import draw_seeds
from pellucid._core.reducers import Evaluated, Moments, PerSample
from pellucid._core.sampling import warn_if_noisy
from pellucid.attr.attribution import GradientAttribution
from pellucid.docstrings import documented
from pellucid.typing import DistributionLike, ForwardFunction, TargetLike, Tensors


class GradientShap(GradientAttribution):
    """How the change from a distribution of baselines splits into input values, by gradients at random points.

    The mean of ``(x + e - b) * dF/dx at b + a (x + e - b)`` over random b, e and a: for each sample b is a row of
    the baselines, e ~ N(0, stdevs^2) noise and a ~ U(0, 1); tensors of one example share row and a. Law: without
    noise, the expectation of the attributions sums to ``F(x) - E[F(b)]``. The standard error of the mean is computed
    with every call (``pellucid.recording``, ``Explanation``), and a large one is warned about.

    Example:
        >>> import torch
        >>> from pellucid.attr import GradientShap
        >>> linear = lambda x: x @ torch.tensor([3.0, -2.0])
        >>> GradientShap(linear).attribute(torch.tensor([[1.0, 2.0]]), baselines=torch.zeros(1, 2))
        tensor([[ 3., -4.]])

    References:
        Lundberg and Lee (2017), A Unified Approach to Interpreting Model Predictions, arXiv:1705.07874; Erion,
        Janizek, Sturmfels, Lundberg and Lee (2021), expected gradients, arXiv:1906.10670.
    """

    _completeness = True
    takes_distribution = True

    @documented()
    def __init__(self, forward_func: ForwardFunction, multiply_by_inputs: bool = True) -> None:
        """Explain a function by expected gradients.

        {arguments}
        """
        super().__init__(forward_func)
        self._multiply_by_inputs = multiply_by_inputs

    @property
    def multiplies_by_inputs(self) -> bool:
        """Whether gradients are multiplied with ``x + e - b``."""
        return self._multiply_by_inputs

    @documented(
        baselines="Rows to draw baselines from: a tensor with any number of rows, a number, a tuple with one of"
        " these per input (row j of all belongs together), or a callable that returns them and takes nothing or"
        " the inputs.",
    )
    def attribute(
        self,
        inputs: Tensors,
        baselines: DistributionLike,
        n_samples: int = 5,
        stdevs: float | tuple[float, ...] = 0.0,
        target: TargetLike = None,
        additional_forward_args: Any = None,
        return_convergence_delta: bool = False,
        *,
        internal_batch_size: int | None = None,
        generator: torch.Generator | None = None,
        seed: int | None = None,
        show_progress: bool = False,
    ) -> Tensors | tuple[Tensors, Tensor]:
        """Estimate expected gradients from random samples.

        {arguments}

        Returns:
            Attributions in the structure of the inputs; with ``return_convergence_delta`` also
            ``sum(attributions) - (F(x + e) - F(b))`` of each sample, shape (N * n_samples,), the samples of an
            example side by side; shape (n_samples,) if the function returns one value per batch or mixes the
            examples.

        Raises:
            InvalidTypeError: for arguments of a wrong type.
            InvalidValueError: for arguments that do not fit together.
        """
        question = accept_question(self.forward_func, inputs, target, additional_forward_args)
        rows = accept_distribution(baselines, question.inputs, inputs)
        noise = accept_stdevs(stdevs, question.inputs)
        cap = accept_optional_count("internal_batch_size", internal_batch_size)
        seeds = draw_seeds(accept_count("n_samples", n_samples), generator, seed)
        path = RandomLine(question.inputs, rows, noise, tuple(seeds))
        total_rows = n_samples * len(question.inputs[0])
        with (
            evaluating(question, cap) as evaluator,
            progress(show_progress, self.get_name(), total_rows) as bar,
        ):
            moments = _Samples(question.inputs, self._multiply_by_inputs, n_samples)
            evaluator.accumulate(moments, path, bar)
            if return_convergence_delta:
                changes, every = _differences(evaluator, path), torch.arange(n_samples)
                moments.totals.expect(changes, every, evaluator.all)
            delta = moments.totals.errors(evaluator.mixes) if return_convergence_delta else None
        errors = moments.standard_errors()
        report.check(standard_error=errors)
        warn_if_noisy(self.get_name(), moments.means, errors, n_samples)
        answer = question.answer(moments.means)
        return answer if delta is None else (answer, delta.reshape(-1))


class _Samples(Moments):
    """Moments, and what each single sample was attributed in all."""

    def __init__(self, inputs: tuple[Tensor, ...], multiply: bool, samples: int) -> None:
        super().__init__(inputs, multiply)
        self.totals = PerSample(len(inputs[0]), samples, inputs[0])

    def add(self, weights: Tensor, evaluated: Evaluated, examples: Tensor) -> None:
        """Take in a block."""
        super().add(weights, evaluated, examples)
        self.totals.add(evaluated, examples)


def _differences(evaluator: Evaluator, path: RandomLine) -> Tensor:
    """F(x + e) - F(b) of every sample, shape (N, samples), each evaluated on the batch as it is."""
    columns = []
    for sample in range(path.samples):
        ends, starts, _ = path.ends(sample, evaluator.all)
        dtypes = [x.dtype for x in path.inputs]
        at_end = evaluator.score_at(tuple(e.to(d) for e, d in zip(ends, dtypes, strict=True)))
        at_start = evaluator.score_at(tuple(s.expand_as(e).to(d) for s, e, d in zip(starts, ends, dtypes, strict=True)))
        columns.append(at_end - at_start)
    return torch.stack(columns, dim=1)
