"""What the methods call: one pass, or a pair of passes, over any callable under a table of rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from pellucid._core.rules.call import Keeper
from pellucid._core.rules.careful import FORBIDDEN_WRITES
from pellucid._core.rules.carry import repeating
from pellucid._core.rules.certificate import Certificate, Ledger
from pellucid._core.rules.deeplift_tables import deep_lift_table
from pellucid._core.rules.environment import eager, restored_generators, uncompiled, with_gradients
from pellucid._core.rules.mode import RuledPass
from pellucid._core.rules.table import FunctionRule, Override, Rule, RuleTable, always
from pellucid._core.rules.tape import Tape
from pellucid.errors import UnsupportedModelError, invalid_value

Inputs = tuple[Tensor, ...]
Forward = Callable[..., Any]
Select = Callable[[Any], Tensor]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Gradients:
    """Gradients under rules, with the values they belong to.

    Args:
        gradients: One tensor per input, of its shape.
        outputs: The explained output of each example, (N,).
        certificate: Operations, rules, and what could not be attributed.
        used: Numbers of the inputs that the outputs depend on.
    """

    gradients: Inputs
    outputs: Tensor
    certificate: Certificate
    used: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Multipliers:
    """DeepLIFT multipliers, with the two outputs whose difference they attribute.

    Args:
        multipliers: One tensor per input, of its shape.
        outputs: The explained output of each input, (N,).
        reference_outputs: The explained output of each baseline, (N,).
        certificate: Operations, rules, and what could not be attributed.
        used: Numbers of the inputs that the outputs depend on.
    """

    multipliers: Inputs
    outputs: Tensor
    reference_outputs: Tensor
    certificate: Certificate
    used: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Choices:
    """What a user chooses beyond the method's own table.

    Args:
        rules: Rules by canonical name of an operation; they precede the method's.
        functions: Rules for `torch.autograd.Function` classes; None trusts the function's own backward.
        override: The user's choice by operation and module, as by_module makes it.
    """

    rules: Mapping[str, Rule] = field(default_factory=dict)
    functions: Mapping[type, FunctionRule | None] = field(default_factory=dict)
    override: Override | None = None

    def applied_to(self, table: RuleTable) -> RuleTable:
        """Return the method's table with these choices in it."""
        if not (self.rules or self.functions or self.override):
            return table
        expansions = {name: e for name, e in table.expansions.items() if name not in self.rules}
        return replace(
            table,
            chosen={**table.chosen, **self.rules},
            expansions=expansions,
            closed={} if self.rules or self.override else table.closed,
            functions={**table.functions, **self.functions},
            override=self.override or table.override,
            overrides=table.overrides if self.override is None else always,
        )


NO_CHOICES = Choices()
_NO_PATH = (
    "The explained output differs between input and baseline, but no torch call that the engine saw connects "
    "it with the inputs (it was computed through NumPy, Python numbers, indices or constants), so all "
    "multipliers are 0"
)


def deep_lift_gradients(
    forward: Forward,
    inputs: Inputs,
    baselines: Inputs,
    select: Select,
    rule: str = "rescale",
    *,
    strict: bool = False,
    choices: Choices = NO_CHOICES,
) -> Multipliers:
    r"""Return DeepLIFT multipliers of each input, complete at every operation.

    .. math:: \sum_i m_i (x_i - x'_i) = F(x) - F(x')

    Args:
        forward: Any callable of the inputs.
        inputs: Floating tensors; dimension 0 counts examples.
        baselines: Tensors of the same shapes.
        select: From what ``forward`` returns to one number per example, (N,).
        rule: ``"rescale"`` or ``"reveal_cancel"``.
        strict: Refuse operations in no table and decisions that differ between input and baseline.
        choices: Rules of the user's own.

    Returns:
        Multipliers, both outputs and the certificate.
    """
    return deep_lift_of_each(forward, inputs, baselines, (select,), rule, strict=strict, choices=choices)[0]


def deep_lift_of_each(
    forward: Forward,
    inputs: Inputs,
    baselines: Inputs,
    selects: tuple[Select, ...],
    rule: str = "rescale",
    *,
    strict: bool = False,
    choices: Choices = NO_CHOICES,
) -> tuple[Multipliers, ...]:
    """Return the multipliers of ``deep_lift_gradients`` for several outputs, from one pair of passes."""
    table = choices.applied_to(deep_lift_table(rule, strict=strict))
    with repeating(len(selects)), eager(), with_gradients(), restored_generators(inputs) as restore:
        found = _retried(lambda careful: _paired(table, forward, inputs, baselines, selects, restore, careful), restore)
    for each in found:
        if strict and each.certificate.switches:
            raise UnsupportedModelError(each.certificate.switches[0] + ". Pass strict=False to accept that.")
    return found


def modified_gradients(
    forward: Forward, inputs: Inputs, select: Select, rules: RuleTable, *, choices: Choices = NO_CHOICES
) -> Gradients:
    """Return gradients of the explained outputs with operations' gradients replaced by rules.

    Args:
        forward: Any callable of the inputs.
        inputs: Floating tensors; dimension 0 counts examples.
        select: From what ``forward`` returns to one number per example, (N,).
        rules: A table without a reference pass.
        choices: Rules of the user's own.

    Returns:
        Gradients, outputs and the certificate, whose ``count`` tells how often a rule was used.
    """
    return modified_gradients_of_each(forward, inputs, (select,), rules, choices=choices)[0]


def modified_gradients_of_each(
    forward: Forward, inputs: Inputs, selects: tuple[Select, ...], rules: RuleTable, *, choices: Choices = NO_CHOICES
) -> tuple[Gradients, ...]:
    """Return the gradients of ``modified_gradients`` for several outputs, from one pass."""
    if rules.paired:
        raise invalid_value("rules", rules.name, "its rules need a reference pass", "it to deep_lift_gradients")
    table = choices.applied_to(rules)
    with repeating(len(selects)), eager(), with_gradients(), restored_generators(inputs) as restore:
        return _retried(lambda careful: _single(table, forward, inputs, selects, careful), restore)


def _retried(attempt: Callable[[bool], Result], restore: Callable[[], None]) -> Result:
    """Attempt once; where autograd forbids the model's in-place writes, again with more care."""
    try:
        return attempt(False)
    except RuntimeError as error:
        if not any(words in str(error) for words in FORBIDDEN_WRITES):
            raise
    restore()
    return attempt(True)


def _paired(
    table: RuleTable,
    forward: Forward,
    inputs: Inputs,
    baselines: Inputs,
    selects: tuple[Select, ...],
    restore: Callable[[], None],
    careful: bool,
) -> tuple[Multipliers, ...]:
    ledger, tape, keeper = Ledger(table.name), Tape(), Keeper()
    with closing(RuledPass(table, ledger, tape, keeper, careful=careful)) as first:
        _, references, _ = _run(first, forward, baselines, selects)
    restore()
    tape.rewind()
    with closing(RuledPass(table, ledger, tape, keeper, careful=careful)) as second:
        leaves, outputs, active = _run(second, forward, inputs, selects)
        tape.finish()
        found = _differentiate(outputs, leaves, active)
    if not any(active) and not all(map(torch.equal, outputs, references)):
        ledger.switch(_NO_PATH)
    results = []
    for (gradients, used), output, reference in zip(found, outputs, references, strict=True):
        here, there = output.detach(), reference.detach()
        results.append(Multipliers(gradients, here, there, ledger.certificate(here - there), used))
    return tuple(results)


def _single(
    table: RuleTable, forward: Forward, inputs: Inputs, selects: tuple[Select, ...], careful: bool
) -> tuple[Gradients, ...]:
    ledger = Ledger(table.name)
    with closing(RuledPass(table, ledger, None, Keeper(), careful=careful)) as single:
        leaves, outputs, active = _run(single, forward, inputs, selects)
        found = _differentiate(outputs, leaves, active)
    certificate = ledger.certificate()
    return tuple(
        Gradients(gradients, output.detach(), certificate, used)
        for (gradients, used), output in zip(found, outputs, strict=True)
    )


def _run(
    engine: RuledPass, forward: Forward, values: Inputs, selects: tuple[Select, ...]
) -> tuple[Inputs, Inputs, tuple[bool, ...]]:
    """Run one pass; return its leaves, the explained outputs and which of these depend on the leaves."""
    leaves = tuple((v.clone() if v.is_inference() else v).detach().requires_grad_() for v in values)
    entered = engine.admit(leaves)
    with engine:
        result = uncompiled(forward)(*entered)
        outputs = tuple(select(result) for select in selects)
    return leaves, outputs, tuple(engine.check(output) for output in outputs)


def _differentiate(outputs: Inputs, leaves: Inputs, active: tuple[bool, ...]) -> list[tuple[Inputs, frozenset[int]]]:
    """Return the gradients of each output, zeros where there are none, and the numbers of the leaves that have one."""
    results = []
    for k, output in enumerate(outputs):
        found: tuple[Tensor | None, ...] = (None,) * len(leaves)
        if active[k]:
            again = any(active[k + 1 :])
            one_each = torch.ones_like(output)
            found = torch.autograd.grad(output, leaves, one_each, allow_unused=True, retain_graph=again)
        gradients = tuple(torch.zeros_like(x) if g is None else g.detach() for x, g in zip(leaves, found, strict=True))
        results.append((gradients, frozenset(n for n, g in enumerate(found) if g is not None)))
    return results
