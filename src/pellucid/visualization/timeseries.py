"""`visualize_timeseries_attr`: the channels of a series as lines, with their attributions as background or colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pellucid.errors import invalid_type, invalid_value
from pellucid.visualization.arrays import ArrayLike, as_floats, counted
from pellucid.visualization.checks import Options, check_choice, check_options, check_size, held
from pellucid.visualization.figures import FRAME, bar_in_margin, figure_of, show, stacked_figure, write_note
from pellucid.visualization.image import default_colormap, empty_note
from pellucid.visualization.normalize import SIGNS, FloatArray, normalize

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

SERIES_METHODS = ("overlay_individual", "overlay_combined", "colored_graph")
"""How attributions stand with the lines: behind each, behind all of them in one panel, or as the lines' colour."""

LINE = "#303030"
"""Colour of a line on stripes."""


@dataclass(frozen=True)
class Series:
    """Data and attributions, after the door: shape (C, N), with N places on the x-axis."""

    attr: FloatArray
    data: FloatArray
    x_values: FloatArray
    labels: Sequence[str] | None


@held
def visualize_timeseries_attr(
    attr: ArrayLike,
    data: ArrayLike,
    x_values: ArrayLike | None = None,
    method: str = "overlay_individual",
    sign: str = "absolute_value",
    channel_labels: Sequence[str] | None = None,
    channels_last: bool = True,
    plt_fig_axis: tuple[Figure, Axes | Sequence[Axes]] | None = None,
    outlier_perc: float = 2,
    cmap: str | Colormap | None = None,
    alpha_overlay: float = 0.7,
    show_colorbar: bool = False,
    title: str | None = None,
    fig_size: tuple[float, float] = (6, 6),
    use_pyplot: bool = True,
    **pyplot_kwargs: Any,
) -> tuple[Figure, Axes | list[Axes]]:
    """Draw a series of one or more channels with its attributions.

    The attributions a of one sign are divided by the threshold t above which the largest of them make up
    ``outlier_perc`` percent of the sum, over all channels together:

        m[n, c] = clip(chosen(a[n, c]) / t, -1, 1),    and for "overlay_combined"    m[n] of sum_c a[n, c]

    =================== ==========================================================================
    method              what is drawn
    =================== ==========================================================================
    overlay_individual  each channel in a panel of its own, on stripes in the colour of m[n, c]
    overlay_combined    all channels in one panel, on stripes in the colour of m[n]
    colored_graph       each channel in a panel of its own, its line in the colour of m[n, c]
    =================== ==========================================================================

    Example:
        >>> import numpy as np
        >>> attr = np.array([[0.0], [1.0], [-4.0]])
        >>> figure, axis = visualize_timeseries_attr(attr, np.sin(attr), sign="all", use_pyplot=False)
        >>> axis.collections[0].get_array().ravel().tolist()
        [0.0, 0.25, -1.0]

    Args:
        attr: Attributions of shape (N, C), or (N,) for one channel: an array, or a tensor on any device.
        data: The series, of the same shape.
        x_values: Places of the N points, rising and of shape (N,); by default 0 to N - 1.
        method: One of the three methods above.
        sign: Which attributions are shown: ``"positive"``, ``"negative"``, ``"absolute_value"`` or ``"all"``.
        channel_labels: The names of the C channels.
        channels_last: Whether the shape is (N, C); if false, it is (C, N).
        plt_fig_axis: A figure and the axis, or the list of C axes, to draw on; by default a new figure is made.
        outlier_perc: The percentage of the total attribution, from 0 to below 100, that the largest values make
            up which are drawn in full colour.
        cmap: A matplotlib colour map or its name, by default that of `visualize_image_attr`.
        alpha_overlay: The opacity of the stripes, from 0 to 1.
        show_colorbar: Whether there is a colour bar below.
        title: The title above the first panel.
        fig_size: Width and height in inches of a new figure.
        use_pyplot: Whether pyplot makes and shows the figure.
        **pyplot_kwargs: What the lines are drawn with, such as ``linewidth`` and ``color``.

    Returns:
        The figure, and the axis, or the list of the axes of all channels if each has one and there are several.

    Raises:
        InvalidValueError: An argument is out of range or of a wrong shape, or holds NaN or infinite values.
        InvalidTypeError: An argument is of a type that cannot be used.
    """
    check_choice("method", method, SERIES_METHODS)
    check_choice("sign", sign, SIGNS)
    options = Options(outlier_perc, cmap, alpha_overlay, show_colorbar)
    check_options(options)
    check_size(fig_size)
    check_line(method, pyplot_kwargs)
    series = series_of(attr, data, x_values, channel_labels, channels_last)
    panels = 1 if method == "overlay_combined" else len(series.data)
    given = None if plt_fig_axis is None else given_axes(plt_fig_axis, panels)
    figure, axes = given or stacked_figure(fig_size, panels, use_pyplot)
    mappable = draw_panels(axes, series, method, sign, options, pyplot_kwargs)
    note = empty_note(series.attr, sign)
    if note:
        write_note(axes[0], note)
    if show_colorbar:
        bar_in_margin(figure, axes, mappable, [-1.0, 0.0, 1.0] if sign == "all" else [0.0, 0.5, 1.0])
    if title:
        axes[0].set_title(title)
    if use_pyplot:
        show()
    return figure, axes[0] if panels == 1 else axes


def series_of(
    attr: ArrayLike, data: ArrayLike, x_values: ArrayLike | None, labels: Sequence[str] | None, channels_last: bool
) -> Series:
    """Bring a series into one form, (C, N), or refuse it."""
    parts = {"attr": as_floats("attr", attr), "data": as_floats("data", data)}
    for name, array in parts.items():
        if array.ndim not in {1, 2}:
            advice = "shape (N, C), or (N,) for one channel"
            raise invalid_value(name, f"of shape {array.shape}", "one series is drawn at a time", advice)
    if parts["attr"].shape != parts["data"].shape:
        given = f"of shape {parts['attr'].shape}"
        raise invalid_value("attr", given, f"data has shape {parts['data'].shape}", "one value for each of the data")
    values, shown = (
        array[None] if array.ndim == 1 else array.T if channels_last else array for array in parts.values()
    )
    points = shown.shape[1]
    places = np.arange(points, dtype=np.float64) if x_values is None else as_floats("x_values", x_values)
    if places.shape != (points,):
        given = f"of shape {places.shape}"
        why = f"the series has {points} points"
        advice = f"shape ({points},)" + (", or another channels_last" if points < len(shown) else "")
        raise invalid_value("x_values", given, why, advice)
    if (np.diff(places) <= 0).any():
        raise invalid_value("x_values", "not rising", "a series goes from left to right", "rising places")
    length = None if labels is None else counted(labels)
    if labels is not None and length != len(shown):
        given = f"of type {type(labels).__name__}" if length is None else f"of length {length}"
        why = f"there are {len(shown)} channels"
        raise invalid_value("channel_labels", given, why, "a name for each, or another channels_last")
    return Series(values, shown, places, labels)


def check_line(method: str, options: Mapping[str, Any]) -> None:
    """Refuse what a line cannot be drawn with, before there is a figure."""
    from matplotlib.collections import LineCollection  # noqa: PLC0415 - draws
    from matplotlib.lines import Line2D  # noqa: PLC0415

    for name, value in options.items():
        try:
            LineCollection([], **{name: value}) if method == "colored_graph" else Line2D([], [], **{name: value})
        except (AttributeError, TypeError):
            why = "lines have no such property, or none of this type"
            raise invalid_type(name, repr(value), why, "an argument of plot(), such as linewidth=2") from None
        except ValueError as error:
            raise invalid_value(name, repr(value), f"matplotlib says: {error}", "another value") from None


def given_axes(plt_fig_axis: Any, panels: int) -> tuple[Figure, list[Axes]]:
    """Return the figure and axes that were given, one for each panel."""
    if not isinstance(plt_fig_axis, Sequence) or len(plt_fig_axis) != 2:
        given = f"of type {type(plt_fig_axis).__name__}"
        raise invalid_type("plt_fig_axis", given, "it is no pair", "(figure, axis), or (figure, list of axes)")
    figure, axes = plt_fig_axis
    flat = list(np.ravel(np.asarray(axes, dtype=object)))
    for axis in flat:
        figure_of(axis)
    if len(flat) != panels:
        given = f"a figure and {len(flat)} axes"
        raise invalid_value("plt_fig_axis", given, f"there are {panels} panels", f"{panels} axes")
    return figure, flat


def draw_panels(
    axes: Sequence[Axes], series: Series, method: str, sign: str, options: Options, line: dict[str, Any]
) -> ScalarMappable:
    """Draw all panels, and return what a colour bar is made for."""
    colours = {"cmap": options.cmap or default_colormap(sign), "vmin": -1.0 if sign == "all" else 0.0, "vmax": 1.0}
    labels = series.labels
    if method == "overlay_combined":
        values = normalize(series.attr.sum(axis=0), sign, options.outlier_perc)
        mappable = draw_stripes(axes[0], series.x_values, values, colours, options.alpha_overlay)
        hues = [f"C{channel}" for channel in range(len(series.data))] if len(series.data) > 1 else [LINE]
        for channel, hue in enumerate(hues):
            name = None if labels is None else str(labels[channel])
            axes[0].plot(series.x_values, series.data[channel], **{"label": name, "color": hue, **line})
        set_room(axes[0], series.data, 0.05)
        if labels is not None:
            axes[0].legend(framealpha=0.85, edgecolor="none")
        style_series(axes, None)
        return mappable
    values = normalize(series.attr, sign, options.outlier_perc)
    for axis, numbers, data in zip(axes, values, series.data, strict=True):
        if method == "colored_graph":
            mappable = draw_coloured_line(axis, series.x_values, data, numbers, colours, line)
        else:
            mappable = draw_stripes(axis, series.x_values, numbers, colours, options.alpha_overlay)
            axis.plot(series.x_values, data, **{"color": LINE, **line})
            set_room(axis, data, 0.05)
    style_series(axes, labels)
    return mappable


def draw_stripes(
    axis: Axes, places: FloatArray, values: FloatArray, colours: dict[str, Any], opacity: float
) -> ScalarMappable:
    """Fill the background with one stripe for each point, which ends halfway to its neighbours."""
    edges = edges_of(places)
    stripes = axis.pcolormesh(
        edges, [0.0, 1.0], values[None], transform=axis.get_xaxis_transform(), alpha=opacity, linewidth=0,
        antialiased=False, zorder=0, rasterized=True, **colours,
    )  # fmt: skip
    axis.set_xlim(edges[0], edges[-1])
    return stripes


def draw_coloured_line(
    axis: Axes, places: FloatArray, data: FloatArray, values: FloatArray, colours: dict[str, Any], line: dict[str, Any]
) -> ScalarMappable:
    """Draw a line whose colour at each point is that of its attribution, between points that of their mean."""
    from matplotlib.collections import LineCollection  # noqa: PLC0415 - draws
    from matplotlib.colors import Normalize  # noqa: PLC0415

    points = np.stack([places, data], axis=1)
    middles = (points[:-1] + points[1:]) / 2.0
    corners = np.concatenate([points[:1], np.stack([middles, points[1:]], axis=1).reshape(-1, 2)])
    shades = np.repeat(values, 2)[1:]  # two half segments for each inner point, one for each end
    segments = np.stack([corners[:-1], corners[1:]], axis=1)
    coloured = LineCollection(
        list(segments), array=shades[: len(segments)], cmap=colours["cmap"],
        norm=Normalize(colours["vmin"], colours["vmax"]), capstyle="round", **{"linewidth": 2.0, **line},
    )  # fmt: skip
    axis.add_collection(coloured)
    axis.set_xlim(*edges_of(places)[[0, -1]])
    set_room(axis, data, 0.05)
    return coloured


def set_room(axis: Axes, data: FloatArray, share: float) -> None:
    """Let an axis reach from the least to the largest value, and by a share of their distance further."""
    low, high = float(data.min()), float(data.max())
    room = share * ((high - low) or 1.0)
    axis.set_ylim(low - room, high + room)


def edges_of(places: FloatArray) -> FloatArray:
    """Return where the stripes of N points begin and end, N + 1 places."""
    if len(places) == 1:
        return np.array([places[0] - 0.5, places[0] + 0.5])
    middles = (places[:-1] + places[1:]) / 2.0
    return np.concatenate([[places[0] - (middles[0] - places[0])], middles, [places[-1] + (places[-1] - middles[-1])]])


def style_series(axes: Sequence[Axes], labels: Sequence[str] | None) -> None:
    """Outline the panels thinly, name them, and number the lowest one only."""
    for place, axis in enumerate(axes):
        axis.grid(visible=False)
        axis.tick_params(color=FRAME, labelsize="small", length=3, labelbottom=axis is axes[-1])
        for spine in axis.spines.values():
            spine.set_color(FRAME)
        if labels is not None:
            axis.set_ylabel(str(labels[place]))
