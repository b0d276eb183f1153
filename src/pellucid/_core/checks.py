"""Plain values among arguments: names that are chosen from a list, numbers, and tensors that hold numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

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
    instead = " or ".join([", ".join(names[:-1]), names[-1]])
    raise invalid_value(name, repr(value), why, instead)


def is_number(value: Any) -> bool:
    """Tell whether something is a number; a truth value is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_finite(value: float) -> bool:
    """Tell whether a number is finite; integers beyond all floating-point numbers count as infinite."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def shown(value: Any) -> str:
    """Write a number into a message; integers may have more digits than Python writes."""
    if isinstance(value, int) and abs(value) > 2 * LARGEST + 1:
        return f"an integer of {value.bit_length()} bits"
    return repr(value)


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
