"""The result of a comparison: scores of methods, what they are worth against chance, and a choice in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pellucid._core.checks import accept_choice, accept_path
from pellucid._core.report import Notice
from pellucid.errors import invalid_value
from pellucid.explanation import Cost
from pellucid.intervals import Interval, mean_interval
from pellucid.metrics import MetricInfo

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RANDOM = "random"
"""Name of the row of random attributions."""
MARKS = {"better": "▲", "worse": "▼", "unclear": "·", "": ""}
"""Signs of what a score is worth against random attributions."""


@dataclass(frozen=True)
class Cell:
    """One method under one metric.

    Attributes:
        score: mean over the examples, with its interval.
        gain: mean improvement on random attributions of the same examples (positive is better, whatever the metric's
            direction), with its interval; ``None`` where random attributions are no opponent.
        leading: whether the method is the best one, or not separable from it.
    """

    score: Interval
    gain: Interval | None
    leading: bool

    @property
    def against_random(self) -> str:
        """``better`` or ``worse`` if the whole interval of the gain says so, else ``unclear``; empty without gain."""
        if self.gain is None:
            return ""
        if self.gain.low > 0:
            return "better"
        return "worse" if self.gain.high < 0 else "unclear"


@dataclass(frozen=True)
class Comparison:
    """Scores of several methods under several metrics on the same examples.

    Attributes:
        methods: names of the methods that gave explanations.
        metrics: the metrics, in order.
        scores: one score per example, shape (N,), by names of method and metric.
        random: scores of random attributions by metric, where they are an opponent.
        costs: what each method's explanation of all examples took.
        refused: why methods gave none that can be scored, by name.
        confidence: of the intervals.
        warnings: what was warned about while a method ran or was judged, by method.
    """

    methods: tuple[str, ...]
    metrics: tuple[MetricInfo, ...]
    scores: Mapping[tuple[str, str], Tensor]
    random: Mapping[str, Tensor]
    costs: Mapping[str, Cost]
    refused: Mapping[str, str] = field(default_factory=dict)
    confidence: float = 0.95
    warnings: Mapping[str, tuple[Notice, ...]] = field(default_factory=dict)

    @property
    def examples(self) -> int:
        """Number of examples N."""
        return len(self.scores[self.methods[0], self.metrics[0].name])

    def metric(self, name: str) -> MetricInfo:
        """Find one of the metrics by its name.

        Raises:
            InvalidValueError: if it is not among them.
        """
        known = {info.name: info for info in self.metrics}
        return known[accept_choice("metric", name, known, "it was not compared")]

    def cell(self, method: str, metric: str) -> Cell:
        """Give one method under one metric.

        Args:
            method: one of ``methods``, or ``random``.
            metric: a metric's name.

        Returns:
            The cell.

        Raises:
            InvalidValueError: for a method or metric that was not compared.
        """
        info = self.metric(metric)
        if method == RANDOM and metric in self.random:
            return Cell(mean_interval(self.random[metric], self.confidence), None, leading=False)
        if method not in self.methods:
            known = ", ".join(self.methods)
            raise invalid_value("method", repr(method), f"it has no score under {metric}", f"one of {known}")
        score = mean_interval(self.scores[method, metric], self.confidence)
        gain = None
        if metric in self.random:
            gain = self._advantage(self.scores[method, metric], self.random[metric], info)
        return Cell(score, gain, leading=method in self.leading(metric))

    def best(self, metric: str) -> str:
        """Name the method with the best mean.

        Args:
            metric: a metric's name.

        Returns:
            The method's name. ``leading`` tells which others cannot be told apart from it.

        Raises:
            InvalidValueError: for a metric that was not compared, or one without a score.
        """
        info = self.metric(metric)
        means = {m: mean_interval(self.scores[m, metric], self.confidence).mean for m in self.methods}
        known = {m: value for m, value in means.items() if not math.isnan(value)}
        if not known:
            raise invalid_value("metric", repr(metric), "no example has a score under it", "another one")
        choose = max if info.higher_is_better else min
        return choose(known, key=lambda m: known[m])

    def leading(self, metric: str) -> tuple[str, ...]:
        """Name the best method and those whose paired difference from it may be chance.

        Args:
            metric: a metric's name.

        Returns:
            Names in the order of ``methods``; empty where no example has a score.
        """
        info = self.metric(metric)
        if all(bool(self.scores[m, metric].isnan().all()) for m in self.methods):
            return ()
        best = self.best(metric)
        found = []
        for method in self.methods:
            lead = self._advantage(self.scores[best, metric], self.scores[method, metric], info)
            if method == best or not (lead.low > 0 or (lead.count < 2 and lead.mean > 0) or not lead.count):
                found.append(method)
        return tuple(found)

    def _advantage(self, scores: Tensor, others: Tensor, info: MetricInfo) -> Interval:
        """By how much scores are better than others of the same examples."""
        difference = scores.cpu().double() - others.cpu().double()
        return mean_interval(difference if info.higher_is_better else -difference, self.confidence)

    def judged(self) -> tuple[MetricInfo, ...]:
        """Metrics under which random attributions are an opponent."""
        return tuple(info for info in self.metrics if info.name in self.random)

    def beats_random(self, method: str) -> tuple[str, ...]:
        """Names of the metrics under which a method is better than random attributions beyond chance."""
        return tuple(i.name for i in self.judged() if self.cell(method, i.name).against_random == "better")

    def choice(self) -> str | None:
        """The method to start with, or ``None`` where the numbers favour none.

        It beats random attributions under the most metrics, then leads under the most, then costs the fewest rows.
        """
        if not self.judged():
            return None
        ranked = sorted(
            self.methods,
            key=lambda m: (-len(self.beats_random(m)), -sum(m in self.leading(i.name) for i in self.judged()),
                           self.costs[m].rows),
        )  # fmt: skip
        return ranked[0] if self.beats_random(ranked[0]) else None

    def verdict(self) -> tuple[str, ...]:
        """Say in sentences what the numbers show, and what they do not.

        Returns:
            Sentences: the choice, the methods to be wary of, and the limits of the comparison.
        """
        from pellucid.verdicts import sentences  # noqa: PLC0415  (it needs this class)

        return sentences(self)

    def to_dict(self) -> dict[str, Any]:
        """Give everything as JSON values: means, intervals, scores of each example, costs and the verdict."""
        names = {info.name: info for info in self.metrics}
        rows = {
            method: {name: _cell_values(self.cell(method, name)) for name in names if _has(self, method, name)}
            for method in (*self.methods, RANDOM)
        }
        return {
            "examples": self.examples,
            "confidence": self.confidence,
            "metrics": {n: {"direction": i.direction, "range": i.range} for n, i in names.items()},
            "methods": {m: cells for m, cells in rows.items() if cells},
            "scores": {m: {n: _numbers(self.scores[m, n]) for n in names} for m in self.methods},
            "random": {n: _numbers(values) for n, values in self.random.items()},
            "costs": {m: {"rows": c.rows, "calls": c.calls, "seconds": c.seconds} for m, c in self.costs.items()},
            "refused": dict(self.refused),
            "verdict": list(self.verdict()),
        }

    def __str__(self) -> str:
        """Write the table and the verdict as text."""
        from pellucid.verdicts import text_table  # noqa: PLC0415  (it needs this class)

        return text_table(self)

    def __repr__(self) -> str:
        """Say in one line what was compared."""
        return f"Comparison({len(self.methods)} methods, {len(self.metrics)} metrics, {self.examples} examples)"

    def plot(self, metric: str | None = None, *, ax: Axes | None = None) -> tuple[Figure, Axes | list[Axes]]:
        """Draw each method's mean and interval, beside the interval of random attributions.

        Args:
            metric: name of one metric; a panel for each without.
            ax: axes to draw one metric on; a new figure, not known to pyplot, is made without.

        Returns:
            The figure and the axes, or a list of axes.

        Raises:
            InvalidValueError: if axes are given without a metric, or the metric was not compared.
        """
        from pellucid.visualization.comparisons import Dots, draw_dots, draw_panels  # noqa: PLC0415  (it draws)

        chosen = self.metrics if metric is None else (self.metric(metric),)
        panels = []
        for info in chosen:
            rows = [(m, self.cell(m, info.name)) for m in self.methods]
            chance = self.cell(RANDOM, info.name).score if info.name in self.random else None
            dots = [(m, c.score.mean, c.score.low, c.score.high, c.against_random) for m, c in rows]
            band = None if chance is None else (chance.mean, chance.low, chance.high)
            panels.append(Dots(f"{info.title} {info.arrow}", tuple(dots), band))
        if metric is None:
            if ax is not None:
                given = "given without a metric"
                raise invalid_value("ax", given, "one axes shows one metric", "metric='...' as well")
            return draw_panels(panels, self.confidence)
        return draw_dots(panels[0], self.confidence, ax)

    def to_html(self, path: str | Path | None = None, *, title: str = "Which explanation to trust") -> str:
        """Make a page in one file that needs nothing else: the verdict, the table, and how to read them.

        Args:
            path: the file to write, if any.
            title: the heading.

        Returns:
            The page.
        """
        from pellucid.report import render_comparison  # noqa: PLC0415  (it needs a template engine)

        target = None if path is None else accept_path("path", path)
        page = render_comparison(self, title=title)
        if target is not None:
            target.write_text(page, encoding="utf-8")
        return page

    def _repr_html_(self) -> str:
        """Show the verdict and the table in a notebook."""
        from pellucid.report import comparison_fragment  # noqa: PLC0415  (it needs a template engine)

        return comparison_fragment(self)


def join(parts: Sequence[Comparison]) -> Comparison:
    """Put comparisons of the same methods and metrics on different examples together.

    Args:
        parts: at least one; methods that one of them refused are refused in the whole.

    Returns:
        The comparison over all examples.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    refused = {name: reason for part in reversed(parts) for name, reason in part.refused.items()}
    methods = tuple(m for m in first.methods if m not in refused)
    if not methods:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
        raise invalid_value("methods", "refused in some part of the examples", reasons, "other methods")
    costs = {
        m: Cost(
            sum(p.costs[m].rows for p in parts),
            sum(p.costs[m].calls for p in parts),
            sum(p.costs[m].seconds for p in parts),
        )
        for m in methods
    }
    scores = {(m, i.name): torch.cat([p.scores[m, i.name] for p in parts]) for m in methods for i in first.metrics}
    random = {name: torch.cat([p.random[name] for p in parts]) for name in first.random}
    warnings = {m: tuple(dict.fromkeys(n for p in parts for n in p.warnings.get(m, ()))) for m in methods}
    return Comparison(methods, first.metrics, scores, random, costs, refused, first.confidence, warnings)


def _has(comparison: Comparison, method: str, metric: str) -> bool:
    return metric in comparison.random if method == RANDOM else (method, metric) in comparison.scores


def _cell_values(cell: Cell) -> dict[str, Any]:
    found: dict[str, Any] = {"mean": _number(cell.score.mean), "interval": _ends(cell.score), "leading": cell.leading}
    if cell.gain is not None:
        found["gain_over_random"] = {"mean": _number(cell.gain.mean), "interval": _ends(cell.gain)}
        found["against_random"] = cell.against_random
    return found


def _ends(interval: Interval) -> list[float | None]:
    return [_number(interval.low), _number(interval.high)]


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _numbers(values: Tensor) -> list[float | None]:
    return [_number(value) for value in values.tolist()]
