"""Grad-CAM: the channels of a layer, weighted with their mean gradients; alone, and times guided backpropagation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pellucid._core.channels import accept_channels, channels_first
from pellucid._core.door import accept_grad_kwargs, accept_question
from pellucid._core.layer_gradients import gradients_at_layer
from pellucid.attr.attribution import GradientAttribution, LayerAttribution
from pellucid.attr.guided import GuidedBackprop
from pellucid.docstrings import documented
from pellucid.errors import invalid_type, invalid_value
from pellucid.typing import ForwardFunction, LayerTensors, TargetLike, Tensors


class LayerGradCam(LayerAttribution):
    """Where in a layer the evidence for an output lies: its channels, weighted with their mean gradients.

    For a layer of shape ``(N, C, *places)``: ``sum over c of z_c * mean over places of dF/dz_c``. Law: where the rest
    of the model is a global average pooling and a linear layer without bias, it sums over the places to the output.

    Example:
        >>> import torch
        >>> from pellucid.attr import LayerGradCam
        >>> conv = torch.nn.Conv1d(1, 1, 1, bias=False)
        >>> _ = torch.nn.init.constant_(conv.weight, 2.0)
        >>> model = lambda x: 3 * conv(x).mean((1, 2))
        >>> LayerGradCam(model, conv).attribute(torch.tensor([[[1.0, -1.0, 4.0]]]))  # 3 / 3 times the layer's values
        tensor([[[ 2., -2.,  8.]]])

    References:
        Selvaraju, Cogswell, Das, Vedantam, Parikh and Batra (2017), Grad-CAM, arXiv:1610.02391.
    """

    @documented(
        relu_attributions="Whether negative values are set to zero, as in the paper.",
        attr_dim_summation="Whether the channels are summed.",
        layout="Which dimension holds the channels: 'channels_first' for ``(N, C, *places)``, 'channels_last'"
        " for ``(N, *places, C)`` such as tokens; None finds out from the kind of layer and refuses to guess.",
    )
    def attribute(
        self,
        inputs: Tensors,
        target: TargetLike = None,
        additional_forward_args: Any = None,
        attribute_to_layer_input: bool = False,
        relu_attributions: bool = False,
        attr_dim_summation: bool = True,
        grad_kwargs: Mapping[str, Any] | None = None,
        *,
        layout: str | None = None,
        calls: str = "sum",
        targets: Sequence[TargetLike] | None = None,
    ) -> LayerTensors:
        """Compute Grad-CAM.

        {arguments}

        Returns:
            A map of shape ``(N, 1, *places)``, or ``(N, C, *places)`` without summation, whatever the layout; a tuple
            or dictionary of maps if several tensors flow at the layer.

        {layer_raises}
        """
        asked = accept_question(self.forward_func, inputs, target, additional_forward_args, targets, integers=True)
        options = accept_grad_kwargs(grad_kwargs)
        wanted = self._wanted(attribute_to_layer_input, calls)
        accept_channels(layout)

        def weighted(gradients: Sequence[Tensor], values: Sequence[Tensor]) -> list[Tensor]:
            maps = []
            for g, z in zip(gradients, values, strict=True):
                found = _weighted(
                    channels_first(g, layout, self.layer), channels_first(z, layout, self.layer), attr_dim_summation
                )
                maps.append(torch.relu(found) if relu_attributions else found)
            return maps

        return gradients_at_layer(asked, wanted, weighted, options)


def _weighted(gradient: Tensor, value: Tensor, summed: bool) -> Tensor:
    places = tuple(range(2, gradient.dim()))
    weights = gradient.mean(places, keepdim=True) if places else gradient
    weighted = weights * value
    return weighted.sum(1, keepdim=True) if summed else weighted


class GuidedGradCam(GradientAttribution):
    """Guided backpropagation where Grad-CAM sees evidence: fine in detail, and specific to the output.

    ``GuidedBackprop * upsampled(max(Grad-CAM, 0))``. Law: it is zero wherever Grad-CAM is not positive.

    Example:
        >>> import torch
        >>> from pellucid.attr import GuidedGradCam
        >>> conv = torch.nn.Conv1d(1, 1, 1, bias=False)
        >>> _ = torch.nn.init.constant_(conv.weight, 1.0)
        >>> model = torch.nn.Sequential(torch.nn.ReLU(), conv, torch.nn.Flatten(), torch.nn.Linear(2, 1, bias=False))
        >>> _ = torch.nn.init.constant_(model[3].weight, 1.0)
        >>> GuidedGradCam(model, conv).attribute(torch.tensor([[[3.0, -1.0]]]))
        tensor([[[3., 0.]]])

    References:
        Selvaraju, Cogswell, Das, Vedantam, Parikh and Batra (2017), Grad-CAM, arXiv:1610.02391.
    """

    @documented(layer="Module of the model whose Grad-CAM is taken, usually the last convolution.")
    def __init__(self, model: ForwardFunction, layer: nn.Module, device_ids: list[int] | None = None) -> None:
        """Explain a function by guided Grad-CAM.

        {arguments}
        """
        super().__init__(model)
        self._cam = LayerGradCam(model, layer, device_ids)
        self._guided = GuidedBackprop(model)

    @documented(
        interpolate_mode="How the map is resized to the input (see LayerAttribution.interpolate).",
        layout="Which dimension of the layer holds the channels (see LayerGradCam).",
    )
    def attribute(
        self,
        inputs: Tensors,
        target: TargetLike = None,
        additional_forward_args: Any = None,
        interpolate_mode: str = "nearest",
        attribute_to_layer_input: bool = False,
        *,
        layout: str | None = None,
    ) -> Tensors:
        """Compute guided Grad-CAM.

        {arguments}

        {like_inputs}

        Raises:
            InvalidTypeError: for arguments of a wrong type, or a layer with several tensors.
            InvalidValueError: if the map cannot be resized to an input, or for arguments that do not fit together.
            UnsupportedModelError: if the model has no rectifier, or computes in a way that the rules cannot follow.
        """
        cam = self._cam.attribute(
            inputs, target, additional_forward_args, attribute_to_layer_input, relu_attributions=True, layout=layout
        )
        if not isinstance(cam, Tensor):
            raise invalid_type(
                "layer", f"one with {len(cam)} tensors", "a single map is multiplied", "a layer with one tensor"
            )
        parts = inputs if isinstance(inputs, tuple) else (inputs,)
        for part in parts:
            if cam.dim() != part.dim():
                raise invalid_value(
                    "layer",
                    f"one whose map has shape {tuple(cam.shape)}",
                    f"an input has shape {tuple(part.shape)}, which it cannot be resized to",
                    "a layer with the input's number of dimensions",
                )
        maps = [LayerAttribution.interpolate(cam, tuple(p.shape[2:]), interpolate_mode).to(p) for p in parts]
        guided = self._guided.attribute(inputs, target, additional_forward_args)
        if isinstance(guided, tuple):
            return tuple(g * m for g, m in zip(guided, maps, strict=True))
        return guided * maps[0]
