"""Differentiation under rules: the bridge from the driver to the operation-level engine.

One instance lives as long as one call and keeps the certificate of every pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pellucid._core.differentiation import ByValues, Choose, Pass, Run, Values, check_all_used
from pellucid._core.output import output_tensor
from pellucid._core.path import Points
from pellucid._core.rules import (
    NO_CHOICES,
    Absorbed,
    Audit,
    Certificate,
    Choices,
    Composite,
    ModuleRules,
    OperationReport,
    RuleChoice,
    RuleTable,
    deep_lift_of_each,
    modified_gradients_of_each,
    relevances,
)
from pellucid.errors import invalid_type


def _accept(name: str, value: Any, wanted: type, instead: str) -> None:
    if not isinstance(value, wanted):
        raise invalid_type(name, f"a {type(value).__name__}", "it says nothing about rules", instead)


@dataclass
class PairedRules(ByValues):
    """DeepLIFT multipliers of each row beside its reference.

    Attributes:
        rule: rescale or reveal_cancel.
        strict: whether operations in no table are refused.
        choices: rules of the user's own.
        required: whether a value without influence is an error.
        certificates: one per pass made so far.
        names: see ``Differentiation``.
        counted: False, since autograd does not see what rules keep.
    """

    rule: str
    strict: bool = False
    choices: Choices = NO_CHOICES
    required: bool = False
    certificates: list[Certificate] = field(default_factory=list)
    names: Sequence[str] = ()
    counted: bool = False

    def __post_init__(self) -> None:
        """Check what was chosen."""
        _accept("choices", self.choices, Choices, "Choices of pellucid.rules")

    def __call__(self, run: Run, chooses: tuple[Choose, ...], points: Points) -> tuple[Pass, ...]:
        """Run both passes of a pair."""
        seen = [_Seen(choose) for choose in chooses]
        ends = points.values, points.references
        found = deep_lift_of_each(run, *ends, tuple(seen), self.rule, strict=self.strict, choices=self.choices)
        self.certificates.extend(each.certificate for each in found)
        if self.required:
            check_all_used(found[0].used, len(points.values))
        changes = [each.outputs - each.reference_outputs for each in found]
        output = seen[0].output.detach()
        return tuple(Pass(output, f.multipliers, f.used, (c,)) for f, c in zip(found, changes, strict=True))


@dataclass
class ModifiedRules(ByValues):
    """Gradients with rules in place of some operations' own.

    Attributes:
        table: which operation gets which rule.
        choices: rules of the user's own.
        certificates: one per pass made so far.
        names: see ``Differentiation``.
        counted: False, since autograd does not see what rules keep.
    """

    table: RuleTable
    choices: Choices = NO_CHOICES
    certificates: list[Certificate] = field(default_factory=list)
    names: Sequence[str] = ()
    counted: bool = False

    def __call__(self, run: Run, chooses: tuple[Choose, ...], points: Points) -> tuple[Pass, ...]:
        """Run one pass."""
        seen = [_Seen(choose) for choose in chooses]
        found = modified_gradients_of_each(run, points.values, tuple(seen), self.table, choices=self.choices)
        self.certificates.extend(each.certificate for each in found)
        return tuple(Pass(seen[0].output.detach(), each.gradients, each.used) for each in found)


@dataclass
class Propagation(ByValues):
    """Relevance under a composite of rules, in the place of gradients.

    Attributes:
        composite: which layer gets which rule.
        rules: rules by module, module name or type.
        choices: rules of the user's own.
        audit: whether books are kept of what operations absorb.
        partial: whether the values are inside the model, so that rules for what comes before are not met.
        certificates: one per pass made so far.
        names: see ``Differentiation``.
        counted: False, since autograd does not see what rules keep.
        audits: likewise, if books are kept.
    """

    composite: Composite
    rules: ModuleRules
    choices: Choices = NO_CHOICES
    audit: bool = False
    partial: bool = False
    certificates: list[Certificate] = field(default_factory=list)
    names: Sequence[str] = ()
    counted: bool = False
    audits: list[Audit] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Check what was chosen."""
        _accept("composite", self.composite, Composite, "a composite of pellucid.lrp")
        _accept("rules", self.rules, Mapping, "a mapping from modules, names or types to rules")
        _accept("choices", self.choices, Choices, "Choices of pellucid.rules")

    def __call__(self, run: Run, chooses: tuple[Choose, ...], points: Points) -> tuple[Pass, ...]:
        """Run one pass per explained value, since rules keep what they received; the changes are these values."""
        return tuple(self._propagate(run, choose, points.values) for choose in chooses)

    def _propagate(self, run: Run, choose: Choose, values: Values) -> Pass:
        seen = _Seen(choose)
        choice = RuleChoice(self.composite, self.rules, self.partial)
        found = relevances(run, values, seen, choice, choices=self.choices, audit=self.audit)
        self.certificates.append(found.certificate)
        if found.audit is not None:
            self.audits.append(found.audit)
        used = frozenset(range(len(values))) if found.used else found.used  # gates get no relevance, and have influence
        return Pass(seen.output.detach(), found.relevances, used, (found.outputs,))


class _Seen:
    """Picks the explained values and keeps the output of the last pass that they were picked from."""

    def __init__(self, choose: Choose) -> None:
        self.choose = choose
        self.output = torch.empty(0)

    def __call__(self, output: Any) -> Tensor:
        with torch._C.DisableTorchFunction():  # noqa: SLF001  (no public name; looking at the output is no operation of the model's)
            self.output = output_tensor(output)  # detached after the pass: within it, that would be one
        return self.choose(self.output)


def whole_certificate(certificates: Iterable[Certificate]) -> Certificate:
    """Put the certificates of several passes over the same model together.

    Every pass meets the same operations, so each is listed with the most calls that a pass had.
    """
    parts = list(certificates)
    if len(parts) == 1:
        return parts[0]
    calls: dict[tuple[str, str, str], int] = {}
    for part in parts:
        for row in part.operations:
            key = (row.operation, row.rule, row.line)
            calls[key] = max(calls.get(key, 0), row.calls)
    return Certificate(
        method=parts[0].method,
        operations=tuple(OperationReport(name, rule, n, line) for (name, rule, line), n in calls.items()),
        switches=_union(part.switches for part in parts),
        unknown=_union(part.unknown for part in parts),
        notices=_union(part.notices for part in parts),
        lost=max(part.lost for part in parts),
    )


def _union(lists: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for part in lists for text in part))


def whole_audit(audits: list[Audit]) -> Audit | None:
    """Add up the books of several passes, each over some of the examples."""
    if not audits:
        return None
    rows: dict[tuple[str, str, str], Absorbed] = {}
    for row in (row for audit in audits for row in audit.rows):
        key = (row.operation, row.rule, row.line)
        known = rows.get(key)
        amount = row.amount + (known.amount if known else 0.0)
        rows[key] = Absorbed(*key, amount, max(row.calls, known.calls if known else 0))
    return Audit(
        explained=sum(audit.explained for audit in audits),
        attributed=sum(audit.attributed for audit in audits),
        rows=tuple(sorted(rows.values(), key=lambda row: -abs(row.amount))),
        elsewhere=sum(audit.elsewhere for audit in audits),
    )
