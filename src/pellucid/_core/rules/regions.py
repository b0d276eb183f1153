"""Elementwise regions: any number of elementwise operations on one value are one unary function of it.

``x * sigmoid(x)`` is SiLU and ``where(x > 0, x, 0.1 * x)`` is a leaky rectifier, however they are
written. Each result of an elementwise operation carries its *origin*: the root it is a function of, and
how to compute it from the root. Where two members of one region meet in a product or a choice, the
engine asks for the rule of that unary function instead of the rules of the pieces.

Values without a gradient that depend on the input, such as masks and indices, have an origin as
well. One that leaves its region, or never had one, is *discrete*: it steers the computation, and the
engine compares it between the passes.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid._core.rules.operation import Operation
from pellucid._core.rules.storage import version_of
from pellucid._core.rules.vocabulary import Kind

Replay = Callable[[Tensor], Tensor]


@dataclass(eq=False, slots=True)  # not frozen, which would triple the time to make one
class Origin:
    """A value as a function of a root; never changed.

    Args:
        root: What the value is an elementwise function of; None if there is no single root.
        replay: That function.
        versions: Every tensor that the function reads, with its version when it was read.
        active: Whether the value itself carries a gradient; a mask does not.
    """

    root: Tensor | None
    replay: Replay | None
    versions: tuple[tuple[Tensor, int], ...] = ()
    active: bool = False

    @property
    def holds(self) -> bool:
        """Whether nothing that the function reads has been written since."""
        for tensor, version in self.versions:  # noqa: SIM110 # asked often, and a generator costs more than the answer
            if version_of(tensor) != version:
                return False
        return True


DISCRETE = Origin(None, None)


class _Described(weakref.ref[Tensor]):
    """A tensor with its origin."""

    __slots__ = ("key", "origin")
    key: int
    origin: Origin


class Regions:
    """The origins of the values of one pass; they vanish with the tensors they describe."""

    def __init__(self) -> None:
        known: dict[int, _Described] = {}
        inactive: set[int] = set()

        def forget(vanished: Any) -> None:
            known.pop(vanished.key, None)
            inactive.discard(vanished.key)

        self._known, self._inactive, self._forget = known, inactive, forget

    def describe(self, tensor: Tensor, origin: Origin) -> None:
        """Attach an origin to a tensor."""
        key = id(tensor)
        active = tensor.requires_grad
        if active:
            self._inactive.discard(key)
        else:
            self._inactive.add(key)
        if origin.active is not active:
            origin = Origin(origin.root, origin.replay, origin.versions, active)
        described = _Described(tensor, self._forget)
        described.key, described.origin = key, origin
        self._known[key] = described

    def forget_all(self) -> None:
        """Drop the origins of all tensors."""
        self._known.clear()
        self._inactive.clear()

    def forget(self, tensor: Tensor) -> None:
        """Drop the origin of a tensor that has been written."""
        self._known.pop(id(tensor), None)
        self._inactive.discard(id(tensor))

    def is_described(self, tensor: Tensor) -> bool:
        """Tell whether a tensor carries an origin."""
        return id(tensor) in self._known

    @property
    def without_inactive(self) -> bool:
        """Whether no tensor without a gradient is described."""
        return not self._inactive

    def origin(self, tensor: Tensor) -> Origin | None:
        """Return the origin of a tensor; an active one without any is its own root."""
        entry = self._known.get(id(tensor))
        if entry is not None:
            if entry.origin.holds:
                return entry.origin
            self.forget(tensor)
            if not tensor.requires_grad:
                self.describe(tensor, DISCRETE)
                return DISCRETE
        if tensor.requires_grad:
            return Origin(tensor, _itself, ((tensor, version_of(tensor)),), active=True)
        return None

    def members(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[int, Origin] | None:
        """Return the operands that depend on the input, by position, if all share one root."""
        if len(args) == 1 and not kwargs and isinstance(args[0], Tensor):  # most calls
            alone = self.origin(args[0])
            return None if alone is None or alone.root is None else {0: alone}
        found: dict[int, Origin] = {}
        for position, value in enumerate((*args, *kwargs.values()) if kwargs else args):
            if isinstance(value, Tensor):
                origin = self.origin(value)
                if origin is not None:
                    found[position] = origin
        if len(found) == 1:
            (origin,) = found.values()
            return None if origin.root is None else found
        roots = {id(origin.root) for origin in found.values()}
        if len(roots) != 1 or roots == {id(None)}:
            return None
        return found

    def result(
        self, operation: Operation, args: tuple[Any, ...], kwargs: dict[str, Any], members: dict[int, Origin]
    ) -> Origin:
        """Return the origin of an elementwise operation's active result on members of one region."""
        first = next(iter(members.values()))
        root = first.root
        function = _first if operation.kind is Kind.DETACH else operation.functional
        if len(args) == 1 and not kwargs:  # most calls
            return Origin(root, lambda at: function(_replay(first, at)), first.versions, active=True)
        names = tuple(kwargs)
        values = [*args, *kwargs.values()]
        versions = tuple(v for origin in members.values() for v in origin.versions)
        versions += tuple(
            (value, version_of(value))
            for position, value in enumerate(values)
            if isinstance(value, Tensor) and position not in members
        )
        for position in members:
            values[position] = None
        split = len(args)

        def replay(at: Tensor) -> Tensor:
            filled = list(values)
            for position, origin in members.items():
                filled[position] = _replay(origin, at)
            value: Tensor = function(*filled[:split], **dict(zip(names, filled[split:], strict=True)))
            return value

        return Origin(root, replay, versions, active=True)


def _replay(origin: Origin, at: Tensor) -> Tensor:
    return at if origin.replay is None else origin.replay(at)


def _itself(value: Tensor) -> Tensor:
    return value


def _first(value: Tensor, *_: Any, **__: Any) -> Tensor:
    return value


def meet(operation: Operation, members: dict[int, Origin], sums: bool = False) -> bool:
    """Tell whether members of one region meet so that the pieces' own rules would not be exact.

    With ``sums``, also whether they meet in a sum, which is exact but may make a function of another kind.
    """
    if len(members) < 2:
        return False
    if sums and operation.name in {"add", "sub", "rsub"}:
        return True
    return operation.meeting or any(not origin.active for origin in members.values())


def spans(root: Tensor, result: Tensor) -> bool:
    """Tell whether a root broadcasts to a result."""
    if root.shape == result.shape:  # most calls
        return True
    missing = result.dim() - root.dim()
    return missing >= 0 and all(a in (1, b) for a, b in zip(root.shape, result.shape[missing:], strict=True))


def fills_by_mask(args: tuple[Any, ...]) -> bool:
    """Tell whether an item assignment, as in ``h[h < 0] = 0``, fills where a mask of the same shape says."""
    target, index, value = args
    if not (isinstance(index, Tensor) and index.dtype == torch.bool and isinstance(target, Tensor)):
        return False
    return index.shape == target.shape and (
        isinstance(value, int | float) or (isinstance(value, Tensor) and value.dim() == 0)
    )
