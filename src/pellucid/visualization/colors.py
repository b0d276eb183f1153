"""Colours of signed attributions: blue takes away, orange adds, white is zero.

Blue and orange stay apart for all common kinds of colour blindness (which red and green do not), and both
sides have the same lightness at the same magnitude, so that neither sign looks stronger than the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pellucid.errors import invalid_type, invalid_value
from pellucid.visualization.arrays import ArrayLike, attribution_map, check_number
from pellucid.visualization.normalize import FloatArray, outlier_threshold, to_bytes

if TYPE_CHECKING:
    from matplotlib.colors import Colormap, ListedColormap

NEGATIVE = ("#01569c", "#097bda", "#53a4fa", "#9ccaff", "#d3e7fe")
POSITIVE = ("#834501", "#b86403", "#e88934", "#ffb780", "#ffe0c9")
"""Anchors from full magnitude down: CIE lightness 36, 51, 66, 80, 91; OKLCH hues 252 and 58 degrees."""

FOR, AGAINST = (224, 106, 6), (9, 118, 222)
"""Orange and blue of HTML pages, as red, green and blue: what raises the explained output, and what lowers it."""

HUES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
"""Colours that readers with any common kind of colour blindness tell apart (Okabe and Ito, 2008)."""

LEVELS = 257
"""An odd number, so that zero has a level of its own and is exactly white."""


def signed_table() -> FloatArray:
    """Return the colours from -limit to limit as an array of shape (257, 3) with values from 0 to 1."""
    anchors = [*NEGATIVE, "#ffffff", *reversed(POSITIVE)]
    colours = np.array([[int(anchor[i : i + 2], 16) / 255.0 for i in (1, 3, 5)] for anchor in anchors])
    positions = np.linspace(-1.0, 1.0, len(anchors))
    levels = np.linspace(-1.0, 1.0, LEVELS)
    return np.stack([np.interp(levels, positions, colours[:, channel]) for channel in range(3)], axis=1)


def signed_colormap() -> ListedColormap:
    """Return the matplotlib colour map of signed attributions: blue below zero, white at zero, orange above.

    Both sides have the same lightness at the same magnitude, and readers who do not tell red from green see
    two colours as well.

    Example:
        >>> colours = signed_colormap()
        >>> [round(float(part), 2) for part in colours(0.5)]
        [1.0, 1.0, 1.0, 1.0]

    Returns:
        A colour map of 257 levels, the middle one white.
    """
    from matplotlib.colors import ListedColormap  # noqa: PLC0415 - draws

    return ListedColormap([tuple(row) for row in signed_table()], name="pellucid_signed")


def heat_map_rgba(
    values: ArrayLike, limit: float | None = None, colormap: str | Colormap = "signed"
) -> npt.NDArray[np.uint8]:
    """Colour a map of attributions, without a figure.

    The colour of a pixel is that of ``clip(value / limit, -1, 1)`` on a colour map whose middle is zero.

    Example:
        >>> import numpy as np
        >>> heat_map_rgba(np.array([[-2.0, 0.0, 2.0]]))[0].tolist()
        [[1, 86, 156, 255], [255, 255, 255, 255], [131, 69, 1, 255]]

    Args:
        values: Attributions of shape (H, W), or (H, W, C) to be summed over the channels.
        limit: The magnitude, in the unit of the attributions, that gets the full colour. By default the value
            above which lie the largest 2 % of the total attribution; pass one limit to compare several maps.
        colormap: ``"signed"``, or the name of a matplotlib colour map, or such a map.

    Returns:
        Red, green, blue and opacity (255), an array of bytes of shape (H, W, 4).

    Raises:
        InvalidValueError: A value is not finite, the shape is no picture's, or the limit is not positive.
        InvalidTypeError: The values are no real numbers, or the colour map is none.
    """
    attribution = attribution_map("values", values)
    bound = checked_limit(limit, attribution)
    position = (np.clip(attribution / bound, -1.0, 1.0) + 1.0) / 2.0
    if isinstance(colormap, str) and colormap == "signed":
        table = np.concatenate([to_bytes(signed_table()), np.full((LEVELS, 1), 255, dtype=np.uint8)], axis=1)
        rgba: npt.NDArray[np.uint8] = table[np.round(position * (LEVELS - 1)).astype(np.intp)]
        return rgba
    return np.asarray(resolve_colormap("colormap", colormap)(position, bytes=True), dtype=np.uint8)


def attribution_limit(*maps: ArrayLike, outlier_perc: float = 2) -> float:
    """Return the one limit on which several maps can be compared.

    It is the value above which the largest attributions of all maps make up ``outlier_perc`` percent of their
    total, or 1 if all are zero.

    Example:
        >>> attribution_limit([[1.0, -2.0]], [[0.0, 4.0]])
        4.0

    Args:
        *maps: Attributions of shape (H, W), or (H, W, C) to be summed over the channels.
        outlier_perc: The percentage, from 0 to below 100; with 0 the limit is the largest magnitude.

    Returns:
        A positive number in the unit of the attributions, the ``limit`` of `heat_map_rgba` and
        `draw_attribution`.

    Raises:
        InvalidValueError: There is no map, a value is not finite, or the percentage is out of range.
        InvalidTypeError: A map holds no real numbers.
    """
    check_number("outlier_perc", outlier_perc, "a percentage from 0 to below 100", below=100.0)
    if not maps:
        raise invalid_value("maps", "empty", "a limit is that of some values", "at least one map")
    flat = [attribution_map(f"map {index}", values).ravel() for index, values in enumerate(maps)]
    return outlier_threshold(np.concatenate(flat), outlier_perc) or 1.0


def checked_limit(limit: float | None, values: FloatArray) -> float:
    """Return the limit of a scale: the given one, or the outlier threshold of the values."""
    if limit is None:
        return attribution_limit(values)
    check_number("limit", limit, "a positive number or None", below=np.inf)
    if limit == 0:
        raise invalid_value("limit", str(limit), "a scale ends at a positive magnitude", "a positive number or None")
    return float(limit)


def resolve_colormap(name: str, value: Any) -> Colormap:
    """Return a matplotlib colour map, given or looked up by its name."""
    import matplotlib as mpl  # noqa: PLC0415 - importing pellucid must not import matplotlib
    from matplotlib.colors import Colormap  # noqa: PLC0415

    if isinstance(value, Colormap):
        return value
    if not isinstance(value, str):
        given = f"of type {type(value).__name__}"
        raise invalid_type(name, given, "it is no colour map", "the name of a matplotlib colour map or such a map")
    if value not in mpl.colormaps:
        raise invalid_value(name, repr(value), "matplotlib knows no such colour map", "a name such as 'viridis'")
    return mpl.colormaps[value]
