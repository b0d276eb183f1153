"""Progress bars, and programs that watch or stop what is going on.

A watcher is kept per context (so per thread)::

    with watching(lambda step: print(step.done, "of", step.total)):
        IntegratedGradients(model).attribute(inputs, target=0)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol


class Progress(Protocol):
    """Something that counts work done."""

    def update(self, n: int) -> object:
        """Count ``n`` more units of work."""


@dataclass(frozen=True)
class Step:
    """How far a piece of work is.

    Attributes:
        text: what is being done; nothing where no bar would have a title.
        done: units of work done, such as rows that went through the model.
        total: units in all, ``None`` if not known beforehand.
    """

    text: str
    done: int
    total: int | None


Watcher = Callable[[Step], object]
_watcher: ContextVar[Watcher | None] = ContextVar("pellucid_watcher", default=None)


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Be told, while the block runs, how far each call in it is; an exception from the watcher ends the call.

    The watcher is called in the thread of the call, between evaluations of the model. What it raises passes
    unchanged, and leaves model, inputs and generators as any exception does: as they were.

    Example:
        >>> import pellucid, torch
        >>> steps = []
        >>> with pellucid.watching(steps.append):
        ...     _ = pellucid.explain(torch.nn.Linear(2, 1), torch.ones(1, 2), n_steps=4)
        >>> steps[-1].done == steps[-1].total
        True

    Args:
        watcher: called with a ``Step`` after each part of the work; what takes a single pass may be done before.

    Yields:
        Nothing.
    """
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


class Silent:
    """Counts for nobody, not even a watcher."""

    def update(self, n: int) -> None:
        """Take no notice."""
        del n


class _Watched:
    """Counts for a watcher, and for a bar."""

    def __init__(self, watcher: Watcher, text: str, total: int | None, bar: Progress) -> None:
        self._watcher = watcher
        self._text = text
        self._done = 0
        self._total = total
        self._bar = bar

    def update(self, n: int) -> None:
        self._bar.update(n)
        self._done += n
        self._watcher(Step(self._text, self._done, self._total))


_SILENT: AbstractContextManager[Progress] = nullcontext(Silent())
"""Counts for nobody; it keeps nothing, so that one will do."""


def progress(show: bool, description: str, total: int | None, unit: str = "row") -> AbstractContextManager[Progress]:
    """Show a progress bar while the block runs, or count in silence; tell a watcher in either case.

    Args:
        show: whether anything is drawn.
        description: what is being done, in front of the bar.
        total: units of work in all, ``None`` if not known beforehand.
        unit: name of one unit of work.

    Returns:
        A context manager that gives an object with ``update(n)``.
    """
    watcher = _watcher.get()
    if watcher is None and not show:
        return _SILENT
    return _counting(watcher, show, description, total, unit)


@contextmanager
def _counting(
    watcher: Watcher | None, show: bool, description: str, total: int | None, unit: str
) -> Iterator[Progress]:
    with _bar(description, total, unit) if show else _SILENT as bar:
        yield bar if watcher is None else _Watched(watcher, description, total, bar)


def _bar(description: str, total: int | None, unit: str) -> AbstractContextManager[Progress]:
    from tqdm.auto import tqdm  # noqa: PLC0415  (importing the package must cost nothing)

    bar: AbstractContextManager[Progress] = tqdm(total=total, desc=description, unit=unit)
    return bar
