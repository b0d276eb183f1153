"""The generic rule: integrate an operation's gradient along the straight path of its operands.

The integral of any differentiable map is complete; a quadrature is complete up to its error. What is
left is distributed over the operands, per example, by the smallest change of the multipliers, and its
size before that is reported, so that the certificate can say how much the result rests on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid._core.rules.calculus import line_integral
from pellucid._core.rules.carry import Gradients, Pullback
from pellucid._core.rules.precision import at_least_single
from pellucid._core.rules.table import Occurrence, Rule

_COUNTS = (8, 16, 32, 64)
_CONVERGED = 1e-13


@dataclass(frozen=True)
class Numerical:
    """The pullback of the generic rule, which certificates name also where another rule resorts to it."""

    pull: Pullback
    label: str = "path integral"

    def __call__(self, gradients: Gradients) -> Sequence[Tensor | None]:
        """Hand gradients back."""
        return self.pull(gradients)


def integrate(occurrence: Occurrence) -> Pullback:
    """Return the pullback of the generic rule at one call, whatever the operation."""
    call, reference = occurrence.pair

    def pull(gradients: Gradients) -> Sequence[Tensor | None]:
        change = [at_least_single(x - start) for x, start in zip(call.operands, reference.operands, strict=True)]
        rows = _example_count([*call.operands, *call.results])
        wanted = _paired_sum(
            [
                (g, y - first)
                for g, y, first in zip(gradients, call.results, reference.results, strict=True)
                if g is not None
            ],
            rows,
        )
        found: list[Tensor] = []
        residual = wanted
        for count in _COUNTS:
            found = line_integral(call.again, reference.operands, call.operands, gradients, count)
            residual = wanted - _paired_sum(list(zip(found, change, strict=True)), rows)
            if bool((residual.abs() <= _CONVERGED * wanted.abs().max()).all()):
                break
        occurrence.ledger.residual(residual)
        return _distribute(found, change, residual, rows)

    return Numerical(pull)


def _generic(occurrence: Occurrence) -> Pullback:
    occurrence.ledger.unknown(occurrence.call.name, occurrence.call.line)
    return integrate(occurrence)


PATH = Rule(Numerical.label, _generic)


def _example_count(tensors: Sequence[Tensor]) -> int:
    """Return the common size of dimension 0, or 1 if there is none."""
    sizes = {tensor.shape[0] if tensor.dim() else 0 for tensor in tensors}
    return sizes.pop() if len(sizes) == 1 and 0 not in sizes else 1


def _paired_sum(pairs: Sequence[tuple[Tensor, Tensor]], rows: int) -> Tensor:
    """Sum g * d per example over all pairs; for complex values, the real inner product."""
    sums = [(at_least_single(g.conj()) * at_least_single(d)).real.reshape(rows, -1).sum(1) for g, d in pairs]
    return torch.stack(sums).sum(0)


def _distribute(found: Sequence[Tensor], change: Sequence[Tensor], residual: Tensor, rows: int) -> list[Tensor | None]:
    squared = _paired_sum([(d, d) for d in change], rows)
    factor = torch.where(squared > 0, residual / squared, 0)
    return [
        g + (factor.reshape(rows, 1) * d.reshape(rows, -1)).reshape(d.shape) for g, d in zip(found, change, strict=True)
    ]
