"""A neuron as the explained output: the function that runs the model and returns what a layer computes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from pellucid._core.checks import accept_dense
from pellucid._core.layout import Called, Caught
from pellucid._core.output import Target, accept_index, select
from pellucid._core.taps import Place, tapped
from pellucid.errors import PellucidError, invalid_type, invalid_value
from pellucid.typing import ForwardFunction

Neuron: TypeAlias = Target | Callable[[Any], Tensor]
"""Which neuron: an index into the layer's tensor, or a function of the layer's value."""


@dataclass(frozen=True)
class NeuronFunction:
    """The model, returning neurons of a layer: shape (N,), or (N, K) if several were asked for.

    The values of a layer that is called several times are summed.

    Attributes:
        forward: the user's function.
        place: the layer.
        neurons: which of its neurons.
        several: whether a list of neurons was asked for.
    """

    forward: ForwardFunction
    place: Place
    neurons: tuple[Neuron, ...]
    several: bool

    def __call__(self, *args: Any) -> Tensor:
        """Run the model and look at the layer."""
        caught = Caught(self.place, lambda tensor: tensor.clone())
        with tapped(self.place, lambda layer, value: _unchanged(caught.catch(layer, value))):
            self.forward(*args)
        calls, tensors = caught.collected()
        rows = len(args[0])
        found = [neuron_values(neuron, calls, tensors, rows) for neuron in self.neurons]
        return torch.stack(found, dim=1) if self.several else found[0]


def accept_neurons(selector: Any, neurons: Any) -> tuple[tuple[Neuron, ...], bool]:
    """Check a neuron selector, or a list of them.

    Args:
        selector: an int, a tuple of ints and slices, or a callable.
        neurons: a list of such in its place.

    Returns:
        The neurons, and whether a list was given.

    Raises:
        InvalidTypeError: for anything else, a list as selector included.
        InvalidValueError: if both or none are given.
    """
    if (selector is None) == (neurons is None):
        given = "None" if selector is None else "given together with neurons"
        raise invalid_value("neuron_selector", given, "one neuron or several are explained", "one of both")
    if neurons is None:
        return (_accept_neuron("neuron_selector", selector),), False
    if not isinstance(neurons, list | tuple) or not neurons:
        given = "an empty list" if isinstance(neurons, list | tuple) else f"a {type(neurons).__name__}"
        raise invalid_type("neurons", given, "each of its members is explained", "a list of selectors")
    return tuple(_accept_neuron(f"neurons[{i}]", each) for i, each in enumerate(neurons)), True


def _accept_neuron(name: str, selector: Any) -> Neuron:
    if callable(selector):
        return selector  # type: ignore[no-any-return]  # callable() does not narrow to the callable's type
    if isinstance(selector, list):
        raise invalid_type(
            name,
            f"the list {selector}",
            "it could mean several neurons or one index of several dimensions",
            f"neurons={selector} to explain each of several neurons, or neuron_selector={tuple(selector)} for the one"
            " neuron at this index",
        )
    parts = selector if isinstance(selector, tuple) else (selector,)
    if not parts:
        raise invalid_value(name, "an empty tuple", "it selects no neuron", "one index per dimension of the layer")
    return Target(common=tuple(accept_index(part, name) for part in parts))


def neuron_values(neuron: Neuron, calls: Sequence[Called], tensors: Sequence[Tensor], rows: int) -> Tensor:
    """Give a neuron's value for each row, summed over the calls of its layer."""
    left = iter(tensors)
    total: Tensor | None = None
    for called in calls:
        value = _as_function(neuron)(called.structured([next(left) for _ in range(called.floats)]))
        value = _one_per_row(value, rows, callable(neuron))
        total = value if total is None else total + value.to(total.device)
    if total is None:  # not reached: a layer without tensors was refused
        raise invalid_value("layer", "no tensor", "there is no neuron", "another layer")
    return total


def _as_function(neuron: Neuron) -> Callable[[Any], Tensor]:
    if not isinstance(neuron, Target):
        return neuron

    def index(value: Any) -> Tensor:
        if not isinstance(value, Tensor):
            raise invalid_value(
                "neuron_selector",
                "an index",
                f"several tensors flow at the layer (a {type(value).__name__} of {len(value)})",
                "a function of them, for example lambda values: values[0][:, 3]",
            )
        return select(value, neuron, "neuron_selector")

    return index


def _one_per_row(value: Any, rows: int, chosen: bool) -> Tensor:
    if not isinstance(value, Tensor):
        raise invalid_type(
            "neuron_selector", f"a function that returned a {type(value).__name__}", "a neuron is a tensor", "a tensor"
        )
    if chosen:
        accept_dense("the result of neuron_selector", value)
    shape = value.shape  # read once, see ``select``
    if shape[:1] != (rows,) or math.prod(shape) != rows:
        raise _wrong_rows(value, rows, chosen)
    return value if len(shape) == 1 else value.reshape(rows)


def _wrong_rows(value: Tensor, rows: int, chosen: bool) -> PellucidError:
    given = "a function whose result" if chosen else "an index into a layer whose selection"
    return invalid_value(
        "neuron_selector",
        f"{given} has shape {tuple(value.shape)}",
        f"there are {rows} examples, and a neuron has one value for each",
        f"a function of the layer's value that returns shape ({rows},)",
    )


def _unchanged(_: object) -> None:
    return None


def neuron_function(forward: ForwardFunction, place: Place, selector: Any, neurons: Any) -> NeuronFunction:
    """Make the function that returns the selected neurons."""
    chosen, several = accept_neurons(selector, neurons)
    return NeuronFunction(forward, place, chosen, several)
