"""Relevance propagation over any callable: what the public class is written on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from pellucid._core.rules.api import (
    NO_CHOICES,
    Choices,
    Forward,
    Inputs,
    Select,
    modified_gradients,
)
from pellucid._core.rules.certificate import Certificate
from pellucid._core.rules.environment import uncompiled
from pellucid._core.rules.lrp_audit import Audit, Books
from pellucid._core.rules.lrp_choice import ModuleRules, RuleChoice
from pellucid._core.rules.lrp_composites import Composite
from pellucid._core.rules.lrp_site import Channel
from pellucid._core.rules.lrp_table import Treatment
from pellucid._core.rules.table import Override
from pellucid._core.rules.vocabulary import Kind

NO_RULES: ModuleRules = MappingProxyType({})


@dataclass(frozen=True)
class Relevances:
    r"""Relevance of each input value, with what became of the rest.

    Args:
        relevances: One tensor per input, of its shape.
        outputs: The explained output of each example, (N,).
        certificate: Operations and the rule each got.
        audit: What each operation absorbed; None unless asked for.
        used: Numbers of the inputs that the outputs are connected with.
    """

    relevances: Inputs
    outputs: Tensor
    certificate: Certificate
    audit: Audit | None
    used: frozenset[int] = frozenset()

    @property
    def delta(self) -> Tensor:
        r"""What was absorbed per example, :math:`f(x) - \sum_i R_i`, (N,)."""
        return self.outputs - sum(part.reshape(len(part), -1).sum(1) for part in self.relevances)


def relevances(
    forward: Forward,
    inputs: Inputs,
    select: Select,
    composite: Composite | RuleChoice,
    *,
    rules: ModuleRules = NO_RULES,
    choices: Choices = NO_CHOICES,
    audit: bool = False,
) -> Relevances:
    r"""Return the relevance of each input value under a composite of rules.

    .. math:: R_i = x_i \, \tilde\nabla_i f

    where the modified gradient has rules in place of derivatives. A rule is looked up for each layer: the
    innermost module around it with an entry in ``rules`` or with an attribute ``rule`` decides, else the
    composite. Rules stay where they are, and nothing else is left on the model.

    Example:
        >>> import torch
        >>> from pellucid._core.rules.lrp_composites import EpsilonPlus
        >>> layer = torch.nn.Linear(3, 2, bias=False)
        >>> x = torch.tensor([[1.0, -2.0, 0.5]])
        >>> net = lambda x: layer(x) + x[:, :2]  # conserved: no bias, and a sum is no obstacle
        >>> result = relevances(net, (x,), lambda y: y[:, 1], EpsilonPlus())
        >>> torch.allclose(result.relevances[0].sum(1), result.outputs, atol=1e-4)
        True

    Args:
        forward: Any callable of the inputs.
        inputs: Floating tensors; dimension 0 counts examples.
        select: From what ``forward`` returns to one number per example, (N,).
        composite: Which rule which layer gets, or a choice that was made from it and from ``rules``.
        rules: Rules by module, module name or module type.
        choices: Rules of the user's own in the engine's terms, which precede everything else.
        audit: Keep books of what each operation absorbs; costs a second evaluation of some operations.

    Returns:
        Relevances, outputs, the certificate and the audit.
    """
    channel, choice, books = Channel(), composite, Books() if audit else None
    if not isinstance(choice, RuleChoice):
        choice = RuleChoice(choice, rules)
    treatment = Treatment(choice, channel, choice.composite.softmax, books)
    table = treatment.table(f"relevance propagation ({choice.composite.name})")
    if choices.override is not None or choices.rules:
        choices = replace(choices, override=_first(choices, treatment.override))
    entering = _entering(uncompiled(forward), channel, books)
    found = modified_gradients(entering, inputs, select, table, choices=choices)
    choice.check_all_used()
    parts = tuple(
        channel.arrived(number, (value.detach() * gradient).masked_fill_(gradient == 0, 0))
        for number, (value, gradient) in enumerate(zip(inputs, found.gradients, strict=True))
    )
    balance = None if books is None else books.close(found.outputs, parts)
    return Relevances(parts, found.outputs, found.certificate, balance, found.used)


def _entering(inner: Forward, channel: Channel, books: Books | None) -> Forward:
    """Begin channel and books anew whenever the function is run, since a pass may be run again."""

    def entered(*values: Tensor) -> Any:
        channel.begin(tuple(_leaf(value) for value in values))
        if books is not None:
            books.begin()
        return inner(*values)

    return entered


def _leaf(entered: Tensor) -> Tensor:
    """Return the leaf behind a value that entered the pass; a tensor of a class of its own enters in several steps."""
    node: Any = entered.grad_fn
    while not hasattr(node, "variable"):
        node = node.next_functions[0][0]
    leaf: Tensor = node.variable
    return leaf


def _first(choices: Choices, ours: Override) -> Override:
    """Put the user's override and rules by operation before the method's."""

    def override(operation: str, kind: Kind, modules: tuple[torch.nn.Module, ...]) -> Any:
        if choices.override is not None:
            rule = choices.override(operation, kind, modules)
            if rule is not None:
                return rule
        return None if operation in choices.rules else ours(operation, kind, modules)

    return override
