"""Curves of the output while features go or come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pellucid.errors import invalid_value
from pellucid.visualization.colors import NEGATIVE
from pellucid.visualization.figures import FRAME
from pellucid.visualization.normalize import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_curves(
    lines: tuple[FloatArray, FloatArray], *, title: str, labels: tuple[str, str], ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draw one curve per example, thin, and their mean, thick, with the area below it.

    Args:
        lines: places and values, each of shape (N, K).
        title: the title above the axes.
        labels: what places and values are.
        ax: axes to draw on; a new figure, not known to pyplot, is made without.

    Returns:
        The figure and axes.

    Raises:
        InvalidValueError: if the axes belong to no figure.
    """
    if ax is None:
        from matplotlib.figure import Figure  # noqa: PLC0415  (drawing only)

        ax = Figure(figsize=(5, 3.6), layout="tight").add_subplot()
    places, values = lines
    if len(values) > 1:
        ax.plot(places.T, values.T, color=FRAME, linewidth=0.8, zorder=1)
    at, mean = places.mean(axis=0), np.nanmean(values, axis=0)
    ax.plot(at, mean, color=NEGATIVE[2], linewidth=2.2, zorder=3, label="mean" if len(values) > 1 else None)
    ax.fill_between(at, mean, color=NEGATIVE[2], alpha=0.12, linewidth=0, zorder=2)
    ax.set_xlabel(labels[0], fontsize="small")
    ax.set_ylabel(labels[1], fontsize="small")
    ax.set_title(title)
    ax.margins(x=0.01)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    figure = ax.get_figure(root=True)
    if figure is None:
        raise invalid_value("ax", "an axes without a figure", "nothing can be drawn on it", "axes of a figure")
    return figure, ax
