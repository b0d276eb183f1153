"""How one pass over some rows is differentiated: by plain autograd or not at all here, under rules in ``ruled``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor

from pellucid._core.expansion import agree, run_plain
from pellucid._core.output import output_tensor
from pellucid._core.path import Points
from pellucid.errors import UnsupportedModelError, invalid_value

Run: TypeAlias = Callable[..., Any]
"""The user's function on rows of values; its additional arguments are filled in."""
Choose: TypeAlias = Callable[[Tensor], Tensor]
"""From the function's output tensor to the explained value of each row."""
Values: TypeAlias = tuple[Tensor, ...]


class Pass(NamedTuple):
    """What one pass gave for one explained value.

    Attributes:
        output: the model's output at the values.
        gradients: per input, of its shape.
        used: numbers of the inputs that the explained values depend on.
        changes: empty, or one tensor with the change of each explained value from its reference.
        working: bytes of the largest tensor where the pass kept nothing for a backward pass, 0 if it kept all.
    """

    output: Tensor
    gradients: tuple[Tensor, ...]
    used: frozenset[int]
    changes: tuple[Tensor, ...] = ()
    working: int = 0

    def first(self, rows: int) -> Pass:
        """Keep the first rows only."""
        return Pass(
            self.output[:rows],
            tuple(g[:rows] for g in self.gradients),
            self.used,
            tuple(c[:rows] for c in self.changes),
        )


class Differentiation(Protocol):
    """Runs a function on rows once and differentiates each explained value of each row."""

    @property
    def names(self) -> Sequence[str]:
        """Names of what is differentiated by; empty where that is the values of the site."""

    @property
    def counted(self) -> bool:
        """Whether autograd keeps what a pass keeps, so that its bytes can be counted."""

    def __call__(self, run: Run, chooses: tuple[Choose, ...], points: Points) -> tuple[Pass, ...]:
        """Differentiate ``choose(output of run(*points.values))`` for each choice; points have no sample axis."""

    def elsewhere(self, run: Run, values: Values, number: int) -> Tensor | None:
        """Output where one of what is differentiated by has other values; ``None`` if no output tells of it alone."""


class ByValues:
    """What differentiates by the values that the function is run on."""

    def elsewhere(self, run: Run, values: Values, number: int) -> Tensor | None:
        """See ``Differentiation``."""
        others = tuple(shaken(v) if i == number else v for i, v in enumerate(values))
        return run_plain(lambda lent: output_tensor(run(*lent)), others).detach()


def shaken(values: Tensor) -> Tensor:
    """Other values of the same range: halfway to half of the largest magnitude, or of one."""
    largest = values.abs().amax() if values.numel() else values.new_ones(())
    return values / 2 + torch.where(largest > 0, largest, torch.ones_like(largest)) / 4


@dataclass(frozen=True)
class PlainGradients(ByValues):
    """Differentiates by autograd.

    Attributes:
        required: whether an output that nothing differentiable connects with the values is an error.
        grad_kwargs: further arguments of ``torch.autograd.grad``.
        names: see ``Differentiation``.
        counted: likewise.
    """

    required: bool = True
    grad_kwargs: Mapping[str, Any] = field(default_factory=dict)
    names: Sequence[str] = ()
    counted: bool = True

    def __call__(self, run: Run, chooses: tuple[Choose, ...], points: Points) -> tuple[Pass, ...]:
        """Run once, and again on copies where the model writes into its inputs."""
        leaves = tuple([v.detach().requires_grad_() for v in points.values])
        output = output_tensor(_run_on(leaves, run))
        selected = [choose(output) for choose in chooses]
        if self.required and not selected[0].requires_grad:
            raise unconnected("the inputs")
        found = gradients_of(selected, leaves, self.grad_kwargs)
        plain = output.detach()
        return tuple([Pass(plain, gradients, used) for gradients, used in found])


def depends(known: Values, again: Callable[[], Values], elsewhere: Callable[[], Values | None]) -> bool | None:
    """Tell whether explained values change where something has other values; ``None`` if that is not seen.

    Args:
        known: the explained values, one tensor for each target.
        again: evaluates them once more, to see that they do not waver.
        elsewhere: evaluates them where something has other values; ``None`` if nothing tells of it alone.

    Returns:
        Whether they differ. It is not seen where they waver, or where the model does not take other values.
    """
    try:
        same, other = again(), elsewhere()
        if other is None or not all(map(agree, same, known)):
            return None
        return not all(map(agree, other, known))
    except Exception:  # the model need not take other values
        return None


def unconnected(place: str) -> Exception:
    """Say that nothing differentiable connects the output with a place."""
    return invalid_value(
        "forward_func",
        "a function whose output has no gradient",
        f"nothing differentiable connects it with {place} (detach, no_grad, argmax, a detour through numpy)",
        "a function that is differentiable, or a perturbation method",
    )


def _run_on(leaves: Values, run: Run) -> Any:
    """Run on leaves themselves; a model that writes into its inputs or detaches them gets copies."""
    try:
        output = run(*leaves)
        if all(leaf.requires_grad for leaf in leaves):
            return output
    except RuntimeError as error:
        if not ("leaf" in str(error) and "in-place" in str(error)):
            raise
    return run(*[leaf.requires_grad_().clone() for leaf in leaves])


def gradients_of(
    selected: list[Tensor], leaves: Values, grad_kwargs: Mapping[str, Any]
) -> list[tuple[Values, frozenset[int]]]:
    """Differentiate several sums of one graph; zeros where there is no gradient.

    Args:
        selected: explained values, one tensor each.
        leaves: what they are differentiated by.
        grad_kwargs: further arguments of ``torch.autograd.grad``.

    Returns:
        For each sum the gradients and the numbers of the leaves that have one.

    Raises:
        InvalidValueError: if a leaf has no gradient and ``allow_unused=False`` was asked for.
    """
    results = []
    for k, values in enumerate(selected):
        found: tuple[Tensor | None, ...] = (None,) * len(leaves)
        if values.requires_grad:
            options = {**grad_kwargs, "allow_unused": True}
            if k < len(selected) - 1:
                options["retain_graph"] = True
            found = _differentiated(values.sum(), leaves, options)
        used = frozenset([i for i, g in enumerate(found) if g is not None])
        if grad_kwargs.get("allow_unused") is False:
            check_all_used(used, len(leaves))
        gradients = [torch.zeros_like(x) if g is None else g for g, x in zip(found, leaves, strict=True)]
        results.append((tuple(gradients), used))
    return results


def _differentiated(value: Tensor, leaves: Values, options: Mapping[str, Any]) -> tuple[Tensor | None, ...]:
    try:
        return torch.autograd.grad(value, leaves, **options)
    except RuntimeError as error:
        if "use_reentrant" not in str(error):
            raise
        raise UnsupportedModelError(
            "The model runs torch.utils.checkpoint with use_reentrant=True, which gives gradients to parameters only."
            " Run it with use_reentrant=False, or switch checkpointing off."
        ) from error


def check_all_used(used: frozenset[int], count: int) -> None:
    """Refuse values without influence, where ``allow_unused=False`` asks for that."""
    if len(used) < count:
        raise invalid_value(
            "grad_kwargs",
            "{'allow_unused': False}",
            f"value {min(set(range(count)) - used)} of {count} has no influence on the explained output",
            "allow_unused=True for zeros, or a layer that the output depends on",
        )


plain_gradients = PlainGradients()
"""Differentiation of functions that must be differentiable."""


@dataclass(frozen=True)
class ValuesOnly(ByValues):
    """Evaluates without differentiating: the explained values come back as changes, and there are no gradients.

    Attributes:
        names: see ``Differentiation``.
        counted: likewise.
    """

    names: Sequence[str] = ()
    counted: bool = False

    def __call__(self, run: Run, chooses: tuple[Choose, ...], points: Points) -> tuple[Pass, ...]:
        """Run once on copies, so that the model may write into them."""
        output = run_plain(lambda lent: output_tensor(run(*lent)), points.values).detach()
        used = frozenset(range(len(points.values)))
        return tuple(Pass(output, (), used, (choose(output),)) for choose in chooses)


WITHOUT_BOOKS = (PlainGradients, ValuesOnly)
"""Passes that know nothing of each other, so that rows may be added to one and left out of its result."""
