"""Running only the part of a model after a layer: what comes before is replayed from one full pass.

The torch calls that a pass makes before it reaches the layer do not depend on the value put there. A
``Recording`` notes them in order; a replay hands their results out again, with the rows repeated as the
batch is, and computes from the layer on. Only results that a call after the layer used are kept; NaN stands
for the others, so a replay that needed one could not pass unseen.

The first replay for some examples is checked: it holds other values beside their own, whose output is known. What a
replay cannot follow (control flow that differs, random numbers, writes into the inputs, calls that were not
seen, tensors whose rows are not examples) shows there or raises, and full passes are made from then on.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pellucid._core.arguments import repeat_rows
from pellucid._core.model import generator_states
from pellucid._core.structure import is_named_tuple, tensors_in

_ASKING = frozenset(
    {
        *("size", "dim", "ndimension", "numel", "nelement", "stride", "storage_offset", "element_size", "get_device"),
        *("is_contiguous", "is_floating_point", "is_complex", "is_signed", "is_inference"),
        *("__len__", "__hash__", "__repr__", "__format__", "__dir__"),
    }
)
"""Questions about a tensor that need no values; they are asked anew, since a replay has other rows."""
_WRITING = frozenset(
    {"__setitem__", "__set__"}
    | {
        f"__i{name}__"
        for name in (
            *("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor", "lshift", "rshift"),
        )
    }
)
"""Forms of writing into a tensor beside the methods whose names end in an underscore."""


_SIZED = frozenset(
    {
        *("expand", "expand_as", "broadcast_to", "repeat", "repeat_interleave", "tile"),
        *("new_zeros", "new_ones", "new_full", "new_empty", "new_tensor"),
    }
)
"""Calls whose results have rows that their tensors need not have: the sizes are given, from the batch it may be."""


class Diverged(Exception):  # noqa: N818  (it is caught where it is raised, and means: make a full pass)
    """A replay met something else than its recording, or gave another output."""


@dataclass
class _Made:
    """A tensor that a recorded call returned.

    One made of parameters and buffers alone does not follow the examples, however many rows it has.
    """

    shape: torch.Size
    dtype: torch.dtype
    device: torch.device
    alive: weakref.ref[Tensor]
    follows: bool
    kept: Tensor | None = None
    repeated: Tensor | None = None


@dataclass(frozen=True)
class _Entry:
    """A recorded call: what was called, and its result with tensors replaced by ``_Made``."""

    function: Any
    result: Any
    live: bool = False


class Recording(TorchFunctionMode):
    """The calls of one pass before the layer is reached."""

    def __init__(self, device: torch.device, modules: Iterable[nn.Module] = ()) -> None:
        """Begin; the pass runs with this mode on, and the parameters and buffers of the modules are constants."""
        super().__init__()
        self.entries: list[_Entry] = []
        self.usable = True
        self.reached = False
        self._aside = False
        self._made: dict[int, _Made] = {}
        self._constants = {id(t) for m in modules for t in (*m.parameters(False), *m.buffers(False))}
        self._device = device
        self._before = generator_states(device)

    @contextmanager
    def at_layer(self) -> Iterator[None]:
        """Note that the layer is reached, and look at its value in the block without using it."""
        self._aside = True
        try:
            if not self.reached:
                self._reach()
            yield
        finally:
            self._aside = False

    def _reach(self) -> None:
        self.reached = True
        after = generator_states(self._device)
        self.usable &= all(torch.equal(after[name], state) for name, state in self._before.items())
        self._made = {key: made for key, made in self._made.items() if made.alive() is not None}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Note a call and its result."""
        kwargs = kwargs or {}
        if self._aside:
            return func(*args, **kwargs)
        if self.reached:
            self._keep(args, kwargs)
            return func(*args, **kwargs)
        result = func(*args, **kwargs)
        if self.usable and not _asks(func, result):
            self._note(func, args, kwargs, result)
        return result

    def _keep(self, args: Any, kwargs: Any) -> None:
        """Keep a copy of what a call after the layer uses, before the call can write into it."""
        for tensor in tensors_in([args, kwargs]):
            made = self._made.get(id(tensor))
            if made is not None and made.kept is None and made.alive() is tensor:
                made.kept = tensor.detach().clone()

    def _note(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        tensors = list(tensors_in([args, kwargs]))
        given = [t for t in tensors if id(t) not in self._made]
        follows = not tensors or getattr(func, "__name__", "") in _SIZED or any(map(self._follows, tensors))
        if _writes(func) or "out" in kwargs:
            target = kwargs.get("out", args[0] if args else None)
            self.usable &= all(id(t) in self._made for t in tensors_in(target))
            for tensor in tensors_in(target):
                if id(tensor) in self._made:
                    self._made[id(tensor)].follows |= follows
        own = any(t is g for t in tensors_in(result) for g in given)
        self.entries.append(_Entry(func, None if own else self._described(result, follows), live=own))

    def _follows(self, tensor: Tensor) -> bool:
        """Tell whether the rows of a tensor may be those of the examples."""
        made = self._made.get(id(tensor))
        if made is not None and made.alive() is tensor:
            return made.follows
        return id(tensor) not in self._constants

    def _described(self, result: Any, follows: bool) -> Any:
        if isinstance(result, Tensor):
            known = self._made.get(id(result))
            if known is None or known.alive() is not result:
                known = _Made(result.shape, result.dtype, result.device, weakref.ref(result), follows)
                self._made[id(result)] = known
            return known
        if isinstance(result, tuple | list):
            return _same(result, [self._described(part, follows) for part in result])
        return result


class Replay(TorchFunctionMode):
    """One pass in which the calls before the layer are answered from a recording."""

    def __init__(self, entries: list[_Entry], supply: Callable[[_Made], Tensor]) -> None:
        """Begin."""
        super().__init__()
        self.reached = False
        self._left: Iterator[_Entry] = iter(entries)
        self._supply = supply

    def reach(self) -> None:
        """Note that the layer is reached: everything is computed from now on."""
        self.reached = True

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Answer a call that comes before the layer."""
        if self.reached or getattr(func, "__name__", "") in _ASKING:
            return func(*args, **(kwargs or {}))
        if getattr(func, "__name__", "") == "__get__":
            result = func(*args, **(kwargs or {}))
            if _asks(func, result):
                return result
        entry = next(self._left, None)
        if entry is None or entry.function != func:
            raise Diverged("the pass took another course")
        return func(*args, **(kwargs or {})) if entry.live else self._supplied(entry.result)

    def _supplied(self, result: Any) -> Any:
        if isinstance(result, _Made):
            return self._supply(result)
        if isinstance(result, tuple | list):
            return _same(result, [self._supplied(part) for part in result])
        return result


@dataclass
class Prefix:
    """What comes before a layer, for replays with any rows of the batch.

    Attributes:
        entries: the recorded calls.
        examples: number of examples N of the recorded pass.
    """

    entries: list[_Entry]
    examples: int
    _rows: tuple[list[int], int] = field(default=([], 0))

    @classmethod
    def of(cls, recording: Recording, examples: int) -> Prefix | None:
        """Take a finished recording, if it can be replayed."""
        usable = recording.usable and recording.reached
        return cls(recording.entries, examples) if usable else None

    def replay(self, examples: Tensor, repeats: int) -> Replay:
        """Give the mode that answers the calls before the layer for ``repeats`` copies of the chosen examples.

        It is to be on while the user's function runs, and wants to be told when the layer is reached.
        """
        rows = (examples.tolist(), repeats)
        if rows != self._rows:
            self._forget()
            self._rows = rows
        return Replay(self.entries, lambda made: self._tensor(made, examples, repeats))

    def _tensor(self, made: _Made, examples: Tensor, repeats: int) -> Tensor:
        per_example = made.follows and len(made.shape) > 0 and made.shape[0] == self.examples
        if made.kept is None:
            shape = (len(examples) * repeats, *made.shape[1:]) if per_example else made.shape
            nothing = float("nan") if made.dtype.is_floating_point or made.dtype.is_complex else 0
            return torch.full((), nothing, dtype=made.dtype, device=made.device).expand(shape)
        if made.repeated is None or made.repeated._version > 0:  # the pass before wrote into it
            made.repeated = repeat_rows(made.kept, examples, repeats) if per_example else made.kept.clone()
        return made.repeated

    def _forget(self) -> None:
        for made in _made_in([entry.result for entry in self.entries]):
            made.repeated = None


def _made_in(value: Any) -> Iterator[_Made]:
    if isinstance(value, _Made):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _made_in(part)


def _asks(func: Any, result: Any) -> bool:
    """Tell whether a call only asks for a shape, a device and the like."""
    name = getattr(func, "__name__", "")
    return name in _ASKING or (name == "__get__" and not isinstance(result, Tensor))


def _writes(func: Any) -> bool:
    name = getattr(func, "__name__", "")
    return name in _WRITING or (name.endswith("_") and not name.endswith("__"))


def _same(template: Any, parts: list[Any]) -> Any:
    return type(template)(*parts) if is_named_tuple(template) else type(template)(parts)
