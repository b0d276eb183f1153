"""How many perturbed copies a user's ``perturb_func`` makes per call.

Its draws must not depend on the size of the forward passes, so it is called with as many copies as fit into a
fixed budget: for all but large inputs that is once, with every copy.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

from pellucid._core.batching import row_bytes
from pellucid._core.checks import accept_dense
from pellucid._core.structure import all_finite
from pellucid.errors import invalid_type, invalid_value

DRAWN_BYTES = 2**24
"""Bytes of copies, perturbations and perturbed copies that one call may hold."""


def calls(inputs: tuple[Tensor, ...], copies: int) -> Iterator[int]:
    """Cut a number of copies of the batch into those of each call.

    Yields:
        Copies of one call.
    """
    most = max(1, DRAWN_BYTES // (3 * row_bytes(inputs) * len(inputs[0])))
    while copies > 0:
        yield min(most, copies)
        copies -= most


def side_by_side(inputs: tuple[Tensor, ...], copies: int) -> Any:
    """Give ``copies`` of each example side by side, as the tensor itself where there is only one."""
    repeated = tuple(x.repeat_interleave(copies, dim=0) for x in inputs)
    return repeated if len(repeated) > 1 else repeated[0]


def grid(value: Tensor, examples: int, copies: int) -> Tensor:
    """Turn rows whose copies stand side by side into shape (copies, N, ...)."""
    return value.reshape(examples, copies, *value.shape[1:]).transpose(0, 1)


def accept_drawn(name: str, drawn: Any, inputs: tuple[Tensor, ...], copies: int) -> tuple[Tensor, ...]:
    """Check what a user's function returned: per input a finite tensor with the rows it was given."""
    found = drawn if isinstance(drawn, tuple | list) else (drawn,)
    if len(found) != len(inputs) or not all(isinstance(value, Tensor) for value in found):
        kinds = ", ".join(type(value).__name__ for value in found)
        raise invalid_type("perturb_func", f"a function whose {name} are ({kinds})", *_wanted(inputs))
    for value, x in zip(found, inputs, strict=True):
        wanted = (len(x) * copies, *x.shape[1:])
        if tuple(value.shape) != wanted:
            given = f"a function whose {name} have shape {tuple(value.shape)}"
            why = f"{copies} copies of {len(x)} examples were given to it"
            raise invalid_value("perturb_func", given, why, f"one that returns shape {wanted}")
        if not all_finite(accept_dense(f"{name} of perturb_func", value)):
            given = f"a function whose {name} are not all finite"
            raise invalid_value("perturb_func", given, "their score would be NaN", "one that returns finite values")
    return tuple(value.detach() for value in found)


def _wanted(inputs: tuple[Tensor, ...]) -> tuple[str, str]:
    return f"there are {len(inputs)} inputs", "one tensor for each, shaped as it was given"


def parameters_of(function: Callable[..., Any]) -> int | None:
    """Count the parameters of a function, ``None`` where they cannot be known."""
    try:
        return len(inspect.signature(function).parameters)
    except ValueError:
        return None
