"""Guided backpropagation and deconvolution: gradients with one rule on rectifiers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import nn

from pellucid._core import report
from pellucid._core.combine import copied
from pellucid._core.door import accept_question
from pellucid._core.gradient import gradients_at_point
from pellucid._core.renaming import renamed
from pellucid._core.ruled import ModifiedRules, whole_certificate
from pellucid._core.rules import DECONVOLUTION, GUIDED, RuleTable
from pellucid._core.rules.environment import uncompiled
from pellucid.attr.attribution import GradientAttribution, NeuronAttribution
from pellucid.docstrings import documented
from pellucid.errors import UnsupportedModelError
from pellucid.typing import ForwardFunction, NeuronSelector, TargetLike, Tensors


class _Rectified(GradientAttribution):
    """What both methods share: all but the rule."""

    _table: ClassVar[RuleTable]

    @documented()
    def __init__(self, model: ForwardFunction) -> None:
        """Explain a function by changing the gradient of its rectifiers.

        {arguments}
        """
        super().__init__(model)

    @documented()
    def attribute(
        self,
        inputs: Tensors,
        target: TargetLike = None,
        additional_forward_args: Any = None,
        *,
        targets: Sequence[TargetLike] | None = None,
    ) -> Tensors:
        """Compute gradients with the rule on every rectifier.

        {arguments}

        Returns:
            Modified gradients, in the structure of the inputs.

        {target_raises}
            UnsupportedModelError: if the model has no rectifier, so that the result would be the plain gradient, or
                computes in a way that the rules cannot follow.
        """
        question = accept_question(uncompiled(self.forward_func), inputs, target, additional_forward_args, targets)
        rules = ModifiedRules(self._table)
        gradients = gradients_at_point(question, rules)
        certificate = whole_certificate(rules.certificates)
        report.check(certificate=certificate)
        if not certificate.count(self._table.name):
            met = ", ".join(sorted({row.operation for row in certificate.operations})) or "none"
            raise UnsupportedModelError(
                f"{self.get_name()} changes the gradient of rectifiers (ReLU and its relatives), and between the"
                f" inputs and the explained output there is none (operations met: {met}). The result would be the"
                " plain gradient. Use Saliency(model).attribute(inputs, abs=False) if that is wanted."
            )
        answer: Tensors = question.answer([copied(g) for g in gradients])
        return answer


class GuidedBackprop(_Rectified):
    """Gradients that let only positive evidence through rectifiers, where these are active.

    At every rectifier the gradient g becomes ``max(g, 0) max(f'(x), 0)``; for the ReLU that is ``max(g, 0) [x > 0]``.
    Rectifiers are found by operation, in whatever form: module, functional, in-place, reused, clamp at zero, maximum
    with zero, ``x * (x > 0)``; leaky and smooth ones (LeakyReLU, GELU, SiLU, ...) get their slope in place of the
    indicator. Law: on a model whose rectifiers all get positive gradients, it is the gradient.

    Example:
        >>> import torch
        >>> from pellucid.attr import GuidedBackprop
        >>> model = lambda x: torch.relu(x) @ torch.tensor([1.0, -1.0, 1.0])
        >>> GuidedBackprop(model).attribute(torch.tensor([[1.0, 1.0, -1.0]]))
        tensor([[1., 0., 0.]])

    References:
        Springenberg, Dosovitskiy, Brox and Riedmiller (2014), Striving for Simplicity, arXiv:1412.6806.
    """

    _table = GUIDED


class Deconvolution(_Rectified):
    """Gradients that let only positive evidence through rectifiers, whether these are active or not.

    At every rectifier the gradient g becomes ``max(g, 0)``. Rectifiers are those of ``GuidedBackprop``. Law: what
    comes out does not depend on which rectifiers were active.

    Example:
        >>> import torch
        >>> from pellucid.attr import Deconvolution
        >>> model = lambda x: torch.relu(x) @ torch.tensor([1.0, -1.0, 1.0])
        >>> Deconvolution(model).attribute(torch.tensor([[1.0, 1.0, -1.0]]))
        tensor([[1., 0., 1.]])

    References:
        Zeiler and Fergus (2014), Visualizing and Understanding Convolutional Networks, arXiv:1311.2901.
    """

    _table = DECONVOLUTION


class _RectifiedNeuron(NeuronAttribution):
    """What both methods share for neurons: all but the rule."""

    _method: ClassVar[type[_Rectified]]

    @documented()
    def __init__(self, model: ForwardFunction, layer: nn.Module, device_ids: list[int] | None = None) -> None:
        """Explain a neuron by changing the gradient of the rectifiers before it.

        {arguments}
        """
        super().__init__(model, layer, device_ids)

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
        """Compute gradients of a neuron with the rule on every rectifier.

        {arguments}

        Returns:
            Modified gradients, in the structure of the inputs.

        {neuron_raises}
            UnsupportedModelError: if there is no rectifier before the neuron, so that the result would be its plain
                gradient, or the model computes in a way that the rules cannot follow.
        """
        function, targets = self._neurons(neuron_selector, neurons, attribute_to_neuron_input)
        return self._method(function).attribute(
            inputs, additional_forward_args=additional_forward_args, targets=targets
        )


class NeuronGuidedBackprop(_RectifiedNeuron):
    """Guided backpropagation of a neuron: gradients that let only positive evidence through active rectifiers.

    ``GuidedBackprop`` of the function that returns the neuron.

    Example:
        >>> import torch
        >>> from pellucid.attr import NeuronGuidedBackprop
        >>> layer = torch.nn.Identity()
        >>> model = lambda x: layer(torch.relu(x) @ torch.tensor([[1.0], [-1.0], [1.0]]))
        >>> NeuronGuidedBackprop(model, layer).attribute(torch.tensor([[1.0, 1.0, -1.0]]), 0)
        tensor([[1., 0., 0.]])

    References:
        Springenberg, Dosovitskiy, Brox and Riedmiller (2014), Striving for Simplicity, arXiv:1412.6806.
    """

    _method = GuidedBackprop


class NeuronDeconvolution(_RectifiedNeuron):
    """Deconvolution of a neuron: gradients that let only positive evidence through rectifiers.

    ``Deconvolution`` of the function that returns the neuron.

    Example:
        >>> import torch
        >>> from pellucid.attr import NeuronDeconvolution
        >>> layer = torch.nn.Identity()
        >>> model = lambda x: layer(torch.relu(x) @ torch.tensor([[1.0], [-1.0], [1.0]]))
        >>> NeuronDeconvolution(model, layer).attribute(torch.tensor([[1.0, 1.0, -1.0]]), 0)
        tensor([[1., 0., 1.]])

    References:
        Zeiler and Fergus (2014), Visualizing and Understanding Convolutional Networks, arXiv:1311.2901.
    """

    _method = Deconvolution
