"""The user's own operations and rules.

Three things can be said about a model beyond what the tables know:

* `visible` declares what kind of operation a Python function is, such as one around a
  `torch.autograd.Function` or a compiled kernel, so that it gets the rule of its kind.
* `Choices.functions` gives a rule to a `torch.autograd.Function` class, or trusts its own backward.
* `by_module` chooses rules by the module an operation runs in, by name or by type. The current module is
  found on the Python stack, so nothing is hooked and nothing stays on the model.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.overrides import handle_torch_function, has_torch_function

from pellucid._core.rules.operation import DECLARED_KIND
from pellucid._core.rules.table import Override, Rule
from pellucid._core.rules.vocabulary import Kind
from pellucid.errors import invalid_type, invalid_value

_DECLARABLE = {kind.name.lower(): kind for kind in (Kind.LINEAR, Kind.UNARY, Kind.PRODUCT, Kind.CONVEX, Kind.UNKNOWN)}


def visible(kind: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that makes a function one operation for the engine.

    Example:
        >>> import torch
        >>> from pellucid.attr import DeepLift
        >>> from pellucid.rules import visible
        >>> @visible("unary")
        ... def cube(x):
        ...     return x**3
        >>> DeepLift(cube).attribute(torch.full((1, 1), 2.0), 1.0, target=0)  # 8 - 1
        tensor([[7.]])

    Args:
        kind: ``"linear"``, ``"unary"`` (elementwise), ``"product"`` (multilinear), ``"convex"`` or
            ``"unknown"`` (integrated along the path).

    Returns:
        The decorator.
    """
    if kind not in _DECLARABLE:
        raise invalid_value("kind", repr(kind), "it is no kind of operation", "one of " + ", ".join(_DECLARABLE))

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def operation(*args: Any, **kwargs: Any) -> Any:
            tensors = tuple(v for v in (*args, *kwargs.values()) if isinstance(v, torch.Tensor))
            if has_torch_function(tensors):
                return handle_torch_function(operation, tensors, *args, **kwargs)
            return function(*args, **kwargs)

        setattr(operation, DECLARED_KIND, _DECLARABLE[kind])
        return operation

    return decorate


ModuleRules = Mapping[str | type, Rule | Mapping[str, Rule]]
"""From a module's name or type to one rule for its nonlinear operations, or to rules by operation."""


def by_module(model: torch.nn.Module, rules: ModuleRules) -> Override:
    """Return the override that chooses rules by module; the innermost module with an entry decides.

    Args:
        model: The module that names are relative to.
        rules: From names as in ``model.named_modules()``, or types, to a rule or to rules by operation.

    Returns:
        The override for `Choices`.
    """
    if not isinstance(model, torch.nn.Module):
        raise invalid_type("model", f"a {type(model).__name__}", "it has no modules", "a torch.nn.Module")
    for entry in rules.values() if isinstance(rules, Mapping) else (None,):
        if not isinstance(entry, Rule) and not (
            isinstance(entry, Mapping) and all(isinstance(rule, Rule) for rule in entry.values())
        ):
            given = f"a {type(rules).__name__}" + f" with a {type(entry).__name__}" * isinstance(rules, Mapping)
            raise invalid_type("rules", given, "a module gets a rule, or one by operation", "a dict of Rule")
    names = {id(module): name for name, module in model.named_modules()}
    unknown = [key for key in rules if isinstance(key, str) and key not in names.values()]
    if unknown:
        raise invalid_value(
            "rules", repr(unknown), "the model has no modules of these names", "names of named_modules()"
        )

    def choose(operation: str, kind: Kind, modules: tuple[torch.nn.Module, ...]) -> Rule | None:
        for module in modules:
            entry = rules.get(names.get(id(module), type(module))) or rules.get(type(module))
            if isinstance(entry, Rule):
                return None if kind is Kind.LINEAR else entry
            if entry is not None and operation in entry:
                return entry[operation]
        return None

    return choose
