"""Which tensors flow at a layer: by layer, call and position, and how results are given back in that order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid._core.structure import Names, floats_in
from pellucid._core.taps import Place, gathered
from pellucid.errors import PellucidError, invalid_type, invalid_value


@dataclass(frozen=True)
class Called:
    """The tensors of one call of a layer.

    Attributes:
        layer: number of the layer in its place.
        call: which of the layer's calls.
        floats: how many floating-point tensors flow there.
        keys: their names where they flow in a dictionary.
    """

    layer: int
    call: int
    floats: int
    keys: tuple[str, ...] | None

    @classmethod
    def of(cls, layer: int, call: int, value: Any) -> Called:
        """Describe what flows in a call."""
        if isinstance(value, Tensor):
            return cls(layer, call, int(value.is_floating_point()), None)
        keys = None
        if isinstance(value, Mapping) and all(isinstance(v, Tensor) or not floats_in(v) for v in value.values()):
            keys = tuple(str(k) for k, v in value.items() if floats_in(v))
        return cls(layer, call, len(floats_in(value)), keys)

    def structured(self, values: Sequence[Any]) -> Any:
        """Give a single tensor as it is, several as a dictionary or a tuple."""
        if self.floats == 1:
            return values[0]
        return dict(zip(self.keys, values, strict=True)) if self.keys is not None else tuple(values)


@dataclass(frozen=True)
class Wanted:
    """How results at a place are wanted.

    Attributes:
        place: the layers.
        per_call: whether for each call of a layer instead of summed over its calls.
        listed: whether a list of layers was asked for.
    """

    place: Place
    per_call: bool = False
    listed: bool = False

    def structured(self, calls: Sequence[Called], values: Sequence[Tensor]) -> Any:
        """Group results, one per tensor, by layer and call."""
        left = iter(values)
        layers: list[list[Any]] = [[] for _ in self.place.layers]
        for called in calls:
            layers[called.layer].append(called.structured([next(left) for _ in range(called.floats)]))
        results = [found if self.per_call and len(found) > 1 else self._summed(found) for found in layers]
        return results if self.listed else results[0]

    def _summed(self, calls: list[Any]) -> Any:
        first = calls[0]
        if len(calls) == 1:
            return first
        if isinstance(first, dict):
            return {key: self._summed([c[key] for c in calls]) for key in first}
        if isinstance(first, tuple):
            return tuple(self._summed(list(parts)) for parts in zip(*calls, strict=True))
        if any(c.shape != first.shape for c in calls):
            raise unequal_calls([tuple(c.shape) for c in calls])
        total = first
        for other in calls[1:]:
            total = total + other.to(total.device)
        return total

    def names(self, calls: Sequence[Called]) -> Sequence[str]:
        """Layer, call and number of each tensor."""
        return Names(sum(called.floats for called in calls), lambda: self._names(calls))

    def _names(self, calls: Sequence[Called]) -> list[str]:
        several = {c.layer for c in calls if c.call}
        names = []
        for called in calls:
            name = self.place.names[called.layer]
            name = f"call {called.call + 1} of {name}" if called.layer in several else name
            names += [name] if called.floats == 1 else [f"{name}[{i}]" for i in range(called.floats)]
        return names


class Caught:
    """What flowed at a place in one pass, by layer, call and device."""

    def __init__(self, place: Place, keep: Callable[[Tensor], Tensor]) -> None:
        """Begin with nothing.

        Args:
            place: where.
            keep: what is kept of a tensor.
        """
        self.place = place
        self._keep = keep
        self._shares: dict[tuple[int, torch.device | None], list[tuple[Called, list[Tensor]]]] = defaultdict(list)

    def catch(self, layer: int, value: Any) -> list[Tensor]:
        """Note what flows, and return what was kept of it."""
        floats = floats_in(value)
        device = floats[0].device if floats and self.place.device_ids else None
        calls = self._shares[layer, device]
        kept = [self._keep(tensor) for tensor in floats]
        calls.append((Called.of(layer, len(calls), value), kept))
        return kept

    def kept(self) -> list[Tensor]:
        """List every tensor that was kept, of all devices, layer after layer."""
        shares = sorted(self._shares.items(), key=lambda share: share[0][0])
        return [tensor for _, found in shares for _, floats in found for tensor in floats]

    def collected(self, by_tensor: Mapping[int, Tensor] | None = None) -> tuple[tuple[Called, ...], tuple[Tensor, ...]]:
        """Give the calls and one tensor per tensor kept, layer after layer, with shares of the batch put together.

        Args:
            by_tensor: what to give in the place of each kept tensor, by its id; itself by default.

        Returns:
            The calls with tensors, and the tensors.

        Raises:
            InvalidValueError: if a layer did not run.
            InvalidTypeError: if no floating-point tensor flows there.
        """
        calls: list[Called] = []
        tensors: list[Tensor] = []
        for layer in range(len(self.place.layers)):
            shares = {device: found for (number, device), found in self._shares.items() if number == layer}
            if not shares:
                raise _never_called(self.place.names[layer])
            first = next(iter(shares.values()))
            if not any(called.floats for called, _ in first):
                raise _no_floats(self.place.names[layer], self.place.at_input)
            calls += [called for called, _ in first if called.floats]
            flat = {device: [t for _, floats in found for t in floats] for device, found in shares.items()}
            if by_tensor is not None:
                flat = {device: [by_tensor[id(t)] for t in found] for device, found in flat.items()}
            tensors += gathered(flat, self.place.device_ids)
        return tuple(calls), tuple(tensors)


def unequal_calls(shapes: Sequence[tuple[int, ...]]) -> PellucidError:
    """The error for calls that cannot be summed."""
    return invalid_value(
        "calls",
        "'sum'",
        f"the layer is called with different shapes, {', '.join(map(str, shapes))}",
        "calls='each' for a list with the result of each call",
    )


def _never_called(name: str) -> PellucidError:
    return invalid_value(
        "layer",
        name,
        "it is never called in the forward pass (calls of .forward(), scripted and exported modules are not seen)",
        "a module that forward_func calls",
    )


def _no_floats(name: str, at_input: bool) -> PellucidError:
    side = "input" if at_input else "output"
    return invalid_type(
        "layer",
        f"{name}, whose {side} holds no floating-point tensor",
        "integers have no gradient",
        "a layer with floating-point values, for example the output of the embedding instead of its input",
    )
