"""From a callable of torch to the one word that names its mathematics.

`operation_of` is total and cached: any function that reaches a ``TorchFunctionMode`` has an
`Operation`. Functions that torch itself writes in Python (``F.normalize``, ``torch.einsum``) also
get a *body*: a copy in which torch's own dispatch check is switched off, so that the calls inside
are seen one by one and no table needs an entry for the whole.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F

from pellucid._core.rules.decisions import DECISIONS
from pellucid._core.rules.vocabulary import (
    ELEMENTWISE,
    INERT,
    KINDS,
    MEETING,
    VALUE_GETTERS,
    WRAPPERS,
    WRITING,
    Kind,
)

DECLARED_KIND = "__pellucid_kind__"
"""Attribute of functions whose kind was declared, see registry.py."""

_PYTHON_LEVEL = ("torch.nn.functional", "torch.functional", "torch._tensor")
_DISPATCH_CHECKS = ("has_torch_function", "has_torch_function_unary", "has_torch_function_variadic")
_NOT_IN_PLACE = frozenset({"__invert__", "__index__", "__int__", "__init__", "__iter__"})
_FUNCTIONAL_HOMES = (torch.Tensor, torch, F, torch.special)


@dataclass(frozen=True, eq=False)
class Operation:
    """One operation of the vocabulary.

    Args:
        name: Canonical name, without the underscore of in-place forms.
        kind: What the operation is, mathematically.
        in_place: Whether the call writes its result into its first operand.
        writes: Whether the call writes into its first operand at all.
        functional: The call that computes the same values and writes nothing.
        body: The body of a function that torch writes in Python, or None.
        elementwise: Whether element i of the result depends on elements i only.
        meeting: Whether members of one elementwise region may be joined here.
        decide: Where the arguments decide the kind, the function that reads them.
        whole: The operation as one call, where the body writes nothing and makes one call of the same name; it is
            called without ``inplace``.
    """

    name: str
    kind: Kind
    in_place: bool
    writes: bool
    functional: Callable[..., Any]
    body: Callable[..., Any] | None
    elementwise: bool
    meeting: bool
    decide: Callable[[tuple[Any, ...], dict[str, Any]], Kind] | None
    whole: Operation | None = None


_operations: dict[Callable[..., Any], Operation] = {}


def operation_of(function: Callable[..., Any]) -> Operation:
    """Return the operation that a callable stands for."""
    known = _operations.get(function)
    if known is None:
        known = _operations[function] = _classify(function)
    return known


def _classify(function: Callable[..., Any]) -> Operation:
    name = _spoken_name(function)
    in_place = _writes_by_name(name) and name not in KINDS
    functional = function
    if in_place:
        bare = name[3:-2] if name.startswith("__i") and name.endswith("__") else name[:-1]
        found = _functional_form(bare)
        name, functional, in_place = (bare, found, True) if found is not None else (name, function, False)
    kind = getattr(function, DECLARED_KIND, None) or KINDS.get(name, Kind.UNKNOWN)
    declared = hasattr(function, DECLARED_KIND)
    body = None if declared or kind in {Kind.INERT, Kind.ESCAPE, Kind.REFUSED} else _python_body(functional)
    if kind is Kind.LINEAR and not _has_switch(functional, "inplace"):
        body = None
    operation = Operation(
        name=name,
        kind=kind,
        in_place=in_place,
        writes=in_place or name in WRITING or _writes_by_name(name),
        functional=functional,
        body=body,
        elementwise=name in ELEMENTWISE,
        meeting=name in MEETING,
        decide=DECISIONS.get(name),
    )
    if body is None or name not in WRAPPERS:
        return operation
    return replace(operation, whole=replace(operation, body=None))


def _writes_by_name(name: str) -> bool:
    if name.startswith("__i") and name.endswith("__"):
        return name not in _NOT_IN_PLACE
    return name.endswith("_") and not name.endswith("__") and name not in INERT


def _functional_form(name: str) -> Callable[..., Any] | None:
    for home in _FUNCTIONAL_HOMES:
        found = getattr(home, name, None) or getattr(home, f"__{name}__", None)
        if found is not None:
            return found  # type: ignore[no-any-return]  # torch's attributes are untyped
    return None


def _spoken_name(function: Callable[..., Any]) -> str:
    """Name an operation as torch does; anything that is not torch's own keeps its full name."""
    name = str(getattr(function, "__name__", None) or function)
    if name == "__get__":
        getter = str(getattr(getattr(function, "__self__", None), "__name__", "data"))
        return getter if getter in VALUE_GETTERS else "size"
    if name in {"__set__", "__delete__"}:
        return f"{getattr(getattr(function, '__self__', None), '__name__', 'attribute')}.{name}"
    if isinstance(function, torch._ops.OpOverload | torch._ops.OpOverloadPacket):  # noqa: SLF001 # the only name of these types
        space, _, rest = str(function).partition(".")
        short = rest.partition(".")[0]
        return short.lstrip("_") if space in {"aten", "prims"} else f"{space}::{short}"
    if isinstance(function, types.FunctionType) and not str(function.__module__).startswith("torch"):
        return f"{function.__module__}.{function.__qualname__}"
    return name


def _python_body(function: Callable[..., Any]) -> Callable[..., Any] | None:
    inner = function
    while hasattr(inner, "__wrapped__"):
        inner = inner.__wrapped__
    if not isinstance(inner, types.FunctionType) or inner.__globals__.get("__name__") not in _PYTHON_LEVEL:
        return None
    names = dict(inner.__globals__)
    names.update(dict.fromkeys(_DISPATCH_CHECKS, _never))
    body = types.FunctionType(inner.__code__, names, inner.__name__, inner.__defaults__, inner.__closure__)
    body.__kwdefaults__ = inner.__kwdefaults__
    return body


def _has_switch(function: Callable[..., Any], argument: str) -> bool:
    code = getattr(function, "__code__", None)
    return code is not None and argument in code.co_varnames


def _never(*_: object) -> bool:
    return False
