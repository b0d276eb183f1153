"""DeepLIFT's rule for max-pooling: the secant of a convex function, with gradients that are selections.

The gradient of a maximum leads to the place where it was found, so the call itself says all that the rule needs: no
derivative has to be taken, which for the general secant is most of the work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid._core.rules.call import Call
from pellucid._core.rules.carry import Gradients, Pullback
from pellucid._core.rules.deeplift import SECANT, mixture
from pellucid._core.rules.table import Occurrence, Rule


def _max_pooling(dims: int, with_places: Callable[..., Any]) -> Rule:
    """Make the rule for so many spatial dimensions."""

    def compute(call: Call) -> Tensor:
        """Pool, and keep where each maximum was found, counted within the spatial dimensions."""
        values, places = with_places(*call.filled_args(call.operands), **call.filled_kwargs(call.operands))
        call.kept = places.flatten(-dims)
        found: Tensor = values
        return found

    def linearise(occurrence: Occurrence) -> Pullback:
        call, reference = occurrence.pair

        def pull(gradients: Gradients) -> tuple[Tensor | None]:
            (gradient,) = gradients
            if gradient is None:
                return (None,)
            x, start = call.operands[0], reference.operands[0]
            change = (x - start).flatten(-dims)
            moved = (call.results[0] - reference.results[0]).flatten(-dims)
            weight = mixture(moved, change.gather(-1, call.kept), change.gather(-1, reference.kept))
            at_end = gradient.flatten(-dims) * weight
            pulled = torch.zeros_like(change).scatter_add_(-1, call.kept, at_end)
            pulled.scatter_add_(-1, reference.kept, gradient.flatten(-dims) - at_end)
            return (pulled.reshape(x.shape),)

        return pull

    return Rule(SECANT.name, linearise, compute=compute)


MAX_POOLINGS = {
    "max_pool1d": _max_pooling(1, F.max_pool1d_with_indices),
    "max_pool2d": _max_pooling(2, F.max_pool2d_with_indices),
    "max_pool3d": _max_pooling(3, F.max_pool3d_with_indices),
}
"""The rules by the names of the operations."""
