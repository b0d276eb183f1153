"""How far an estimate from random samples can be trusted."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pellucid._core.report import notify
from pellucid.errors import SamplingWarning

NOISY = 0.25
"""Relative standard error from which on an estimate gets a warning."""
WANTED = 0.1
"""Relative standard error that the advice in the warning aims at."""


def relative_error(means: tuple[Tensor, ...], errors: tuple[Tensor, ...]) -> float:
    """Compute the root of the summed squared standard errors over that of the summed squared estimates."""
    noise, signal = _size(errors), _size(means)
    return noise / signal if signal > 0 else 0.0


def _size(tensors: tuple[Tensor, ...]) -> float:
    return math.hypot(*[float(torch.linalg.vector_norm(t, dtype=torch.float64)) for t in tensors])


def warn_if_noisy(name: str, means: tuple[Tensor, ...], errors: tuple[Tensor, ...] | None, samples: int) -> None:
    """Warn if standard errors are large beside the estimates, and say how many samples would do."""
    if errors is None:
        return
    relative = relative_error(means, errors)
    if NOISY < relative < math.inf:
        enough = int(samples * (relative / WANTED) ** 2) + 1
        notify(
            SamplingWarning,
            f"{name}: with {samples} samples the standard error is {relative:.0%} of the attributions; about"
            f" {enough} samples bring it to {WANTED:.0%}.",
        )
