"""Older names of arguments, accepted with a warning."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from pellucid.errors import invalid_type

Function = TypeVar("Function", bound=Callable[..., Any])


def renamed(**new_names: str) -> Callable[[Function], Function]:
    """Accept older names of keyword arguments.

    Args:
        **new_names: the present name by the older one.

    Returns:
        A decorator.
    """

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def accepting(*args: Any, **kwargs: Any) -> Any:
            for old, new in new_names.items():
                if old in kwargs:
                    if new in kwargs:
                        raise invalid_type(old, "given", f"it is the older name of {new}, which is given too", new)
                    warnings.warn(f"{old} is now called {new}", DeprecationWarning, stacklevel=2)
                    kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return accepting  # type: ignore[return-value]  # functools.wraps keeps the signature at run time

    return decorate
