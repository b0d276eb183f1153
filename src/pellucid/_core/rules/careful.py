"""Native operations for models whose in-place writes autograd forbids, although inference allows them.

Autograd refuses two kinds of writes: into a constant that a linear operation has saved for its backward
pass, and into one of several views that one call returned (``i, f = gates.chunk(2); i.sigmoid_()``). A pass
that failed for this reason is run again with care: constants are copied, and each of several views is
taken on its own. It costs memory, so it is not the default.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pellucid._core.rules.call import put_back, tensors_in
from pellucid._core.rules.operation import Operation

FORBIDDEN_WRITES = ("modified by an inplace operation", "is being modified inplace")
_SEVERAL_VIEWS = frozenset(
    {"chunk", "split", "split_with_sizes", "tensor_split", "unbind", "hsplit", "vsplit", "dsplit"}
)


def natively(operation: Operation, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run an operation as it is."""
    del operation
    return function(*args, **kwargs)


def natively_careful(operation: Operation, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run an operation so that the model may write into its operands and results."""
    if operation.name in _SEVERAL_VIEWS:
        with torch.no_grad():
            views = function(*args, **kwargs)
        own = [args[0].as_strided(v.size(), v.stride(), v.storage_offset()) for v in tensors_in(views)]
        return put_back(views, own)
    if not operation.writes:
        args = tuple(_copied(value) for value in args)
    return function(*args, **kwargs)


def _copied(value: Any) -> Any:
    constant = isinstance(value, Tensor) and not value.requires_grad and value.is_floating_point()
    return value.clone() if constant else value
