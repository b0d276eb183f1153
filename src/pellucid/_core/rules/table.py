"""Rules and tables of rules: the values that make one method differ from another.

A `Rule` answers one question: given one call of an operation (and the same call of the reference
pass, for methods that have one), how do multipliers of its results become multipliers of its
operands? A `RuleTable` says which rule an operation gets. The engine knows no method; DeepLIFT,
guided backpropagation and relevance propagation are tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pellucid._core.rules.call import Call
from pellucid._core.rules.carry import Pullback
from pellucid._core.rules.certificate import Ledger
from pellucid._core.rules.operation import Operation
from pellucid._core.rules.vocabulary import Kind

Expansion = Callable[..., Any]
"""An operation written in simpler ones, with the same arguments; ``NotImplemented`` declines."""

FunctionRule = Callable[[Any, Any, tuple[Any, ...]], Any]
"""A rule for a `torch.autograd.Function`: ``rule(ctx, reference_ctx, grad_outputs) -> grad_inputs``."""


@dataclass(eq=False, slots=True)  # not frozen, which would triple the time to make one
class Occurrence:
    """One call that a rule is asked about; never changed.

    Args:
        call: The call in the pass that is differentiated.
        reference: The same call in the reference pass; None for methods without one.
        ledger: Where the rule reports what it could not attribute.
        operands: The active operands with their graph, for rules that ask where a value came from.
    """

    call: Call
    reference: Call | None
    ledger: Ledger
    operands: tuple[Tensor, ...] = ()

    @property
    def pair(self) -> tuple[Call, Call]:
        """The call and its reference, for rules that need both."""
        if self.reference is None:
            raise TypeError(f"the rule of '{self.call.name}' needs a reference pass, and this method has none")
        return self.call, self.reference


@dataclass(frozen=True)
class Rule:
    """A named rule.

    Args:
        name: How the certificate names it.
        linearise: Returns the pullback at one call; None means the operation's own gradient.
        of_sums: Whether the rule, for one operand that is a sum, belongs to the sum as well: its pullback
            then leads to the operands of the sum.
        compute: Computes the operation's values in place of the operation, and keeps on `Call.kept` what the
            pullback needs; None from it declines.
        frugal: Whether the rule asks for results through `Call.result` only, so that a reference pass need
            not keep those that are cheap to compute again.
    """

    name: str
    linearise: Callable[[Occurrence], Pullback | None]
    of_sums: bool = False
    frugal: bool = False
    compute: Callable[[Call], Tensor | None] | None = None


@dataclass(frozen=True)
class ClosedForm:
    """One rule for an operation that would be expanded otherwise.

    Args:
        applies: Tells from the arguments of a call whether the rule covers it.
        rule: The rule, which has to mean what the rules of the pieces mean together.
    """

    applies: Callable[[tuple[Any, ...], dict[str, Any]], bool]
    rule: Rule


NATIVE = Rule("gradient", lambda _: None)
STOP = Rule("constant", lambda _: None)
"""The operation's result counts as a constant: nothing flows back through it."""


def name_of(rule: Rule, pullback: Pullback | None) -> str:
    """Name what a call got: the ``label`` of its pullback, if it has one, or the rule's name."""
    return NATIVE.name if pullback is None else str(getattr(pullback, "label", rule.name))


def _empty() -> Mapping[Any, Any]:
    return MappingProxyType({})


Override = Callable[[str, Kind, tuple[torch.nn.Module, ...]], Rule | None]
"""From an operation's name, its kind and its modules (innermost first) to the user's rule, or None."""


def always(_: str, __: Kind) -> bool:
    """Ask the override about every operation."""
    return True


LINEAR_KINDS = frozenset({Kind.LINEAR, Kind.LAYER})


class Plan(NamedTuple):
    """What the name and kind of an operation decide on under a table, whatever its arguments are.

    Attributes:
        direct: Whether it keeps its gradient, writes nothing and stands outside of regions and sums.
        rule: Its rule; None where its arguments or the modules around it have a say.
    """

    direct: bool
    rule: Rule | None


@dataclass(frozen=True)
class RuleTable:
    """Which rule an operation gets; an operation without one keeps its own gradient.

    Args:
        name: How the certificate names the table.
        kinds: Rules by the kind of operation.
        names: Rules by canonical name, for calls that are not linear; they precede the kinds.
        linear: Rules by canonical name, for calls that are linear; they precede the kinds.
        expansions: Operations rewritten in simpler ones, by canonical name.
        closed: Rules that spare an expansion, by canonical name; left out where the user chose rules, since
            those may be meant for the pieces.
        region: Rule for several operations that together are one elementwise function.
        fallback: Rule for operations in no table; None keeps their own gradient.
        paired: Whether there is a reference pass.
        through_cuts: Whether ``detach`` and ``no_grad`` inside the model are seen through. A method
            that explains a difference of values must; one that modifies gradients must not.
        functions: Rules for `torch.autograd.Function` classes; None trusts the function's own backward.
        chosen: The user's rules by canonical name, for any call.
        tracks_sums: Whether some rule asks which sum formed an operand.
        override: The user's choice by operation and module.
        overrides: Tells for which operations and kinds the override has to be asked, since finding the modules
            that one runs in takes time.
        joins_sums: Whether sums of members of one region are asked about too; for most methods they are exact.
    """

    name: str
    kinds: Mapping[Kind, Rule] = field(default_factory=_empty)
    names: Mapping[str, Rule] = field(default_factory=_empty)
    linear: Mapping[str, Rule] = field(default_factory=_empty)
    expansions: Mapping[str, Expansion] = field(default_factory=_empty)
    closed: Mapping[str, ClosedForm] = field(default_factory=_empty)
    region: Rule | None = None
    fallback: Rule | None = None
    paired: bool = False
    through_cuts: bool = False
    functions: Mapping[type, FunctionRule | None] = field(default_factory=_empty)
    chosen: Mapping[str, Rule] = field(default_factory=_empty)
    tracks_sums: bool = False
    override: Override | None = None
    overrides: Callable[[str, Kind], bool] = always
    joins_sums: bool = False
    _plans: dict[tuple[Operation, Kind], Plan] = field(default_factory=dict, init=False, repr=False, compare=False)

    def rule_for(self, name: str, kind: Kind) -> Rule:
        """Return the rule of an operation."""
        chosen = self.chosen.get(name)
        if chosen is not None:
            return chosen
        names = self.linear if kind is Kind.LINEAR else self.names
        rule = names.get(name) or self.kinds.get(kind)
        if rule is None and kind is Kind.UNKNOWN:
            rule = self.fallback
        return rule or NATIVE

    def plan(self, operation: Operation, kind: Kind) -> Plan:
        """Return what is settled about an operation before it is called; found once per table."""
        plan = self._plans.get((operation, kind))
        if plan is None:
            plan = self._plans[operation, kind] = self._new_plan(operation, kind)
        return plan

    def _new_plan(self, operation: Operation, kind: Kind) -> Plan:
        name, linear = operation.name, kind in LINEAR_KINDS
        if operation.body is not None or (self.override is not None and self.overrides(name, kind)):
            return Plan(False, None)
        if not linear and (name in self.closed or name in self.expansions):
            return Plan(False, None)
        rule = self.rule_for(name, kind)
        special = self.tracks_sums or operation.writes or operation.elementwise
        return Plan(linear and rule is NATIVE and not special, rule)
