"""A recorded call: which operation ran, on what, with which result, and how to run it again.

Rules are generic because of this one object: a rule never needs to know the arguments of an
operation, it replaces the active operands and calls again. What a call keeps is protected by a
`Keeper`: before the model writes into memory that a call holds, the call gets its own copy.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid._core.rules.decisions import argument
from pellucid._core.rules.lines import NOWHERE, Place, spoken
from pellucid._core.rules.storage import address_of, autocasts_somewhere


@dataclass(frozen=True)
class Slot:
    """The place of the active operand with this number in a call's arguments."""

    number: int


_SLOTS = tuple(Slot(number) for number in range(8))
_ALONE = _SLOTS[:1]
"""The arguments of a call that takes one active operand and nothing else."""


@dataclass(eq=False, slots=True, weakref_slot=True)
class Call:
    """One call of an operation, with everything on it detached from autograd.

    Args:
        name: Canonical name of the operation.
        function: The functional form of the operation.
        args: Positional arguments, active operands replaced by slots.
        kwargs: Keyword arguments, likewise.
        operands: Values of the active operands.
        results: Tensors that the call returned.
        place: The user's line; in words, `line`.
        autocast: Device type and dtype of the autocast region it ran in, or None.
        summed: The sum that formed the operand, for rules that belong to both.
        kept: What a rule that computed the values itself keeps for its pullback.
        pointwise: Whether it may be called with any selection of elements: an elementwise operation without
            constant tensors.
    """

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    operands: list[Tensor]
    results: list[Tensor]
    place: Place = NOWHERE
    autocast: tuple[str, torch.dtype] | None = None
    summed: Any = None
    pointwise: bool = False
    kept: Any = None

    @property
    def line(self) -> str:
        """The user's line, ``file:line in function``."""
        return spoken(self.place)

    def again(self, *operands: Tensor) -> tuple[Tensor, ...]:
        """Run the operation with other values for its active operands."""
        with same_autocast(self.autocast):
            return tensors_in(self.run(operands))

    def run(self, operands: Sequence[Tensor]) -> Any:
        """Return what the operation returns with these values in its slots."""
        if self.args is _ALONE and not self.kwargs:  # most calls with a rule
            return self.function(operands[0])
        return self.function(*self.filled_args(operands), **self.filled_kwargs(operands))

    def forget_cheap_results(self) -> None:
        """Drop results that cost less to compute again than to keep until the second pass."""
        if self.pointwise and self.name in _CHEAP and self.results[0].numel() > _FEW:
            self.results = []

    def result(self) -> Tensor:
        """Return the first result, computed again if it was dropped."""
        if self.results:
            return self.results[0]
        with torch.no_grad():
            return self.again(*self.operands)[0]

    def filled_args(self, operands: Sequence[Tensor]) -> tuple[Any, ...]:
        """Return the positional arguments with these values in the slots."""
        return tuple(operands) if self.args is _ALONE else tuple([_fill(arg, operands) for arg in self.args])

    def filled_kwargs(self, operands: Sequence[Tensor]) -> dict[str, Any]:
        """Return the keyword arguments with these values in the slots."""
        filled: dict[str, Any] = _fill(self.kwargs, operands)
        return filled

    def constants(self) -> tuple[Tensor, ...]:
        """List the tensors among the arguments that are no active operands."""
        if self.args is _ALONE:
            return ()
        found = tensors_in(self.args)
        return found + tensors_in(tuple(self.kwargs.values())) if self.kwargs else found

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        """Read a constant argument of the call."""
        return argument(self.args, self.kwargs, position, name, default)


_SEQUENCES = (tuple, list)
_TENSOR_OR_SEQUENCE = (Tensor, tuple, list)
_SLOT_OR_SEQUENCE = (Slot, tuple, list)
_CHEAP = frozenset({"relu", "relu6", "leaky_relu", "hardtanh", "clamp", "clamp_min", "clamp_max", "threshold"})
_FEW = 2**12
"""Up to so many numbers take less memory than the call itself costs time."""


def tensors_in(result: Any) -> tuple[Tensor, ...]:
    """List the tensors that an operation returned, in order."""
    if isinstance(result, Tensor):
        return (result,)
    if isinstance(result, tuple | list):
        found: list[Tensor] = []
        for part in result:
            if isinstance(part, Tensor):
                found.append(part)
            elif isinstance(part, tuple | list):
                found += tensors_in(part)
        return tuple(found)
    return ()


def differentiable(tensor: Tensor) -> bool:
    """Tell whether a tensor may carry a gradient."""
    return tensor.is_floating_point() or tensor.is_complex()


def put_back(shape: Any, tensors: list[Tensor]) -> Any:
    """Return the same structure as ``shape`` with its tensors replaced, in order; consumes the list."""
    if isinstance(shape, Tensor):
        return tensors.pop(0)
    if isinstance(shape, tuple | list):
        parts = [put_back(part, tensors) for part in shape]
        return parts if isinstance(shape, list) else _same_tuple(type(shape), parts)
    return shape


def _same_tuple(kind: type[Any], parts: list[Any]) -> Any:
    if kind is tuple:
        return tuple(parts)
    return kind(*parts) if hasattr(kind, "_fields") else kind(parts)


def slotted_arguments(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[tuple[Any, ...], dict[str, Any]], list[Tensor]]:
    """Replace the active tensors among a call's arguments by slots, and list them."""
    if len(args) == 1 and not kwargs and isinstance(args[0], Tensor):  # most calls with a rule
        return (_ALONE, kwargs), [args[0]]
    operands: list[Tensor] = []
    return (tuple([with_slots(arg, operands) for arg in args]), with_slots(kwargs, operands)), operands


def with_slots(value: Any, operands: list[Tensor]) -> Any:
    """Replace each active tensor by a slot and append it to ``operands``."""
    if isinstance(value, Tensor):
        if not value.requires_grad:
            return value
        operands.append(value)
        number = len(operands) - 1
        return _SLOTS[number] if number < len(_SLOTS) else Slot(number)
    if isinstance(value, dict):
        return {key: with_slots(part, operands) for key, part in value.items()} if value else value
    if isinstance(value, _SEQUENCES) and any(isinstance(part, _TENSOR_OR_SEQUENCE) for part in value):
        return type(value)([with_slots(part, operands) for part in value])
    return value


def _fill(value: Any, operands: Sequence[Tensor]) -> Any:
    if isinstance(value, Slot):
        return operands[value.number]
    if isinstance(value, Tensor):
        return value
    if isinstance(value, dict):
        return {key: _fill(part, operands) for key, part in value.items()} if value else value
    if isinstance(value, _SEQUENCES) and any(isinstance(part, _SLOT_OR_SEQUENCE) for part in value):
        return type(value)([_fill(part, operands) for part in value])
    return value


def current_autocast(tensor: Tensor) -> tuple[str, torch.dtype] | None:
    """Return the autocast region that is open for a tensor's device, or None."""
    if not autocasts_somewhere():
        return None
    device = tensor.device.type
    return (device, torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else None


def same_autocast(region: tuple[str, torch.dtype] | None) -> contextlib.AbstractContextManager[Any]:
    """Open a region that ``current_autocast`` gave once more."""
    if region is None:
        return contextlib.nullcontext()
    return torch.autocast(region[0], dtype=region[1], cache_enabled=False)


class Keeper:
    """Copy on write for the tensors that recorded calls hold.

    Example:
        >>> import torch
        >>> x = torch.tensor([1.0, -1.0])
        >>> call = Call("relu", torch.relu, (Slot(0),), {}, [x], [])
        >>> keeper = Keeper()
        >>> keeper.hold(call)
        >>> keeper.before_writing(x)
        >>> _ = x.zero_()
        >>> call.operands[0].tolist()
        [1.0, -1.0]
    """

    def __init__(self) -> None:
        self._new: list[weakref.ref[Call]] = []
        self._holders: dict[int, list[weakref.ref[Call]]] = {}

    def hold(self, call: Call) -> None:
        """Protect everything that a call keeps."""
        self._new.append(weakref.ref(call))  # addresses are read when something is written, which most models never do

    def _find_addresses(self) -> None:
        for reference in self._new:
            call = reference()
            if call is None:
                continue
            for tensor in (*call.operands, *call.results, *call.constants()):
                address = address_of(tensor)
                if address:
                    self._holders.setdefault(address, []).append(reference)
        self._new.clear()

    def before_writing(self, target: Tensor) -> None:
        """Give each call that holds the target's memory a copy of its own."""
        self._find_addresses()
        address = address_of(target)
        holders = self._holders.pop(address, None) if address else None
        for reference in holders or ():
            call = reference()
            if call is None:
                continue
            call.operands[:] = [_own(tensor, address) for tensor in call.operands]
            call.results[:] = [_own(tensor, address) for tensor in call.results]
            call.args = _own(call.args, address)
            call.kwargs = _own(call.kwargs, address)


def _own(value: Any, address: int | None) -> Any:
    if isinstance(value, Tensor):
        return value.clone() if address_of(value) == address else value
    if isinstance(value, dict):
        return {key: _own(part, address) for key, part in value.items()}
    if isinstance(value, tuple | list) and any(isinstance(part, Tensor | tuple | list) for part in value):
        return type(value)([_own(part, address) for part in value])
    return value
