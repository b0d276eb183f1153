r"""What became of the relevance: how much each operation absorbed, and where.

An operation absorbs what arrives at its results minus what it hands on,
:math:`\sum_j y_j g_j - \sum_i x_i g_i`: the share of a bias, of a constant summand, of the epsilon in a
denominator, of a gate in a product, or of a nonlinear operation that kept its own gradient. Views, sums and
other operations without a constant part absorb nothing and are not listed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Row = tuple[str, str, str]


@dataclass(frozen=True)
class Absorbed:
    """What one operation at one line of the user's code absorbed, over all examples.

    Args:
        operation: Canonical name of the operation.
        rule: Name of its rule.
        line: The user's line, ``file:line in function``.
        amount: Relevance that arrived minus relevance that went on; negative where the operation added some.
        calls: How often.
    """

    operation: str
    rule: str
    line: str
    amount: float
    calls: int


@dataclass(frozen=True)
class Audit:
    r"""The balance of relevance: :math:`\sum f(x) = \sum_i R_i + \sum_k A_k`.

    Args:
        explained: Sum of the explained outputs.
        attributed: Sum of the relevance of all inputs.
        rows: What each operation absorbed, largest first.
        elsewhere: What no row accounts for: constants written into a tensor by item assignment, and
            operations whose backward is the user's own.
    """

    explained: float
    attributed: float
    rows: tuple[Absorbed, ...]
    elsewhere: float

    def __str__(self) -> str:
        """Return the balance as text for a person."""
        lines = [f"Explained {self.explained:.6g}, attributed {self.attributed:.6g}; absorbed by:"]
        lines += [f"  {r.amount: .6g}  {r.operation} ({r.rule}, x{r.calls}) at {r.line}" for r in self.rows]
        return "\n".join([*lines, f"  {self.elsewhere: .6g}  elsewhere"])


class Books:
    """Where one pass enters what its operations absorb; sums are kept in double precision, on the device."""

    def __init__(self) -> None:
        self._rows: dict[Row, tuple[Tensor, int]] = {}

    def begin(self) -> None:
        """Begin a pass, or begin it again."""
        self._rows.clear()

    def enter(self, row: Row, amount: Tensor) -> None:
        """Add to what an operation absorbed."""
        known = self._rows.get(row)
        self._rows[row] = (amount, 1) if known is None else (known[0] + amount, known[1] + 1)

    def close(self, outputs: Tensor, relevances: Sequence[Tensor]) -> Audit:
        """Return the balance."""
        explained = float(outputs.double().sum())
        attributed = sum(float(relevance.double().sum()) for relevance in relevances)
        rows = [Absorbed(*row, float(amount), calls) for row, (amount, calls) in self._rows.items()]
        rows.sort(key=lambda entry: -abs(entry.amount))
        elsewhere = explained - attributed - sum(entry.amount for entry in rows)
        return Audit(explained, attributed, tuple(rows), elsewhere)


def relevance_sum(gradients: Sequence[Tensor | None], values: Sequence[Tensor]) -> Tensor:
    """Return the sum of gradient times value; a value without gradient counts nothing, even if infinite."""
    total = torch.zeros((), dtype=torch.float64)
    for gradient, value in zip(gradients, values, strict=True):
        if gradient is not None:
            product = torch.where(gradient == 0, 0, gradient.conj() * value)
            total = total.to(product.device) + (product.real if product.is_complex() else product).double().sum()
    return total
