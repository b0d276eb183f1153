"""Figures, their axes, their colour bars, and their bytes."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any, cast

from pellucid._core.checks import accept_number
from pellucid.errors import invalid_type, invalid_value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure, FigureBase
    from matplotlib.image import AxesImage

FRAME = "#c8c8c8"
"""The colour of an outline: it marks the border of a white map and recedes behind a coloured one."""

INK = "#404040"
"""The colour of notes, which have a white box; other text has the colour of the user's matplotlib style."""

BAR_WIDTH = 150.0
"""Points."""

MINUS = "\N{MINUS SIGN}"
"""As wide as a plus, which a hyphen is not."""


def new_figure(fig_size: tuple[float, float], columns: int, use_pyplot: bool) -> tuple[Figure, list[Axes]]:
    """Make a figure of one row of axes, known to pyplot or not."""
    if use_pyplot:
        import matplotlib.pyplot as plt  # noqa: PLC0415 - importing pellucid must not import matplotlib

        figure = plt.figure(figsize=(fig_size[0], fig_size[1]), layout="tight")
    else:
        from matplotlib.figure import Figure  # noqa: PLC0415

        figure = Figure(figsize=(fig_size[0], fig_size[1]), layout="tight")
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def stacked_figure(fig_size: tuple[float, float], rows: int, use_pyplot: bool) -> tuple[Figure, list[Axes]]:
    """Make a figure of one column of axes, known to pyplot or not, with room for colour bars."""
    if use_pyplot:
        import matplotlib.pyplot as plt  # noqa: PLC0415 - importing pellucid must not import matplotlib

        figure = plt.figure(figsize=(fig_size[0], fig_size[1]), layout="constrained")
    else:
        from matplotlib.figure import Figure  # noqa: PLC0415

        figure = Figure(figsize=(fig_size[0], fig_size[1]), layout="constrained")
    return figure, list(figure.subplots(rows, 1, squeeze=False)[:, 0])


def bar_in_margin(figure: FigureBase, axes: list[Axes], mappable: Any, ticks: list[float]) -> Colorbar:
    """Put one colour bar below several axes, taking a little of their height."""
    colorbar = figure.colorbar(mappable, ax=axes, orientation="horizontal", fraction=0.06, aspect=40, ticks=ticks)
    colorbar.outline.set_color(FRAME)
    colorbar.ax.tick_params(color=FRAME, labelsize="small", length=3)
    return colorbar


def show() -> None:
    """Show the figures that pyplot knows."""
    import matplotlib.pyplot as plt  # noqa: PLC0415 - importing pellucid must not import matplotlib

    plt.show()


def bare_axis(axis: Axes) -> None:
    """Leave nothing of an axis but a thin outline: pixels need no ticks."""
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(visible=False)
    for spine in axis.spines.values():
        spine.set_color(FRAME)
        spine.set_linewidth(0.8)


def write_note(axis: Axes, note: str) -> None:
    """Write a note into the middle of an axis."""
    box = {"boxstyle": "round,pad=0.4", "facecolor": "white", "edgecolor": FRAME}
    where = axis.transAxes
    axis.text(0.5, 0.5, note, color=INK, ha="center", va="center", wrap=True, bbox=box, transform=where)


def bar_below(axis: Axes, mappable: AxesImage | None, label: str | None = None, **options: Any) -> Colorbar | None:
    """Put a colour bar below an axis, as wide as the picture, or, without a map, as much empty space."""
    from mpl_toolkits.axes_grid1 import (  # noqa: PLC0415  (drawing only)
        make_axes_locatable,
    )

    space = make_axes_locatable(axis).append_axes("bottom", size="5%", pad=0.1)
    if mappable is None:
        space.set_axis_off()
        return None
    figure: FigureBase = space.figure
    colorbar = figure.colorbar(mappable, cax=space, orientation="horizontal", **options)
    colorbar.outline.set_color(FRAME)
    colorbar.ax.tick_params(color=FRAME, labelsize="small", length=3)
    if label:
        colorbar.set_label(label, fontsize="small")
    return colorbar


def style_bar(colorbar: Colorbar, bound: float, label: str) -> None:
    """Give a horizontal colour bar of signed attributions three ticks in their unit, and a label."""
    colorbar.outline.set_color(FRAME)
    colorbar.set_ticks([-bound, 0, bound], labels=[signed_number(-bound), "0", signed_number(bound)])
    colorbar.ax.tick_params(color=FRAME, labelsize="small", length=3)
    colorbar.set_label(label, fontsize="small")


def bar_in(
    axis: Axes,
    mappable: ScalarMappable,
    *,
    anchor: tuple[float, float],
    down: float,
    label: str = "attribution",
    extend: str = "neither",
    width: float = BAR_WIDTH,
) -> Colorbar:
    """Put a small horizontal colour bar some points below a place of an axis, whatever size the axis gets.

    Args:
        axis: The axis that the bar belongs to.
        mappable: What is drawn in colours from -limit to limit.
        anchor: The place, in shares of the axis; the bar is centred at it, or begins there if it is at the left.
        down: By how many points the bar lies below the place.
        label: What stands below the bar.
        extend: At which ends the bar goes on.
        width: How long the bar is, in points.

    Returns:
        The colour bar.
    """
    from matplotlib.transforms import Affine2D, ScaledTranslation  # noqa: PLC0415 - draws

    figure = figure_of(axis)
    points = Affine2D().scale(1 / 72) + figure.dpi_scale_trans + ScaledTranslation(*anchor, cast(Any, axis.transAxes))
    left = -width / 2 if anchor[0] else 0.0
    space = axis.inset_axes((left, -down - 8.0, width, 8.0), transform=points)
    colorbar = figure.colorbar(mappable, cax=space, orientation="horizontal", extend=extend)
    style_bar(colorbar, float(mappable.get_clim()[1]), label)
    return colorbar


def png_bytes(figure: Figure, dpi: float = 150) -> bytes:
    """Return a figure as the bytes of a PNG file, cropped to what is drawn; pyplot is not asked.

    Neither a date nor a version is written into them, so that equal figures, drawn anew, give equal bytes.

    Example:
        >>> import numpy as np
        >>> from pellucid.visualization import visualize_image_attr
        >>> figure, _ = visualize_image_attr(np.eye(8), use_pyplot=False, fig_size=(1, 1))
        >>> png_bytes(figure, dpi=50)[1:4]
        b'PNG'

    Args:
        figure: A matplotlib figure, made with or without pyplot.
        dpi: Dots per inch of the figure's size.

    Returns:
        The content of a PNG file.
    """
    if not callable(getattr(figure, "savefig", None)):
        given = f"of type {type(figure).__name__}"
        raise invalid_type("figure", given, "it holds no picture", "a figure of matplotlib")
    accept_number("dpi", dpi, "a number from 10 to 10000", 10, 10_000)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight", metadata={"Software": None})
    return buffer.getvalue()


def signed_number(value: float) -> str:
    """Write a number with its sign and three digits, with the minus sign of typesetting."""
    return f"{value:+.3g}".replace("-", MINUS) if value else "0"


def split(axis: Axes, rows: int, columns: int, *, gap: tuple[float, float] = (0.06, 0.06)) -> list[Axes]:
    """Divide the area of an axis into a grid of axes, by rows, and hide the axis itself but for its title.

    Args:
        axis: The axis whose area is divided; its parts move with it.
        rows: How many parts lie above each other.
        columns: How many parts lie side by side.
        gap: Space between rows and between columns, as a share of a part.

    Returns:
        The parts, row by row.
    """
    axis.set_axis_off()
    width = 1.0 / (columns + gap[1] * (columns - 1))
    height = 1.0 / (rows + gap[0] * (rows - 1))
    corners = [
        (column * width * (1 + gap[1]), 1.0 - height - row * height * (1 + gap[0]))
        for row in range(rows)
        for column in range(columns)
    ]
    return [axis.inset_axes((left, bottom, width, height)) for left, bottom in corners]


def figure_of(axis: Any) -> Figure:
    """Return the figure of an axis, or refuse what is no axis of one."""
    from matplotlib.axes import Axes  # noqa: PLC0415 - importing pellucid must not import matplotlib

    if not isinstance(axis, Axes):
        given = f"of type {type(axis).__name__}"
        raise invalid_type(
            "ax", given, "nothing can be drawn on it", "an axis of matplotlib, such as plt.subplots()[1]"
        )
    figure = axis.get_figure(root=True)
    if figure is None:
        raise invalid_value("ax", "an axis without a figure", "nothing can be drawn on it", "an axis of a figure")
    return figure


def single_axis(fig_size: tuple[float, float]) -> Axes:
    """Make the only axis of a figure that pyplot does not know."""
    return new_figure(fig_size, 1, use_pyplot=False)[1][0]


def frame_left(axis: Axes) -> None:
    """Leave the lines of an axis at its left and bottom only, in the colour of outlines."""
    axis.grid(visible=False)
    for side, spine in axis.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(FRAME)
    axis.tick_params(color=FRAME, labelsize="small", length=3)


def titled(axis: Axes, title: str | None, above: float = 0.0) -> None:
    """Write a title, its first line in the usual size and further ones smaller, some points above the axis."""
    if not title:
        return
    first, _, rest = title.partition("\n")
    axis.set_title(first + ("\n" if rest else ""), pad=6.0 + above, parse_math=False)
    if rest:
        axis.annotate(
            rest, (0.5, 1.0), (0, 6 + above), xycoords="axes fraction", textcoords="offset points", ha="center",
            va="bottom", fontsize="small", color=axis.title.get_color(), alpha=0.75, parse_math=False,
        )  # fmt: skip
