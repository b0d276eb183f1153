r"""Where a rule is applied: one call, its values, and the way back from relevance to gradients.

The engine moves gradients g, and relevance is :math:`R = x g`. A rule that is not proportional to its
operand gives relevance to operands that are zero, which no gradient can carry. Such relevance takes a side
channel to the attributed inputs: it is added to :math:`x g` there. That is exact if the operand merely
selects input values (views, slices, padding, casts), and is refused otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pellucid._core.rules.calculus import vjp
from pellucid._core.rules.call import Call
from pellucid._core.rules.lrp_graph import first_that_does_not_select
from pellucid._core.rules.lrp_layers import Layer
from pellucid._core.rules.table import Occurrence
from pellucid.errors import UnsupportedModelError


def stabilised(denominator: Tensor, epsilon: float) -> Tensor:
    """Move a denominator away from zero by epsilon, keeping its sign; zero counts as positive."""
    return denominator + torch.where(denominator >= 0, epsilon, -epsilon).to(denominator.dtype)


@dataclass(eq=False)
class Channel:
    """Relevance of zeros at the inputs of one pass.

    Args:
        leaves: The attributed values as the engine differentiates them.
        extra: Relevance that no gradient carries, per input.
        open: False while relevance travels through the channel, so that nothing else counts it.
    """

    leaves: tuple[Tensor, ...] = ()
    extra: dict[int, Tensor] = field(default_factory=dict)
    open: bool = True

    def send(self, relevance: Tensor, operand: Tensor) -> Tensor:
        """Carry relevance from an operand to the inputs that it selects; return the sum that arrived."""
        self.open = False
        try:
            found = torch.autograd.grad(operand, self.leaves, relevance, retain_graph=True, allow_unused=True)
        finally:
            self.open = True
        arrived = relevance.new_zeros(())
        for number, part in enumerate(found):
            if part is not None:
                known = self.extra.get(number)
                self.extra[number] = part if known is None else known + part
                arrived = arrived + part.sum()
        return arrived


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
        return torch.where(gradient == 0, 0, gradient * self.y)

    def pull(self, gradient: Tensor) -> Tensor:
        """Pull a gradient back by the operation's own derivative."""
        return vjp(self.call.again, self.call.operands, (gradient, *(None for _ in self.call.results[1:])))[0]

    def as_gradient(self, relevance: Tensor) -> Tensor:
        """Return the gradient that carries a relevance of the operand; what none can carry is sent aside."""
        x = self.x
        zero = x == 0
        aside = torch.where(zero, relevance, 0)
        if bool(aside.any()):
            between = first_that_does_not_select(self._operand)
            if between is not None:
                raise self._refused(between)
            self.sent = self._channel.send(aside, self._operand)
        return torch.where(zero, 0, relevance / x.masked_fill(zero, 1))

    def _refused(self, between: str) -> UnsupportedModelError:
        return UnsupportedModelError(
            f"{self.rule} at '{self.call.name}' ({self.call.line}) gives relevance to values that are zero, "
            f"and these are results of {between} rather than input values, so nothing can take it on. Use "
            "this rule for layers that read the inputs, and one proportional to the operand (ZPlus, Gamma, "
            "Epsilon) elsewhere."
        )


Propagate = Callable[[Site, Tensor], Tensor]
