"""Gradients at a layer while the model runs on its inputs: nothing is put there, what flows is differentiated.

With z the layer's value at a point x of a path and v = x - x' the direction of the path:

* ``AtLayer``: ``dF/dz``, and z itself;
* ``Conducted``: ``dF/dz * dz/da`` with ``dz/da = (dz/dx) v``, and what passes beside the layer,
  ``(dF/dx at fixed z) v``; both together sum to ``dF/da``;
* ``ThroughNeuron``: ``sum_j s_j dF/dz_j dz_j/dx`` for a neuron ``n(z)`` with ``s = dn/dz``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pellucid._core.differentiation import (
    Choose,
    Pass,
    Run,
    Values,
    check_all_used,
    depends,
    gradients_of,
    shaken,
    unconnected,
)
from pellucid._core.expansion import NotExpandableError, run_plain
from pellucid._core.gradient import gradients_at_point
from pellucid._core.layout import Called, Caught, Wanted
from pellucid._core.neuron import Neuron, neuron_values
from pellucid._core.output import output_tensor
from pellucid._core.path import Points
from pellucid._core.reducers import FoundSum
from pellucid._core.site import Question, check_results
from pellucid._core.structure import floats_in, with_floats
from pellucid._core.tangents import Tangents, Ways
from pellucid._core.taps import Place, refuse_checkpoint, tapped


@dataclass
class AtLayer:
    """Gradients by the values of a layer, followed by these values if they are wanted.

    Attributes:
        wanted: the layers, and how results are wanted.
        examples: number of examples N.
        grad_kwargs: further arguments of ``torch.autograd.grad``.
        values: whether the layer's values are given behind the gradients.
        counted: autograd keeps all that a pass keeps.
        calls: the layer's calls, known after the first pass.
        multiples: for each tensor, how many rows it has per row of the pass; 0 if rows cannot be told apart.
        dtypes: their dtypes.
    """

    wanted: Wanted
    examples: int
    grad_kwargs: Mapping[str, Any] = field(default_factory=dict)
    values: bool = False
    counted: bool = True
    calls: tuple[Called, ...] = ()
    multiples: tuple[int, ...] = ()
    dtypes: tuple[torch.dtype, ...] = ()

    @property
    def names(self) -> Sequence[str]:
        """Names of the layer's tensors."""
        return self.wanted.names(self.calls)

    def __call__(self, run: Run, chooses: tuple[Choose, ...], points: Points) -> tuple[Pass, ...]:
        """Run once and differentiate by what flows at the layer; the model may write into the points."""
        place = self.wanted.place
        caught = Caught(place, _Links(bool(place.device_ids)))
        with tapped(place, lambda layer, value: _onwards(value, _cut(caught, layer, value))):
            output = output_tensor(run(*points.values))
        self.calls, values = caught.collected()
        leaves = tuple(caught.kept())
        found = gradients_of([choose(output) for choose in chooses], leaves, self.grad_kwargs)
        rows = points.values[0].shape[0]
        self.multiples = tuple([_multiple(v, rows) for v in values])
        self.dtypes = tuple([v.dtype for v in values])
        _check_divisible(self.multiples, rows, self.examples)
        extra = _by_row([v.detach() for v in values], rows) if self.values else ()
        passes = []
        for gradients, used in found:
            parts = _by_row(_replaced(caught, leaves, gradients), rows)
            passes.append(Pass(output.detach(), (*parts, *extra), _in_order(caught, used)))
        return tuple(passes)

    def elsewhere(self, run: Run, values: Values, number: int) -> Tensor | None:
        """See ``Differentiation``."""
        return _elsewhere(self, run, values, number)

    def natural(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Give gradients, or gradients and values, the shapes in which they flow at the layer."""
        multiples = (*self.multiples, *self.multiples)
        return [v if m == 1 else v.flatten(0, 1) if m else v[0] for v, m in zip(values, multiples, strict=False)]

    def structured(self, attributions: Sequence[Tensor]) -> Any:
        """Give attributions, one per tensor as they flow, the dtypes and the structure of the layer's value."""
        check_results(self.names, [tuple(attributions)])
        cast = [a.to(dtype) for a, dtype in zip(attributions, self.dtypes, strict=True)]
        return self.wanted.structured(self.calls, cast)

    def answered(self, sums: Sequence[Tensor]) -> Any:
        """Give sums of gradients the structure of the layer's value."""
        return self.structured(self.natural(sums))


def gradients_at_layer(
    asked: Question,
    wanted: Wanted,
    combine: Callable[[Sequence[Tensor], Sequence[Tensor]], Sequence[Tensor]],
    grad_kwargs: Mapping[str, Any],
    values: bool = True,
) -> Any:
    """Compute attributions from gradients and values of a layer, in one pass over the model.

    Args:
        asked: about the inputs.
        wanted: the layers, and how results are wanted.
        combine: from gradients and values (none if they are not needed), one per tensor as they flow, to attributions
            in memory of their own: what it is given may share some with the model.
        grad_kwargs: see ``AtLayer``.
        values: whether the values are needed.

    Returns:
        The attributions, one per target stacked if there are several.
    """
    at_layer = AtLayer(wanted, asked.site.examples, grad_kwargs, values)
    found = gradients_at_point(asked, at_layer, lambda: FoundSum(asked.site.examples))
    count = len(at_layer.multiples)
    results = []
    for gradients in found:
        natural = at_layer.natural(gradients)
        results.append(at_layer.structured(combine(natural[:count], natural[count:])))
    return asked.stacked(results)


@dataclass
class Conducted:
    """Gradients by the values of a layer times their speeds, and the share that passes beside the layer.

    Attributes:
        wanted: the layer.
        examples: see ``AtLayer``.
        grad_kwargs: likewise.
        repeated: whether several values flow there, so that later ones move with earlier ones.
        names: of these values.
        counted: autograd keeps all that a pass keeps.
    """

    wanted: Wanted
    examples: int
    grad_kwargs: Mapping[str, Any]
    repeated: bool
    names: Sequence[str] = ()
    counted: bool = True

    def __post_init__(self) -> None:
        """Know no way of finding speeds to fail."""
        self._ways = Ways(self.repeated)

    def __call__(self, run: Run, chooses: tuple[Choose, ...], points: Points) -> tuple[Pass, ...]:
        """Run once; the last of the gradients is the share beside the layer, one number per row."""
        return self._ways.run(lambda tangents: self._conduct(run, chooses, points, tangents))

    def elsewhere(self, run: Run, values: Values, number: int) -> Tensor | None:
        """See ``Differentiation``."""
        return _elsewhere(self, run, values, number)

    def _conduct(self, run: Run, chooses: tuple[Choose, ...], points: Points, tangents: Tangents) -> tuple[Pass, ...]:
        caught = Caught(self.wanted.place, _leaf)
        speeds: dict[int, Tensor] = {}

        def visit(layer: int, value: Any) -> Any:
            refuse_checkpoint(self.wanted.place.names[layer])
            kept, moved = caught.catch(layer, value), tangents.of(value)
            speeds.update(zip(map(id, kept), moved, strict=True))
            if not self.repeated:
                return _onwards(value, kept)
            return with_floats(value, map(tangents.onwards, kept, moved))

        with tapped(self.wanted.place, visit):
            output = output_tensor(run(*tangents.moving(points.values, points.displacements)))
        leaves = tuple(caught.kept())
        rows = len(points.values[0])
        _check_divisible([_multiple(v, rows) for v in caught.collected()[1]], rows, self.examples)
        options = {**self.grad_kwargs, "allow_unused": True}  # where the layer cuts every path, inputs are not used
        chosen = [choose(output) for choose in chooses]
        found = gradients_of(chosen, (*leaves, *tangents.leaves), options)
        passes = []
        for values, (gradients, used) in zip(chosen, found, strict=True):
            if self.grad_kwargs.get("allow_unused") is False:
                check_all_used(used & frozenset(range(len(leaves))), len(leaves))
            conducted = [g * speeds[id(leaf)] for leaf, g in zip(leaves, gradients, strict=False)]
            parts = _by_row(_replaced(caught, leaves, conducted), rows)
            beside = tangents.beside(values, gradients[len(leaves) :])
            influential = _in_order(caught, frozenset(i for i in used if i < len(leaves)))
            passes.append(Pass(output.detach(), (*parts, beside), influential, working=tangents.largest))
        return tuple(passes)


@dataclass
class ThroughNeuron:
    """Gradients by the inputs along the paths that lead through neurons.

    Attributes:
        place: the layer.
        neurons: which of its neurons; there is one pass for each.
        grad_kwargs: see ``AtLayer``.
        names: of what is differentiated by, which are the inputs.
        counted: autograd keeps all that a pass keeps.
    """

    place: Place
    neurons: tuple[Neuron, ...]
    grad_kwargs: Mapping[str, Any]
    names: Sequence[str] = ()
    counted: bool = True

    def __call__(self, run: Run, chooses: tuple[Choose, ...], points: Points) -> tuple[Pass, ...]:
        """Run once, or twice where the layer is called several times."""
        inputs = tuple(v.detach().requires_grad_() for v in points.values)
        flowing, cut = Caught(self.place, _same), Caught(self.place, _leaf)

        def visit(layer: int, value: Any) -> Any:
            flowing.catch(layer, value)
            return _onwards(value, _cut(cut, layer, value))

        with tapped(self.place, visit):
            output = output_tensor(run(*(x.clone() for x in inputs)))
        calls, values = flowing.collected()
        if len({called.call for called in calls}) > 1:
            flowing = Caught(self.place, _same)
            with tapped(self.place, lambda layer, value: _unchanged(flowing.catch(layer, value))):
                run(*(x.clone() for x in inputs))
            calls, values = flowing.collected()
        leaves = tuple(cut.kept())
        by_leaf, used = gradients_of([choose(output) for choose in chooses], leaves, self.grad_kwargs)[0]
        if not used:
            self._refuse_cut(run, points.values, chooses[0], output)
        arriving = _replaced(cut, leaves, by_leaf)
        through = [_conducted(neuron, calls, values, arriving, len(inputs[0])) for neuron in self.neurons]
        found = gradients_of(through, inputs, self.grad_kwargs)
        return tuple(Pass(output.detach(), gradients, used) for gradients, used in found)

    def elsewhere(self, run: Run, values: Values, number: int) -> Tensor | None:
        """See ``Differentiation``; an input may have an influence on paths that lead around the neurons."""
        del run, values, number
        return None

    def _refuse_cut(self, run: Run, values: Values, choose: Choose, output: Tensor) -> None:
        """Refuse a layer that the output depends on, and has no gradient by."""

        def again() -> Values:
            return (run_plain(lambda lent: choose(output_tensor(run(*lent))), values),)

        if depends((choose(output),), again, lambda: (choose(_shaken_at(self.place, run, values)),)):
            raise unconnected(self.place.names[0])


def _elsewhere(at: AtLayer | Conducted, run: Run, values: Values, number: int) -> Tensor | None:
    """Output where the only tensor of a layer has other values; there is no telling for one of several."""
    del number
    return _shaken_at(at.wanted.place, run, values) if len(at.names) == 1 else None


def _shaken_at(place: Place, run: Run, values: Values) -> Tensor:
    """Output where all that flows at a layer has other values."""
    with tapped(place, lambda _, value: with_floats(value, map(shaken, floats_in(value)))):
        return run_plain(lambda lent: output_tensor(run(*lent)), values).detach()


def _conducted(
    neuron: Neuron, calls: Sequence[Called], values: Sequence[Tensor], arriving: Sequence[Tensor], rows: int
) -> Tensor:
    """Sum ``dF/dz_j (dn/dz_j) z_j``, with the first two held fixed, over what the neuron reads."""
    leaves = tuple(_leaf(value) for value in values)
    read, _ = gradients_of([neuron_values(neuron, calls, leaves, rows)], leaves, {})[0]
    parts = [(s * g.detach() * z).sum() for s, g, z in zip(read, arriving, values, strict=True)]
    return torch.stack([part.to(parts[0].device) for part in parts])


def _same(tensor: Tensor) -> Tensor:
    return tensor


def _leaf(tensor: Tensor) -> Tensor:
    with torch.inference_mode(False):
        return (tensor.clone() if tensor.is_inference() else tensor).detach().requires_grad_()


@dataclass
class _Links:
    """Cuts the first value off from what comes before it, and keeps later layers and calls connected with it."""

    begun: bool

    def __call__(self, tensor: Tensor) -> Tensor:
        link = self.begun and tensor.requires_grad
        self.begun = True
        return tensor if link else _leaf(tensor)


def _cut(caught: Caught, layer: int, value: Any) -> list[Tensor]:
    """Catch what flows; where the model switched gradients off, that may be a checkpoint, which would hide them."""
    if not torch.is_grad_enabled():
        refuse_checkpoint(caught.place.names[layer])
    return caught.catch(layer, value)


def _onwards(value: Any, kept: Sequence[Tensor]) -> Any:
    """Let copies flow on, so that the model may write into them; gradients too, where it has switched them off."""
    with torch.enable_grad():
        return with_floats(value, iter([tensor.clone() for tensor in kept]))


def _unchanged(_: object) -> None:
    return None


def _replaced(caught: Caught, leaves: Sequence[Tensor], new: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Give one result per tensor of the layer, in their order, which is that of the leaves on a single device."""
    if not caught.place.device_ids:
        return tuple(new[: len(leaves)])
    return caught.collected({id(leaf): value for leaf, value in zip(leaves, new, strict=False)})[1]


def _in_order(caught: Caught, used: frozenset[int]) -> frozenset[int]:
    """Turn numbers of leaves into numbers of the layer's tensors; on several devices they count as one."""
    if not caught.place.device_ids:
        return used
    return frozenset(range(len(caught.collected()[1]))) if used else frozenset()


def _multiple(tensor: Tensor, rows: int) -> int:
    length = tensor.shape[0] if tensor.dim() else 0
    return length // rows if length % rows == 0 else 0


def _check_divisible(multiples: Sequence[int], rows: int, examples: int) -> None:
    if 0 in multiples and rows != examples:
        raise NotExpandableError("the rows of the layer's values are not those of the batch")


def _by_row(tensors: Sequence[Tensor], rows: int) -> tuple[Tensor, ...]:
    """Give tensors one row per row of the pass."""
    return tuple([_one_row(t, _multiple(t, rows)) for t in tensors])


def _one_row(tensor: Tensor, multiple: int) -> Tensor:
    if multiple > 1:
        return tensor.reshape(tensor.shape[0] // multiple, multiple, *tensor.shape[1:])
    return tensor if multiple else tensor.unsqueeze(0)
