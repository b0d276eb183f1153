"""Regions of an image: their borders, their labels, and the outlines of all segments of a map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pellucid._core.checks import shown as written
from pellucid.errors import invalid_type, invalid_value
from pellucid.visualization.arrays import ArrayLike, as_numpy, check_number, counted, picture
from pellucid.visualization.checks import held
from pellucid.visualization.colors import HUES
from pellucid.visualization.figures import INK, bare_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BoolArray = npt.NDArray[np.bool_]
"""A region: true where a pixel of an image of shape (H, W) belongs to it."""


@held
def draw_mask_border(ax: Axes, mask: ArrayLike, border_width: int = 1, border_color: Any = "black") -> None:
    """Draw the border of a region, inside of it: its pixels of which a neighbour within the width is outside.

    Pixels at the edge of the image belong to the border. Neighbours are those above, below, left and right.

    Example:
        >>> import numpy
        >>> import matplotlib.figure
        >>> axis = matplotlib.figure.Figure().subplots()
        >>> draw_mask_border(axis, numpy.ones((3, 3), dtype=bool), border_color="red")
        >>> axis.images[0].get_array()[:, :, 3].tolist()
        [[1.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 1.0]]

    Args:
        ax: The axis to draw on, over what it shows already.
        mask: The region, booleans of shape (H, W).
        border_width: Width of the border in pixels; with 0 nothing is drawn.
        border_color: A colour that matplotlib knows, by name or as red, green, blue and opacity from 0 to 1.

    Raises:
        InvalidValueError: The shape is no picture's, the width is negative, or the colour is unknown.
        InvalidTypeError: The mask holds no booleans, or the width is no integer.
    """
    region = region_of("mask", mask)
    check_whole("border_width", border_width)
    colour = checked_colour("border_color", border_color)
    if not border_width:
        return
    picture = np.zeros((*region.shape, 4))
    picture[region & ~eroded(region, border_width)] = colour
    ax.imshow(picture)


@held
def draw_mask_legend(
    ax: Axes,
    mask: ArrayLike,
    label: str,
    fontsize: int = 10,
    text_color: Any = "white",
    bbox_facecolor: Any = "black",
    bbox_alpha: float = 0.6,
) -> None:
    """Write a label at the centre of gravity of a region; an empty region gets none.

    Example:
        >>> import numpy
        >>> import matplotlib.figure
        >>> axis = matplotlib.figure.Figure().subplots()
        >>> draw_mask_legend(axis, numpy.array([[False, True, True]]), "sky")
        >>> axis.texts[0].get_text(), axis.texts[0].get_position()
        ('sky', (1.5, 0.0))

    Args:
        ax: The axis.
        mask: The region, booleans of shape (H, W).
        label: What is written; taken as it is, not as a formula.
        fontsize: Size of the letters in points.
        text_color: Colour of the letters.
        bbox_facecolor: Colour of the box around them.
        bbox_alpha: Opacity of the box, from 0 to 1.

    Raises:
        InvalidValueError: The shape is no picture's, or a colour or number is out of range.
        InvalidTypeError: The mask holds no booleans.
    """
    region = region_of("mask", mask)
    check_number("fontsize", fontsize, "a size in points", below=np.inf)
    check_number("bbox_alpha", bbox_alpha, "an opacity from 0 to 1", below=np.nextafter(1.0, 2.0))
    letters, face = checked_colour("text_color", text_color), checked_colour("bbox_facecolor", bbox_facecolor)
    if not region.any():
        return
    row, column = (float(part.mean()) for part in np.nonzero(region))
    box = {"boxstyle": "round,pad=0.25", "facecolor": (*face[:3], float(bbox_alpha)), "edgecolor": "none"}
    ax.text(
        column,
        row,
        str(label),
        color=letters,
        fontsize=float(fontsize),
        ha="center",
        va="center",
        bbox=box,
        parse_math=False,
    )


@held
def draw_regions(ax: Axes, image: ArrayLike, masks: Sequence[ArrayLike], opacity: float = 0.45) -> list[str]:
    """Draw an image with each of several regions in a colour of its own; where they overlap, colours mix.

    Example:
        >>> import numpy
        >>> import matplotlib.figure
        >>> left = numpy.array([[True, False]])
        >>> len(draw_regions(matplotlib.figure.Figure().subplots(), numpy.zeros((1, 2, 3)), [left, ~left]))
        2

    Args:
        ax: The axis.
        image: An image of shape (H, W, 3), (H, W, 1) or (H, W), with floats from 0 to 1 or whole numbers from 0 to
            255.
        masks: The regions, booleans of shape (H, W).
        opacity: The opacity of the colours, from 0 to 1.

    Returns:
        The colour of each region.

    Raises:
        InvalidValueError: A shape does not fit, or a number is out of range.
        InvalidTypeError: A mask holds no booleans.
    """
    check_number("opacity", opacity, "an opacity from 0 to 1", below=np.nextafter(1.0, 2.0))
    shown = picture("image", image)
    if counted(masks) is None:
        raise invalid_type("masks", f"of type {type(masks).__name__}", "each region is one", "a list of masks")
    regions = [region_of(f"masks[{place}]", mask) for place, mask in enumerate(masks)]
    for place, region in enumerate(regions):
        if region.shape != shown.shape[:2]:
            why = f"the image has shape {shown.shape[:2]}"
            raise invalid_value(f"masks[{place}]", f"of shape {region.shape}", why, "one value for each pixel")
    colours = [HUES[place % len(HUES)] for place in range(len(regions))]
    bare_axis(ax)
    for region, colour in zip(regions, colours, strict=True):
        shown = np.where(
            region[..., None], (1 - opacity) * shown + opacity * np.array(checked_colour("", colour)[:3]), shown
        )
    ax.imshow(shown)
    return colours


def draw_segments(ax: Axes, segments: npt.NDArray[np.int64], colour: str = INK) -> None:
    """Draw thin lines between the segments of a map of shape (H, W), along the edges of its pixels."""
    from matplotlib.collections import LineCollection  # noqa: PLC0415 - draws

    rows, columns = np.nonzero(segments[:, 1:] != segments[:, :-1])
    upright = [((x + 0.5, y - 0.5), (x + 0.5, y + 0.5)) for y, x in zip(rows, columns, strict=True)]
    rows, columns = np.nonzero(segments[1:] != segments[:-1])
    level = [((x - 0.5, y + 0.5), (x + 0.5, y + 0.5)) for y, x in zip(rows, columns, strict=True)]
    ax.add_collection(LineCollection([*upright, *level], colors=colour, linewidths=0.8, capstyle="round"))


def eroded(region: BoolArray, steps: int) -> BoolArray:
    """Take away, once per step, the pixels of a region that have a neighbour outside of it."""
    for _ in range(min(steps, max(region.shape))):
        padded = np.pad(region, 1)
        region = region & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return region


def region_of(name: str, mask: ArrayLike) -> BoolArray:
    """Return a region as booleans of shape (H, W); zeros and ones are taken for them."""
    array = as_numpy(name, mask)
    if array.dtype.kind not in "biuf" or not np.isin(array, (0, 1)).all():
        given = f"of type {type(mask).__name__} with elements of type {array.dtype}"
        raise invalid_type(name, given, "a pixel is inside or outside", "booleans, or zeros and ones, of shape (H, W)")
    if array.ndim != 2 or not array.size:
        raise invalid_value(name, f"of shape {array.shape}", "a region is part of a picture", "shape (H, W)")
    return array.astype(bool)


def segments_of(name: str, value: ArrayLike, shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Return the number of each pixel's segment, integers of the shape of the map."""
    array = as_numpy(name, value)
    if array.dtype.kind not in "biuf" or not (array == np.round(array)).all():
        given = f"of type {type(value).__name__} with elements of type {array.dtype}"
        raise invalid_type(name, given, "each pixel has the number of its segment", "integers of shape (H, W)")
    if array.shape != shape[:2]:
        raise invalid_value(name, f"of shape {array.shape}", f"the map has shape {shape[:2]}", "one number per pixel")
    return array.astype(np.int64)


def checked_colour(name: str, value: Any) -> tuple[float, float, float, float]:
    """Return a colour as red, green, blue and opacity."""
    from matplotlib.colors import to_rgba  # noqa: PLC0415 - importing pellucid must not import matplotlib

    try:
        return to_rgba(value)
    except (ValueError, TypeError, RuntimeError, OverflowError):
        advice = "a colour such as 'black', '#404040' or (0, 0, 0, 1)"
        raise invalid_value(name, repr(value), "matplotlib knows no such colour", advice) from None


def check_whole(name: str, value: Any, least: int = 0) -> None:
    """Refuse what is no integer, or one below the least."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise invalid_type(name, f"of type {type(value).__name__}", "it is no integer", f"an integer from {least} on")
    if value < least:
        raise invalid_value(name, written(value), "it is too small", f"an integer from {least} on")
