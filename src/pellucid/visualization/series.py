"""A series on a given axis: a strip for each channel, its line on a background in the colours of its attributions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pellucid.visualization.arrays import ArrayLike
from pellucid.visualization.checks import held
from pellucid.visualization.colors import checked_limit, signed_colormap
from pellucid.visualization.figures import bar_in, figure_of, split, titled, write_note
from pellucid.visualization.maps import extension
from pellucid.visualization.normalize import outlier_threshold
from pellucid.visualization.timeseries import draw_stripes, series_of, set_room, style_series

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@held
def draw_series(
    ax: Axes,
    attr: ArrayLike,
    data: ArrayLike,
    *,
    x_values: ArrayLike | None = None,
    names: Sequence[str] | None = None,
    limit: float | None = None,
    title: str | None = None,
) -> list[Axes]:
    """Draw each channel of a series as a line, on stripes in the colours of its attributions, all on one scale.

    Where the background is blue, the values lower the explained output, where it is orange, they raise it.

    Example:
        >>> import numpy
        >>> import matplotlib.figure
        >>> axis = matplotlib.figure.Figure().subplots()
        >>> strips = draw_series(axis, numpy.array([[0.5, -2.0], [0.0, 1.0]]), numpy.zeros((2, 2)))
        >>> [strip.collections[0].get_clim() for strip in strips]
        [(-2.0, 2.0), (-2.0, 2.0)]

    Args:
        ax: The axis whose area is divided among the channels.
        attr: Attributions of shape (C, T), or (T,) for one channel.
        data: The series, of the same shape.
        x_values: Places of the T points, rising; by default 0 to T - 1.
        names: The names of the C channels.
        limit: The magnitude that gets the full colour. By default the value above which lie the largest 2 % of
            the total attribution.
        title: What stands above.

    Returns:
        The axes of the channels, from top to bottom.

    Raises:
        InvalidValueError: A value is not finite, or a shape is wrong.
        InvalidTypeError: A wrong type.
    """
    series = series_of(attr, data, x_values, names, channels_last=False)
    default = outlier_threshold(series.attr, 2) or 1.0
    bound = default if limit is None else checked_limit(limit, series.attr)
    figure_of(ax)
    strips = split(ax, len(series.data), 1, gap=(0.08, 0.0))
    colours = {"cmap": signed_colormap(), "vmin": -bound, "vmax": bound}
    for strip, values, line in zip(strips, series.attr, series.data, strict=True):
        stripes = draw_stripes(strip, series.x_values, values, colours, 1.0)
        strip.plot(series.x_values, line, color="white", linewidth=2.6, solid_capstyle="round")
        strip.plot(series.x_values, line, color="#202020", linewidth=1.1, solid_capstyle="round")
        set_room(strip, line, 0.12)
    style_series(strips, names)
    beyond = extension(series.attr, bound)
    bar_in(ax, stripes, anchor=(0.5, 0.0), down=30, extend=beyond)
    if not np.any(series.attr):
        write_note(strips[0], "all attributions are zero")
    titled(ax, title)
    return strips
