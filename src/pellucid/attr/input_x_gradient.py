"""Input times gradient: a first-order estimate of what each input value adds to the output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pellucid._core.combine import times_value
from pellucid._core.door import accept_question
from pellucid._core.gradient import gradients_at_point
from pellucid.attr.attribution import GradientAttribution
from pellucid.docstrings import documented
from pellucid.typing import TargetLike, Tensors


class InputXGradient(GradientAttribution):
    """A first-order estimate of what each input value adds to the output.

    The gradient times the input: ``x dF/dx``.

    Law: for a model that is linear in its inputs without a bias, the attributions sum to the output.

    Example:
        >>> import torch
        >>> from pellucid.attr import InputXGradient
        >>> InputXGradient(lambda x: x @ torch.tensor([3.0, -2.0])).attribute(torch.tensor([[1.0, 2.0]]))
        tensor([[ 3., -4.]])

    References:
        Shrikumar, Greenside, Shcherbina and Kundaje (2016), Not Just a Black Box, arXiv:1605.01713.
    """

    _multiply_by_inputs = True

    @documented()
    def attribute(
        self,
        inputs: Tensors,
        target: TargetLike = None,
        additional_forward_args: Any = None,
        *,
        targets: Sequence[TargetLike] | None = None,
    ) -> Tensors:
        """Compute input times gradient.

        {arguments}

        Returns:
            ``x dF/dx``, in the structure of the inputs.

        {target_raises}
        """
        question = accept_question(self.forward_func, inputs, target, additional_forward_args, targets)
        answer: Tensors = question.answer([times_value(g, question.inputs) for g in gradients_at_point(question)])
        return answer
