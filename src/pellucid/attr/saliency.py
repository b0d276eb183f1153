"""Saliency, and the gradient of a neuron: how strongly a value reacts to a small change of each input value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pellucid._core.combine import copied, magnitude
from pellucid._core.door import accept_question
from pellucid._core.gradient import gradients_at_point
from pellucid._core.renaming import renamed
from pellucid.attr.attribution import GradientAttribution, NeuronAttribution
from pellucid.docstrings import documented
from pellucid.typing import NeuronSelector, TargetLike, Tensors


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
        *,
        targets: Sequence[TargetLike] | None = None,
    ) -> Tensors:
        """Compute saliency.

        {arguments}

        Returns:
            Gradients or their magnitudes, in the structure of the inputs.

        {target_raises}
        """
        question = accept_question(self.forward_func, inputs, target, additional_forward_args, targets)
        gradients = gradients_at_point(question)
        answer: Tensors = question.answer([magnitude(g) if abs else copied(g) for g in gradients])
        return answer


class NeuronGradient(NeuronAttribution):
    """How strongly, and in which direction, a neuron reacts to a small change of each input value.

    The gradient ``dn/dx`` of a neuron ``n(x)`` inside the model. Law: it is ``Saliency`` with ``abs=False`` of the
    function that returns the neuron.

    Example:
        >>> import torch
        >>> from pellucid.attr import NeuronGradient
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
        >>> _ = model[0].weight.data.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        >>> NeuronGradient(model, model[0]).attribute(torch.zeros(1, 2), 1)
        tensor([[3., 4.]])

    References:
        Simonyan, Vedaldi and Zisserman (2014), Deep Inside Convolutional Networks, arXiv:1312.6034.
    """

    @renamed(neuron_index="neuron_selector")
    @documented()
    def attribute(
        self,
        inputs: Tensors,
        neuron_selector: NeuronSelector | None = None,
        additional_forward_args: Any = None,
        attribute_to_neuron_input: bool = False,
        *,
        neurons: Sequence[NeuronSelector] | None = None,
    ) -> Tensors:
        """Compute the gradient of a neuron.

        {arguments}

        Returns:
            Gradients in the structure of the inputs.

        {neuron_raises}
        """
        function, targets = self._neurons(neuron_selector, neurons, attribute_to_neuron_input)
        return Saliency(function).attribute(
            inputs, abs=False, additional_forward_args=additional_forward_args, targets=targets
        )
