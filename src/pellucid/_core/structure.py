"""Tuples of tensors in, tuples of tensors out; and the tensor inside any model output."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, overload

import torch
from torch import Tensor

from pellucid.typing import Tensors


def names_of(name: str, value: object) -> list[str]:
    """Name the parts of an argument as a user would write them: ``inputs``, or ``inputs[0]``, ..."""
    if isinstance(value, tuple):
        return [f"{name}[{i}]" for i in range(len(value))]
    return [name]


class Names(Sequence[str]):
    """Names for messages, which are made when one is read: few calls have anything to say."""

    def __init__(self, count: int, make: Callable[[], Sequence[str]]) -> None:
        """Take note of how many there are, and of what makes all of them."""
        self._count = count
        self._make = make

    def __len__(self) -> int:
        """How many."""
        return self._count

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...

    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        """Give some."""
        return self._made[place]

    @cached_property
    def _made(self) -> Sequence[str]:
        return self._make()


def like(template: object, values: Sequence[Tensor]) -> Tensors:
    """Give ``values`` the structure of ``template``: a tuple for a tuple, else the single tensor."""
    return tuple(values) if isinstance(template, tuple) else values[0]


def wide(dtype: torch.dtype) -> torch.dtype:
    """Give the floating dtype in which sums are kept: float32 or wider."""
    return torch.promote_types(dtype, torch.float32)


def all_finite(value: Tensor) -> bool:
    """Tell whether no value is NaN or infinite: a finite sum says so in one pass, others need a closer look."""
    if value.dtype.is_complex:
        return bool(torch.isfinite(value).all())
    return math.isfinite(value.sum().item()) or bool(torch.isfinite(value).all())


def per_row(factor: Tensor, value: Tensor) -> Tensor:
    """Shape a vector of row weights so that it multiplies the rows of ``value``."""
    return factor.to(value.device, value.dtype).reshape(factor.shape + (1,) * (value.dim() - factor.dim()))


def sum_per_row(value: Tensor, dims: int = 1) -> Tensor:
    """Sum all dimensions but the first, or the first ``dims``, in float32 or wider."""
    value = value.to(wide(value.dtype))
    return value.flatten(dims).sum(dims) if value.dim() > dims else value


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Walk through the tensors of an output: tensor, sequence, mapping or dataclass, in their order.

    Yields:
        Each tensor.
    """
    if isinstance(value, Tensor):
        yield value
        return
    parts: Iterable[Any]
    if isinstance(value, Mapping):
        parts = value.values()
    elif isinstance(value, list | tuple):
        parts = value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = (getattr(value, f.name) for f in dataclasses.fields(value))
    else:
        return
    for part in parts:
        yield from tensors_in(part)


def floats_in(value: Any) -> list[Tensor]:
    """List the floating-point tensors of a nested value, in their order."""
    if isinstance(value, Tensor):
        return [value] if value.is_floating_point() else []
    return [tensor for tensor in tensors_in(value) if tensor.is_floating_point()]


def with_floats(value: Any, new: Iterator[Tensor]) -> Any:
    """Copy a nested value with its floating-point tensors replaced, in the order of ``floats_in``."""
    if isinstance(value, Tensor):
        return next(new) if value.is_floating_point() else value
    if isinstance(value, Mapping):
        changed: Any = copy.copy(value)
        for key, part in value.items():
            changed[key] = with_floats(part, new)
        return changed
    if isinstance(value, list | tuple):
        parts = [with_floats(part, new) for part in value]
        return type(value)(*parts) if is_named_tuple(value) else type(value)(parts)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changed = copy.copy(value)
        for f in dataclasses.fields(value):
            object.__setattr__(changed, f.name, with_floats(getattr(value, f.name), new))
        return changed
    return value


def is_named_tuple(value: object) -> bool:
    """Tell whether a tuple is made from its parts one by one."""
    return isinstance(value, tuple) and hasattr(value, "_fields")
