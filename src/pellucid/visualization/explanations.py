"""The picture that fits an explanation: a table of what draws each kind of data, and of its options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pellucid.errors import invalid_type, invalid_value
from pellucid.visualization.arrays import as_numpy
from pellucid.visualization.checks import check_choice
from pellucid.visualization.figures import MINUS, figure_of, single_axis, split
from pellucid.visualization.maps import columns_of, draw_attribution, draw_channels, draw_images
from pellucid.visualization.masks import check_whole
from pellucid.visualization.series import draw_series
from pellucid.visualization.tables import draw_bars, draw_beeswarm, draw_waterfall
from pellucid.visualization.tokens import draw_tokens
from pellucid.visualization.views import (
    View,
    count_of,
    layer_picture,
    names_of,
    outputs_of,
    picture_of,
    taken,
    target_of,
    title_of,
    tokens_of,
    totals_of,
    views_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pellucid.explanation import Explanation

PADDING = "[PADDING]"
"""What positions after the last token read as, if they have attributions at all."""

Drawing = Callable[..., Any]

KINDS: dict[str, tuple[str, Drawing]] = {
    "image": ("image", draw_attribution),
    "table": ("table", draw_bars),
    "waterfall": ("table", draw_waterfall),
    "beeswarm": ("table", draw_beeswarm),
    "text": ("text", draw_tokens),
    "series": ("series", draw_series),
    "layer": ("layer", draw_channels),
}
"""Pictures by name: the kind of data that each shows, and the function that draws it."""

SIZES = {
    "image": (4.2, 4.8),
    "table": (6.4, 4.2),
    "text": (7.0, 2.2),
    "series": (7.4, 2.0),
    "layer": (8.4, 4.0),
    "waterfall": (6.8, 4.4),
    "beeswarm": (7.2, 4.6),
    "images": (8.4, 4.0),
}
"""Width and height in inches of the figures that are made for each."""


def plot_explanation(
    explanation: Explanation,
    example: int | Sequence[int] | None = None,
    ax: Axes | None = None,
    kind: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> tuple[Figure, Axes]:
    """Draw an explanation.

    Args:
        explanation: what to draw.
        example: which example, by default the first; of images, several give a grid on one scale.
        ax: axes to draw on, or ``None`` for a new figure that pyplot does not know.
        kind: a picture by name, or ``None`` for the one that fits.
        options: further arguments of the function that draws it.

    Returns:
        The figure and axes.

    Raises:
        InvalidValueError: for an example that is not there, or data that the picture does not fit.
        InvalidTypeError: for an option that the picture does not have.
    """
    if kind is not None:
        check_choice("kind", kind, tuple(KINDS))
    if ax is not None:
        figure_of(ax)
    data = None if kind is None else KINDS[kind][0]
    chosen = chosen_examples(count_of(explanation), example)
    shown = explanation if kind == "beeswarm" else taken(explanation, chosen)
    views = views_of(shown, data)
    given = dict(options or {})
    fitting = [view for view in views if view.kind == data] or views
    if len(fitting) == 1 or kind is not None:
        return plot_view(shown, fitting[0], chosen, ax, kind, given)
    return plot_several(shown, views, ax, given)


def plot_view(
    explanation: Explanation, view: View, chosen: list[int], ax: Axes | None, kind: str | None, options: dict[str, Any]
) -> tuple[Figure, Axes]:
    """Draw one input of the chosen examples, whose own numbers they are titled with."""
    name = kind or view.kind
    if KINDS[name][0] != view.kind:
        fitting = ", ".join(repr(key) for key, (data, _) in KINDS.items() if data == view.kind)
        raise invalid_value("kind", repr(name), f"the explanation is of a {view.kind}", f"{fitting} or None")
    several = len(chosen) > 1 and name == "image"
    picture = "images" if several else name
    drawing = draw_images if several else KINDS[name][1]
    check_options(drawing, options, name)
    if len(chosen) > 1 and name not in {"image", "beeswarm"}:
        why = f"a {name} picture shows one example"
        raise invalid_value("example", str(chosen), why, "one index, or several of an image")
    arguments = several_images(explanation, view, chosen) if several else ARGUMENTS[name](explanation, view, 0)
    arguments["title"] = title_of(explanation, None if name == "beeswarm" or several else 0)
    if ax is None:
        ax = single_axis(size_of(picture, {**arguments, **options}))
    drawing(ax, **{**arguments, **options})
    return figure_of(ax), ax


def plot_several(
    explanation: Explanation, views: list[View], ax: Axes | None, options: dict[str, Any]
) -> tuple[Figure, Axes]:
    """Draw several inputs below each other, each in its own unit of attributions."""
    if options:
        why = f"the explanation is of {len(views)} inputs"
        raise invalid_type(next(iter(options)), "given", why, "it together with the kind of one of them")
    arguments = [ARGUMENTS[view.kind](explanation, view, 0) for view in views]
    if ax is None:
        sizes = [size_of(view.kind, given) for view, given in zip(views, arguments, strict=True)]
        ax = single_axis((max(width for width, _ in sizes), sum(height for _, height in sizes)))
    for place, part in enumerate(split(ax, len(views), 1, gap=(0.45, 0.0))):
        KINDS[views[place].kind][1](part, **{**arguments[place], "title": f"input {place}"})
    ax.set_title(title_of(explanation, 0).partition("\n")[0], pad=26)
    return figure_of(ax), ax


def several_images(explanation: Explanation, view: View, chosen: list[int]) -> dict[str, Any]:
    """Return the arguments of a grid of images."""
    pictures = [picture_of(view, place) for place in range(len(chosen))]
    found = [picture for picture in pictures if picture is not None]
    targets = [target_of(explanation, place) for place in range(len(chosen))]
    return {
        "attrs": list(view.values),
        "images": found if len(found) == len(chosen) else None,
        "titles": [f"example {i}" + (f", target {t}" if t else "") for i, t in zip(chosen, targets, strict=True)],
    }


def waterfall(explanation: Explanation, view: View, place: int) -> dict[str, Any]:
    """Return the arguments of a waterfall; only attributions that promise a sum have one."""
    outputs = outputs_of(explanation)
    if explanation.delta is None or outputs is None or len(explanation.delta) != len(outputs):
        why = f"{explanation.method} does not tell here what the values of each example sum to"
        raise invalid_value("kind", "'waterfall'", why, "kind='table', or an explanation by a complete method")
    end = float(outputs[place])
    start = end - float(totals_of(explanation)[place]) + float(explanation.delta[place])
    return {"values": view.values[place], "names": labels_of(explanation, view, place), "start": start, "end": end}


def labels_of(explanation: Explanation, view: View, place: int) -> list[str]:
    """Return the names of a table's columns with what they hold."""
    names = names_of(explanation, view)
    if view.inputs is None:
        return names
    held = (f"{value + 0.0:.4g}".replace("-", MINUS) for value in view.inputs[place])
    return [f"{name} = {value}" for name, value in zip(names, held, strict=True)]


def text_of(explanation: Explanation, view: View, place: int) -> dict[str, Any]:
    """Return the tokens of an example with their attributions; what lies after them is padding, shown if not zero."""
    tokens, values = tokens_of(explanation, view, place), view.values[place]
    own, padding = values[: len(tokens)], values[len(tokens) :]
    if padding.any():
        return {"tokens": [*tokens, PADDING], "values": np.append(own, padding.sum())}
    return {"tokens": tokens, "values": own}


ARGUMENTS: dict[str, Callable[[Explanation, View, int], dict[str, Any]]] = {
    "image": lambda _, view, place: {"attr": view.values[place], "image": picture_of(view, place)},
    "table": lambda e, view, place: {"values": view.values[place], "names": labels_of(e, view, place)},
    "waterfall": waterfall,
    "beeswarm": lambda e, view, _: {"values": view.values, "names": names_of(e, view), "inputs": view.inputs},
    "text": text_of,
    "series": lambda e, view, place: {
        "attr": view.values[place],
        "data": view.values[place] if view.inputs is None else view.inputs[place],
        "names": series_names(e, view),
    },
    "layer": lambda e, view, place: {"attr": view.values[place], "image": layer_picture(e, place)},
}
"""What each picture is drawn from."""


def series_names(explanation: Explanation, view: View) -> list[str] | None:
    """Return the names of a series' channels, if there is one for each."""
    names = explanation.names
    return list(names) if names is not None and len(names) == view.values.shape[1] else None


def size_of(name: str, arguments: Mapping[str, Any]) -> tuple[float, float]:
    """Return width and height in inches that fit what is drawn: columns, channels, words, or a grid of images."""
    width, height = SIZES[name]
    match name:
        case "table" | "waterfall" | "beeswarm":
            rows = np.shape(arguments["values"])[-1:] or (1,)
            return width, 1.3 + 0.3 * min(rows[0], top_of(arguments, 20 if name == "table" else 12) + 1)
        case "series":
            return width, 1.5 + 0.95 * min(len(np.atleast_2d(as_numpy("attr", arguments["attr"]))), 12)
        case "text":
            letters = sum(len(str(token)) + 1 for token in arguments["tokens"])
            return width, 1.3 + 0.36 * -(-letters // 60)
        case "images":
            shape, cells = np.shape(arguments["attrs"][0]), len(arguments["attrs"])
            across, cell = columns_of(None, cells), 2.1
        case "layer":
            channels, *shape = np.shape(arguments["attr"])
            shape = shape if arguments["image"] is None else list(np.shape(arguments["image"]))
            cells = 1 + min(channels, top_of(arguments, 11)) if channels > 1 else 1
            across = columns_of(None, cells, most=6)
            cell = width / across
        case _:
            return width, height
    aspect = min(max(shape[0] / shape[1], 0.3), 3.0)
    return cell * across, 1.2 + (cell * aspect + 0.25) * -(-cells // across)


def top_of(arguments: Mapping[str, Any], default: int) -> int:
    """Return how many columns or channels are drawn; what is no number is refused by what draws them."""
    top = arguments.get("top", default)
    return top if isinstance(top, int) and top > 0 else default


def chosen_examples(count: int, example: int | Sequence[int] | None) -> list[int]:
    """Return the examples to draw as indices from 0."""
    wanted = [0] if example is None else list(example) if isinstance(example, Sequence) else [example]
    if not wanted:
        raise invalid_value("example", "empty", "there is nothing to draw", "an index or several")
    for index in wanted:
        if isinstance(index, int) and not isinstance(index, bool) and not -count <= index < count:
            raise invalid_value("example", str(index), f"there are {count}", "an index of one of them")
        check_whole("example", index, -count)
    return [int(index) % count for index in wanted]


def check_options(drawing: Drawing, options: Mapping[str, Any], name: str) -> None:
    """Refuse options that a picture does not have."""
    known = [key for key in inspect.signature(drawing).parameters if key != "ax"]
    for key in options:
        if key not in known:
            raise invalid_type(key, "given", f"a {name} picture has no such option", f"one of {', '.join(known)}")
