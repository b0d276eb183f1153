"""Argument checks of the image plots: all of them run before there is a figure, so that none stays open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from pellucid._core.checks import accept_text
from pellucid.docstrings import accept_flag, holding
from pellucid.errors import invalid_type, invalid_value
from pellucid.visualization.arrays import (
    ArrayLike,
    Denormalize,
    as_numpy,
    attribution_map,
    check_number,
    image_array,
    picture,
)
from pellucid.visualization.colors import resolve_colormap
from pellucid.visualization.figures import figure_of
from pellucid.visualization.normalize import SIGNS, FloatArray

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

Function = TypeVar("Function", bound=Callable[..., Any])

METHODS = ("heat_map", "blended_heat_map", "original_image", "masked_image", "alpha_scaling")
"""What a picture shows."""

LARGEST_SIDE = 1000
"""Inches; matplotlib draws no picture of millions of pixels along one side."""

UNSIGNED = ("masked_image", "alpha_scaling")
"""Methods that show magnitudes as brightness or opacity and so have no place for a sign."""


@dataclass(frozen=True)
class Options:
    """What all panels of a figure share; the fields are arguments of `visualize_image_attr`."""

    outlier_perc: float = 2
    cmap: str | Colormap | None = None
    alpha_overlay: float = 0.5
    show_colorbar: bool = False
    denormalize: Denormalize | None = None


@dataclass(frozen=True)
class Sources:
    """What is drawn, after the door: a (H, W) map and a (H, W, 3) picture, each only if a panel needs it."""

    attribution: FloatArray | None
    picture: FloatArray | None


def accept_optional_text(name: str, value: Any) -> None:
    """Check a text that may be left out."""
    if value is not None:
        accept_text(name, value, "it is written above")


HELD: dict[str, Callable[[str, Any], Any]] = {
    "bool": accept_flag,
    "str | None": accept_optional_text,
    "Axes": lambda _, value: figure_of(value),
}
"""What is accepted in the place of a parameter, by its annotation."""


def held(function: Function) -> Function:
    """Hold callers to the truth values, titles and axes that a signature names, before anything is drawn."""
    return holding(function, HELD)


def check_options(options: Options) -> None:
    """Refuse options outside their ranges."""
    accept_flag("show_colorbar", options.show_colorbar)
    check_number("outlier_perc", options.outlier_perc, "a percentage from 0 to below 100", below=100.0)
    check_number("alpha_overlay", options.alpha_overlay, "an opacity from 0 to 1", below=np.nextafter(1.0, 2.0))
    if options.cmap is not None:
        resolve_colormap("cmap", options.cmap)


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Refuse a word that is not one of the choices."""
    if not isinstance(value, str) or value not in choices:
        raise invalid_value(name, repr(value), "it is not known", f"one of {', '.join(map(repr, choices))}")


def check_panel(method: Any, sign: Any) -> None:
    """Refuse an unknown method or sign, and signed attributions where they cannot be shown."""
    check_choice("method", method, METHODS)
    check_choice("sign", sign, SIGNS)
    if sign == "all" and method in UNSIGNED:
        why = f"{method} shows magnitudes only"
        raise invalid_value("sign", "'all'", why, "'positive', 'negative' or 'absolute_value', or another method")


def check_panels(methods: Any, signs: Any, titles: Any) -> None:
    """Refuse lists of panels that are none, empty, or of different lengths."""
    for name, value in (("methods", methods), ("signs", signs), ("titles", titles)):
        if name == "titles" and value is None:
            continue
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise invalid_type(name, f"{value!r}", "there is one for each panel", f"a list such as [{value!r}]")
        if len(value) != len(methods):
            why = f"methods has {len(methods)} of them"
            raise invalid_value(name, f"a list of {len(value)} strings", why, "lists of the same length")
    if not methods:
        raise invalid_value("methods", "an empty list", "there is nothing to draw", f"some of {', '.join(METHODS)}")
    for method, sign in zip(methods, signs, strict=True):
        check_panel(method, sign)
    for place, title in enumerate(titles or ()):
        accept_optional_text(f"titles[{place}]", title)


def check_keywords(keywords: dict[str, Any]) -> Options:
    """Return the options that keywords give, or refuse keywords that no panel takes."""
    known = [field.name for field in fields(Options)]
    for name in keywords:
        if name not in known:
            raise invalid_type(f"the keyword {name}", "given", "no panel takes it", f"any of {', '.join(known)}")
    return Options(**keywords)


def check_figure(plt_fig_axis: Any, fig_size: Any) -> None:
    """Refuse what is no (figure, axis) pair and what is no size."""
    from matplotlib.axes import Axes  # noqa: PLC0415 - importing pellucid must not import matplotlib
    from matplotlib.figure import FigureBase  # noqa: PLC0415

    pair = isinstance(plt_fig_axis, Sequence) and len(plt_fig_axis) == 2
    if plt_fig_axis is not None and not (
        pair and isinstance(plt_fig_axis[0], FigureBase) and isinstance(plt_fig_axis[1], Axes)
    ):
        given = f"of type {type(plt_fig_axis).__name__}"
        why = "it is not a pair of a matplotlib figure and one of its axes"
        raise invalid_type("plt_fig_axis", given, why, "(figure, axis), as returned by plt.subplots()")
    check_size(fig_size)


def check_size(fig_size: Any) -> None:
    """Refuse what is no size of a figure."""
    size = as_numpy("fig_size", fig_size)
    if size.shape != (2,) or size.dtype.kind not in "fiu" or not ((size > 0) & (size <= LARGEST_SIDE)).all():
        instead = f"(width, height) in inches, both positive and at most {LARGEST_SIDE}"
        raise invalid_value("fig_size", repr(fig_size), "it is no size", instead)


def check_sources(
    attr: ArrayLike, original_image: ArrayLike | None, methods: Sequence[str], denormalize: Denormalize | None
) -> Sources:
    """Return map and picture in the form in which they are drawn, or refuse them."""
    needs_image = [method for method in methods if method != "heat_map"]
    needs_attr = any(method != "original_image" for method in methods)
    if original_image is None and needs_image:
        given = "None"
        why = f"{needs_image[0]} shows the image"
        raise invalid_value("original_image", given, why, "the image, or method='heat_map'")
    attribution = attribution_map("attr", attr) if needs_attr or attr is not None else None
    if original_image is None:
        return Sources(attribution, None)
    image = image_array("original_image", original_image)
    if attribution is not None:
        check_same_shape(tuple(np.shape(attr)), image.shape)
    shown = picture("original_image", original_image, denormalize) if needs_image else None
    return Sources(attribution, shown)


def check_same_shape(attr: tuple[int, ...], image: tuple[int, ...]) -> None:
    """Refuse attributions and images of different height, width, or number of channels (one fits all)."""
    channels = {shape[2] for shape in (attr, image) if len(shape) == 3} - {1}
    if attr[:2] == image[:2] and len(channels) <= 1:
        return
    why = f"original_image has shape {image} and both must show the same pixels"
    advice = f"attributions of shape {image} or {image[:2]}"
    if len(attr) == 3 and attr[1:] == image[:2]:
        advice = "attr with its channels last: attr.permute(1, 2, 0) or attr.transpose(1, 2, 0)"
    raise invalid_value("attr", f"of shape {attr}", why, advice)
