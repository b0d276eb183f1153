"""``--layer`` and ``--neuron``: from names to modules and to methods in their scope."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from pellucid import MethodInfo
from pellucid.cli._failures import Refusal
from pellucid.errors import PellucidError
from pellucid.scopes import scoped


def layer_of(model: nn.Module, name: str | None) -> str | None:
    """Find a module by the name that it has in the model, or in the Hugging Face model that it wraps.

    Raises:
        Refusal: There is no such module.
    """
    if name is None:
        return None
    known = [path for path, _ in model.named_modules() if path]
    for path in (name, f"model.{name}"):
        if path in known:
            return path
    shown = ", ".join(path.removeprefix("model.") for path in known[-8:])
    raise Refusal(f"--layer is {name!r}, but the model has no such module. It has, among others: {shown}.")


def at_scope(infos: Sequence[MethodInfo], model: nn.Module, layer: str | None, neuron: Any) -> list[MethodInfo]:
    """Give each method in the scope that is asked for.

    Raises:
        Refusal: A method does not exist in this scope.
    """
    try:
        return [scoped(info, model, layer, neuron)[0] for info in infos]
    except PellucidError as error:
        raise Refusal(f"--layer and --neuron: {error}") from error
