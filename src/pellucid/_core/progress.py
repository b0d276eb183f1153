"""Progress bars."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """Something that counts work done."""

    def update(self, n: int) -> object:
        """Count ``n`` more units of work."""


class _Silent:
    def update(self, n: int) -> None:
        del n


@contextmanager
def progress(show: bool, description: str, total: int | None, unit: str = "row") -> Iterator[Progress]:
    """Show a progress bar while the block runs, or count in silence.

    Args:
        show: whether anything is drawn.
        description: what is being done, in front of the bar.
        total: units of work in all, ``None`` if not known beforehand.
        unit: name of one unit of work.

    Yields:
        An object with ``update(n)``.
    """
    if not show:
        yield _Silent()
        return
    from tqdm.auto import tqdm  # noqa: PLC0415  (importing the package must cost nothing)

    with tqdm(total=total, desc=description, unit=unit) as bar:
        yield bar
