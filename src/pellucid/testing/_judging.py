"""One way to compare two results, and the error that says where they differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid.errors import ContractError


@dataclass(frozen=True)
class Judge:
    """Compares for one property on one model, which the error names."""

    name: str
    model: str

    def equal(self, found: Any, expected: Any, tolerance: float, what: str) -> None:
        """Compare tensors, or tuples of such: differences up to ``tolerance * max(1, largest value expected)`` pass.

        Raises:
            ContractError: if a difference is larger or no number, or if the shapes differ.
        """
        pairs = list(zip(tensors(found), tensors(expected), strict=True))
        self.require(all(f.shape == e.shape for f, e in pairs), f"{what} differ in shape")
        difference = max(_largest(f.to(e) - e) for f, e in pairs)
        allowed = tolerance * max(1.0, *(_largest(e) for _, e in pairs))
        if not difference <= allowed:  # a difference that is NaN fails too
            raise self._error(what, difference, allowed)

    def require(self, fact: bool, what: str) -> None:
        """Fail, with words alone, unless a fact holds.

        Raises:
            ContractError: if the fact does not hold.
        """
        if not fact:
            raise self._error(what, None, None)

    def _error(self, what: str, difference: float | None, tolerance: float | None) -> ContractError:
        size = "" if difference is None else f": the largest difference is {difference:.3g}, and {tolerance:.3g} passes"
        return ContractError(
            f"{self.name}: on {self.model}, {what}{size}.",
            property_name=self.name,
            model=self.model,
            difference=difference,
            tolerance=tolerance,
        )


def tensors(result: Any) -> tuple[Tensor, ...]:
    """The tensors of a result."""
    return result if isinstance(result, tuple) else (result,)


def _largest(value: Tensor) -> float:
    return float(value.detach().abs().amax()) if value.numel() else 0.0


def same(found: Any, expected: Any) -> bool:
    """Whether two results are equal bit by bit."""
    return all(torch.equal(f, e) for f, e in zip(tensors(found), tensors(expected), strict=True))
