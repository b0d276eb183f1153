"""Where the explained value lives, and how the model is run with another value put there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid._core.arguments import Arguments
from pellucid._core.output import Target
from pellucid._core.report import notify
from pellucid._core.structure import like, names_of
from pellucid.errors import NonFiniteWarning
from pellucid.typing import ForwardFunction, Tensors


@dataclass(frozen=True)
class InputSite:
    """The inputs of the function: it is called with the values in place of them."""

    forward: ForwardFunction
    values: tuple[Tensor, ...]
    arguments: Arguments

    @property
    def examples(self) -> int:
        """Number of examples N."""
        return self.values[0].shape[0]

    def run_whole(self, values: tuple[Tensor, ...]) -> Any:
        """Run the function on one value per example, with its additional arguments as they were given."""
        lent = self.arguments.whole()
        output = self.forward(*values, *lent)
        self.arguments.returned(lent)
        return output

    def run_rows(self, values: tuple[Tensor, ...], examples: Tensor, repeats: int) -> Any:
        """Run the function on ``repeats`` values for each chosen example, copy after copy."""
        return self.forward(*values, *self.arguments.rows(examples, repeats))


@dataclass(frozen=True)
class Question:
    """What is asked: which output (``target``) is explained by which values (``site``)."""

    site: InputSite
    target: Target
    template: Any

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """The explained values, detached."""
        return self.site.values

    def answer(self, attributions: tuple[Tensor, ...], cause: str = "the model's gradient is") -> Tensors:
        """Give attributions the floating dtype of their input and the structure of the inputs as given.

        NaN and infinite values are not hidden: a warning names their input, and what ``cause`` says is not finite.
        """
        for name, value in zip(names_of("inputs", self.template), attributions, strict=True):
            wrong = int((~torch.isfinite(value)).sum())
            if wrong:
                notify(
                    NonFiniteWarning,
                    f"{wrong} of {value.numel()} attributions of {name} are NaN or infinite: {cause} not"
                    " finite there (a division by zero, the root or logarithm of zero, an overflow).",
                )
        cast = [
            value.to(x.dtype) if x.is_floating_point() else value
            for value, x in zip(attributions, self.inputs, strict=True)
        ]
        return like(self.template, cast)
