"""Integrated gradients: the gradient averaged along the line from a baseline to the input."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor

from pellucid._core import report
from pellucid._core.combine import times_difference
from pellucid._core.door import accept_baselines, accept_count, accept_optional_count, accept_question
from pellucid._core.gradient import evaluating
from pellucid._core.integral import (
    complete_ends,
    completeness_error,
    ends_of,
    fixed_integral,
    nested_integral,
    warn_if_incomplete,
)
from pellucid._core.progress import progress
from pellucid._core.quadrature import quadrature
from pellucid.attr.attribution import GradientAttribution
from pellucid.docstrings import documented
from pellucid.errors import invalid_value
from pellucid.typing import BaselineLike, ForwardFunction, TargetLike, Tensors


class IntegratedGradients(GradientAttribution):
    """How the change from a baseline to the input splits into its values, by gradients along the line between.

    For a baseline x' and an input x:

    ``(x - x') * integral over a from 0 to 1 of dF/dx at x' + a (x - x')``

    Law (completeness): the attributions of an example sum to ``F(x) - F(x')``. The difference, delta, is
    computed with every call; it is returned if asked for, and warned about if it is large.

    Example:
        >>> import torch
        >>> from pellucid.attr import IntegratedGradients
        >>> product = lambda x: x[:, 0] * x[:, 1]
        >>> x = torch.tensor([[2.0, 3.0]], dtype=torch.float64)
        >>> attributions, delta = IntegratedGradients(product).attribute(x, return_convergence_delta=True)
        >>> torch.allclose(attributions, torch.full_like(x, 3.0))  # each factor gets half of 2 * 3
        True
        >>> bool(delta.abs() < 1e-12)
        True

    References:
        Sundararajan, Taly and Yan (2017), Axiomatic Attribution for Deep Networks, arXiv:1703.01365.
    """

    _completeness = True

    @documented()
    def __init__(self, forward_func: ForwardFunction, multiply_by_inputs: bool = True) -> None:
        """Explain a function by integrated gradients.

        {arguments}
        """
        super().__init__(forward_func)
        self._multiply_by_inputs = multiply_by_inputs

    @property
    def multiplies_by_inputs(self) -> bool:
        """Whether the integral is multiplied with ``x - x'``."""
        return self._multiply_by_inputs

    @documented(
        n_steps="... 'auto' adds points, reusing those before, until for each example delta and the change of the"
        " attributions are below tolerance; how many were needed is reported (pellucid.recording, Explanation).",
        method="... With n_steps='auto' the rule is a nested one, and this is left at its default.",
    )
    def attribute(
        self,
        inputs: Tensors,
        baselines: BaselineLike = None,
        target: TargetLike = None,
        additional_forward_args: Any = None,
        n_steps: int | Literal["auto"] = 50,
        method: str = "gausslegendre",
        internal_batch_size: int | None = None,
        return_convergence_delta: bool = False,
        *,
        tolerance: float = 1e-3,
        show_progress: bool = False,
    ) -> Tensors | tuple[Tensors, Tensor]:
        """Compute integrated gradients.

        {arguments}

        Returns:
            Attributions in the structure of the inputs; with ``return_convergence_delta`` also
            ``delta = sum(attributions) - (F(x) - F(x'))``, shape (N,), or (1,) for all examples together if
            the function returns one value per batch or mixes the examples.

        Raises:
            InvalidTypeError: for arguments of a wrong type.
            InvalidValueError: for arguments that do not fit together, or an unknown quadrature.
        """
        question = accept_question(self.forward_func, inputs, target, additional_forward_args)
        starts = accept_baselines(baselines, question.inputs, inputs)
        cap = accept_optional_count("internal_batch_size", internal_batch_size)
        _check_rule(n_steps, method, tolerance)
        rows = None if n_steps == "auto" else n_steps * len(question.inputs[0])
        with evaluating(question, cap) as evaluator, progress(show_progress, self.get_name(), rows) as bar:
            ends = ends_of(evaluator, starts)
            points: int | Tensor
            if n_steps == "auto":
                integral, points = nested_integral(evaluator, starts, ends, tolerance, bar)
            else:
                integral, points = fixed_integral(evaluator, starts, method, n_steps, bar), n_steps
            ends = complete_ends(evaluator, ends)
        attributions = times_difference(integral, question.inputs, starts)
        delta = completeness_error(attributions, ends)
        report.check(delta=delta, n_steps=points)
        warn_if_incomplete(delta, ends, points, tolerance if n_steps == "auto" else None)
        answer = question.answer(attributions if self._multiply_by_inputs else integral)
        return (answer, delta) if return_convergence_delta else answer


def _check_rule(n_steps: int | Literal["auto"], method: str, tolerance: float) -> None:
    if n_steps != "auto":
        quadrature(method, accept_count("n_steps", n_steps))
        return
    if method != "gausslegendre":
        raise invalid_value("method", repr(method), "n_steps='auto' chooses a nested rule itself", "no method")
    if not 0 < tolerance < 1:
        raise invalid_value("tolerance", repr(tolerance), "it is relative", "a number between 0 and 1")
