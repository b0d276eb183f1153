"""How one pass over some rows is differentiated: by plain autograd or not at all here, under rules in ``ruled``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor

from pellucid._core.output import output_tensor
from pellucid.errors import invalid_value

Run: TypeAlias = Callable[..., Any]
"""The user's function on rows of values; its additional arguments are filled in."""
Choose: TypeAlias = Callable[[Tensor], Tensor]
"""From the function's output tensor to the explained value of each row."""
Values: TypeAlias = tuple[Tensor, ...]


class Pass(NamedTuple):
    """What one pass gave.

    Attributes:
        output: the model's output at the values.
        gradients: per input, of its shape.
        used: numbers of the inputs that the explained values depend on.
        changes: empty, or one tensor with the change of each explained value from its reference.
    """

    output: Tensor
    gradients: tuple[Tensor, ...]
    used: frozenset[int]
    changes: tuple[Tensor, ...] = ()

    def first(self, rows: int) -> Pass:
        """Keep the first rows only."""
        return Pass(
            self.output[:rows],
            tuple(g[:rows] for g in self.gradients),
            self.used,
            tuple(c[:rows] for c in self.changes),
        )


class Differentiation(Protocol):
    """Runs a function on rows and differentiates the explained value of each."""

    def __call__(self, run: Run, choose: Choose, values: Values, references: Values) -> Pass:
        """Differentiate ``choose(output of run(*values))``; references are empty where there are none."""


def plain_gradients(run: Run, choose: Choose, values: Values, references: Values) -> Pass:
    """Differentiate by autograd. The model gets copies of the leaves, so it may write into them."""
    del references
    leaves = tuple(v.detach().requires_grad_() for v in values)
    output = output_tensor(run(*(leaf.clone() for leaf in leaves)))
    selected = choose(output)
    if not selected.requires_grad:
        raise invalid_value(
            "forward_func",
            "a function whose output has no gradient",
            "nothing differentiable connects it with the inputs (detach, no_grad, argmax, a detour through numpy)",
            "a function that is differentiable, or a perturbation method",
        )
    found = torch.autograd.grad(selected.sum(), leaves, allow_unused=True)
    gradients = tuple(torch.zeros_like(x) if g is None else g for g, x in zip(found, leaves, strict=True))
    return Pass(output.detach(), gradients, frozenset(i for i, g in enumerate(found) if g is not None))


def evaluate(run: Run, values: Values) -> Tensor:
    """Run a function on copies of values without a graph, so that it may write into them, and give its output.

    A function that differentiates inside itself gets values that take part in gradients.
    """
    with torch.no_grad():
        try:
            return output_tensor(run(*(v.clone() for v in values))).detach()
        except RuntimeError as error:
            if "does not require grad" not in str(error):
                raise
    return output_tensor(run(*(v.detach().clone().requires_grad_() for v in values))).detach()


def values_only(run: Run, choose: Choose, values: Values, references: Values) -> Pass:
    """Evaluate without differentiating: the explained values come back as changes, and there are no gradients."""
    del references
    output = evaluate(run, values)
    return Pass(output, (), frozenset(range(len(values))), (choose(output),))


WITHOUT_BOOKS = (plain_gradients, values_only)
"""Passes that know nothing of each other, so that rows may be added to one and left out of its result."""
