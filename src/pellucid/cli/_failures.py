"""How the command line fails: code 2 for what the user gave, code 1 for what the user's model did."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from pellucid.errors import PellucidError


class Refusal(click.ClickException):
    """Something given on the command line cannot be used; ends with code 2 and one line."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class ModelFailure(click.ClickException):
    """The user's model, or the module that makes it, raised; ends with code 1 and its own message."""

    exit_code = 1

    def __init__(self, doing: str, error: BaseException) -> None:
        said = printable(str(error)) or "(no message)"
        super().__init__(f"{doing} raised {type(error).__name__}: {said}  (--traceback shows where)")


def printable(text: str) -> str:
    """Return text on one line without control characters, so that no file name can steer a terminal."""
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))


@contextmanager
def users_code(doing: str) -> Iterator[None]:
    """Turn what the user's code raises into a `ModelFailure`, and what Pellucid refuses into a `Refusal`.

    Yields:
        Nothing.

    Raises:
        Refusal: Pellucid found something that the user gave unusable.
        ModelFailure: The user's code raised.
    """
    try:
        yield
    except (click.ClickException, click.Abort):
        raise
    except PellucidError as error:
        raise Refusal(str(error)) from error
    except Exception as error:
        raise ModelFailure(doing, error) from error
