"""Plain values among arguments: names that are chosen from a list, numbers, and tensors that hold numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, SupportsFloat, TypeGuard

import torch
from torch import Tensor

from pellucid.errors import invalid_type, invalid_value

LARGEST = 2**63 - 1
"""Largest integer that a tensor holds."""


def accept_choice(name: str, value: Any, known: Iterable[str], why: str) -> str:
    """Check that a name is one of those that are known, whatever was given in its place.

    Args:
        name: argument name for error messages.
        value: what was given.
        known: the names.
        why: why another one cannot be used.

    Returns:
        The name.

    Raises:
        InvalidValueError: if it is none of them.
    """
    names = list(known)
    if isinstance(value, str) and value in names:
        return value
    instead = " or ".join([", ".join(names[:-1])] * (len(names) > 1) + names[-1:])
    raise invalid_value(name, repr(value), why, instead)


def is_number(value: Any) -> TypeGuard[int | float]:
    """Tell whether something is a number; a truth value is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_finite(value: SupportsFloat) -> bool:
    """Tell whether a number is finite; integers beyond all floating-point numbers count as infinite."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def shown(value: object) -> str:
    """Write a number into a message; integers may have more digits than Python writes."""
    if isinstance(value, int) and abs(value) > 2 * LARGEST + 1:
        return f"an integer of {value.bit_length()} bits"
    return repr(value)


def accept_number(name: str, value: Any, wanted: str, low: float = -math.inf, high: float = math.inf) -> float:
    """Check a finite number between two bounds, which belong to it.

    Args:
        name: argument name for error messages.
        value: what was given.
        wanted: what to pass instead, such as "a number >= 0".
        low: the smallest number.
        high: the largest number.

    Returns:
        The number.

    Raises:
        InvalidTypeError: for something else than a number; a truth value is none.
        InvalidValueError: for a number that is not finite or out of range.
    """
    if not is_number(value):
        raise invalid_type(name, f"a {type(value).__name__}", "it is no number", wanted)
    if not is_finite(value) or not low <= value <= high:
        raise invalid_value(name, shown(value), "it is out of range", wanted)
    return float(value)


def accept_function(name: str, value: Any, instead: str = "a function") -> Callable[..., Any]:
    """Check that there is something to call."""
    if not callable(value):
        raise invalid_type(name, f"a {type(value).__name__}", "it cannot be called", instead)
    return value  # type: ignore[no-any-return]  # callable() does not narrow to a callable that returns Any


def accept_text(name: str, value: Any, why: str) -> str:
    """Check a text."""
    if not isinstance(value, str):
        raise invalid_type(name, f"a {type(value).__name__}", why, "a text")
    return value


def accept_instance(name: str, value: Any, kind: type, instead: str) -> None:
    """Check that something is of a class of this library."""
    if not isinstance(value, kind):
        raise invalid_type(name, f"a {type(value).__name__}", f"it is no {kind.__name__}", instead)


def accept_path(name: str, value: Any) -> Path:
    """Check what names a file."""
    if not isinstance(value, str | Path) or not str(value):
        raise invalid_type(name, f"a {type(value).__name__}", "it names no file", "a str or a pathlib.Path")
    return Path(value)


def accept_texts(name: str, value: Any, why: str) -> tuple[str, ...]:
    """Check a list of names or other texts; numbers in it are written out."""
    parts = listed(value)
    if parts is None:
        raise invalid_type(name, f"a {type(value).__name__}", why, "a list of texts")
    return parts


def listed(value: Any) -> tuple[str, ...] | None:
    """Give the parts of a list as texts; ``None`` for what is no list."""
    if isinstance(value, str | bytes | Tensor | Mapping):
        return None
    try:
        return tuple(str(part) for part in value)
    except TypeError:  # arrays without dimensions look as if they could be iterated over
        return None


def accept_dense(name: str, value: Tensor) -> Tensor:
    """Check that a tensor holds one value after the other, as arithmetic wants it.

    Raises:
        InvalidTypeError: for a sparse, nested or quantised tensor, or a dtype that torch only stores.
        InvalidValueError: for a tensor on the meta device.
    """
    if value.layout != torch.strided or value.is_nested:
        kind = "nested" if value.is_nested else f"of layout {value.layout}"
        raise invalid_type(name, f"a tensor {kind}", "it is not dense", "its to_dense(), or a padded tensor")
    if value.dtype not in _COMPUTING:
        advice = "its float()" if value.is_floating_point() else "its long()"
        raise invalid_type(name, f"a tensor of dtype {value.dtype}", "torch hardly computes with it", advice)
    if value.is_meta:
        raise invalid_value(name, "a tensor on the meta device", "it holds no values", "a tensor with values")
    return value


_COMPUTING = {torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.complex128}
_COMPUTING |= {torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}


def accept_keywords(name: str, value: Any) -> dict[str, Any]:
    """Check keyword arguments that are passed on to a function; ``None`` stands for none."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise invalid_type(name, f"a {type(value).__name__}", "it holds keyword arguments", "a dict with names as keys")
    return dict(value)
