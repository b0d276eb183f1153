"""The picture that fits an explanation: an image as a heat map, a vector as bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from pellucid.errors import invalid_value
from pellucid.visualization.maps import draw_attribution
from pellucid.visualization.tables import draw_bars

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pellucid.explanation import Explanation

_CHANNELS = (1, 3)


def plot_explanation(explanation: Explanation, example: int, ax: Axes | None) -> tuple[Figure, Axes]:
    """Draw one example of an explanation of a single input.

    Args:
        explanation: what to draw.
        example: which example.
        ax: axes to draw on, or ``None`` for a new figure that pyplot does not know.

    Returns:
        The figure and axes.

    Raises:
        InvalidValueError: for an example that is not there, several inputs, or a shape that has no picture.
    """
    attributions, inputs = explanation.attributions, explanation.inputs
    if not isinstance(attributions, Tensor) or not isinstance(inputs, Tensor):
        count = len(attributions)
        raise invalid_value(
            "explanation", f"of {count} inputs", "a picture shows one", "one of explanation.attributions to the plots"
        )
    if not -len(attributions) <= example < len(attributions):
        raise invalid_value("example", str(example), f"there are {len(attributions)}", "an index of one of them")
    values, shown = attributions[example].detach().cpu().double(), inputs[example].detach().cpu()
    ax = _new_axes() if ax is None else ax
    title = _title(explanation, example)
    if values.dim() == 1:
        draw_bars(ax, values, [f"x{i}" for i in range(len(values))], title=title)
    elif values.dim() == 2:
        draw_attribution(ax, values, title=title)
    elif values.dim() == 3 and values.shape[0] in _CHANNELS:
        picture = shown.permute(1, 2, 0) if _is_picture(shown) else None
        draw_attribution(ax, values.permute(1, 2, 0), image=picture, title=title)
    else:
        raise invalid_value(
            "explanation",
            f"of values of shape {tuple(values.shape)} per example",
            "pictures are drawn of (features), (H, W) and (1 or 3, H, W)",
            "explanation.attributions to a plot of your own",
        )
    figure = ax.get_figure(root=True)
    if figure is None:
        raise invalid_value("ax", "an axes without a figure", "nothing can be drawn on it", "axes of a figure")
    return figure, ax


def _new_axes() -> Axes:
    from matplotlib.figure import Figure  # noqa: PLC0415  (drawing only)

    return Figure(figsize=(5, 4), layout="tight").add_subplot()


def _is_picture(values: Tensor) -> bool:
    return bool(values.min() >= 0 and values.max() <= 1)


def _title(explanation: Explanation, example: int) -> str:
    target = explanation.target
    if isinstance(target, Tensor) and target.dim() > 0:
        target = int(target[example]) if target.dim() == 1 else None
    method = explanation.method.replace("_", " ")
    return method if target is None else f"{method}, target {target}"
