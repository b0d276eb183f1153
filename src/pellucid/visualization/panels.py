"""Panels of reports: a signed map of an image and signed bars of a table, each on a given axis.

Both are drawn in the unit of the attributions, up to a limit that several panels can share, so that what
looks stronger is stronger.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pellucid.errors import invalid_type, invalid_value
from pellucid.visualization.arrays import ArrayLike, as_floats, attribution_map, image_array, picture
from pellucid.visualization.checks import check_same_shape
from pellucid.visualization.colors import NEGATIVE, POSITIVE, checked_limit, signed_colormap
from pellucid.visualization.figures import FRAME, bar_below, bare_axis, write_note
from pellucid.visualization.normalize import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import BarContainer
    from matplotlib.image import AxesImage

MINUS = "\N{MINUS SIGN}"
"""As wide as a plus, which a hyphen is not."""


def draw_attribution(
    ax: Axes,
    attr: ArrayLike,
    *,
    limit: float | None = None,
    image: ArrayLike | None = None,
    title: str | None = None,
) -> AxesImage:
    """Draw a signed heat map on an axis, with a colour bar in the unit of the attributions.

    Blue pixels lower the explained output, orange ones raise it, and white is zero. Over an image, which is
    drawn in pale grey, the opacity of a pixel grows with its magnitude.

    Example:
        >>> import numpy as np
        >>> from matplotlib.figure import Figure
        >>> axis = Figure().subplots()
        >>> heat_map = draw_attribution(axis, np.array([[0.5, -0.25]]), title="logit of class 3")
        >>> heat_map.get_clim()
        (-0.5, 0.5)

    Args:
        ax: The axis to draw on.
        attr: Attributions of shape (H, W), or (H, W, C) to be summed over the channels.
        limit: The magnitude that gets the full colour; pass the same one to panels that are to be compared,
            for instance `attribution_limit` of their maps. By default the value above which lie the largest 2
            % of the total attribution.
        image: An image of shape (H, W, 3), (H, W, 1) or (H, W), with floats from 0 to 1 or whole numbers from
            0 to 255, to be drawn below the map.
        title: The title above the panel.

    Returns:
        The heat map, whose colour limits are -limit and limit.

    Raises:
        InvalidValueError: A value is not finite or out of range, or a shape is wrong.
        InvalidTypeError: An argument is of a type that cannot be used.
    """
    values = attribution_map("attr", attr)
    bound = checked_limit(limit, values)
    opacity: FloatArray | None = None
    grey: FloatArray | None = None
    if image is not None:
        check_same_shape(tuple(np.shape(attr)), image_array("image", image).shape)
        grey = pale(picture("image", image).mean(axis=2))
        opacity = np.clip(np.abs(values) / bound, 0.0, 1.0) ** 0.5
    bare_axis(ax)
    if grey is not None:
        ax.imshow(grey, cmap="gray", vmin=0.0, vmax=1.0)
    heat_map = ax.imshow(values, cmap=signed_colormap(), vmin=-bound, vmax=bound, alpha=opacity)
    colorbar = bar_below(ax, heat_map, label="attribution", extend=extension(values, bound), ticks=[-bound, 0, bound])
    if colorbar is not None:
        colorbar.ax.set_xticklabels([signed_number(-bound), "0", signed_number(bound)])
    if not values.any():
        write_note(ax, "all attributions are zero")
    if title:
        ax.set_title(title)
    return heat_map


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
        >>> from matplotlib.figure import Figure
        >>> axis = Figure().subplots()
        >>> bars = draw_bars(axis, [0.5, -2.0, 0.25, 0.25], ["age", "dose", "sex", "site"], top=2)
        >>> [(label.get_text(), float(bar.get_width())) for label, bar in zip(axis.get_yticklabels(), bars)]
        [('dose', -2.0), ('age', 0.5), ('2 others', 0.5)]

    Args:
        ax: The axis to draw on.
        values: Attributions of shape (F,).
        names: The F names of the columns.
        limit: The magnitude at which the axis ends on both sides; by default the largest bar fits.
        title: The title above the panel.
        top: How many columns get a bar of their own.

    Returns:
        The bars, from top to bottom.

    Raises:
        InvalidValueError: A value is not finite, or there is not one name for each value.
        InvalidTypeError: An argument is of a type that cannot be used.
    """
    numbers = as_floats("values", values)
    if numbers.ndim != 1:
        given = f"of shape {numbers.shape}"
        raise invalid_value("values", given, "there is one bar for each number", "the values of one example, (F,)")
    if isinstance(names, str) or len(names) != numbers.size:
        given = f"a list of {len(names)}" if not isinstance(names, str) else repr(names)
        raise invalid_value("names", given, f"there are {numbers.size} values", "a list with one name for each")
    if isinstance(top, bool) or not isinstance(top, int):
        raise invalid_type("top", f"of type {type(top).__name__}", "it is a number of bars", "a positive integer")
    if top < 1:
        raise invalid_value("top", str(top), "at least one bar is drawn", "a positive integer")
    sizes, labels = ranked(numbers, names, top)
    bound = checked_limit(limit, sizes) if limit is not None else float(np.abs(sizes).max()) or 1.0
    rows = np.arange(len(sizes))
    bars = ax.barh(rows, sizes, color=[POSITIVE[2] if size > 0 else NEGATIVE[2] for size in sizes], height=0.7)
    ax.bar_label(bars, [signed_number(size) for size in sizes], padding=3, fontsize="small")
    ax.set_yticks(rows, labels)
    ax.invert_yaxis()
    ax.set_xlim(-1.45 * bound, 1.45 * bound)  # room for the numbers beside the longest bars
    style_bars(ax)
    if not numbers.any():
        write_note(ax, "all attributions are zero")
    if title:
        ax.set_title(title)
    return bars


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


def pale(grey: FloatArray) -> FloatArray:
    """Lift a grey image so that colours on top of it stay readable where it is dark."""
    return 0.5 + 0.5 * grey


def extension(values: FloatArray, bound: float) -> str:
    """Say at which ends the colour bar goes on, because values lie beyond its limit."""
    beyond = (bool((values < -bound).any()), bool((values > bound).any()))
    return {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[beyond]


def signed_number(value: float) -> str:
    """Write a number with its sign and three digits, with the minus sign of typesetting."""
    return f"{value:+.3g}".replace("-", MINUS) if value else "0"
