"""Copies of a model with random parameters; the user's own is never touched, not even for a moment.

``torch.func.functional_call`` puts other parameters into a module while it runs, where another thread would see
them, and a part of the model that is called by itself (``model.encoder(x)``) would run with the trained ones. So the
random parameters stand in a twin: a copy of the module's structure whose parameters are objects of their own on the
same memory, until a layer is drawn anew. It has the layers, types and methods of the model.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pellucid._core.random import generator_of
from pellucid._core.structure import wide
from pellucid.errors import UnsupportedModelError, invalid_type, invalid_value


def twin(model: nn.Module) -> nn.Module:
    """Copy a module's structure and buffers; parameters are new objects on the same memory.

    Raises:
        UnsupportedModelError: if the module holds something that cannot be copied.
    """
    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        memo[id(parameter)] = nn.Parameter(parameter.detach(), requires_grad=parameter.requires_grad)
    try:
        return copy.deepcopy(model, memo)
    except Exception as error:
        raise UnsupportedModelError(
            f"The model cannot be copied ({type(error).__name__}: {error}), and its parameters are not randomised in"
            " place. Pass a model without open files, locks and tensors that belong to a graph."
        ) from error


def accept_layers(model: Any, layers: Sequence[str] | None) -> tuple[str, ...]:
    """Check which layers are randomised: all with parameters of their own, the last defined first, by default."""
    if not isinstance(model, nn.Module):
        given = f"a {type(model).__name__}"
        raise invalid_type("model", given, "only modules have parameters to randomise", "a torch.nn.Module")
    known = [name for name, module in model.named_modules() if _own(module)]
    if not known:
        raise invalid_value("model", "without parameters", "there is nothing to randomise", "a model that was trained")
    if layers is None:
        return tuple(reversed(known))
    if isinstance(layers, str) or not isinstance(layers, Sequence) or not layers:
        raise invalid_type("layers", repr(layers), "it lists names of layers", "a tuple of names, or None")
    for name in layers:
        if name not in known:
            raise invalid_value("layers", repr(name), "no layer of that name has parameters", f"some of {known}")
    return tuple(layers)


def randomised(inner: nn.Module, layers: Sequence[str], seeds: Sequence[int], cascading: bool) -> Iterator[nn.Module]:
    """Randomise a twin layer after layer, all so far (cascading) or one at a time.

    Parameters are drawn from normal distributions with the mean and the spread that each had, so that constant
    ones, such as the weights of a normalisation that was never trained, stay as they are. A parameter that two
    layers share is drawn once for both.

    Yields:
        The twin, once per layer.
    """
    done: set[int] = set()
    for layer, seed in zip(layers, seeds, strict=True):
        generator = generator_of(seed)
        own = [p for p in _own(inner.get_submodule(layer)).values() if not cascading or id(p) not in done]
        trained = [parameter.data for parameter in own]
        for parameter in own:
            parameter.data = _drawn(parameter, generator)  # other memory; the model's own keeps its values
        done.update(id(parameter) for parameter in own)
        yield inner
        if not cascading:
            for parameter, data in zip(own, trained, strict=True):
                parameter.data = data


def _own(module: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in module.named_parameters(recurse=False) if p.is_floating_point() and p.numel()}


def _drawn(value: Tensor, generator: torch.Generator) -> Tensor:
    known = value.detach().to(wide(value.dtype))
    noise = torch.randn(value.shape, generator=generator, dtype=known.dtype).to(known.device)
    return (known.mean() + known.std(correction=0) * noise).to(value.dtype)
