"""The interfaces that attribution methods share.

``Attribution`` is any method; ``GradientAttribution`` and ``PerturbationAttribution`` are its two halves,
``LayerAttribution`` explains a layer's values instead of the inputs, ``NeuronAttribution`` a neuron instead
of an output.
"""

from __future__ import annotations

import functools
import re
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid._core.checks import accept_choice
from pellucid._core.combine import total
from pellucid._core.door import accept_baselines, accept_forward, accept_inputs, accept_question
from pellucid._core.gradient import evaluating
from pellucid._core.integral import ends_of
from pellucid._core.layer_site import LayerSite, layer_site
from pellucid._core.layout import Wanted
from pellucid._core.model import borrowed
from pellucid._core.neuron import NeuronFunction, neuron_function
from pellucid._core.site import Question, inputs_of
from pellucid._core.taps import Place, accept_place
from pellucid.docstrings import documented
from pellucid.errors import invalid_type, invalid_value
from pellucid.typing import BaselineLike, ForwardFunction, LayerLike, TargetLike, Tensors


class Attribution(ABC):
    """Interface of all attribution methods."""

    _completeness: ClassVar[bool] = False
    _multiply_by_inputs: bool = False
    takes_distribution: ClassVar[bool] = False
    """Whether ``baselines`` are rows to draw from or to average over, instead of one reference per example."""
    takes_integers: ClassVar[bool] = False
    """Whether inputs may hold integers and truth values, since nothing is differentiated by the inputs themselves."""
    takes_any_values: ClassVar[bool] = False
    """Whether inputs may hold integers, truth values, NaN and infinite values, since nothing is differentiated."""

    @documented()
    def __init__(self, forward_func: ForwardFunction) -> None:
        """Explain a function.

        {arguments}
        """
        self.forward_func = accept_forward(forward_func)

    @abstractmethod
    def attribute(self, *args: Any, **kwargs: Any) -> Any:
        """Compute attributions; each method has its own arguments."""

    @property
    def multiplies_by_inputs(self) -> bool:
        """Whether gradients or differences are multiplied with the inputs' distance from a baseline."""
        return self._multiply_by_inputs

    def has_convergence_delta(self) -> bool:
        """Tell whether the method has a completeness error that ``attribute`` can return.

        Example:
            >>> import torch
            >>> from pellucid.attr import IntegratedGradients, Saliency
            >>> model = torch.nn.Linear(3, 2)
            >>> IntegratedGradients(model).has_convergence_delta(), Saliency(model).has_convergence_delta()
            (True, False)
        """
        return self._completeness

    @classmethod
    def get_name(cls) -> str:
        """Give the method's name in words.

        Example:
            >>> from pellucid.attr import IntegratedGradients
            >>> IntegratedGradients.get_name()
            'Integrated Gradients'
        """
        return _in_words(cls.__name__)


@functools.cache
def _in_words(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)


class GradientAttribution(Attribution):
    """Interface of methods that use gradients."""

    @documented()
    def compute_convergence_delta(
        self,
        attributions: Tensors,
        start_point: BaselineLike,
        end_point: Tensors,
        target: TargetLike = None,
        additional_forward_args: Any = None,
    ) -> Tensor:
        """Compute the completeness error of attributions: ``sum(attributions) - (F(end) - F(start))``.

        Example:
            >>> import torch
            >>> from pellucid.attr import Saliency
            >>> model = lambda x: (x**2).sum(1)
            >>> x = torch.tensor([[1.0, 2.0]])
            >>> Saliency(model).compute_convergence_delta(torch.tensor([[1.0, 3.0]]), 0.0, x)
            tensor([-1.])

        {arguments}

        Returns:
            Tensor of shape (N,), or (1,) if the function returns one value per batch.

        Raises:
            InvalidValueError: if the shapes of attributions and end point differ.
        """
        question = accept_question(self.forward_func, end_point, target, additional_forward_args)
        given = accept_inputs(attributions)
        shapes = [tuple(a.shape) for a in given], [tuple(x.shape) for x in question.inputs]
        if shapes[0] != shapes[1]:
            raise invalid_value(
                "attributions",
                f"of shape {shapes[0]}",
                f"end_point has shape {shapes[1]}",
                "one value per input value",
            )
        return _missed(question, start_point, given)


def _missed(question: Question, start_point: BaselineLike, attributions: tuple[Tensor, ...]) -> Tensor:
    """Sums of attributions minus the differences of outputs."""
    start = accept_baselines(start_point, question.inputs, question.template)
    with evaluating(question) as evaluator:
        ends = ends_of(evaluator, start)[0]
    return ends.gather(total(attributions)) - ends.difference


class PerturbationAttribution(Attribution):
    """Interface of methods that change inputs and look at what happens to the output."""

    takes_any_values = True
    _multiply_by_inputs = True


class _InsideAttribution(Attribution):
    """What layer and neuron methods share: a module inside the model."""

    _takes_lists: ClassVar[bool] = False

    @documented()
    def __init__(self, forward_func: ForwardFunction, layer: LayerLike, device_ids: list[int] | None = None) -> None:
        """Explain a function at, or through, one of its layers.

        {arguments}
        """
        super().__init__(forward_func)
        if isinstance(layer, list | tuple) and not self._takes_lists:
            name = type(self).__name__
            raise invalid_type("layer", f"a {type(layer).__name__}", f"{name} takes one layer", "one call per layer")
        accept_place(forward_func, layer, device_ids, at_input=False)
        self.layer = layer
        self.device_ids = device_ids

    def _place(self, at_input: bool) -> Place:
        return accept_place(self.forward_func, self.layer, self.device_ids, at_input)


class LayerAttribution(_InsideAttribution):
    """Interface of methods that attribute an output to the values of a layer."""

    takes_integers = True

    @documented(attributions="Attributions to check: a tensor with one row per example, or a tuple of such.")
    def compute_convergence_delta(
        self,
        attributions: Tensors,
        start_point: BaselineLike,
        end_point: Tensors,
        target: TargetLike = None,
        additional_forward_args: Any = None,
    ) -> Tensor:
        """Compute what a layer's attributions miss of the difference of outputs: ``sum - (F(end) - F(start))``.

        The share that bypasses the layer is part of it.

        Example:
            >>> import torch
            >>> from pellucid.attr import LayerActivation
            >>> layer = torch.nn.Identity()
            >>> model = lambda x: layer(x**2).sum(1)
            >>> x = torch.tensor([[1.0, 2.0]])
            >>> LayerActivation(model, layer).compute_convergence_delta(torch.tensor([[1.0, 3.0]]), 0.0, x)
            tensor([-1.])

        {arguments}

        Returns:
            Tensor of shape (N,), or (1,) if the function returns one value per batch.

        Raises:
            InvalidValueError: if the attributions have not one row per example.
        """
        question = accept_question(self.forward_func, end_point, target, additional_forward_args, integers=True)
        given = accept_inputs(attributions)
        if len(given[0]) != question.site.examples:
            rows = f"of {len(given[0])} rows"
            raise invalid_value("attributions", rows, f"there are {question.site.examples} examples", "a row for each")
        return _missed(question, start_point, given)

    def _wanted(self, at_input: bool, calls: str) -> Wanted:
        accept_choice("calls", calls, ("sum", "each"), "a layer may be called several times")
        return Wanted(self._place(at_input), calls == "each", isinstance(self.layer, list | tuple))

    def _at_layer(
        self, asked: Question, at_input: bool, calls: str, replay: bool = False
    ) -> tuple[LayerSite, Question]:
        """Find the layer's value, running the model once, and ask the same of it in the place of the inputs."""
        with borrowed(asked.site.forward, asked.inputs[0].device):
            site = layer_site(inputs_of(asked), self._wanted(at_input, calls), replay)
        return site, replace(asked, site=site)

    @staticmethod
    @documented(
        layer_attribution="Attributions of shape (N, C, ...) with one to three spatial dimensions.",
        interpolate_dims="Spatial size wanted, an int or one per spatial dimension.",
        interpolate_mode="nearest, area, linear (one spatial dimension), bilinear or bicubic (two) or trilinear"
        " (three).",
    )
    def interpolate(
        layer_attribution: Tensor, interpolate_dims: int | tuple[int, ...], interpolate_mode: str = "nearest"
    ) -> Tensor:
        """Resize a layer's attributions, for example to the size of the input image.

        Example:
            >>> import torch
            >>> from pellucid.attr import LayerAttribution
            >>> LayerAttribution.interpolate(torch.tensor([[[1.0, 2.0]]]), 4)
            tensor([[[1., 1., 2., 2.]]])

        {arguments}

        Returns:
            Tensor of shape ``(N, C, *interpolate_dims)``.

        Raises:
            InvalidValueError: if mode or number of dimensions does not fit the attributions.
        """
        spatial = layer_attribution.dim() - 2
        size = (interpolate_dims,) * max(spatial, 0) if isinstance(interpolate_dims, int) else interpolate_dims
        if spatial not in _MODES or len(size) != spatial:
            raise invalid_value(
                "interpolate_dims",
                f"{interpolate_dims} for attributions of shape {tuple(layer_attribution.shape)}",
                "dimensions 0 and 1 count examples and channels, and 1 to 3 spatial ones must follow",
                "one size per spatial dimension",
            )
        if interpolate_mode not in _MODES[spatial]:
            raise invalid_value(
                "interpolate_mode",
                repr(interpolate_mode),
                f"the attributions have {spatial} spatial dimension(s)",
                f"one of {', '.join(_MODES[spatial])}",
            )
        smooth = interpolate_mode not in {"nearest", "area"}
        with torch.no_grad():
            return F.interpolate(
                layer_attribution, list(size), mode=interpolate_mode, align_corners=False if smooth else None
            )


_MODES: dict[int, tuple[str, ...]] = {
    1: ("nearest", "area", "linear"),
    2: ("nearest", "area", "bilinear", "bicubic"),
    3: ("nearest", "area", "trilinear"),
}


class NeuronAttribution(_InsideAttribution):
    """Interface of methods that attribute a neuron of a layer to the inputs."""

    def _neurons(self, selector: Any, neurons: Any, at_input: bool) -> tuple[NeuronFunction, list[int] | None]:
        """The function that returns the neurons, and what ``targets`` is for it."""
        function = neuron_function(self.forward_func, self._place(at_input), selector, neurons)
        return function, list(range(len(function.neurons))) if function.several else None
