"""The rest of a model after a layer, as a function of the layer's value: any method explains it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pellucid._core.door import accept_question
from pellucid._core.layer_site import LayerSite, layer_site
from pellucid._core.layout import Wanted
from pellucid._core.model import borrowed
from pellucid._core.site import inputs_of
from pellucid._core.taps import accept_place, module_named, refuse_checkpoint, tapped
from pellucid.docstrings import accept_flag
from pellucid.errors import invalid_type, invalid_value
from pellucid.typing import ForwardFunction, Tensors


@dataclass(frozen=True)
class Rest:
    """What comes after a layer, with all else held at the inputs (see ``rest_of``).

    Attributes:
        model: the whole model.
        site: the layer, and the inputs that all else is held at.
    """

    model: ForwardFunction
    site: LayerSite

    @property
    def values(self) -> Tensors:
        """What flows at the layer for the inputs: a tensor with N rows, or a tuple of such."""
        template: Tensors = self.site.template
        return template

    def __call__(self, *values: Tensor) -> Any:
        """Run the model with values in the place of the layer's: N rows, or copies of the N examples one after another.

        Raises:
            InvalidValueError: for another number of values or rows.
            UnsupportedModelError: if gradients are wanted and the layer runs inside a checkpoint.
        """
        parts: tuple[Any, ...] = values
        for value in parts:
            if not isinstance(value, Tensor):
                given = f"a {type(value).__name__}"
                raise invalid_type("values", given, "tensors flow at the layer", "tensors shaped as rest.values")
        examples, rows = self.site.examples, len(values[0]) if values and values[0].dim() else 0
        shapes = [tuple(value.shape) for value in values]
        if not rows or rows % examples or [s[1:] for s in shapes] != [tuple(v.shape[1:]) for v in self.site.values]:
            own = [tuple(value.shape) for value in self.site.values]
            raise invalid_value(
                "values",
                f"tensors of shapes {shapes}",
                f"tensors of shapes {own} flow at the layer, with a row for each of {examples} examples",
                "values shaped as rest.values, or copies of them put one behind another",
            )
        if any(value.requires_grad for value in values):
            with tapped(self.site.wanted.place, self._outside_checkpoints):
                return self._run(values, rows // examples)
        return self._run(values, rows // examples)

    def _outside_checkpoints(self, layer: int, _: Any) -> None:
        refuse_checkpoint(self.site.wanted.place.names[layer])

    def _run(self, values: tuple[Tensor, ...], repeats: int) -> Any:
        if repeats == 1:
            return self.site.run_whole(values)
        return self.site.run_rows(values, torch.arange(self.site.examples), repeats)


def rest_of(
    model: ForwardFunction,
    layer: nn.Module | str,
    inputs: Tensors,
    additional_forward_args: Any = None,
    *,
    at_input: bool = False,
) -> Rest:
    """Give the rest of a model after a layer as a function that any method can explain.

    Methods with a class for layers need this not; the others (Shapley values, LIME, Owen values) work on a layer
    through it. With z the layer's value: ``rest(z) = F(z, x)``, all that flows around the layer held at x.

    Example:
        >>> import pellucid, torch
        >>> from pellucid.attr import ShapleyValues
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1))
        >>> rest = pellucid.rest_of(model, "1", torch.ones(4, 2))
        >>> ShapleyValues(rest).attribute(rest.values, target=0).shape
        torch.Size([4, 3])

    Args:
        model: a torch.nn.Module or any callable.
        layer: a module of it, or its dotted name.
        inputs: a tensor of shape (N, ...), or a tuple of such; they may hold ids.
        additional_forward_args: further arguments of the model, one or a tuple.
        at_input: whether the layer's input is meant instead of its output.

    Returns:
        The function; ``rest.values`` is what it is explained at.

    Raises:
        InvalidTypeError: for a layer without floating-point values.
        InvalidValueError: for a layer that the model does not have or never calls.
    """
    accept_flag("at_input", at_input)
    asked = accept_question(model, inputs, None, additional_forward_args, integers=True)
    module = module_named(model, layer) if isinstance(layer, str) else layer
    place = accept_place(model, module, None, at_input)
    with borrowed(model, asked.inputs[0].device):
        return Rest(model, layer_site(inputs_of(asked), Wanted(place, per_call=True)))
