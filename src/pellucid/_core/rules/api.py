"""What the methods call: one pass, or a pair of passes, over any callable under a table of rules."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from pellucid._core.rules.call import Keeper
from pellucid._core.rules.careful import FORBIDDEN_WRITES
from pellucid._core.rules.certificate import Certificate, Ledger
from pellucid._core.rules.deeplift_tables import deep_lift_table
from pellucid._core.rules.environment import eager, restored_generators, uncompiled
from pellucid._core.rules.mode import RuledPass
from pellucid._core.rules.table import FunctionRule, Override, Rule, RuleTable
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
        override: The user's choice by operation and module, see registry.py.
    """

    rules: Mapping[str, Rule] = field(default_factory=dict)
    functions: Mapping[type, FunctionRule | None] = field(default_factory=dict)
    override: Override | None = None

    def applied_to(self, table: RuleTable) -> RuleTable:
        """Return the method's table with these choices in it."""
        expansions = {name: e for name, e in table.expansions.items() if name not in self.rules}
        return replace(
            table,
            chosen={**table.chosen, **self.rules},
            expansions=expansions,
            closed={} if self.rules or self.override else table.closed,
            functions={**table.functions, **self.functions},
            override=self.override or table.override,
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
    table = choices.applied_to(deep_lift_table(rule, strict=strict))
    with _surroundings(inputs) as restore:
        found = _retried(lambda careful: _paired(table, forward, inputs, baselines, select, restore, careful), restore)
    ledger, gradients, used, outputs, reference_outputs = found
    certificate = ledger.certificate(outputs - reference_outputs)
    if strict and certificate.switches:
        raise UnsupportedModelError(certificate.switches[0] + ". Pass strict=False to accept that.")
    return Multipliers(gradients, outputs, reference_outputs, certificate, used)


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
    if rules.paired:
        raise invalid_value("rules", rules.name, "its rules need a reference pass", "it to deep_lift_gradients")
    table = choices.applied_to(rules)
    with _surroundings(inputs) as restore:
        return _retried(lambda careful: _single(table, forward, inputs, select, careful), restore)


@contextlib.contextmanager
def _surroundings(inputs: Inputs) -> Iterator[Callable[[], None]]:
    with eager(), torch.inference_mode(False), torch.enable_grad(), restored_generators(inputs) as restore:
        yield restore


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
    select: Select,
    restore: Callable[[], None],
    careful: bool,
) -> tuple[Ledger, Inputs, frozenset[int], Tensor, Tensor]:
    ledger, tape, keeper = Ledger(table.name), Tape(), Keeper()
    with closing(RuledPass(table, ledger, tape, keeper, careful=careful)) as first:
        _, reference_outputs, _ = _run(first, forward, baselines, select)
    restore()
    tape.rewind()
    with closing(RuledPass(table, ledger, tape, keeper, careful=careful)) as second:
        leaves, outputs, active = _run(second, forward, inputs, select)
        tape.finish()
        gradients, used = _differentiate(outputs, leaves, active)
    outputs, reference_outputs = outputs.detach(), reference_outputs.detach()
    if not active and not torch.equal(outputs, reference_outputs):
        ledger.switch(_NO_PATH)
    return ledger, gradients, used, outputs, reference_outputs


def _single(table: RuleTable, forward: Forward, inputs: Inputs, select: Select, careful: bool) -> Gradients:
    ledger = Ledger(table.name)
    with closing(RuledPass(table, ledger, None, Keeper(), careful=careful)) as single:
        leaves, outputs, active = _run(single, forward, inputs, select)
        gradients, used = _differentiate(outputs, leaves, active)
    return Gradients(gradients, outputs.detach(), ledger.certificate(), used)


def _run(engine: RuledPass, forward: Forward, values: Inputs, select: Select) -> tuple[Inputs, Tensor, bool]:
    """Run one pass; return its leaves, the explained outputs and whether these depend on the leaves."""
    leaves = tuple((v.clone() if v.is_inference() else v).detach().requires_grad_() for v in values)
    entered = engine.admit(leaves)
    with engine:
        outputs = select(uncompiled(forward)(*entered))
    return leaves, outputs, engine.check(outputs)


def _differentiate(outputs: Tensor, leaves: Inputs, active: bool) -> tuple[Inputs, frozenset[int]]:
    """Return the gradients, zeros where there are none, and the numbers of the leaves that have one."""
    if not active:
        return tuple(torch.zeros_like(leaf) for leaf in leaves), frozenset()
    found = torch.autograd.grad(outputs.sum(), leaves, allow_unused=True)
    gradients = tuple(torch.zeros_like(x) if g is None else g.detach() for x, g in zip(leaves, found, strict=True))
    return gradients, frozenset(n for n, g in enumerate(found) if g is not None)
