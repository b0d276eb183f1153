"""Curves on a given axis: how an integral converges, and how a prediction falls as its input is taken away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from pellucid._core.checks import accept_text
from pellucid.errors import invalid_type, invalid_value
from pellucid.visualization.arrays import ArrayLike, as_floats, check_number
from pellucid.visualization.checks import held
from pellucid.visualization.colors import HUES, NEGATIVE
from pellucid.visualization.figures import FRAME, figure_of, frame_left, titled
from pellucid.visualization.normalize import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

DASHES = ("solid", (0, (5, 2)), (0, (1.5, 1.5)), (0, (5, 1.5, 1.5, 1.5)), (0, (8, 2)), (0, (2, 3)))
"""A second difference between curves, beside their colour."""


@held
def draw_convergence(
    ax: Axes,
    n_steps: ArrayLike,
    delta: ArrayLike | Mapping[str, ArrayLike],
    *,
    tolerance: float | None = None,
    title: str | None = None,
) -> list[Line2D]:
    """Draw the completeness error of a path method against the number of its steps, on logarithmic axes.

    A straight line that falls is a rule that converges; where it turns level, rounding is all that is left.

    Example:
        >>> import matplotlib.figure
        >>> axis = matplotlib.figure.Figure().subplots()
        >>> lines = draw_convergence(axis, [2, 4, 8], {"trapezoid": [0.4, -0.1, 0.025]})
        >>> lines[0].get_ydata().tolist()
        [0.4, 0.1, 0.025]

    Args:
        ax: The axis.
        n_steps: The numbers of steps, of shape (K,).
        delta: The completeness error at each of them, of shape (K,), or (K, N) for N examples, of which the
            largest magnitude is drawn; or several of these by name, one curve for each.
        tolerance: The magnitude that is small enough, drawn as a line.
        title: What stands above.

    Returns:
        The curves.

    Raises:
        InvalidValueError: A value is not finite, or there is not one error for each number of steps.
        InvalidTypeError: A wrong type.
    """
    steps = curve_places("n_steps", n_steps)
    if (steps <= 0).any():
        raise invalid_value("n_steps", "not positive", "a path has at least one step", "positive numbers")
    curves = curves_of("delta", delta, len(steps))
    if tolerance is not None:
        check_number("tolerance", tolerance, "a positive number", below=np.inf)
        tolerance = float(tolerance)
    figure_of(ax)
    lines = draw_lines(ax, steps, {name: np.abs(curve) for name, curve in curves.items()}, marker="o")
    positive = [float(size) for curve in curves.values() for size in np.abs(curve) if size > 0]
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", nonpositive="clip")
    if positive:
        ax.set_ylim(min(positive) / 3, max(*positive, tolerance or 0.0) * 3)
    ax.set_xticks(steps, [f"{step:g}" for step in steps], minor=False)
    ax.minorticks_off()
    if tolerance:
        ax.axhline(tolerance, color="#808080", linewidth=1.0, linestyle=(0, (4, 3)), zorder=0)
        ax.annotate(
            "small enough", (0.0, tolerance), (4, -3), xycoords=("axes fraction", "data"), fontsize="small",
            textcoords="offset points", ha="left", va="top", color="#606060",
        )  # fmt: skip
    style_curves(ax, lines, "steps", "completeness error |delta|", named=isinstance(delta, Mapping))
    titled(ax, title)
    return lines


@held
def draw_removal(
    ax: Axes,
    shares: ArrayLike,
    scores: ArrayLike | Mapping[str, ArrayLike],
    *,
    inserted: bool = False,
    ylabel: str = "explained output",
    title: str | None = None,
) -> list[Line2D]:
    """Draw deletion curves, or insertion curves: the explained output against the share of the input removed.

    The area under a curve is written beside its name: of two rankings of the input, the one with the smaller area
    finds what matters sooner when it is removed, the one with the larger area when it is inserted.

        area = 1/2 sum_k (share[k + 1] - share[k]) (score[k + 1] + score[k]) / (share[-1] - share[0])

    Example:
        >>> import matplotlib.figure
        >>> axis = matplotlib.figure.Figure().subplots()
        >>> curves = draw_removal(axis, [0.0, 0.5, 1.0], {"gradients": [1.0, 0.2, 0.0]})
        >>> curves[0].get_label()
        'gradients: area 0.35'

    Args:
        ax: The axis.
        shares: Shares of the input, from 0 to 1 and rising, of shape (K,).
        scores: The output at each share, of shape (K,), or (K, N) for N examples, whose mean is drawn with a band
            of one standard error; or several of these by name, one curve for each.
        inserted: Whether the input is inserted instead of removed.
        ylabel: What the output is.
        title: What stands above.

    Returns:
        The curves.

    Raises:
        InvalidValueError: A value is not finite, or there is not one output for each share.
        InvalidTypeError: A wrong type.
    """
    places = curve_places("shares", shares)
    if (np.diff(places) <= 0).any() or places[0] < 0 or places[-1] > 1 or len(places) < 2:
        given = f"from {places[0]:g} to {places[-1]:g}"
        raise invalid_value("shares", given, "they are shares of the input", "two or more rising numbers from 0 to 1")
    accept_text("ylabel", ylabel, "it is written beside the axis")
    curves = curves_of("scores", scores, len(places), spread=True)
    means = {name: curve.mean(axis=1) if curve.ndim == 2 else curve for name, curve in curves.items()}
    labels = {f"{name}: area {area(places, mean):.3g}" if name else f"area {area(places, mean):.3g}": mean
              for name, mean in means.items()}  # fmt: skip
    figure_of(ax)
    lines = draw_lines(ax, 100 * places, labels)
    for line, curve in zip(lines, curves.values(), strict=True):
        if curve.ndim == 2 and curve.shape[1] > 1:
            mean, error = curve.mean(axis=1), curve.std(axis=1, ddof=1) / np.sqrt(curve.shape[1])
            ax.fill_between(100 * places, mean - error, mean + error, color=line.get_color(), alpha=0.18, linewidth=0)
        elif len(curves) == 1:
            ax.fill_between(100 * places, 0.0, next(iter(means.values())), color=line.get_color(), alpha=0.12)
    ax.set_xlim(100 * places[0], 100 * places[-1])
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}\N{NO-BREAK SPACE}%")
    word = "inserted" if inserted else "removed"
    style_curves(ax, lines, f"share of the input {word}, most important first", ylabel, named=True)
    titled(ax, title)
    return lines


def curve_places(name: str, value: ArrayLike) -> FloatArray:
    """Return the places of a curve's points."""
    places = as_floats(name, value)
    if places.ndim != 1:
        raise invalid_value(name, f"of shape {places.shape}", "there is one for each point", "shape (K,)")
    return places


def curves_of(name: str, value: ArrayLike, count: int, *, spread: bool = False) -> dict[str, FloatArray]:
    """Return curves by name, an empty one if there is only one: (K,), or (K, N) if the spread is kept."""
    given = value if isinstance(value, Mapping) else {"": value}
    if not given:
        raise invalid_value(name, "empty", "there is nothing to draw", "one curve or more")
    curves = {}
    for key, part in given.items():
        if not isinstance(key, str):
            raise invalid_type(f"a key of {name}", f"of type {type(key).__name__}", "it names a curve", "a text")
        label = f"{name}[{key!r}]" if key else name
        curve = as_floats(label, part)
        if curve.ndim not in {1, 2} or len(curve) != count:
            why = f"each curve has {count} points"
            raise invalid_value(label, f"of shape {curve.shape}", why, f"shape ({count},) or ({count}, N)")
        curves[key] = curve if spread or curve.ndim == 1 else np.abs(curve).max(axis=1)
    return curves


def area(places: FloatArray, scores: FloatArray) -> float:
    """Return the mean height of a curve, by trapezoids."""
    return float(np.sum(np.diff(places) * (scores[1:] + scores[:-1])) / 2.0 / (places[-1] - places[0]))


def draw_lines(ax: Axes, places: FloatArray, curves: Mapping[str, FloatArray], marker: str = "") -> list[Line2D]:
    """Draw curves that differ in colour and in dashes."""
    return [
        ax.plot(
            places, curve, label=name, color=HUES[place % len(HUES)], linestyle=DASHES[place % len(DASHES)],
            marker=marker, markersize=4.5, linewidth=1.8,
        )[0]
        for place, (name, curve) in enumerate(curves.items())
    ]  # fmt: skip


def style_curves(ax: Axes, lines: list[Line2D], xlabel: str, ylabel: str, *, named: bool) -> None:
    """Label the axes, and the curves if they have names."""
    frame_left(ax)
    ax.grid(visible=True, color=FRAME, linewidth=0.4, alpha=0.6)
    ax.set_axisbelow(True)
    ax.set_xlabel(xlabel, fontsize="small")
    ax.set_ylabel(ylabel, fontsize="small")
    if named and lines:
        ax.legend(frameon=False, fontsize="small", handlelength=2.6)


def draw_curves(
    lines: tuple[FloatArray, FloatArray], *, title: str, labels: tuple[str, str], ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draw one curve per example, thin, and their mean, thick, with the area below it.

    Args:
        lines: places and values, each of shape (N, K).
        title: the title above the axes.
        labels: what places and values are.
        ax: axes to draw on; a new figure, not known to pyplot, is made without.

    Returns:
        The figure and axes.

    Raises:
        InvalidValueError: if the axes belong to no figure.
    """
    if ax is None:
        from matplotlib.figure import Figure  # noqa: PLC0415  (drawing only)

        ax = Figure(figsize=(5, 3.6), layout="tight").add_subplot()
    figure = figure_of(ax)
    places, values = lines
    if len(values) > 1:
        ax.plot(places.T, values.T, color=FRAME, linewidth=0.8, zorder=1)
    at, mean = places.mean(axis=0), np.nanmean(values, axis=0)
    ax.plot(at, mean, color=NEGATIVE[2], linewidth=2.2, zorder=3, label="mean" if len(values) > 1 else None)
    ax.fill_between(at, mean, color=NEGATIVE[2], alpha=0.12, linewidth=0, zorder=2)
    ax.set_xlabel(labels[0], fontsize="small")
    ax.set_ylabel(labels[1], fontsize="small")
    ax.set_title(title)
    ax.margins(x=0.01)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    return figure, ax
