"""Methods side by side: a dot for each mean, a line for its interval, a band for random attributions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pellucid.visualization.colors import NEGATIVE, POSITIVE
from pellucid.visualization.figures import FRAME, figure_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLES = {
    "better": (NEGATIVE[1], "o", "better than random"),
    "worse": (POSITIVE[1], "X", "worse than random"),
    "unclear": ("#8d93a0", "D", "not shown to differ"),
    "": ("#3a4256", "s", "no comparison with random"),
}
"""Colour, marker and meaning by what a score is worth; blue and orange stay apart for colour-blind readers, and the
marker says the same."""


@dataclass(frozen=True)
class Dots:
    """One metric: its title, per method a name, a mean, an interval and what it is worth, and the random band."""

    title: str
    rows: tuple[tuple[str, float, float, float, str], ...]
    band: tuple[float, float, float] | None


def draw_dots(dots: Dots, confidence: float, ax: Axes | None = None) -> tuple[Figure, Axes]:
    """Draw one metric.

    Args:
        dots: what to draw.
        confidence: of the intervals, for the label.
        ax: axes to draw on; a new figure, not known to pyplot, is made without.

    Returns:
        The figure and axes.

    Raises:
        InvalidValueError: if the axes belong to no figure.
    """
    if ax is None:
        from matplotlib.figure import Figure  # noqa: PLC0415  (drawing only)

        ax = Figure(figsize=(6, 0.42 * len(dots.rows) + 1.6), layout="tight").add_subplot()
    figure = figure_of(ax)
    _draw(ax, dots, confidence)
    return figure, ax


def draw_panels(panels: Sequence[Dots], confidence: float) -> tuple[Figure, list[Axes]]:
    """Draw one panel per metric, three in a row, with one legend.

    Args:
        panels: at least one.
        confidence: of the intervals.

    Returns:
        The figure, not known to pyplot, and its axes.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415  (drawing only)
    from matplotlib.lines import Line2D  # noqa: PLC0415

    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    height = (0.36 * len(panels[0].rows) + 1.25) * lines + 0.5
    figure = Figure(figsize=(2.2 + 3.1 * columns, height), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False)
    axes = list(grid.flat)
    for place, ax in enumerate(axes):
        if place >= len(panels):
            ax.set_axis_off()
            continue
        _draw(ax, panels[place], confidence)
        if place % columns:
            ax.set_yticklabels([])
    shown = [key for key in STYLES if any(row[4] == key for panel in panels for row in panel.rows)]
    handles = [
        Line2D([], [], color=STYLES[k][0], marker=STYLES[k][1], linestyle="none", label=STYLES[k][2]) for k in shown
    ]
    if any(panel.band for panel in panels):
        handles.append(Line2D([], [], color=FRAME, linewidth=6, label="random attributions"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize="small")
    return figure, axes[: len(panels)]


def _draw(ax: Axes, dots: Dots, confidence: float) -> None:
    if dots.band is not None and not math.isnan(dots.band[0]):
        mean, low, high = dots.band
        if not math.isnan(low):
            ax.axvspan(low, high, color=FRAME, alpha=0.45, linewidth=0, zorder=0)
        ax.axvline(mean, color=FRAME, linewidth=1.5, zorder=1)
    for place, (_, mean, low, high, verdict) in enumerate(dots.rows):
        colour, marker, _ = STYLES[verdict]
        if not math.isnan(low):
            ax.plot([low, high], [place, place], color=colour, linewidth=2, solid_capstyle="round", zorder=2)
        if not math.isnan(mean):
            ax.plot([mean], [place], color=colour, marker=marker, markersize=6.5, linestyle="none", zorder=3)
    ax.set_yticks(range(len(dots.rows)), [_plain(row[0]) for row in dots.rows])
    ax.set_ylim(len(dots.rows) - 0.5, -0.5)
    ax.set_title(_plain(dots.title), fontsize="medium", loc="left")
    ax.set_xlabel(f"mean, {confidence:.0%} interval", fontsize="small")
    ax.tick_params(axis="x", color=FRAME, labelsize="small")
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False)
    for side, spine in ax.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(FRAME)


def _plain(name: str) -> str:
    """Keep matplotlib from reading a name as mathematics."""
    return name.replace("$", r"\$")
