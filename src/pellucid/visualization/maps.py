"""Signed maps on a given axis: of one image, of several on one scale, of the channels of a layer.

All are drawn in the unit of the attributions, up to a limit that several panels can share, so that what
looks stronger is stronger.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pellucid.errors import invalid_type, invalid_value
from pellucid.visualization.arrays import (
    ArrayLike,
    as_floats,
    attribution_map,
    check_number,
    counted,
    image_array,
    picture,
)
from pellucid.visualization.checks import check_same_shape, held
from pellucid.visualization.colors import attribution_limit, checked_limit, signed_colormap
from pellucid.visualization.figures import (
    BAR_WIDTH,
    bar_below,
    bar_in,
    bare_axis,
    figure_of,
    signed_number,
    split,
    style_bar,
    titled,
    write_note,
)
from pellucid.visualization.masks import check_whole, draw_segments, segments_of
from pellucid.visualization.normalize import FloatArray, outlier_threshold

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

PALE = 0.6
"""What black becomes below a map: colours on it, and white, stay apart from it."""

COARSE = 24
"""Pixels a side below which an image is outlined, light against dark, where it would blur the colours of the map."""


@held
def draw_attribution(
    ax: Axes,
    attr: ArrayLike,
    *,
    limit: float | None = None,
    image: ArrayLike | None = None,
    title: str | None = None,
    segments: ArrayLike | None = None,
    outlier_perc: float = 2,
) -> AxesImage:
    """Draw a signed heat map on an axis, with a colour bar in the unit of the attributions.

    Blue pixels lower the explained output, orange ones raise it, and white is zero. Over an image, which is
    drawn in pale grey, the opacity of a pixel grows with its magnitude. Of a coarse image, below 24 pixels a side,
    lines between its light and its dark parts are drawn instead.

    Example:
        >>> import numpy
        >>> import matplotlib.figure
        >>> axis = matplotlib.figure.Figure().subplots()
        >>> heat_map = draw_attribution(axis, numpy.array([[0.5, -0.25]]), title="logit of class 3")
        >>> heat_map.get_clim()
        (-0.5, 0.5)

    Args:
        ax: The axis.
        attr: Attributions of shape (H, W), or (H, W, C) to be summed over the channels.
        limit: The magnitude that gets the full colour; pass the same one to panels that are to be compared,
            for instance `attribution_limit` of their maps. By default ``outlier_perc`` says.
        image: An image of shape (H, W, 3), (H, W, 1) or (H, W), with floats from 0 to 1 or whole numbers from
            0 to 255, to be drawn below the map.
        title: What stands above.
        segments: The number of each pixel's segment, integers of shape (H, W), whose borders are drawn.
        outlier_perc: The largest values that make up this percentage of the total get the full colour; with 0
            only the largest does, so that nothing is cut off.

    Returns:
        The heat map, whose colour limits are -limit and limit.

    Raises:
        InvalidValueError: A value is not finite or out of range, or a shape is wrong.
        InvalidTypeError: A wrong type.
    """
    values = attribution_map("attr", attr)
    check_number("outlier_perc", outlier_perc, "a percentage from 0 to below 100", below=100.0)
    bound = (outlier_threshold(values, outlier_perc) or 1.0) if limit is None else checked_limit(limit, values)
    borders = None if segments is None else segments_of("segments", segments, values.shape)
    grey = None
    if image is not None:
        check_same_shape(tuple(np.shape(attr)), image_array("image", image).shape)
        grey = pale(picture("image", image).mean(axis=2))
    if borders is not None and min(values.shape) < COARSE:
        grey = None  # lines of segments and of the image would be taken for each other
    figure_of(ax)
    bare_axis(ax)
    heat_map = draw_map(ax, values, bound, grey)
    if borders is not None:
        draw_segments(ax, borders)
    beyond = extension(values, bound)
    if ax.get_axes_locator() is not None:  # part of another axis
        bar_in(ax, heat_map, anchor=(0.5, 0.0), down=8, extend=beyond)
    elif (colorbar := bar_below(ax, heat_map, extend=beyond)) is not None:
        style_bar(colorbar, bound, "attribution")
    if not values.any():
        write_note(ax, "all attributions are zero")
    titled(ax, title)
    return heat_map


@held
def draw_images(
    ax: Axes,
    attrs: Sequence[ArrayLike],
    *,
    images: Sequence[ArrayLike] | None = None,
    titles: Sequence[str] | None = None,
    limit: float | None = None,
    columns: int | None = None,
    title: str | None = None,
) -> list[Axes]:
    """Draw the maps of several images on one colour scale, in a grid on an axis, with one colour bar.

    Example:
        >>> import numpy
        >>> import matplotlib.figure
        >>> axis = matplotlib.figure.Figure().subplots()
        >>> panels = draw_images(axis, [numpy.full((2, 2), 1.0), numpy.full((2, 2), -4.0)])
        >>> [panel.images[0].get_clim() for panel in panels]
        [(-4.0, 4.0), (-4.0, 4.0)]

    Args:
        ax: The axis whose area is divided among the maps.
        attrs: Attributions of each image, of shape (H, W) or (H, W, C), or an array of them.
        images: The images themselves, to be drawn below the maps.
        titles: A title for each map.
        limit: The magnitude that gets the full colour, by default `attribution_limit` of all maps.
        columns: How many maps stand side by side; by default at most 4, or what makes even rows.
        title: The title above all.

    Returns:
        The axes of the maps, row by row.

    Raises:
        InvalidValueError: There is no map, there is not one image or title for each, or a value cannot be drawn.
        InvalidTypeError: A wrong type.
    """
    count = counted(attrs)
    if count is None:
        raise invalid_type("attrs", f"of type {type(attrs).__name__}", "each image has its own", "a list of arrays")
    check_each("images", images, count)
    check_each("titles", titles, count)
    maps = [attribution_map(f"attrs[{index}]", attr) for index, attr in enumerate(attrs)]
    if not maps:
        raise invalid_value("attrs", "empty", "there is nothing to draw", "the attributions of one image or more")
    bound = attribution_limit(*maps) if limit is None else checked_limit(limit, maps[0])
    greys: list[FloatArray | None] = [None] * len(maps)
    for index, image in enumerate(images if images is not None else ()):
        check_same_shape(tuple(np.shape(attrs[index])), image_array(f"images[{index}]", image).shape)
        greys[index] = pale(picture(f"images[{index}]", image).mean(axis=2))
    across = columns_of(columns, len(maps))
    figure_of(ax)
    panels = split(ax, -(-len(maps) // across), across, gap=(0.08 if titles is None else 0.18, 0.08))
    for index, (panel, values, grey) in enumerate(zip(panels, maps, greys, strict=False)):
        bare_axis(panel)
        heat_map = draw_map(panel, values, bound, grey)
        if titles is not None:
            panel.set_title(str(titles[index]), fontsize="small", pad=4)
    for panel in panels[len(maps) :]:
        panel.set_axis_off()
    beyond = extension(np.concatenate([values.ravel() for values in maps]), bound)
    bar_in(ax, heat_map, anchor=(0.5, 0.0), down=10, extend=beyond)
    titled(ax, title, above=0.0 if titles is None else 16.0)
    return panels[: len(maps)]


@held
def draw_channels(
    ax: Axes,
    attr: ArrayLike,
    *,
    image: ArrayLike | None = None,
    names: Sequence[str] | None = None,
    top: int = 11,
    limit: float | None = None,
    title: str | None = None,
) -> list[Axes]:
    r"""Draw the attributions of a layer: their sum over the channels, then the strongest channels, on one scale.

    Over an image the maps are enlarged to its size, bilinearly. Channels are ordered by the sum of their
    magnitudes; each has its number, and the sum of its attributions, above it.

    Example:
        >>> import numpy
        >>> import matplotlib.figure
        >>> attr = numpy.zeros((3, 2, 2))
        >>> attr[2, 0, 0] = 5.0
        >>> panels = draw_channels(matplotlib.figure.Figure().subplots(), attr, top=1)
        >>> [panel.get_title().replace("\n", ": ") for panel in panels]
        ['all 3 channels: +5', 'channel 2: +5']

    Args:
        ax: The axis whose area is divided among the maps.
        attr: Attributions of shape (C, H, W).
        image: The explained image, of shape (H', W', 3), (H', W', 1) or (H', W').
        names: A name for each channel instead of its number.
        top: How many channels are drawn.
        limit: The magnitude that gets the full colour. By default the sum has a limit of its own, and the
            channels one in common.
        title: The title above all.

    Returns:
        The axes of the maps: that of the sum first.

    Raises:
        InvalidValueError: A value is not finite, a shape is wrong, or there is not one name for each channel.
        InvalidTypeError: A wrong type.
    """
    values = as_floats("attr", attr)
    if values.ndim != 3:
        given = f"of shape {values.shape}"
        raise invalid_value("attr", given, "there is one map for each channel", "shape (C, H, W), one example")
    check_each("names", names, len(values))
    check_whole("top", top, 1)
    grey = None if image is None else pale(picture("image", image).mean(axis=2))
    single = len(values) == 1
    order = np.argsort(-np.abs(values).sum(axis=(1, 2)), kind="stable")[: 0 if single else top]
    heads = ["one channel" if single else f"all {len(values)} channels"]
    heads += [f"channel {i}" if names is None else str(names[i]) for i in order]
    maps = [values.sum(axis=0), *values[order]]
    shown = maps if grey is None else list(upsampled(np.stack(maps), grey.shape))
    groups = [("sum of all channels", shown[:1]), ("single channels", shown[1:])][: 1 if single else 2]
    bounds = [attribution_limit(*group) if limit is None else checked_limit(limit, group[0]) for _, group in groups]
    width = min(BAR_WIDTH, 0.32 * ax.get_window_extent().width / figure_of(ax).dpi * 72)
    across = columns_of(None, len(maps), most=6)
    panels = split(ax, -(-len(maps) // across), across, gap=(0.3, 0.1))
    for index, panel in enumerate(panels[: len(maps)]):
        bare_axis(panel)
        heat_map = draw_map(panel, shown[index], bounds[index > 0], grey)
        panel.set_title(f"{heads[index]}\n{signed_number(float(maps[index].sum()))}", fontsize="x-small", pad=3)
        if index in {0, len(maps) - 1}:
            name, group = groups[index > 0]
            beyond = extension(np.stack(group), bounds[index > 0])
            place = (0.5 if single else 0.8 if index else 0.2, 0.0)
            label = "attribution" if single else name
            bar_in(ax, heat_map, anchor=place, down=10, label=label, extend=beyond, width=width)
    for panel in panels[len(maps) :]:
        panel.set_axis_off()
    if not values.any():
        write_note(panels[0], "all attributions are zero")
    titled(ax, title, above=26.0)
    return panels[: len(maps)]


def draw_map(ax: Axes, values: FloatArray, bound: float, grey: FloatArray | None) -> AxesImage:
    """Draw a map in signed colours, over a grey image if there is one; a coarse one is outlined instead."""
    opacity: FloatArray | None = None
    if grey is not None and min(grey.shape) >= COARSE:
        ax.imshow(grey, cmap="gray", vmin=0.0, vmax=1.0)
        opacity = np.clip(np.abs(values) / bound, 0.0, 1.0) ** 0.5
    heat_map = ax.imshow(values, cmap=signed_colormap(), vmin=-bound, vmax=bound, alpha=opacity)
    if grey is not None and opacity is None:
        draw_segments(ax, (grey > (grey.min() + grey.max()) / 2.0).astype(np.int64))
    return heat_map


def upsampled(maps: FloatArray, size: tuple[int, ...]) -> FloatArray:
    """Enlarge maps of shape (K, h, w) to (K, H, W), bilinearly."""
    enlarged = torch.nn.functional.interpolate(
        torch.from_numpy(maps)[None], size=tuple(size[:2]), mode="bilinear", align_corners=False
    )
    result: FloatArray = enlarged[0].numpy()
    return result


def columns_of(columns: int | None, count: int, most: int = 4) -> int:
    """Return how many panels stand side by side: as given, or such that rows are even."""
    if columns is not None:
        check_whole("columns", columns, 1)
        return min(columns, count)
    return math.ceil(count / math.ceil(count / most))


def check_each(name: str, values: Sequence[Any] | None, count: int) -> None:
    """Refuse what is not one entry for each of a number of things."""
    if values is None:
        return
    length = counted(values)
    if length is None:
        given = repr(values) if isinstance(values, str) else f"of type {type(values).__name__}"
        raise invalid_type(name, given, "there is one for each", f"a list of {count}")
    if length != count:
        raise invalid_value(name, f"of length {length}", f"there are {count} to name or draw", f"{count} of them")


def pale(grey: FloatArray) -> FloatArray:
    """Lift a grey image so that colours on top of it stay readable where it is dark."""
    return PALE + (1.0 - PALE) * grey


def extension(values: FloatArray, bound: float) -> str:
    """Say at which ends the colour bar goes on, because values lie beyond its limit."""
    beyond = (bool((values < -bound).any()), bool((values > bound).any()))
    return {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[beyond]
