"""Borrow the user's model and give it back as it was, whatever happens in between.

Nothing is set on the model: parameters keep ``requires_grad``, no gradient is written, no hook is
placed, no mode is changed. What a forward pass itself changes (buffers, such as the running
statistics of a batch norm in training mode, and the state of torch's generators) is put back.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

from pellucid._core.report import notify
from pellucid.errors import TrainingModeWarning, invalid_value

Given = ParamSpec("Given")
Result = TypeVar("Result")

_SENSITIVE = (
    nn.modules.dropout._DropoutNd,  # noqa: SLF001  (the only common base of torch's dropouts)
    nn.modules.batchnorm._NormBase,  # noqa: SLF001  (likewise of batch and instance norms)
    nn.RReLU,
)


def borrowed(forward: Any, device: torch.device, *others: Any) -> AbstractContextManager[None]:
    """Run a block in which the function may be evaluated with gradients, and leave no trace of it.

    Args:
        forward: the user's function; modules are looked for in it.
        device: where the inputs live; its generator is restored, as is the CPU's.
        *others: further functions of the user's that are evaluated, such as a loss.

    Returns:
        A context manager for one block.
    """
    return _Borrowed((forward, *others), device)


class _Borrowed:
    """What a block has to put back; a class, since for a small model a generator would take as long as a layer."""

    def __init__(self, functions: tuple[Any, ...], device: torch.device) -> None:
        self._functions = functions
        self._device = device
        self._mode: torch.inference_mode | None = None

    def __enter__(self) -> None:
        self._buffers = _look_over(modules_of(*self._functions))
        self._states = generator_states(self._device)
        if torch.is_inference_mode_enabled() or not torch.is_grad_enabled():
            self._mode = torch.inference_mode(False)  # which also turns gradients on
            self._mode.__enter__()

    def __exit__(self, *error: object) -> None:
        if self._mode is not None:
            self._mode.__exit__(*error)
        elif not torch.is_grad_enabled():  # the function has switched them off
            torch.set_grad_enabled(True)
        for buffer in self._buffers:
            buffer.restore()
        restore_generators(self._states)


def with_gradients(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """Let a function run with gradients on and outside inference mode, whatever it is called in.

    ``torch.inference_mode(False)`` does so too, and for a small model takes as long as a pass, also where it is off.
    """

    @functools.wraps(function)
    def call(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        if torch.is_grad_enabled() and not torch.is_inference_mode_enabled():
            return function(*args, **kwargs)
        with torch.inference_mode(False):
            return function(*args, **kwargs)

    return call


def modules_of(*functions: Any) -> list[nn.Module]:
    """Find the modules in functions: themselves, bound to it, in its closure, defaults or used globals."""
    found: dict[int, nn.Module] = {}
    seen: set[int] = set()
    pending = [*functions]
    while pending:
        value = pending.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, nn.Module):
            _add_modules(value, found)
        else:
            pending.extend(_held_by(value))
    return list(found.values())


def _add_modules(root: nn.Module, found: dict[int, nn.Module]) -> None:
    """Add a module and all below it, each once and parents first; ``modules()`` takes several times as long."""
    pending: list[nn.Module | None] = [root]
    while pending:
        module = pending.pop()
        if module is None or id(module) in found:
            continue
        found[id(module)] = module
        if module._modules:  # noqa: SLF001  (children() skips shared ones)
            pending.extend(reversed(module._modules.values()))  # noqa: SLF001  (likewise)


def _held_by(value: Any) -> list[Any]:
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *value.keywords.values()]
    if inspect.ismethod(value):
        return [value.__self__, value.__func__]
    if inspect.isfunction(value):
        used = (value.__globals__.get(name) for name in value.__code__.co_names)
        held = [v for v in used if isinstance(v, nn.Module)]
        for cell in value.__closure__ or ():
            try:
                held.append(cell.cell_contents)
            except ValueError:  # a cell that is not filled yet
                continue
        return [*held, *(value.__defaults__ or ())]
    if isinstance(value, list | tuple):
        return [v for v in value if isinstance(v, nn.Module)]
    if callable(value) and hasattr(value, "__dict__") and not isinstance(value, type):
        return [v for v in vars(value).values() if isinstance(v, nn.Module) or callable(v)]
    return []


def _look_over(modules: list[nn.Module]) -> list[_Buffer]:
    """Refuse parameters that take no gradients, warn of training mode, and note the buffers, in one walk.

    The private tables of a module are read because asking each by its public names takes longer than a small model.
    """
    buffers: list[_Buffer] = []
    sensitive: set[str] = set()
    for module in modules:
        for parameter in module._parameters.values():  # noqa: SLF001  (see above)
            if parameter is not None and parameter.is_inference():
                raise invalid_value(
                    "forward_func",
                    f"a model whose {type(module).__name__} was made in inference mode",
                    "such parameters take no part in gradients",
                    "a model made or loaded outside torch.inference_mode()",
                )
        if module._buffers:  # noqa: SLF001  (likewise)
            buffers += [_Buffer.of(module, name, b) for name, b in module.named_buffers(recurse=False)]
        if isinstance(module, _SENSITIVE) and module.training:
            sensitive.add(type(module).__name__)
    if sensitive:
        notify(
            TrainingModeWarning,
            f"The model is in training mode and holds {', '.join(sorted(sensitive))}: its predictions differ from"
            " those in use and may change from pass to pass. Call model.eval() first.",
        )
    return buffers


@dataclass(frozen=True)
class _Buffer:
    """A buffer as it was, and where it belongs."""

    module: nn.Module
    name: str
    tensor: Tensor
    content: Tensor

    @classmethod
    def of(cls, module: nn.Module, name: str, tensor: Tensor) -> _Buffer:
        return cls(module, name, tensor, tensor.detach().clone())

    def restore(self) -> None:
        if getattr(self.module, self.name, None) is not self.tensor:
            setattr(self.module, self.name, self.tensor)
        if not torch.equal(self.tensor, self.content):  # batch norm writes without counting a version
            with torch.no_grad():
                self.tensor.copy_(self.content)


def generator_states(*devices: torch.device) -> dict[str, Tensor]:
    """Take the states of torch's generators: the CPU's, and those of the accelerators among the devices."""
    states = {"cpu": torch.default_generator.get_state()}
    for device in devices:
        if device.type == "cuda":
            states[str(device)] = torch.cuda.get_rng_state(device)
    return states


def restore_generators(states: dict[str, Tensor]) -> None:
    """Put generators back where they have moved; those that have not are left to other threads."""
    for name, state in states.items():
        if name == "cpu":
            now = torch.default_generator.get_state()
            if state.numpy().tobytes() != now.numpy().tobytes():  # quicker than torch.equal
                torch.set_rng_state(state)
        elif not torch.equal(state, torch.cuda.get_rng_state(name)):
            torch.cuda.set_rng_state(state, name)
