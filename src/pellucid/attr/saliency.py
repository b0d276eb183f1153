"""Saliency: how strongly the output reacts to a small change of each input value."""

from __future__ import annotations

from typing import Any

from pellucid._core.combine import magnitude
from pellucid._core.door import accept_question
from pellucid._core.gradient import gradients_at_inputs
from pellucid.attr.attribution import GradientAttribution
from pellucid.docstrings import documented
from pellucid.typing import TargetLike, Tensors


class Saliency(GradientAttribution):
    """How strongly the output reacts to a small change of each input value.

    The gradient's magnitude ``|dF/dx|``, or the gradient ``dF/dx`` itself with ``abs=False``.

    Law: the gradient of a linear model is its weights, wherever it is taken.

    Example:
        >>> import torch
        >>> from pellucid.attr import Saliency
        >>> Saliency(lambda x: x @ torch.tensor([3.0, -2.0])).attribute(torch.zeros(1, 2))
        tensor([[3., 2.]])

    References:
        Simonyan, Vedaldi and Zisserman (2014), Deep Inside Convolutional Networks, arXiv:1312.6034.
    """

    @documented(abs="Whether the gradients' magnitudes are returned instead of the gradients.")
    def attribute(
        self,
        inputs: Tensors,
        target: TargetLike = None,
        abs: bool = True,  # noqa: A002  (the argument's established name)
        additional_forward_args: Any = None,
    ) -> Tensors:
        """Compute saliency.

        {arguments}

        Returns:
            Gradients or their magnitudes, in the structure of the inputs.

        Raises:
            InvalidTypeError: for arguments of a wrong type.
            InvalidValueError: for a target that does not fit the output, or inputs that cannot be explained.
        """
        question = accept_question(self.forward_func, inputs, target, additional_forward_args)
        gradients = gradients_at_inputs(question)
        return question.answer(magnitude(gradients) if abs else gradients)
