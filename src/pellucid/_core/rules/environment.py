"""What surrounds a pass: random generators that are put back, and compiled code that runs eagerly."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from pellucid._core.model import generator_states, restore_generators
from pellucid._core.rules.storage import gradients

_lock = threading.Lock()
_running = 0
_stance: contextlib.AbstractContextManager[Any] | None = None


class restored_generators:  # noqa: N801 # a context manager, named as torch's
    """Put torch's generators back at the end, and whenever the function that it gives is called.

    Both passes of a pair must draw the same numbers, or dropout would differ between them, and a
    deterministic method must leave the generators as it found them.

    Args:
        inputs: Tensors on the devices whose generators are meant; the CPU's always is.
    """

    def __init__(self, inputs: tuple[Tensor, ...]) -> None:
        self._devices = {tensor.device for tensor in inputs}

    def __enter__(self) -> Callable[[], None]:
        self._before = generator_states(*self._devices)
        return self._restore

    def _restore(self) -> None:
        restore_generators(self._before)

    def __exit__(self, *_: object) -> None:
        self._restore()


def with_gradients() -> contextlib.AbstractContextManager[Any]:
    """Switch gradients on, and inference mode off, whatever was chosen outside."""
    inside = torch.is_inference_mode_enabled()
    return torch.inference_mode(False) if inside else gradients(True)  # outside of it, gradients are on


def uncompiled(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Return the module or function behind ``torch.compile``."""
    for attribute in ("_orig_mod", "_torchdynamo_orig_callable"):
        inner = getattr(forward, attribute, None)
        if inner is not None:
            return uncompiled(inner)
    return forward


def eager() -> contextlib.AbstractContextManager[None]:
    """Run compiled code inside a model eagerly, so that its operations can be seen.

    The switch belongs to the process, so overlapping calls share one under a lock; the last to leave
    puts it back. Dynamo is never imported for it: where it is not loaded, nothing is compiled.
    """
    return _eager() if "torch._dynamo" in sys.modules else contextlib.nullcontext()


@contextlib.contextmanager
def _eager() -> Iterator[None]:
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _running, _stance  # noqa: PLW0603 # one counter for the process, because the switch is one
    with _lock:
        if _running == 0:
            _stance = torch.compiler.set_stance("force_eager")
            _stance.__enter__()
        _running += 1


def _leave() -> None:
    global _running, _stance  # noqa: PLW0603 # as above
    with _lock:
        _running -= 1
        if _running == 0 and _stance is not None:
            _stance.__exit__(None, None, None)
            _stance = None
