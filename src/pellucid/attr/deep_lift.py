"""DeepLIFT: the difference of outputs from a reference, propagated through every operation."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pellucid._core import report
from pellucid._core.door import accept_baselines, accept_optional_count, accept_question
from pellucid._core.ruled import PairedRules
from pellucid._core.rules import NO_CHOICES, Choices
from pellucid._core.rules.environment import uncompiled
from pellucid.attr._pairs import Attributed, Combine, attribute_pairs
from pellucid.attr.attribution import GradientAttribution
from pellucid.docstrings import documented
from pellucid.typing import BaselineLike, ForwardFunction, TargetLike, Tensors


class DeepLift(GradientAttribution):
    """How the difference of outputs from a reference splits into input values, operation by operation.

    Every operation y = f(x) with reference (x', y') passes multipliers on such that
    ``sum m_x (x - x') = m_y (y - y')``; the attribution is ``m_x (x - x')`` at the inputs. Rules act on operations,
    not on module classes, so functional calls, reused and in-place modules, residual sums, attention, normalisation
    and recurrent layers are all right. Law (completeness): the attributions sum to ``F(x) - F(x')`` up to rounding;
    what cannot be attributed (decisions that differ between input and reference) is named in a warning and in the
    certificate (``pellucid.recording``, ``Explanation.certificate``), and models that cannot be followed are refused.

    Example:
        >>> import torch
        >>> from pellucid.attr import DeepLift
        >>> relu_of_sum = lambda x: torch.relu(x.sum(1) - 1)
        >>> x = torch.tensor([[2.0, 1.0]])
        >>> attributions, delta = DeepLift(relu_of_sum).attribute(x, return_convergence_delta=True)
        >>> attributions  # the output rises from 0 to 2, in proportion 2 : 1
        tensor([[1.3333, 0.6667]])
        >>> bool(delta.abs() < 1e-6)
        True

    References:
        Shrikumar, Greenside and Kundaje (2017), Learning Important Features Through Propagating Activation
        Differences, arXiv:1704.02685; Ancona, Ceolini, Oztireli and Gross (2018), arXiv:1711.06104.
    """

    _completeness = True

    @documented(eps="Has no effect: values closer to their reference than rounding get the gradient between both.")
    def __init__(self, model: ForwardFunction, multiply_by_inputs: bool = True, eps: float = 1e-10) -> None:
        """Explain a function by DeepLIFT.

        {arguments}
        """
        super().__init__(model)
        del eps
        self._multiply_by_inputs = multiply_by_inputs

    @property
    def multiplies_by_inputs(self) -> bool:
        """Whether multipliers are multiplied with ``x - x'``."""
        return self._multiply_by_inputs

    @documented(return_convergence_delta="... Delta is that of completeness, whatever custom_attribution_func does.")
    def attribute(
        self,
        inputs: Tensors,
        baselines: BaselineLike = None,
        target: TargetLike = None,
        additional_forward_args: Any = None,
        return_convergence_delta: bool = False,
        custom_attribution_func: Combine | None = None,
        *,
        rule: str = "rescale",
        strict: bool = False,
        choices: Choices = NO_CHOICES,
        internal_batch_size: int | None = None,
        show_progress: bool = False,
    ) -> Tensors | tuple[Tensors, Tensor]:
        """Compute DeepLIFT attributions.

        {arguments}

        Returns:
            Attributions in the structure of the inputs; with ``return_convergence_delta`` also
            ``delta = sum of m (x - x') - (F(x) - F(x'))``, shape (N,), or (1,) for all examples together if
            the function returns one value per batch or mixes the examples.

        Raises:
            InvalidTypeError: for arguments of a wrong type.
            InvalidValueError: for arguments that do not fit together.
            UnsupportedModelError: for a model that the rules cannot follow; the message names operation and line.
        """
        question = accept_question(uncompiled(self.forward_func), inputs, target, additional_forward_args)
        starts = accept_baselines(baselines, question.inputs, inputs)
        cap = accept_optional_count("internal_batch_size", internal_batch_size)
        rules = PairedRules(rule, strict, choices)
        attributed = Attributed(question, 1, self._multiply_by_inputs, custom_attribution_func)
        references = tuple(start.unsqueeze(0) for start in starts)
        errors = attribute_pairs(
            question, references, rules, attributed, cap, self.get_name() if show_progress else None
        )
        delta = errors[:, 0]
        report.check(delta=delta)
        answer = question.answer(attributed.mean.sums)
        return (answer, delta) if return_convergence_delta else answer
