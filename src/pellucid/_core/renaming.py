"""Older names of arguments, accepted with a warning."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from pellucid.errors import invalid_type

Function = TypeVar("Function", bound=Callable[..., Any])


def renamed(**names: str) -> Callable[[Function], Function]:
    """Accept older names of keyword arguments, with a ``DeprecationWarning``.

    Args:
        **names: the present name for each older one.

    Returns:
        A decorator; the function's signature shows the present names only.
    """

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            for old, new in names.items():
                if old not in kwargs:
                    continue
                if new in kwargs:
                    raise invalid_type(old, "given", f"{new}, its present name, is given too", f"only {new}")
                warnings.warn(f"{old} is now called {new}", DeprecationWarning, stacklevel=2)
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call  # type: ignore[return-value]  # wraps() keeps the signature, which mypy cannot know

    return decorate
