"""The neighbourhood in which a local surrogate is fitted: random coalitions, and how similar they are to the input.

Each coalition is drawn by tossing a coin per feature, and none twice; all of them are taken where the number asked
for covers them. An input under a coalition differs from the input by whole features, so distances are sums over
features: the perturbed inputs need not be made.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid._core.checks import accept_choice, accept_number
from pellucid._core.masks import Features
from pellucid._core.pairs import FEW, distinct
from pellucid._core.random import generator_of

TRIES = 64
"""Draws after which coalitions that determine the surrogate are no longer looked for."""


def draw_masks(players: int, count: int, seed: int) -> Tensor:
    """Draw different coalitions; where there are enough of them, ones that determine all coefficients.

    Args:
        players: number of features.
        count: number of coalitions; all of them if there are no more.
        seed: of the draw. A larger draw begins as a smaller one where both are few of all coalitions and many beside
            the players.

    Returns:
        Shape (coalitions, players), bool.
    """
    if count >= 1 << players:
        return _members(torch.arange(1 << players), players)
    drawn = _drawn(players, count, seed)
    for attempt in range(1, TRIES):
        if count <= players or _determines(drawn):
            break
        drawn = _drawn(players, count, seed + attempt)
    return drawn


def _drawn(players: int, count: int, seed: int) -> Tensor:
    if count * FEW > 1 << players:
        return _members(torch.randperm(1 << players, generator=generator_of(seed % 2**63))[:count], players)
    return distinct(lambda rows: _tosses(players, rows, seed), count)


def _members(codes: Tensor, players: int) -> Tensor:
    return (codes[:, None] >> torch.arange(players)) % 2 == 1


def _tosses(players: int, count: int, seed: int) -> Tensor:
    return torch.rand(count, players, generator=generator_of(seed % 2**63)) < 0.5


def _determines(coalitions: Tensor) -> bool:
    """Whether an affine function is known from its values at the coalitions."""
    if len(coalitions) > 2 * coalitions.shape[1] + 64:
        return True  # random ones fail with a chance below 2^-64
    rows = coalitions.double()
    rows = torch.cat([rows, torch.ones(len(rows), 1, dtype=rows.dtype)], dim=1)
    factor, failed = torch.linalg.cholesky_ex(rows.T @ rows)
    pivots = factor.diagonal()
    return not bool(failed) and bool(pivots.min() > 1e-4 * pivots.max())


def share_of_all(players: int, count: int) -> float:
    """Share of all coalitions that a number of different ones is."""
    return count / 2**players if players < 1000 else 0.0


@dataclass(frozen=True)
class ExponentialKernel:
    """Similarity ``exp(-distance^2 / (2 width^2))`` of inputs.

    Called as a similarity function of LIME, it compares an input with a perturbed one.

    Attributes:
        mode: cosine (one minus the cosine of the angle between all values of the inputs) or euclidean.
        width: distance at which the similarity is ``exp(-1/2)``.
    """

    mode: str = "cosine"
    width: float = 1.0

    def __post_init__(self) -> None:
        """Check the mode and the width."""
        accept_choice("distance_mode", self.mode, ("cosine", "euclidean"), "there is no such distance")
        accept_number("kernel_width", self.width, "a number from 1e-150 to 1e150", 1e-150, 1e150)  # it is squared

    def __call__(self, original: object, perturbed: object, interpretable: object, **_: object) -> float:
        """Compare one input, or a tuple of inputs, with a perturbed one."""
        del interpretable
        x, y = _flat(original), _flat(perturbed)
        similarity = self.of(x @ x, x @ y, y @ y)
        return float(similarity)

    def of(self, own: Tensor, inner: Tensor, other: Tensor) -> Tensor:
        """Give the similarity of inputs from their inner products with themselves and each other."""
        if self.mode == "euclidean":
            squared = (own - 2 * inner + other).clamp(min=0)
        else:
            squared = (1 - inner / (own.clamp(min=1e-16).sqrt() * other.clamp(min=1e-16).sqrt())).square()
        return (-squared / (2 * float(self.width) ** 2)).exp()

    def of_coalitions(
        self,
        coalitions: Tensor,
        features: Features,
        inputs: tuple[Tensor, ...],
        baselines: tuple[Tensor, ...],
        per_example: bool,
    ) -> Tensor:
        """Compare each input, or the batch as one, with itself under coalitions: shape (coalitions, N or 1)."""
        pairs = [(_finite(x), _finite(b.expand_as(x))) for x, b in zip(inputs, baselines, strict=True)]
        products = [[x * x for x, _ in pairs], [x * b for x, b in pairs], [b * b for _, b in pairs]]
        sums = [feature_sums(features, values) for values in products]
        kept, mixed, gone = sums if per_example else [s.sum(0, keepdim=True) for s in sums]
        if self.mode == "euclidean":
            zero = torch.zeros(1, dtype=torch.float64)
            return self.of(zero, zero, (~coalitions).double() @ (kept - 2 * mixed + gone).clamp(min=0).T)
        present, absent = coalitions.double(), (~coalitions).double()
        return self.of(kept.sum(1), present @ kept.T + absent @ mixed.T, present @ kept.T + absent @ gone.T)


def _finite(value: Tensor) -> Tensor:
    """Values in float64; padding that is not finite takes no part in distances."""
    return value.double().cpu().nan_to_num(0.0, 0.0, 0.0)


def _flat(value: object) -> Tensor:
    parts = value if isinstance(value, tuple) else (value,)
    return torch.cat([_finite(part).flatten() for part in parts if isinstance(part, Tensor)])


def feature_sums(features: Features, values: list[Tensor]) -> Tensor:
    """Sum the values of each feature, shape (N, features); one tensor of shape (N, ...) per input."""
    examples = len(values[0])
    sums = torch.zeros(examples, features.count, dtype=torch.float64)
    for i, value in enumerate(values):
        ids, size = features.ids[i], features.shapes[i].numel()
        flat = value.reshape(examples, size)
        if ids is None:
            sums[:, features.starts[i] : features.starts[i] + size] += flat
        else:
            places = ids.cpu().expand(len(ids), *features.shapes[i]).reshape(len(ids), size)
            sums.scatter_add_(1, places.expand(examples, -1), flat)
    return sums
