"""Where the explained value lives, and how the model is run with another value put there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from pellucid._core.arguments import Arguments
from pellucid._core.output import Target
from pellucid._core.report import notify
from pellucid._core.structure import all_finite, like, names_of
from pellucid.errors import NonFiniteWarning
from pellucid.typing import ForwardFunction, Tensors

_GRADIENT = "the model's gradient is"


class Site(Protocol):
    """A place in the model whose value is explained: its inputs, or a layer."""

    @property
    def forward(self) -> ForwardFunction:
        """The user's function."""

    @property
    def values(self) -> tuple[Tensor, ...]:
        """What is there at the inputs; dimension 0 counts the examples."""

    @property
    def examples(self) -> int:
        """Number of examples N."""

    @property
    def template(self) -> Any:
        """A tensor, or a tuple of them: the form in which masks and baselines for the values are given."""

    @property
    def names(self) -> Sequence[str]:
        """Name of each value, for messages."""

    @property
    def divisible(self) -> bool:
        """Whether rows of the values belong to examples, so that a pass may hold some or copies of them."""

    @property
    def output(self) -> Any:
        """The model's output at the values if it is known already, else ``None``."""

    def run_whole(self, values: tuple[Tensor, ...]) -> Any:
        """Run the function with one value per example put there."""

    def run_rows(self, values: tuple[Tensor, ...], examples: Tensor, repeats: int) -> Any:
        """Run the function on ``repeats`` values for each chosen example, copy after copy."""

    def structured(self, values: Sequence[Tensor]) -> Any:
        """Give results, one per value, the structure of what is explained."""


@dataclass(frozen=True)
class InputSite:
    """The inputs of the function: it is called with the values in place of them.

    Attributes:
        forward: the user's function.
        values: the inputs, detached.
        arguments: its additional arguments.
        template: the inputs as given, a tensor or a tuple.
        output: see ``Site``.
    """

    forward: ForwardFunction
    values: tuple[Tensor, ...]
    arguments: Arguments
    template: Any
    output: Tensor | None = None

    divisible = True

    @property
    def examples(self) -> int:
        """Number of examples N."""
        return self.values[0].shape[0]

    @property
    def names(self) -> list[str]:
        """``inputs``, or ``inputs[0]``, ``inputs[1]``, ..."""
        return names_of("inputs", self.template)

    def run_whole(self, values: tuple[Tensor, ...]) -> Any:
        """Run the function on one value per example, with its additional arguments as they were given."""
        lent = self.arguments.whole()
        output = self.forward(*values, *lent)
        self.arguments.returned(lent)
        return output

    def run_rows(self, values: tuple[Tensor, ...], examples: Tensor, repeats: int) -> Any:
        """Run the function on ``repeats`` values for each chosen example, copy after copy."""
        return self.forward(*values, *self.arguments.rows(examples, repeats))

    def structured(self, values: Sequence[Tensor]) -> Tensors:
        """Give a tensor for a tensor, a tuple for a tuple."""
        return like(self.template, values)


@dataclass(frozen=True)
class Question:
    """What is asked: which outputs (``targets``) are explained by which values (``site``).

    Attributes:
        site: where the values are.
        targets: one, or ``several``, whose answers are stacked along a leading axis.
        several: whether a list of targets was asked for, of whatever length.
    """

    site: Site
    targets: tuple[Target, ...]
    several: bool = False

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """The explained values, detached."""
        return self.site.values

    @property
    def target(self) -> Target:
        """The only target."""
        (target,) = self.targets
        return target

    @property
    def template(self) -> Any:
        """A tensor, or a tuple of them: the form in which masks and baselines for the values are given."""
        return self.site.template

    def answer(self, attributions: Sequence[tuple[Tensor, ...]], cause: str = _GRADIENT) -> Any:
        """Give the attributions of each target the floating dtypes and the structure of what is explained."""
        check_results(self.site.names, attributions, cause)
        pairs = [zip(values, self.inputs, strict=True) for values in attributions]
        cast = [[v.to(x.dtype) if x.is_floating_point() else v for v, x in pair] for pair in pairs]
        return self.stacked([self.site.structured(values) for values in cast])

    def stacked(self, results: Sequence[Any]) -> Any:
        """Give the only target's result, or the results of several stacked along a leading axis."""
        return stacked(results) if self.several else results[0]


def inputs_of(question: Question) -> InputSite:
    """Give the model's inputs, which a question from the door is about."""
    if not isinstance(question.site, InputSite):
        raise TypeError("a question about the inputs is expected")
    return question.site


def check_results(names: Sequence[str], attributions: Sequence[tuple[Tensor, ...]], cause: str = _GRADIENT) -> None:
    """Warn of NaN and infinite attributions, which are not hidden, by the name of what they belong to."""
    for i in range(len(names)):
        if not all(all_finite(values[i]) for values in attributions):
            wrong = sum(int((~torch.isfinite(values[i])).sum()) for values in attributions)
            total = sum(values[i].numel() for values in attributions)
            notify(
                NonFiniteWarning,
                f"{wrong} of {total} attributions of {names[i]} are NaN or infinite: {cause} not finite there (a"
                " division by zero, the root or logarithm of zero, an overflow).",
            )


def stacked(results: Sequence[Any]) -> Any:
    """Stack results of equal structure (tensors, or tuples, lists and dictionaries of them)."""
    first = results[0]
    if isinstance(first, Tensor):
        return torch.stack(list(results))
    if isinstance(first, dict):
        return {key: stacked([r[key] for r in results]) for key in first}
    return type(first)(stacked(parts) for parts in zip(*results, strict=True))
