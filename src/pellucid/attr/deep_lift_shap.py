"""DeepLIFT SHAP: DeepLIFT averaged over a distribution of references."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pellucid._core import report
from pellucid._core.door import accept_distribution, accept_optional_count, accept_question
from pellucid._core.ruled import PairedRules
from pellucid._core.rules import NO_CHOICES, Choices
from pellucid._core.rules.environment import uncompiled
from pellucid.attr._pairs import Attributed, Combine, attribute_pairs
from pellucid.attr.attribution import GradientAttribution
from pellucid.docstrings import documented
from pellucid.typing import DistributionLike, ForwardFunction, TargetLike, Tensors


class DeepLiftShap(GradientAttribution):
    """How the difference of outputs from the average over references splits into input values.

    The mean over all references b of DeepLIFT's attributions ``m (x - b)``, an approximation of SHAP values. Law:
    the attributions sum to ``F(x) - mean of F(b)``, up to rounding.

    Example:
        >>> import torch
        >>> from pellucid.attr import DeepLiftShap
        >>> linear = lambda x: x @ torch.tensor([3.0, -2.0])
        >>> DeepLiftShap(linear).attribute(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 0.0], [2.0, 0.0]]))
        tensor([[ 0., -4.]])

    References:
        Lundberg and Lee (2017), A Unified Approach to Interpreting Model Predictions, arXiv:1705.07874.
    """

    _completeness = True
    takes_distribution = True

    @documented()
    def __init__(self, model: ForwardFunction, multiply_by_inputs: bool = True) -> None:
        """Explain a function by DeepLIFT averaged over references.

        {arguments}
        """
        super().__init__(model)
        self._multiply_by_inputs = multiply_by_inputs

    @property
    def multiplies_by_inputs(self) -> bool:
        """Whether multipliers are multiplied with ``x - b``."""
        return self._multiply_by_inputs

    @documented(
        baselines="References: a tensor with any number of rows, a number, a tuple with one of these per input (row j"
        " of all belongs together), or a callable that returns them and takes nothing or the inputs.",
        return_convergence_delta="... Delta is that of completeness, whatever custom_attribution_func does.",
    )
    def attribute(
        self,
        inputs: Tensors,
        baselines: DistributionLike,
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
        """Compute DeepLIFT attributions against every reference and average them.

        {arguments}

        Returns:
            Attributions in the structure of the inputs; with ``return_convergence_delta`` also
            ``sum of m (x - b) - (F(x) - F(b))`` of each pair, shape (N * references,), the pairs of an example
            side by side; shape (references,) if the function returns one value per batch or mixes the examples.

        Raises:
            InvalidTypeError: for arguments of a wrong type.
            InvalidValueError: for arguments that do not fit together.
            UnsupportedModelError: for a model that the rules cannot follow; the message names operation and line.
        """
        question = accept_question(uncompiled(self.forward_func), inputs, target, additional_forward_args)
        rows = accept_distribution(baselines, question.inputs, inputs)
        cap = accept_optional_count("internal_batch_size", internal_batch_size)
        rules = PairedRules(rule, strict, choices)
        attributed = Attributed(question, len(rows[0]), self._multiply_by_inputs, custom_attribution_func)
        references = tuple(row.unsqueeze(1) for row in rows)
        errors = attribute_pairs(
            question, references, rules, attributed, cap, self.get_name() if show_progress else None
        )
        report.check(delta=errors.mean(1))
        answer = question.answer(attributed.mean.sums)
        return (answer, errors.reshape(-1)) if return_convergence_delta else answer
