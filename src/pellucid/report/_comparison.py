"""What stands on the page of a comparison: its table as plain values, with a small picture in each cell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pellucid._core.checks import accept_instance
from pellucid.comparison import MARKS, RANDOM, Comparison
from pellucid.registry import methods
from pellucid.report._verdict import method_title
from pellucid.verdicts import number, plain, rows_text, sentences

if TYPE_CHECKING:
    from pellucid.comparison import Cell
    from pellucid.intervals import Interval

_WORDS = {"better": "better than random", "worse": "worse than random", "unclear": "not shown to differ from random"}
ROOM = 0.06
"""Share of a cell's picture that stays free at either end."""


@dataclass(frozen=True)
class CellView:
    """One cell: its number, what it is worth, and where it lies in its column, in percent of the width."""

    text: str
    mark: str
    words: str
    level: str
    leading: bool
    at: float | None
    start: float
    width: float
    title: str


@dataclass(frozen=True)
class Column:
    """A metric above its column; ``chance`` is where random attributions lie, in percent of the width."""

    title: str
    arrow: str
    direction: str
    summary: str
    range: str
    chance: tuple[float, float, float] | None


@dataclass(frozen=True)
class MethodLine:
    """A method with its cells and its cost."""

    title: str
    cells: list[CellView]
    rows: str
    seconds: str
    warnings: list[tuple[str, str]]


@dataclass(frozen=True)
class ComparisonView:
    """The whole table, with the verdict."""

    columns: list[Column]
    lines: list[MethodLine]
    random: list[str]
    verdict: list[str]
    refused: list[tuple[str, str]]
    examples: int
    confidence: str


def comparison_view(comparison: Comparison) -> ComparisonView:
    """Turn a comparison into the values of its table."""
    accept_instance("comparison", comparison, Comparison, "what pellucid.compare returned")
    frames = {info.name: _frame(comparison, info.name) for info in comparison.metrics}
    columns = [
        Column(i.title, i.arrow, i.direction, i.summary, i.range, _chance(comparison, i.name, frames[i.name]))
        for i in comparison.metrics
    ]
    lines = []
    for method in comparison.methods:
        cells = [_cell(comparison.cell(method, i.name), frames[i.name]) for i in comparison.metrics]
        cost = comparison.costs[method]
        noted = [(notice.category, notice.message) for notice in comparison.warnings.get(method, ())]
        rows = rows_text(cost.rows / comparison.examples)
        lines.append(MethodLine(_title(method), cells, rows, f"{cost.seconds:.2f}", noted))
    random = [
        _minus(number(comparison.cell(RANDOM, i.name).score)) if i.name in comparison.random else ""
        for i in comparison.metrics
    ]
    return ComparisonView(
        columns=columns,
        lines=lines,
        random=random,
        verdict=list(sentences(comparison, _title)),
        refused=[(_title(name), reason) for name, reason in comparison.refused.items()],
        examples=comparison.examples,
        confidence=f"{comparison.confidence:.0%}",
    )


def _title(method: str) -> str:
    """Write a registered name as a person would, and a user's own as it is."""
    return method_title(method) if method in {info.name for info in methods()} else method


def _frame(comparison: Comparison, metric: str) -> tuple[float, float]:
    """The ends of a column's scale: all intervals, and that of random attributions."""
    intervals = [comparison.cell(m, metric).score for m in comparison.methods]
    if metric in comparison.random:
        intervals.append(comparison.cell(RANDOM, metric).score)
    ends = [e for i in intervals for e in (i.mean, i.low, i.high) if not math.isnan(e)]
    if not ends:
        return 0.0, 1.0
    low, high = min(ends), max(ends)
    room = ROOM * (high - low) or abs(low) or 1.0
    return low - room, high + room


def _place(value: float, frame: tuple[float, float]) -> float:
    return round(100 * (value - frame[0]) / (frame[1] - frame[0]), 2)


def _span(interval: Interval, frame: tuple[float, float]) -> tuple[float, float]:
    """Start and width of an interval."""
    if math.isnan(interval.low):
        return 0.0, 0.0
    start = _place(interval.low, frame)
    return start, round(max(_place(interval.high, frame) - start, 0.0), 2)


def _chance(comparison: Comparison, metric: str, frame: tuple[float, float]) -> tuple[float, float, float] | None:
    if metric not in comparison.random:
        return None
    score = comparison.cell(RANDOM, metric).score
    return None if math.isnan(score.mean) else (_place(score.mean, frame), *_span(score, frame))


def _cell(cell: Cell, frame: tuple[float, float]) -> CellView:
    level = cell.against_random
    start, width = _span(cell.score, frame)
    title = "" if cell.gain is None else _minus(f"gain over random {_interval(cell.gain)}")
    return CellView(
        text=_minus(number(cell.score)),
        mark=MARKS[level],
        words=_WORDS.get(level, ""),
        level=level or "plain",
        leading=cell.leading,
        at=None if math.isnan(cell.score.mean) else _place(cell.score.mean, frame),
        start=start,
        width=width,
        title=title,
    )


def _minus(text: str) -> str:
    """Write minus signs as wide as the digits."""
    return text.replace("-", "\N{MINUS SIGN}")


def _interval(interval: Interval) -> str:
    if math.isnan(interval.low):
        return plain(interval.mean)
    return f"{plain(interval.mean)} (from {plain(interval.low)} to {plain(interval.high)})"
