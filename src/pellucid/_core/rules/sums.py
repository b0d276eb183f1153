"""The sums that form the values which enter a nonlinearity, with their positive and negative summands.

DeepLIFT's RevealCancel rule treats the positive and the negative contributions to a sum separately, so it
belongs to a pair: the sum z (linear layer, convolution, additions) and the unary operation after it.
`SumTracker` remembers how each value was summed; a sum can tell the changes of its positive and of its
negative summands between two passes, and pull separate multipliers of the two back to its operands.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid._core.rules.calculus import vjp
from pellucid._core.rules.call import Slot, current_autocast, same_autocast, tensors_in
from pellucid._core.rules.operation import Operation
from pellucid._core.rules.storage import version_of
from pellucid._core.rules.vocabulary import MOVES

_WEIGHT_AT = {
    **dict.fromkeys(("linear", "conv1d", "conv2d", "conv3d"), (0, 1)),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), (0, 1)),
    **dict.fromkeys(("matmul", "__matmul__", "mm", "bmm", "mv", "dot"), (0, 1)),
    "addmm": (1, 2),
}
_SIGNS = {"add": 1.0, "sub": -1.0, "subtract": -1.0}


@dataclass(frozen=True, eq=False)
class Operand:
    """One summand as it stands: a value with its coefficient."""

    live: Tensor
    value: Tensor

    def leaves(self) -> list[Tensor]:
        """List the active tensors that were summed."""
        return [self.live]

    def changes(self, reference: Any) -> tuple[Tensor, Tensor]:
        """Return the change of the positive and of the negative summands."""
        change = self.value - reference.value
        return change.clamp_min(0), change.clamp_max(0)

    def pull(self, reference: Any, positive: Tensor, negative: Tensor) -> list[Tensor]:
        """Pull multipliers of the positive and of the negative summands back to the leaves."""
        change = self.value - reference.value
        return [_by_sign(change, positive, negative)]


@dataclass(frozen=True, eq=False)
class Weighted:
    """A sum with constant weights: a linear layer, a convolution, a matrix product."""

    live: Tensor
    value: Tensor
    operation: Operation
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    weight: int
    autocast: tuple[str, torch.dtype] | None

    def leaves(self) -> list[Tensor]:
        """List the active tensors that were summed."""
        return [self.live]

    def _halves(self) -> tuple[Tensor, Tensor]:
        """Return the positive and the negative weights."""
        weight = self.args[self.weight]
        return weight.clamp_min(0), weight.clamp_max(0)

    def _apply(self, value: Tensor, weight: Tensor) -> Tensor:
        """Apply some weights, without bias."""
        args = [value if isinstance(arg, Slot) else arg for arg in self.args]
        args[self.weight] = weight
        zeros = [torch.zeros_like(value) if isinstance(a, Slot) else b for a, b in zip(self.args, args, strict=True)]
        with same_autocast(self.autocast):
            bare: Tensor = self.operation.functional(*args, **self.kwargs)
            offset: Tensor = self.operation.functional(*zeros, **self.kwargs)
        return bare - offset

    def changes(self, reference: Any) -> tuple[Tensor, Tensor]:
        """Return the change of the positive and of the negative summands."""
        change = self.value - reference.value
        up, down = change.clamp_min(0), change.clamp_max(0)
        more, less = self._halves()
        return self._apply(up, more) + self._apply(down, less), self._apply(down, more) + self._apply(up, less)

    def pull(self, reference: Any, positive: Tensor, negative: Tensor) -> list[Tensor]:
        """Pull multipliers of the positive and of the negative summands back to the leaves."""
        change = self.value - reference.value

        def through(weight: Tensor, multipliers: Tensor) -> Tensor:
            return vjp(lambda value: (self._apply(value, weight),), [change], (multipliers,))[0]

        more, less = self._halves()
        rising = through(more, positive) + through(less, negative)
        falling = through(more, negative) + through(less, positive)
        return [_by_sign(change, rising, falling)]


@dataclass(frozen=True, eq=False)
class Added:
    """A sum of sums, each with a coefficient."""

    terms: tuple[tuple[float, Any], ...]

    def leaves(self) -> list[Tensor]:
        """List the active tensors that were summed."""
        return [leaf for _, term in self.terms for leaf in term.leaves()]

    def changes(self, reference: Any) -> tuple[Tensor, Tensor]:
        """Return the change of the positive and of the negative summands."""
        total: list[Tensor] = []
        for (factor, term), (_, other) in zip(self.terms, reference.terms, strict=True):
            up, down = term.changes(other)
            pair = (factor * up, factor * down) if factor >= 0 else (factor * down, factor * up)
            total = list(pair) if not total else [a + b for a, b in zip(total, pair, strict=True)]
        return total[0], total[1]

    def pull(self, reference: Any, positive: Tensor, negative: Tensor) -> list[Tensor]:
        """Pull multipliers of the positive and of the negative summands back to the leaves."""
        found: list[Tensor] = []
        for (factor, term), (_, other) in zip(self.terms, reference.terms, strict=True):
            up, down = (positive, negative) if factor >= 0 else (negative, positive)
            shape = term.changes(other)[0].shape
            found += term.pull(other, (factor * up).sum_to_size(shape), (factor * down).sum_to_size(shape))
        return found


@dataclass(frozen=True, eq=False)
class Moved:
    """A sum whose values stand in other places: a view, a transpose, a part."""

    inner: Any
    move: Callable[[Tensor], Tensor]

    def leaves(self) -> list[Tensor]:
        """List the active tensors that were summed."""
        leaves: list[Tensor] = self.inner.leaves()
        return leaves

    def changes(self, reference: Any) -> tuple[Tensor, Tensor]:
        """Return the change of the positive and of the negative summands."""
        up, down = self.inner.changes(reference.inner)
        return self.move(up), self.move(down)

    def pull(self, reference: Any, positive: Tensor, negative: Tensor) -> list[Tensor]:
        """Pull multipliers of the positive and of the negative summands back to the leaves."""
        where = self.inner.changes(reference.inner)[0]
        back = [vjp(lambda value: (self.move(value),), [where], (m,))[0] for m in (positive, negative)]
        found: list[Tensor] = self.inner.pull(reference.inner, *back)
        return found


Sum = Operand | Weighted | Added | Moved


def _by_sign(change: Tensor, rising: Tensor, falling: Tensor) -> Tensor:
    return torch.where(change == 0, (rising + falling) / 2, torch.where(change > 0, rising, falling))


def _part(move: Callable[[Tensor], Any], i: int) -> Callable[[Tensor], Tensor]:
    """One of the parts that an operation returns."""
    return lambda value: move(value)[i]


class SumTracker:
    """How the values of one pass were summed; forgets a value when it vanishes or is written.

    Summands are copied with their place in the graph, since the model may write into them before the rule asks; an
    in-place sum does so itself.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[Tensor], int, Sum]] = {}

    def of(self, tensor: Tensor) -> Sum | None:
        """Return the sum that formed a value, or None."""
        entry = self._known.get(id(tensor))
        return entry[2] if entry is not None and entry[1] == version_of(tensor) else None

    def formed(self, operation: Operation, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Sum | None:
        """Tell which sum an operation is about to form, or None where it forms none."""
        return (
            self._weighted(operation, args, kwargs)
            or self._added(operation, args, kwargs)
            or self._moved(operation, args, kwargs)
        )

    def note(self, result: Any, formed: Sum | None) -> None:
        """Remember how a value was formed, or how each of several parts was."""
        if formed is None:
            return
        if isinstance(result, Tensor):
            self._remember(result, formed)
        elif isinstance(formed, Moved):
            for i, part in enumerate(result):
                self._remember(part, Moved(formed.inner, _part(formed.move, i)))

    def _remember(self, result: Tensor, formed: Sum) -> None:
        key, known = id(result), self._known

        def forget(_: weakref.ref[Tensor]) -> None:
            known.pop(key, None)

        known[key] = (weakref.ref(result, forget), version_of(result), formed)

    def _weighted(self, operation: Operation, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Weighted | None:
        places = _WEIGHT_AT.get(operation.name)
        if places is None or len(args) <= places[1]:
            return None
        pair = [args[place] for place in places]
        active = [isinstance(value, Tensor) and value.requires_grad for value in pair]
        if sum(active) != 1 or not all(isinstance(value, Tensor) for value in pair):
            return None
        if any(isinstance(v, Tensor) and v.requires_grad for p, v in enumerate(args) if p not in places):
            return None
        live = pair[active.index(True)]
        slotted = tuple(Slot(0) if value is live else value for value in args)
        kept = live.clone()
        fixed, region = places[active.index(False)], current_autocast(kept)
        return Weighted(kept, kept.detach(), operation, slotted, kwargs, fixed, region)

    def _added(self, operation: Operation, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Added | None:
        sign = _SIGNS.get(operation.name)
        if sign is None or len(args) != 2:
            return None
        factor = sign * float(kwargs.get("alpha", 1))
        terms: Sequence[tuple[float, Any]] = [(1.0, args[0]), (factor, args[1])]
        kept = [(c, self._term(v)) for c, v in terms if isinstance(v, Tensor) and v.requires_grad]
        return Added(tuple(kept))

    def _moved(self, operation: Operation, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Moved | None:
        inner = self.of(args[0]) if operation.name in MOVES and args and isinstance(args[0], Tensor) else None
        if inner is None or any(tensor.requires_grad for tensor in tensors_in((args[1:], tuple(kwargs.values())))):
            return None
        return Moved(inner, lambda value: operation.functional(value, *args[1:], **kwargs))

    def _term(self, tensor: Tensor) -> Sum:
        known = self.of(tensor)
        if known is not None:
            return known
        kept = tensor.clone()
        return Operand(kept, kept.detach())
