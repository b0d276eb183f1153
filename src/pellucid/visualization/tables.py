"""Attributions of tables on a given axis: bars, a waterfall from baseline to prediction, a beeswarm of many rows.

Bars and waterfall show one example and add up; the beeswarm shows how a feature acts in all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pellucid.errors import invalid_type, invalid_value
from pellucid.visualization.arrays import ArrayLike, as_floats, counted, one_number
from pellucid.visualization.checks import held
from pellucid.visualization.colors import NEGATIVE, POSITIVE, checked_limit
from pellucid.visualization.figures import FRAME, INK, MINUS, figure_of, frame_left, signed_number, titled, write_note
from pellucid.visualization.masks import check_whole
from pellucid.visualization.normalize import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.container import BarContainer

RISE, FALL = POSITIVE[2], NEGATIVE[2]
"""Colours of bars: what raises the explained output, and what lowers it."""

VISIBLE = 0.005
"""Share of the largest step of a waterfall from which on a difference can be seen."""


@held
def draw_bars(
    ax: Axes,
    values: ArrayLike,
    names: Sequence[str],
    *,
    limit: float | None = None,
    title: str | None = None,
    top: int = 20,
) -> BarContainer:
    """Draw the attributions of a table's columns as bars, the largest magnitude first.

    Blue bars to the left lower the explained output, orange ones to the right raise it. What is not among the
    ``top`` is summed in a last bar, so that the bars together have the sum of all attributions.

    Example:
        >>> import matplotlib.figure
        >>> axis = matplotlib.figure.Figure().subplots()
        >>> bars = draw_bars(axis, [0.5, -2.0, 0.25, 0.25], ["age", "dose", "sex", "site"], top=2)
        >>> [(label.get_text(), float(bar.get_width())) for label, bar in zip(axis.get_yticklabels(), bars)]
        [('dose', -2.0), ('age', 0.5), ('2 others', 0.5)]

    Args:
        ax: The axis.
        values: Attributions of shape (F,).
        names: The F names of the columns.
        limit: The magnitude at which the axis ends on both sides; by default the largest bar fits.
        title: The title above the panel.
        top: How many columns get a bar of their own.

    Returns:
        The bars, from top to bottom.

    Raises:
        InvalidValueError: A value is not finite, or there is not one name for each value.
        InvalidTypeError: A wrong type.
    """
    numbers = row_of(values, names, top)
    figure_of(ax)
    sizes, labels = ranked(numbers, names, top)
    bound = checked_limit(limit, sizes) if limit is not None else float(np.abs(sizes).max()) or 1.0
    rows = np.arange(len(sizes))
    bars = ax.barh(rows, sizes, color=[RISE if size > 0 else FALL for size in sizes], height=0.7)
    ax.bar_label(bars, [signed_number(size) for size in sizes], padding=3, fontsize="small")
    ax.set_yticks(rows, labels, parse_math=False)
    ax.invert_yaxis()
    ax.set_xlim(-1.45 * bound, 1.45 * bound)  # room for the numbers beside the longest bars
    style_bars(ax)
    if not numbers.any():
        write_note(ax, "all attributions are zero")
    titled(ax, title)
    return bars


@held
def draw_waterfall(
    ax: Axes,
    values: ArrayLike,
    names: Sequence[str],
    *,
    start: float,
    end: float | None = None,
    top: int = 12,
    title: str | None = None,
) -> BarContainer:
    """Draw how the attributions of one example lead from the output at the baseline to the prediction.

    From the output at the baseline on top, each bar begins where the one above it ends, the largest magnitude
    first; the last one ends at the prediction. What is missing to the prediction, if it could be seen, gets a
    grey bar of its own, ``not attributed``.

    Example:
        >>> import matplotlib.figure
        >>> axis = matplotlib.figure.Figure().subplots()
        >>> bars = draw_waterfall(axis, [0.5, -2.0], ["age", "dose"], start=3.0, end=1.5)
        >>> [(float(bar.get_x()), float(bar.get_width())) for bar in bars]
        [(3.0, -2.0), (1.0, 0.5)]

    Args:
        ax: The axis.
        values: Attributions of shape (F,).
        names: The F names of the columns.
        start: The explained output at the baseline.
        end: The explained output itself; by default the start plus all attributions.
        top: How many columns get a bar of their own; the others are summed.
        title: What stands above.

    Returns:
        The bars, from top to bottom.

    Raises:
        InvalidValueError: A value is not finite, or there is not one name for each value.
        InvalidTypeError: A wrong type.
    """
    numbers = row_of(values, names, top)
    first = one_number("start", start)
    last = first + float(numbers.sum()) if end is None else one_number("end", end)
    figure_of(ax)
    sizes, labels = ranked(numbers, names, top)
    colours = [RISE if size > 0 else FALL for size in sizes]
    missing = last - first - float(numbers.sum())
    if abs(missing) > VISIBLE * max(float(np.abs(np.cumsum(sizes)).max()), abs(last - first)):
        sizes, labels, colours = np.append(sizes, missing), [*labels, "not attributed"], [*colours, FRAME]
    ends = first + np.cumsum(sizes)
    rows = np.arange(len(sizes))
    bars = ax.barh(rows, sizes, left=ends - sizes, color=colours, height=0.7)
    for row, (size, stop) in enumerate(zip(sizes, ends, strict=True)):
        side = 1 if size >= 0 else -1
        ax.annotate(
            signed_number(size), (stop, row), (4 * side, 0), textcoords="offset points", va="center",
            ha="left" if side > 0 else "right", fontsize="small",
        )  # fmt: skip
        if row + 1 < len(sizes):
            ax.plot([stop, stop], [row - 0.35, row + 1.35], color=FRAME, linewidth=0.8, zorder=0)
    ax.set_yticks(rows, labels, parse_math=False)
    ax.set_ylim(len(rows) + 0.2, -1.2)  # a row above and one below for the words at the ends
    style_waterfall(ax, first, last, ends)
    titled(ax, title)
    return bars


def style_waterfall(ax: Axes, first: float, last: float, ends: FloatArray) -> None:
    """Mark both ends of a waterfall with a line and a number, and leave room for the numbers of the bars."""
    low, high = min(first, last, float(ends.min())), max(first, last, float(ends.max()))
    room = 0.16 * ((high - low) or 1.0)
    ax.set_xlim(low - room, high + room)
    style_bars(ax)
    ax.lines[-1].remove()  # the line at zero: here it means nothing
    ax.set_xlabel("explained output", fontsize="small")
    ink = ax.xaxis.label.get_color()
    for place, row, (near, far), word in (
        (first, -0.8, (-0.55, 0.35), "baseline"),
        (last, len(ends) - 0.2, (len(ends) - 0.45, len(ends) - 1.35), "prediction"),
    ):
        ax.plot([place, place], [near, far], color=ink, linewidth=1.0)
        ax.text(place, row, f"{word} {short(place)}", ha="center", va="center", fontsize="small", color=ink)


@held
def draw_beeswarm(
    ax: Axes,
    values: ArrayLike,
    names: Sequence[str],
    *,
    inputs: ArrayLike | None = None,
    top: int = 12,
    title: str | None = None,
) -> list[PathCollection]:
    """Draw the attributions of many examples, one row of dots for each column, the most important column first.

    Columns are ordered by their mean magnitude. Dots that would cover each other are moved apart, up and down.
    With the inputs given, the colour of a dot is the rank of its value among those of its column, from dark
    blue (low) to yellow (high): the colours show in which direction a column acts.

    Example:
        >>> import numpy
        >>> import matplotlib.figure
        >>> axis = matplotlib.figure.Figure().subplots()
        >>> _ = draw_beeswarm(axis, numpy.array([[1.0, 0.0, -3.0], [2.0, 0.0, 3.0]]), ["age", "sex", "dose"])
        >>> [label.get_text() for label in axis.get_yticklabels()]
        ['dose', 'age', 'sex']

    Args:
        ax: The axis.
        values: Attributions of shape (N, F).
        names: The F names of the columns.
        inputs: The values that the columns hold, of shape (N, F).
        top: How many columns are drawn.
        title: What stands above.

    Returns:
        The dots of each column, from top to bottom.

    Raises:
        InvalidValueError: A value is not finite, a shape is wrong, or there is not one name for each column.
        InvalidTypeError: A wrong type.
    """
    numbers = as_floats("values", values)
    if numbers.ndim != 2:
        given = f"of shape {numbers.shape}"
        raise invalid_value("values", given, "there is one dot for each example and column", "shape (N, F)")
    check_names(names, numbers.shape[1])
    check_whole("top", top, 1)
    held = None if inputs is None else as_floats("inputs", inputs)
    if held is not None and held.shape != numbers.shape:
        raise invalid_value("inputs", f"of shape {held.shape}", f"values has shape {numbers.shape}", "the same shape")
    figure_of(ax)
    order = np.argsort(-np.abs(numbers).mean(axis=0), kind="stable")[:top]
    reach = float(np.abs(numbers).max()) or 1.0
    ax.axvline(0.0, color=FRAME, linewidth=1.0, zorder=0)
    dots = []
    for row, column in enumerate(order):
        offsets = row + swarm(numbers[:, column] / reach)
        how = {"color": INK} if held is None else {"c": ranks(held[:, column]), "cmap": "cividis", "vmin": 0, "vmax": 1}
        dots.append(ax.scatter(numbers[:, column], offsets, s=14, linewidths=0.3, edgecolors="white", **how))
    ax.set_yticks(range(len(order)), [str(names[column]) for column in order], parse_math=False)
    ax.set_ylim(len(order) - 0.4, -0.6)
    frame_left(ax)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("attribution", fontsize="small")
    if held is not None:
        value_bar(ax, dots[0])
    titled(ax, title)
    return dots


def swarm(values: FloatArray, width: float = 0.38, bins: int = 60) -> FloatArray:
    """Return by how much dots at places from -1 to 1 are moved so that none in the same bin cover each other."""
    places = np.round((values + 1.0) / 2.0 * bins).astype(int)
    counts = np.bincount(places, minlength=bins + 1)
    step = min(0.11, 2 * width / max(int(counts.max()) - 1, 1))
    seen: dict[int, int] = {}
    offsets = np.zeros(len(values))
    for index in np.argsort(values, kind="stable"):
        number = seen.get(int(places[index]), 0)
        offsets[index] = (-1) ** number * ((number + 1) // 2) * step
        seen[int(places[index])] = number + 1
    return offsets


def ranks(values: FloatArray) -> FloatArray:
    """Return the rank of each value from 0 to 1, equal values sharing the middle of theirs; 0.5 if all are equal."""
    levels, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    if len(levels) == 1:
        return np.full(len(values), 0.5)
    middles = np.cumsum(counts) - (counts + 1) / 2.0
    shares: FloatArray = ((middles - middles[0]) / (middles[-1] - middles[0]))[places]
    return shares


def value_bar(ax: Axes, dots: PathCollection) -> None:
    """Put a slim colour bar beside a beeswarm: which colour is a low value, which a high one."""
    figure = figure_of(ax)
    colorbar = figure.colorbar(dots, ax=ax, fraction=0.025, pad=0.02, aspect=40)
    colorbar.set_ticks([0.0, 1.0], labels=["low", "high"])
    colorbar.ax.tick_params(length=0, labelsize="small")
    colorbar.outline.set_visible(False)
    colorbar.set_label("value of the feature", fontsize="small", labelpad=-12)


def row_of(values: ArrayLike, names: Sequence[str], top: int) -> FloatArray:
    """Return the attributions of one example, or refuse them with their names and the number of bars."""
    numbers = as_floats("values", values)
    if numbers.ndim != 1:
        given = f"of shape {numbers.shape}"
        raise invalid_value("values", given, "there is one bar for each number", "the values of one example, (F,)")
    check_names(names, numbers.size)
    check_whole("top", top, 1)
    return numbers


def check_names(names: Any, count: int) -> None:
    """Refuse what is not one name for each column."""
    length = counted(names)
    if length is None and not isinstance(names, str):
        given = f"of type {type(names).__name__}"
        raise invalid_type("names", given, f"there are {count} values", "a list with one name for each")
    if length != count:
        given = repr(names) if isinstance(names, str) else f"a list of {length}"
        raise invalid_value("names", given, f"there are {count} values", "a list with one name for each")


def short(value: float) -> str:
    """Write an output with three digits."""
    return f"{value:.3g}".replace("-", MINUS)


def ranked(values: FloatArray, names: Sequence[str], top: int) -> tuple[FloatArray, list[str]]:
    """Return values and names by falling magnitude, those after the top ones summed under one name."""
    order = np.argsort(-np.abs(values), kind="stable")
    sizes, labels = values[order[:top]], [str(names[index]) for index in order[:top]]
    others = order[top:]
    if others.size:
        sizes = np.append(sizes, values[others].sum())
        labels.append(f"{others.size} other{'s' * (others.size > 1)}")
    return sizes, labels


def style_bars(ax: Axes) -> None:
    """Give a bar chart a line at zero, a label, and little else."""
    ax.axvline(0.0, color=ax.xaxis.label.get_color(), linewidth=0.8)
    ax.set_xlabel("attribution", fontsize="small")
    ax.tick_params(axis="x", color=FRAME, labelsize="small")
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False)
    for side, spine in ax.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(FRAME)
