"""The result of metrics that follow the output while features go or come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from pellucid.errors import invalid_value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Curve:
    """A number per example, and the curve that it sums up.

    Attributes:
        name: the metric.
        score: one number per example, shape (N,).
        at: where the curve was taken, shape (N, K); ``axis`` says what it counts.
        values: what was found there, shape (N, K); ``value`` says what it is.
        axis: meaning of ``at``.
        value: meaning of ``values``.
    """

    name: str
    score: Tensor
    at: Tensor
    values: Tensor
    axis: str
    value: str = "explained output"

    def __repr__(self) -> str:
        """Say what was measured and how it came out on average."""
        count, points = self.values.shape
        return f"Curve({self.name}, {count} example(s), {points} points, mean score {float(self.score.mean()):.4g})"

    def plot(self, example: int | None = None, *, ax: Axes | None = None) -> tuple[Figure, Axes]:
        """Draw the curve of one example, or those of all with their mean.

        Args:
            example: which example; all without.
            ax: axes to draw on; a new figure, not known to pyplot, is made without.

        Returns:
            The figure and axes.

        Raises:
            InvalidValueError: for an example that is not there.
        """
        from pellucid.visualization.curves import draw_curves  # noqa: PLC0415  (it draws)

        count = len(self.score)
        if example is not None and not -count <= example < count:
            raise invalid_value("example", str(example), f"there are {count}", "an index of one of them, or None")
        rows = slice(None) if example is None else [example]
        mean = float(self.score[rows].mean())
        lines = (self.at[rows].cpu().double().numpy(), self.values[rows].cpu().double().numpy())
        return draw_curves(lines, title=f"{self.name} {mean:.3g}", labels=(self.axis, self.value), ax=ax)
