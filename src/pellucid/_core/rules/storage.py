"""Facts about aliasing, and a switch, that torch offers only under private names, in one place."""

from __future__ import annotations

import torch
from torch import Tensor

_top_hooks = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)  # noqa: SLF001 # no public name

_transforms = getattr(torch._C._functorch, "peek_interpreter_stack", None)  # noqa: SLF001 # likewise

_set_grad = torch._C._set_grad_enabled  # noqa: SLF001 # what torch.set_grad_enabled calls

_any_autocast = getattr(torch._C, "_is_any_autocast_enabled", None)  # noqa: SLF001 # likewise


def base_of(tensor: Tensor) -> Tensor | None:
    """Return the tensor that this one is a view of, or None."""
    return tensor._base  # noqa: SLF001 # no public name


def version_of(tensor: Tensor) -> int:
    """Return how often the tensor's memory has been written; aliases share the count."""
    return 0 if tensor.is_inference() else tensor._version  # no public name


def address_of(tensor: Tensor) -> int | None:
    """Return a key of the memory behind a tensor, equal for aliases; None where there is none."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (NotImplementedError, RuntimeError):  # sparse and other tensors without one storage
        return None


def saved_tensors_are_intercepted() -> bool:
    """Tell whether someone (non-reentrant checkpointing) intercepts what autograd saves."""
    return True if _top_hooks is None else _top_hooks(False) is not None


def autocasts_somewhere() -> bool:
    """Tell whether an autocast region is open for any kind of device."""
    return _any_autocast is None or bool(_any_autocast())


class gradients:  # noqa: N801 # a context manager, named as torch's
    """Switch gradients on or off, as ``torch.set_grad_enabled`` at a third of its cost: it is entered at every call."""

    __slots__ = ("_before", "_enabled")

    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled

    def __enter__(self) -> None:
        self._before = torch.is_grad_enabled()
        _set_grad(self._enabled)

    def __exit__(self, *_: object) -> None:
        _set_grad(self._before)


def inside_transform() -> bool:
    """Tell whether a ``torch.func`` transform (vmap, grad, jvp) is running in this thread."""
    return _transforms is not None and _transforms() is not None
