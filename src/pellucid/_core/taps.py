"""Looking at, and changing, what flows through modules while a function runs.

Hooks are placed for the time of one pass and do something only in the thread that placed them, so that
several threads may explain one model at once. ``DataParallel`` calls replicas in threads of its own;
such passes take turns.
"""

from __future__ import annotations

import difflib
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from pellucid._core.model import modules_of
from pellucid._core.rules.environment import eager, uncompiled
from pellucid._core.structure import Names
from pellucid.errors import UnsupportedModelError, invalid_type, invalid_value

Visit: TypeAlias = Callable[[int, Any], Any]
"""From the number of a layer and what flows there to what shall flow on. At an input, a pair (args, kwargs)."""

_turn = threading.RLock()


@dataclass(frozen=True)
class Place:
    """Where in the model: at the output or the input of one or several modules.

    Attributes:
        layers: the modules.
        names: how messages call them.
        at_input: whether it is their input.
        device_ids: devices of a DataParallel model, whose replicas run in other threads.
    """

    layers: tuple[nn.Module, ...]
    names: Sequence[str]
    at_input: bool = False
    device_ids: tuple[int, ...] = ()


@contextmanager
def tapped(place: Place, visit: Visit) -> Iterator[None]:
    """Send whatever flows at a place through a function, within the block and in this thread.

    Args:
        place: where.
        visit: gets what flows and returns what shall flow on.
    """
    here = threading.get_ident()

    def concerns() -> bool:
        return bool(place.device_ids) or threading.get_ident() == here

    handles: list[torch.utils.hooks.RemovableHandle] = []
    with _turn if place.device_ids else nullcontext(), eager():
        try:
            for number, layer in enumerate(place.layers):
                handles.append(_hook(uncompiled(layer), place.at_input, number, visit, concerns))
            yield
        finally:
            for handle in reversed(handles):
                handle.remove()


def _hook(
    module: Any, at_input: bool, number: int, visit: Visit, concerns: Callable[[], bool]
) -> torch.utils.hooks.RemovableHandle:
    def before(_: nn.Module, args: Any, kwargs: Any) -> Any:
        return visit(number, (args, kwargs)) if concerns() else None

    def after(_: nn.Module, __: Any, output: Any) -> Any:
        return visit(number, output) if concerns() else None

    placed = module.register_forward_pre_hook(before, with_kwargs=True) if at_input else None
    handle: torch.utils.hooks.RemovableHandle = placed or module.register_forward_hook(after)
    return handle


def refuse_checkpoint(name: str) -> None:
    """Refuse a layer inside a checkpoint, where it is computed again in the backward pass, with the model's own values.

    Raises:
        UnsupportedModelError: if a checkpoint is running.
    """
    frame = sys._getframe(1).f_back
    while frame is not None:
        if frame.f_globals.get("__name__") == "torch.utils.checkpoint":
            raise UnsupportedModelError(
                f"{name} runs inside a checkpoint, which computes it again in the backward pass, where no other values"
                " can be put there. Switch checkpointing off for the attribution"
                " (model.gradient_checkpointing_disable() in Hugging Face models)."
            )
        frame = frame.f_back


def devices_in_order(found: Iterable[torch.device | None], device_ids: tuple[int, ...]) -> list[torch.device | None]:
    """Order the devices on which a layer ran as the shares of the batch were given to them."""
    order: dict[torch.device | None, int] = {torch.device("cuda", i): rank for rank, i in enumerate(device_ids)}
    unknown = [device for device in found if device not in order]
    if unknown:
        raise invalid_value(
            "device_ids",
            str(list(device_ids)),
            f"the layer also ran on {unknown[0]}",
            "the device_ids of the DataParallel model",
        )
    return sorted(found, key=order.__getitem__)


def gathered(shares: Mapping[torch.device | None, list[Tensor]], device_ids: tuple[int, ...]) -> list[Tensor]:
    """Put the shares of a batch that ran on several devices together, on the first of them.

    Args:
        shares: tensors in the order of the layer's calls, per device.
        device_ids: order of the devices.

    Returns:
        One tensor per call, all rows of the batch on the first device.

    Raises:
        UnsupportedModelError: if the devices met different numbers of calls.
    """
    if len(shares) == 1:
        return next(iter(shares.values()))
    order = devices_in_order(shares, device_ids)
    if len({len(shares[device]) for device in order}) > 1:
        raise UnsupportedModelError("The layer was called a different number of times on each device.")
    parts = zip(*(shares[device] for device in order), strict=True)
    return [torch.cat([part.to(order[0]) for part in share]) for share in parts]


def share_of(value: Tensor, device: torch.device, device_ids: tuple[int, ...]) -> Tensor:
    """Give the rows that ``DataParallel`` lets a device compute: chunk ``i`` goes to the i-th device."""
    devices = [torch.device("cuda", index) for index in device_ids]
    if device not in devices:  # the model did not run in parallel
        return value
    return value.chunk(len(devices))[devices.index(device)].to(device)


def accept_place(forward: Any, layer: Any, device_ids: Any, at_input: bool, name: str = "layer") -> Place:
    """Check a layer or a list of layers, and find the devices of a DataParallel model.

    Args:
        forward: the function to explain; names of layers are looked up in its modules.
        layer: a module, or a list of modules.
        device_ids: devices of a DataParallel model inside the function, ``None`` to look for one.
        at_input: whether the layer's input is meant.
        name: argument name for error messages.

    Returns:
        The place.

    Raises:
        InvalidTypeError: if something is no module.
        InvalidValueError: if a list is empty or holds a module twice.
    """
    layers = tuple(layer) if isinstance(layer, list | tuple) else (layer,)
    if not layers:
        raise invalid_value(name, "an empty list", "there is nothing to explain", "a module of the model")
    for each in layers:
        if not isinstance(each, nn.Module):
            raise invalid_type(name, f"a {type(each).__name__}", "it is no module", "a module of the model")
    if len({id(each) for each in layers}) < len(layers):
        raise invalid_value(name, "a list that holds a module twice", "it has one result", "each module once")
    names = Names(len(layers), lambda: _names_of(forward, layers))
    return Place(layers, names, bool(at_input), _devices(forward, device_ids))


def _names_of(forward: Any, layers: tuple[nn.Module, ...]) -> list[str]:
    """Say what messages call layers."""
    names = {id(module): f"layer {path!r}" if path else "the model" for path, module in _paths(forward).items()}
    return [names.get(id(uncompiled(each))) or f"a {type(each).__name__} outside the model" for each in layers]


def _paths(forward: Any) -> dict[str, nn.Module]:
    """Modules of a function by their dotted names within the largest modules that it holds."""
    paths: dict[str, nn.Module] = {}
    seen: set[int] = set()
    for root in modules_of(uncompiled(forward)):
        if id(root) not in seen:
            seen.update(id(module) for module in root.modules())
            for path, module in root.named_modules():
                paths.setdefault(path, module)
    return paths


def _devices(forward: Any, device_ids: Any) -> tuple[int, ...]:
    if device_ids is not None:
        if not isinstance(device_ids, list | tuple) or not all(isinstance(i, int) for i in device_ids):
            raise invalid_type("device_ids", repr(device_ids), "it names devices", "a list of ints")
        return tuple(device_ids)
    parallel = (m for m in modules_of(forward) if isinstance(m, nn.DataParallel))
    found = next((m.device_ids for m in parallel if len(m.device_ids) > 1), [])
    return tuple(int(i) for i in found)


def module_named(forward: Any, name: str) -> nn.Module:
    """Find a module of a function by its dotted name.

    Raises:
        InvalidValueError: if there is none of this name.
    """
    paths = _paths(forward)
    if name in paths and name:
        return paths[name]
    close = difflib.get_close_matches(name, paths, 3, 0.4) or [path for path in paths if path][-3:]
    raise invalid_value(
        "layer", repr(name), "the model has no module of this name", f"a name as in named_modules(), such as {close}"
    )


def name_of(forward: Any, layer: nn.Module | str) -> str:
    """Give a module's dotted name, or its class where it has none."""
    if isinstance(layer, str):
        return layer
    named = (path for path, module in _paths(forward).items() if module is uncompiled(layer))
    return next(named, "") or type(layer).__name__
