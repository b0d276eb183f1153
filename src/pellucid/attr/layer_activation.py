"""What a layer computes, and its gradient times that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pellucid._core.door import accept_grad_kwargs, accept_question
from pellucid._core.layer_gradients import gradients_at_layer
from pellucid.attr.attribution import LayerAttribution
from pellucid.docstrings import documented
from pellucid.typing import ForwardFunction, LayerTensors, TargetLike, Tensors


class LayerActivation(LayerAttribution):
    """What flows out of a layer, or into it, when the model runs on the inputs.

    The values ``z(x)`` themselves. Law: a model whose layer returned them computes what it computes now.

    Example:
        >>> import torch
        >>> from pellucid.attr import LayerActivation
        >>> model = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Flatten())
        >>> LayerActivation(model, model[0]).attribute(torch.tensor([[-1.0, 2.0]]))
        tensor([[0., 2.]])

    References:
        Plain values of the forward pass; no method of attribution.
    """

    _takes_lists = True

    @documented(layer="A module of the model, or a list of modules, all of which are read in one pass.")
    def __init__(
        self,
        forward_func: ForwardFunction,
        layer: nn.Module | list[nn.Module],
        device_ids: list[int] | None = None,
    ) -> None:
        """Read a layer of a function, or several.

        {arguments}
        """
        super().__init__(forward_func, layer, device_ids)

    @documented(
        calls="What is returned for a layer that is called several times in one forward pass: a list with 'each', or"
        " the 'sum' over its calls.",
    )
    def attribute(
        self,
        inputs: Tensors,
        additional_forward_args: Any = None,
        attribute_to_layer_input: bool = False,
        *,
        calls: str = "each",
    ) -> LayerTensors:
        """Run the model and give back what flows at the layer.

        {arguments}

        Returns:
            A tensor, or a tuple or dictionary if several flow there; a list of these if the layer is called several
            times, and a list over layers for a list of layers.

        {layer_raises}
        """
        asked = accept_question(self.forward_func, inputs, None, additional_forward_args, integers=True)
        site, _ = self._at_layer(asked, attribute_to_layer_input, calls)
        return site.wanted.structured(site.calls, site.natural)


class LayerGradientXActivation(LayerAttribution):
    """The gradient of the output by a layer's values, times these values.

    ``z dF/dz`` at the layer's value z, or the gradient ``dF/dz`` itself with ``multiply_by_inputs=False``. Law: it is
    ``InputXGradient`` on the rest of the model; where the rest is linear without bias it sums to the output.

    Example:
        >>> import torch
        >>> from pellucid.attr import LayerGradientXActivation
        >>> relu = torch.nn.ReLU()
        >>> model = lambda x: relu(x) @ torch.tensor([3.0, -2.0])
        >>> LayerGradientXActivation(model, relu).attribute(torch.tensor([[1.0, 2.0]]))
        tensor([[ 3., -4.]])

    References:
        Shrikumar, Greenside, Shcherbina and Kundaje (2016), Not Just a Black Box, arXiv:1605.01713.
    """

    _takes_lists = True

    @documented(
        layer="A module of the model, or a list of modules, all of which are explained from one pass.",
        multiply_by_inputs="Whether gradients are multiplied with the layer's values.",
        memory_efficient="Whether results are moved to the CPU.",
    )
    def __init__(
        self,
        forward_func: ForwardFunction,
        layer: nn.Module | list[nn.Module],
        device_ids: list[int] | None = None,
        multiply_by_inputs: bool = True,
        memory_efficient: bool = False,
    ) -> None:
        """Explain a function at one of its layers, or several, by gradient times activation.

        {arguments}
        """
        super().__init__(forward_func, layer, device_ids)
        self._multiply_by_inputs = multiply_by_inputs
        self.memory_efficient = memory_efficient

    @documented()
    def attribute(
        self,
        inputs: Tensors,
        target: TargetLike = None,
        additional_forward_args: Any = None,
        attribute_to_layer_input: bool = False,
        grad_kwargs: Mapping[str, Any] | None = None,
        *,
        calls: str = "sum",
        targets: Sequence[TargetLike] | None = None,
    ) -> LayerTensors:
        """Compute gradient times activation.

        {arguments}

        Returns:
            Attributions shaped as the layer's value, in a list for a list of layers.

        {layer_raises}
        """
        asked = accept_question(self.forward_func, inputs, target, additional_forward_args, targets, integers=True)
        options = accept_grad_kwargs(grad_kwargs)
        wanted = self._wanted(attribute_to_layer_input, calls)
        return gradients_at_layer(asked, wanted, self._combined, options, self._multiply_by_inputs)

    def _combined(self, gradients: Sequence[Tensor], values: Sequence[Tensor]) -> list[Tensor]:
        if self._multiply_by_inputs:
            found = [g * z for g, z in zip(gradients, values, strict=True)]
        else:
            found = [g.clone() for g in gradients]
        return [f.to(torch.device("cpu")) for f in found] if self.memory_efficient else found
