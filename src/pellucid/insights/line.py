"""How a desk speaks to whoever asked: events go out, and the wish to stop comes in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pellucid.errors import PellucidError


class Cancelled(Exception):  # noqa: N818  (no error: somebody changed their mind)
    """Whoever asked does not want to know any more."""


@dataclass(frozen=True)
class Line:
    """The way back to whoever asked.

    Attributes:
        send: takes an event, a mapping of JSON values.
        cancelled: tells whether the answer is still wanted.
    """

    send: Callable[[dict[str, Any]], None]
    cancelled: Callable[[], bool]


def failure(error: BaseException) -> dict[str, Any]:
    """Tell of an error as an event; errors of Pellucid are about the question, others carry their type's name.

    Example:
        >>> failure(ZeroDivisionError("division by zero"))
        {'kind': 'error', 'message': 'ZeroDivisionError: division by zero', 'source': 'model'}

    Args:
        error: what was raised.

    Returns:
        The event.
    """
    if isinstance(error, PellucidError | Cancelled):
        return {"kind": "error", "message": str(error), "source": "question"}
    return {"kind": "error", "message": f"{type(error).__name__}: {error}", "source": "model"}


def guarded(line: Line, work: Callable[[], None]) -> None:
    """Do what calls the user's code; what it raises comes as an event, so that the page lives on."""
    try:
        work()
    except Cancelled:
        raise
    except Exception as error:  # ours, or the user's own of any kind
        line.send(failure(error))
