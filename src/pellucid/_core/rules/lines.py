"""Where in the user's code an operation was called, and inside which module."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from types import FrameType

import torch

_TORCH = os.path.dirname(os.path.abspath(torch.__file__)) + os.sep
_OURS = str(Path(__file__).resolve().parents[2]) + os.sep  # the whole package
_SELECTION = str(Path(__file__).resolve().parents[1] / "output.py")


@functools.cache
def _belongs_to_user(filename: str) -> bool:
    return not filename.startswith((_TORCH, _OURS, "<"))


def user_line() -> str:
    """Return ``file:line in function`` of the innermost frame that is neither torch's nor ours."""
    frame: FrameType | None = sys._getframe(1)  # the documented way to walk without building a traceback
    while frame is not None:
        name = frame.f_code.co_filename
        if _belongs_to_user(name):
            return f"{name}:{frame.f_lineno} in {frame.f_code.co_name}"
        if name == _SELECTION:
            return "the selection of the target"
        frame = frame.f_back
    return "an unknown line"


def calling_modules() -> tuple[torch.nn.Module, ...]:
    """Return the modules whose forward pass is running in this thread, innermost first.

    They are found by walking the Python stack, so that nothing needs to be hooked, nothing stays on
    the model, and other threads on the same model are not disturbed.
    """
    found: list[torch.nn.Module] = []
    frame: FrameType | None = sys._getframe(1)  # as above
    while frame is not None:
        if frame.f_code.co_name in {"_call_impl", "forward"}:
            owner = frame.f_locals.get("self")
            if isinstance(owner, torch.nn.Module) and (not found or found[-1] is not owner):
                found.append(owner)
        frame = frame.f_back
    return tuple(found)
