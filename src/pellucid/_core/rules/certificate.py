"""What an attribution rests on: the operations met, the rule each got, and what could not be attributed."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from pellucid._core.rules.lines import Place, spoken


@dataclass(frozen=True)
class OperationReport:
    """How one operation at one line of the user's code was treated.

    Args:
        operation: Canonical name of the operation.
        rule: Name of the rule that it got.
        calls: How often.
        line: The user's line, ``file:line in function``.
    """

    operation: str
    rule: str
    calls: int
    line: str


@dataclass(frozen=True)
class Certificate:
    """The check that a rule-based result carries with itself.

    Args:
        method: Name of the rule table.
        operations: Every operation that the explained values went through, with its rule.
        switches: Decisions that differ between input and baseline; their effect is not attributed.
        unknown: Operations in no table, which got the generic rule.
        notices: Anything else a reader should know.
        lost: Share of the output difference that generic rules could not attribute by themselves and
            that was distributed over their operands; 0 where every operation had an exact rule.
    """

    method: str
    operations: tuple[OperationReport, ...]
    switches: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    lost: float = 0.0

    def count(self, rule: str) -> int:
        """Return how many calls got the rule of this name."""
        return sum(row.calls for row in self.operations if row.rule == rule)

    def to_dict(self) -> dict[str, Any]:
        """Return the certificate as plain dictionaries, lists, strings and numbers."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    def __str__(self) -> str:
        """Return the certificate as text for a person."""
        totals: Counter[tuple[str, str]] = Counter()
        for row in self.operations:
            totals[row.rule, row.operation] += row.calls
        lines = [f"Rules of {self.method}:"]
        for rule in sorted({rule for rule, _ in totals}):
            names = ", ".join(f"{name} x{n}" for (r, name), n in sorted(totals.items()) if r == rule)
            lines.append(f"  {rule}: {names}")
        for title, entries in (
            ("Not attributed", self.switches),
            ("Without a rule of their own", self.unknown),
            ("Notices", self.notices),
        ):
            lines += [f"{title}:", *(f"  {entry}" for entry in entries)] if entries else []
        lines.append(f"Share of the difference distributed by the generic rule: {self.lost:.2e}")
        return "\n".join(lines)


@functools.lru_cache(maxsize=4096)
def _row(operation: str, rule: str, place: Place, calls: int) -> OperationReport:
    """Make a row; the same ones come back at every explanation of a model."""
    return OperationReport(operation, rule, calls, spoken(place))


class Ledger:
    """What one call of a method writes down while it runs; becomes a `Certificate` at the end."""

    def __init__(self, method: str) -> None:
        self._method = method
        self._rows: dict[tuple[str, str, Place], int] = {}
        self._switches: dict[str, None] = {}
        self._unknown: dict[str, None] = {}
        self._notices: dict[str, None] = {}
        self._residuals: list[Tensor] = []

    def saw(self, operation: str, rule: str, place: Place) -> None:
        """Count one call of an operation."""
        key = (operation, rule, place)
        self._rows[key] = self._rows.get(key, 0) + 1

    def switch(self, text: str) -> None:
        """Note a decision that differs between the passes."""
        self._switches[text] = None

    def unknown(self, operation: str, line: str) -> None:
        """Note an operation that is in no table."""
        self._unknown[f"{operation} at {line}"] = None

    def notice(self, text: str) -> None:
        """Note anything else."""
        self._notices[text] = None

    def residual(self, amount: Tensor) -> None:
        """Note what a generic rule could not attribute by itself, before it was distributed."""
        self._residuals.append(amount.detach().abs().sum())

    def certificate(self, difference: Tensor | None = None) -> Certificate:
        """Close the books; ``difference`` is the change of the explained outputs, per example."""
        lost = sum(float(amount) for amount in self._residuals)
        scale = 0.0 if difference is None or not lost else float(difference.abs().sum())
        lost = lost / scale if scale > 0 else lost
        rows = tuple([_row(*key, calls) for key, calls in self._rows.items()])
        return Certificate(
            self._method,
            rows,
            tuple(self._switches),
            tuple(self._unknown),
            tuple(self._notices),
            lost,
        )
