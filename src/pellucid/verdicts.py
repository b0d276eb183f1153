"""A comparison in words: what to choose, what to be wary of, and what the numbers do not show."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pellucid.comparison import MARKS, RANDOM
from pellucid.intervals import Interval

if TYPE_CHECKING:
    from pellucid.comparison import Comparison

FEW = 10
"""Fewer examples than this carry no firm choice."""


def sentences(comparison: Comparison, title: Callable[[str], str] = str) -> tuple[str, ...]:
    """Say what a comparison shows and what it does not, in sentences of their own; ``title`` writes method names."""
    return (_choice(comparison, title), *_warnings(comparison, title), *_limits(comparison))


def _choice(comparison: Comparison, title: Callable[[str], str]) -> str:
    judged = comparison.judged()
    count = len(judged)
    if not judged:
        return (
            "These metrics describe explanations, but do not tell right from wrong: none of them judges against random"
            " attributions. Add a faithfulness metric, such as deletion, to choose a method."
        )
    chosen = comparison.choice()
    if chosen is None:
        return (
            f"No method is better than random attributions under any of the {_metrics(count)} that could show it. With"
            f" {_examples(comparison.examples)}, the maps give no ground for trust: look at more examples, another"
            " baseline or other methods."
        )
    beaten = len(comparison.beats_random(chosen))
    led = sum(chosen in comparison.leading(info.name) for info in judged)
    alike = [m for m in comparison.methods if _profile(comparison, m) == _profile(comparison, chosen)]
    others = [title(m) for m in alike if m != chosen]
    equal = f" {_listed(others)} did as well, at a higher cost." if others else ""
    rows = comparison.costs[chosen].rows / comparison.examples
    return (
        f"Start with {title(chosen)}: it is better than random attributions under {beaten} of {_metrics(count)}, and"
        f" the best or not separable from it under {led}, for {rows_text(rows)} model rows per example.{equal}"
    )


def _profile(comparison: Comparison, method: str) -> tuple[int, int]:
    led = sum(method in comparison.leading(info.name) for info in comparison.judged())
    return len(comparison.beats_random(method)), led


def _warnings(comparison: Comparison, title: Callable[[str], str]) -> list[str]:
    found = []
    never: list[str] = []
    for method in comparison.methods:
        judged = comparison.judged()
        worse = [i.title for i in judged if comparison.cell(method, i.name).against_random == "worse"]
        if worse:
            found.append(f"{title(method)} is worse than random attributions under {_listed(worse)}.")
        elif judged and not comparison.beats_random(method):
            never.append(title(method))
    if never and comparison.choice() is not None:
        verb = "is" if len(never) == 1 else "are"
        found.append(f"{_listed(never)} {verb} not shown to be better than random attributions under any metric.")
    for name, reason in comparison.refused.items():
        found.append(f"{title(name)} gave no explanation to score: {reason}")
    return found


def _limits(comparison: Comparison) -> list[str]:
    found = []
    undefined = {
        info.title: count
        for info in comparison.metrics
        if (count := max(int(comparison.scores[m, info.name].isnan().sum()) for m in comparison.methods))
    }
    if undefined:
        shown = ", ".join(f"{title} (up to {count})" for title, count in undefined.items())
        found.append(f"Some examples have no score and are left out: {shown}.")
    if comparison.examples < FEW:
        found.append(
            f"{_examples(comparison.examples)} are few: intervals are wide, and a choice may change with more."
        )
    if comparison.judged():
        tests = len(comparison.judged()) * len(comparison.methods)
        found.append(
            f"Each interval holds at {comparison.confidence:.0%} by itself; of {tests} comparisons with chance about"
            f" {tests * (1 - comparison.confidence):.1g} may look different by chance."
        )
    found.append(
        "The scores hold for this model, these examples and this baseline. They show how attributions match what the"
        " model does when features are removed, not what is true in the world, nor whether a person understands it."
    )
    return found


def text_table(comparison: Comparison) -> str:
    """Write a comparison as lines of text: a row per method, a column per metric, and the verdict."""
    head = ["method", *(f"{info.title} {info.arrow}" for info in comparison.metrics), "rows/example", "seconds"]
    lines = [head]
    for method in comparison.methods:
        cost = comparison.costs[method]
        cells = [_cell_text(comparison, method, info.name) for info in comparison.metrics]
        lines.append([method, *cells, rows_text(cost.rows / comparison.examples), f"{cost.seconds:.2f}"])
    if comparison.random:
        cells = [
            number(comparison.cell(RANDOM, info.name).score) if info.name in comparison.random else ""
            for info in comparison.metrics
        ]
        lines.append([RANDOM, *cells, "", ""])
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    shown = [
        "  ".join(
            part.ljust(w) if i == 0 else part.rjust(w) for i, (part, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    marks = (
        f"▲ better, ▼ worse than random, · not shown ({comparison.confidence:.0%} intervals); * best or not separable"
    )
    title = f"{_examples(comparison.examples)}: mean ± half the {comparison.confidence:.0%} interval; {marks}"
    rule = "-" * max(len(line) for line in shown)
    body = [shown[0].rstrip(), rule, *(line.rstrip() for line in shown[1:])]
    return "\n".join([title, "", *body, "", *comparison.verdict()])


def _cell_text(comparison: Comparison, method: str, metric: str) -> str:
    cell = comparison.cell(method, metric)
    return f"{number(cell.score)} {MARKS[cell.against_random] or ' '}{'*' if cell.leading else ' '}"


def number(interval: Interval) -> str:
    """Write a mean with half its interval, as many digits as the interval deserves."""
    if math.isnan(interval.mean):
        return "n/a"
    if math.isnan(interval.low):
        return plain(interval.mean)
    if interval.half <= 1e-6 * abs(interval.mean):
        return f"{plain(interval.mean)} ± 0"
    power = math.floor(math.log10(interval.half))
    digits = max(0, min(6, (interval.half < 2 * 10**power) - power))  # 0.8, 0.14: one digit, two where it is a 1
    large = max(abs(interval.mean), interval.half)
    if large >= 1e5 or large < 1e-4:
        return f"{interval.mean:.2g} ± {interval.half:.1g}"
    return f"{interval.mean:.{digits}f} ± {interval.half:.{digits}f}"


def plain(value: float) -> str:
    """Write a number with three digits."""
    return "n/a" if math.isnan(value) else f"{value:.3g}"


def rows_text(rows: float) -> str:
    """Write a number of model rows per example."""
    return f"{rows:,.0f}" if rows >= 100 else f"{rows:.3g}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _metrics(count: int) -> str:
    return f"{count} metric{'s' * (count != 1)}"


def _examples(count: int) -> str:
    return f"{count} example{'s' * (count != 1)}"
