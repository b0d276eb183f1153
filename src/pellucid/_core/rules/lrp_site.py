r"""Where a rule is applied: one call, its values, and the way back from relevance to gradients.

The engine moves gradients g, and relevance is :math:`R = x g`. A rule that is not proportional to its
operand gives relevance to operands that are zero, which no gradient can carry. Such relevance takes a side
channel to the values that the operand selects (through views, slices, padding, casts, maxima): to the
inputs, where it is added to :math:`x g`, or to an elementwise function such as the ReLU, which passes it on
to its own operand. That is exact, and anything else is refused.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from pellucid._core.rules.call import Call
from pellucid._core.rules.lrp_graph import pull_of, selected_from, spoken
from pellucid._core.rules.lrp_layers import Layer
from pellucid._core.rules.lrp_transpose import pull_layer
from pellucid._core.rules.table import Occurrence
from pellucid.errors import UnsupportedModelError


def stabilised(denominator: Tensor, epsilon: float) -> Tensor:
    """Move a denominator away from zero by epsilon, keeping its sign or phase; zero counts as positive."""
    if denominator.is_complex():
        return denominator + epsilon * torch.where(denominator == 0, 1, denominator.sgn())
    shift = float(epsilon)
    return torch.where(denominator >= 0, denominator + shift, denominator - shift)


def quotient(relevance: Tensor, total: Tensor, scale: Tensor) -> Tensor:
    """Divide relevance by a sum of contributions; where it is zero up to rounding, nothing is handed on.

    Args:
        relevance: The relevance to be shared.
        total: The sum.
        scale: The sum of the contributions' sizes, against which rounding is judged.
    """
    nothing = total.abs() <= 16 * torch.finfo(total.dtype).eps * scale
    return torch.where(nothing, 0, relevance / total)


@dataclass(eq=False)
class Channel:
    """Relevance of zeros on its way past the gradients of one pass.

    Args:
        leaves: The attributed values as the engine differentiates them.
        extra: Relevance that arrived at the inputs and is no gradient times value, per input.
        open: False while relevance travels through the channel, so that nothing else counts it.
    """

    leaves: tuple[Tensor, ...] = ()
    extra: dict[int, Tensor] = field(default_factory=dict)
    open: bool = True

    def begin(self, leaves: tuple[Tensor, ...]) -> None:
        """Begin a pass, or begin it again."""
        self.leaves = leaves
        self.extra.clear()

    def send(self, relevance: Tensor, operand: Tensor, sender: str) -> Tensor:
        """Carry relevance from an operand to the values it selects; return the sum that arrived."""
        nodes = selected_from(operand)
        takers = [self._taker(node, sender) for node in nodes]
        ends = [node.variable if hasattr(node, "variable") else GradientEdge(node, 0) for node in nodes]
        self.open = False
        try:
            found = torch.autograd.grad(operand, ends, relevance, retain_graph=True, allow_unused=True)
        finally:
            self.open = True
        arrived = relevance.new_zeros((), dtype=torch.float64)
        for take, part in zip(takers, found, strict=True):
            if part is not None:
                take(part)
                arrived = arrived + part.double().sum()
        return arrived

    def arrived(self, number: int, relevance: Tensor) -> Tensor:
        """Return the relevance of an input with what came through the channel."""
        extra = self.extra.get(number)
        return relevance if extra is None else relevance + extra

    def _taker(self, node: Any, sender: str) -> Callable[[Tensor], None]:
        for number, leaf in enumerate(self.leaves):
            if getattr(node, "variable", None) is leaf:
                return functools.partial(self._take, number)
        pull = pull_of(node)
        if pull is None or pull.inbox is None:
            raise _stranded(sender, node)
        return pull.inbox

    def _take(self, number: int, relevance: Tensor) -> None:
        self.extra[number] = self.arrived(number, relevance)


def _stranded(sender: str, node: Any) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"{sender} gives relevance to values that are zero, and these are results of {spoken(node)} rather "
        "than input values or activations, so nothing can take it on. Use this rule for layers that read "
        "inputs or activations, and one proportional to the operand (ZPlus, Gamma, Epsilon) here."
    )


class Site:
    """One call of an operation with one active operand, as a rule sees it.

    Args:
        occurrence: The call as the engine knows it.
        channel: The side channel of this pass.
        rule: Name of the rule, for messages.
    """

    def __init__(self, occurrence: Occurrence, channel: Channel, rule: str) -> None:
        self.call: Call = occurrence.call
        self.rule = rule
        self.received: Tensor | None = None
        self.sent: Tensor | None = None
        self._operand = occurrence.operands[0]
        self._channel = channel

    @property
    def x(self) -> Tensor:
        """The operand."""
        return self.call.operands[0]

    @property
    def y(self) -> Tensor:
        """The result."""
        return self.call.results[0]

    @property
    def layer(self) -> Layer:
        """The call as a layer with weights, for rules that replace them."""
        return Layer(self.call)

    def relevance(self, gradient: Tensor) -> Tensor:
        """Return the relevance of the result."""
        return (gradient * self.y).masked_fill_(gradient == 0, 0)

    def pull(self, gradient: Tensor) -> Tensor:
        """Pull a gradient back by the operation's own derivative."""
        return pull_layer(self.call, gradient)

    def as_gradient(self, relevance: Tensor) -> Tensor:
        """Return the gradient that carries a relevance of the operand; what none can carry is sent aside."""
        x = self.x
        zero = x == 0
        aside = torch.where(zero, relevance, 0)
        if bool(aside.any()):
            sender = f"{self.rule} at '{self.call.name}' ({self.call.line})"
            self.sent = self._channel.send(aside, self._operand, sender)
        return torch.where(zero, 0, relevance / x)

    def receive(self, relevance: Tensor) -> None:
        """Take relevance of the result that came through the side channel."""
        self.received = relevance if self.received is None else self.received + relevance

    @property
    def balance_aside(self) -> Tensor | float:
        """What arrived through the side channel minus what left through it."""
        arrived = 0.0 if self.received is None else self.received.double().sum()
        return arrived if self.sent is None else arrived - self.sent
