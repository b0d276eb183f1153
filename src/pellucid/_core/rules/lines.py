"""Where in the user's code an operation was called, and inside which module."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from types import FrameType

import torch

Place = tuple[str, int, str]
"""A file, a line number and a function: found at every call, and put into words only when somebody asks."""

_TORCH = os.path.dirname(os.path.abspath(torch.__file__)) + os.sep
_OURS = str(Path(__file__).resolve().parents[2]) + os.sep  # the whole package
_SELECTION = str(Path(__file__).resolve().parents[1] / "output.py")
_PASS = str(Path(__file__).resolve().parent / "api.py")
_IN_SELECTION: Place = ("the selection of the target", 0, "")
NOWHERE: Place = ("an unknown line", 0, "")


@functools.cache
def _tells(filename: str) -> bool:
    """Tell whether a frame of this file says where we are: the user's, or the one that selects the target."""
    return filename == _SELECTION or not filename.startswith((_TORCH, _OURS, "<"))


def user_place(ours: int = 1) -> Place:
    """Return the place of the innermost frame that is neither torch's nor ours.

    Args:
        ours: How many frames from the caller's on are known to be ours, so that they need not be looked at.
    """
    frame: FrameType | None = sys._getframe(1 + ours)  # the documented way to walk without building a traceback
    while frame is not None:
        code = frame.f_code
        if _tells(code.co_filename):
            return _IN_SELECTION if code.co_filename == _SELECTION else (code.co_filename, frame.f_lineno, code.co_name)
        frame = frame.f_back
    return NOWHERE


def spoken(place: Place) -> str:
    """Put a place into words: ``file:line in function``."""
    file, line, function = place
    return f"{file}:{line} in {function}" if line else file


def user_line() -> str:
    """Return the place of the innermost frame that is neither torch's nor ours, in words."""
    return spoken(user_place(0))


def calling_modules() -> tuple[torch.nn.Module, ...]:
    """Return the modules whose forward pass is running in this pass and thread, innermost first.

    They are found by walking the Python stack, so that nothing needs to be hooked, nothing stays on
    the model, and other threads on the same model are not disturbed.
    """
    found: list[torch.nn.Module] = []
    frame: FrameType | None = sys._getframe(1)  # as above
    while frame is not None:
        code = frame.f_code
        if code.co_name in {"_call_impl", "forward"}:
            owner = frame.f_locals.get("self")
            if isinstance(owner, torch.nn.Module) and (not found or found[-1] is not owner):
                found.append(owner)
        elif code.co_filename == _PASS:  # what lies below called the method and is no part of the explained model
            break
        frame = frame.f_back
    return tuple(found)
