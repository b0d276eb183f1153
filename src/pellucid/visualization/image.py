"""Attributions of images as pictures: `visualize_image_attr` and several such panels in a row.

A panel is a method (what is drawn) and a sign (which attributions). Arguments are checked and turned into a
map and a picture first; from then on nothing can be wrong, and only then is a figure made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pellucid.visualization.arrays import ArrayLike, Denormalize
from pellucid.visualization.checks import (
    Options,
    Sources,
    check_figure,
    check_keywords,
    check_options,
    check_panel,
    check_panels,
    check_sources,
    held,
)
from pellucid.visualization.figures import bar_below, bare_axis, new_figure, show, write_note
from pellucid.visualization.normalize import (
    FloatArray,
    alpha_picture,
    choose_sign,
    masked_picture,
    normalize,
    to_bytes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

COLORMAPS = {"positive": "Greens", "negative": "Reds", "absolute_value": "Blues"}
"""The default colour map of each sign; that of "all" goes from red over white to green."""

NOTES = {"positive": "no positive attributions", "negative": "no negative attributions"}
"""What is written where a sign has no attributions, though the map has some."""


@dataclass(frozen=True)
class Panel:
    """One picture of a figure."""

    method: str
    sign: str
    title: str | None


@held
def visualize_image_attr(
    attr: ArrayLike,
    original_image: ArrayLike | None = None,
    method: str = "heat_map",
    sign: str = "absolute_value",
    plt_fig_axis: tuple[Figure, Axes] | None = None,
    outlier_perc: float = 2,
    cmap: str | Colormap | None = None,
    alpha_overlay: float = 0.5,
    show_colorbar: bool = False,
    title: str | None = None,
    fig_size: tuple[float, float] = (6, 6),
    use_pyplot: bool = True,
    *,
    denormalize: Denormalize | None = None,
) -> tuple[Figure, Axes]:
    """Draw the attributions of one image.

    The attributions are summed over the channels, those of one sign are chosen and divided by the threshold t
    above which the largest of them make up ``outlier_perc`` percent of their sum:

        m = clip(chosen(sum_c attr[..., c]) / t, -1, 1)

    =================== ========================================================================
    method              what is drawn
    =================== ========================================================================
    heat_map            m in the colours of ``cmap``
    blended_heat_map    the image in grey and m on top of it, with opacity ``alpha_overlay``
    original_image      the image
    masked_image        the image times m, pixel by pixel: black where nothing was attributed
    alpha_scaling       the image with m as its opacity: empty where nothing was attributed
    =================== ========================================================================

    A map without attributions is drawn with a note that says so.

    Example:
        >>> import numpy as np
        >>> attr = np.array([[0.0, 1.0], [-4.0, 2.0]])
        >>> figure, axis = visualize_image_attr(attr, sign="all", use_pyplot=False)
        >>> axis.images[0].get_array().tolist()
        [[0.0, 0.25], [-1.0, 0.5]]

    Args:
        attr: Attributions of shape (H, W, C) or (H, W): an array, or a tensor on any device. May be None if
            ``method`` is ``"original_image"``.
        original_image: The image, of shape (H, W, 3), (H, W, 1) or (H, W), with floats from 0 to 1 or whole
            numbers from 0 to 255. Every method but ``"heat_map"`` needs it.
        method: One of the five methods above.
        sign: Which attributions are shown: ``"positive"``, ``"negative"`` or ``"absolute_value"``, of which
            the magnitude is drawn, or ``"all"``, which ``"masked_image"`` and ``"alpha_scaling"`` cannot
            show.
        plt_fig_axis: A pair of figure and axis to draw on; by default a new figure is made.
        outlier_perc: The percentage of the total attribution, from 0 to below 100, that the largest values
            make up which are drawn in full colour. With 0 only the largest value is.
        cmap: The name of a matplotlib colour map, or such a map. By default ``"Greens"`` for positive,
            ``"Reds"`` for negative and ``"Blues"`` for absolute values, and red over white to green for all.
        alpha_overlay: The opacity, from 0 to 1, of a blended heat map.
        show_colorbar: Whether there is a colour bar below a heat map, and as much empty space below a picture
            that has none, so that panels side by side stay aligned.
        title: The title above the picture.
        fig_size: Width and height in inches of a new figure.
        use_pyplot: Whether pyplot makes and shows the figure. If false, pyplot does not know of it and
            nothing is shown.
        denormalize: How to undo the normalisation of the image before it is drawn: (mean, std), each a number
            or one per channel, for ``image * std + mean``; or a function from the image, a float array, to
            another of the same shape.

    Returns:
        The figure and the axis that were drawn on.

    Raises:
        InvalidValueError: An argument is out of range or of a wrong shape, holds NaN or infinite values, or
            an image is needed and missing. There is no new figure then.
        InvalidTypeError: An argument is of a type that cannot be used. There is no new figure then either.
    """
    options = Options(outlier_perc, cmap, alpha_overlay, show_colorbar, denormalize)
    check_panel(method, sign)
    check_options(options)
    check_figure(plt_fig_axis, fig_size)
    sources = check_sources(attr, original_image, [method], denormalize)
    if plt_fig_axis is None:
        figure, (axis,) = new_figure(fig_size, 1, use_pyplot)
    else:
        figure, axis = plt_fig_axis
    draw_panel(axis, Panel(method, sign, title), sources, options)
    if use_pyplot:
        show()
    return figure, axis


@held
def visualize_image_attr_multiple(
    attr: ArrayLike,
    original_image: ArrayLike | None,
    methods: Sequence[str],
    signs: Sequence[str],
    titles: Sequence[str | None] | None = None,
    fig_size: tuple[float, float] = (8, 6),
    use_pyplot: bool = True,
    **kwargs: Any,
) -> tuple[Figure, Axes | npt.NDArray[np.object_]]:
    """Draw the attributions of one image in several ways, side by side.

    Each panel is drawn as `visualize_image_attr` draws it.

    Example:
        >>> import numpy as np
        >>> attr, image = np.array([[1.0, -3.0]]), np.array([[0.2, 0.6]])
        >>> figure, axes = visualize_image_attr_multiple(
        ...     attr, image, ["original_image", "heat_map"], ["all", "negative"], use_pyplot=False
        ... )
        >>> axes[1].images[0].get_array().tolist()
        [[0.0, 1.0]]

    Args:
        attr: Attributions of shape (H, W, C) or (H, W).
        original_image: The image, of shape (H, W, 3), (H, W, 1) or (H, W), or None if all methods are
            ``"heat_map"``.
        methods: The method of each of the k panels.
        signs: The sign of each of the k panels.
        titles: The title of each of the k panels; by default there are none.
        fig_size: Width and height in inches of the figure.
        use_pyplot: Whether pyplot makes and shows the figure.
        **kwargs: ``outlier_perc``, ``cmap``, ``alpha_overlay``, ``show_colorbar`` and ``denormalize``, as in
            `visualize_image_attr`, for all panels.

    Returns:
        The figure, and an array of its k axes, or its axis if k is 1.

    Raises:
        InvalidValueError: The lists have different lengths, or an argument is out of range or of a wrong
            shape.
        InvalidTypeError: A list is none, a keyword is unknown, or an argument is of a type that cannot be
            used.
    """
    options = check_keywords(kwargs)
    check_panels(methods, signs, titles)
    check_options(options)
    check_figure(None, fig_size)
    sources = check_sources(attr, original_image, methods, options.denormalize)
    figure, axes = new_figure(fig_size, len(methods), use_pyplot)
    for axis, method, sign, title in zip(axes, methods, signs, titles or [None] * len(methods), strict=True):
        draw_panel(axis, Panel(method, sign, title), sources, options)
    if use_pyplot:
        show()
    return figure, axes[0] if len(axes) == 1 else np.array(axes, dtype=object)


def draw_panel(axis: Axes, panel: Panel, sources: Sources, options: Options) -> None:
    """Draw one panel on an axis: picture, note, colour bar and title."""
    bare_axis(axis)
    mappable = draw_picture(axis, panel, sources, options)
    if panel.method != "original_image" and sources.attribution is not None:
        note = empty_note(sources.attribution, panel.sign)
        if note:
            write_note(axis, note)
    if options.show_colorbar:
        bar_below(axis, mappable, ticks=[-1.0, -0.5, 0.0, 0.5, 1.0] if panel.sign == "all" else [0.0, 0.5, 1.0])
    if panel.title:
        axis.set_title(panel.title)


def draw_picture(axis: Axes, panel: Panel, sources: Sources, options: Options) -> AxesImage | None:
    """Draw what the method shows, and return the heat map if there is one."""
    if panel.method == "original_image" and sources.picture is not None:
        axis.imshow(to_bytes(sources.picture))
    if panel.method == "original_image" or sources.attribution is None:
        return None
    values = normalize(sources.attribution, panel.sign, options.outlier_perc)
    if sources.picture is None or panel.method == "heat_map":
        return draw_heat_map(axis, values, panel.sign, options.cmap, opacity=None)
    match panel.method:
        case "blended_heat_map":
            axis.imshow(sources.picture.mean(axis=2), cmap="gray", vmin=0.0, vmax=1.0)
            return draw_heat_map(axis, values, panel.sign, options.cmap, opacity=options.alpha_overlay)
        case "masked_image":
            axis.imshow(masked_picture(sources.picture, values))
        case _:
            axis.imshow(alpha_picture(sources.picture, values))
    return None


def draw_heat_map(
    axis: Axes, values: FloatArray, sign: str, cmap: str | Colormap | None, opacity: float | None
) -> AxesImage:
    """Draw normalised attributions in colours, from -1 to 1 if both signs are shown and else from 0 to 1."""
    low = -1.0 if sign == "all" else 0.0
    return axis.imshow(values, cmap=cmap or default_colormap(sign), vmin=low, vmax=1.0, alpha=opacity)


def default_colormap(sign: str) -> str | Colormap:
    """Return the colour map in which a sign is drawn."""
    if sign != "all":
        return COLORMAPS[sign]
    from matplotlib.colors import LinearSegmentedColormap  # noqa: PLC0415 - draws

    return LinearSegmentedColormap.from_list("red_white_green", ["red", "white", "green"], N=257)


def empty_note(attribution: FloatArray, sign: str) -> str | None:
    """Return what to write where there is nothing to see, or None."""
    if not attribution.any():
        return "all attributions are zero"
    return None if choose_sign(attribution, sign).any() else NOTES[sign]
