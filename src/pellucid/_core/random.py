"""Explicit randomness: every sample has a seed of its own, so that draws do not depend on chunks.

A sampling method takes ``generator`` or ``seed``. Without them exactly one number is drawn from
torch's default generator: ``torch.manual_seed`` makes a call reproducible, and two calls differ.
Draws are made on the CPU, so that every device sees the same ones.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor

from pellucid._core.checks import LARGEST, accept_dense, shown
from pellucid.errors import invalid_type, invalid_value

_SEEDS = 2**63 - 1


def draw_seeds(count: int, generator: torch.Generator | None, seed: int | None) -> list[int]:
    """Draw one seed per sample, from ``generator``, from ``seed`` or from torch's default generator.

    Args:
        count: number of samples.
        generator: advanced by ``count`` draws if given.
        seed: starts a private generator if given.

    Returns:
        ``count`` integers.

    Raises:
        InvalidValueError: if both ``generator`` and ``seed`` are given.
        InvalidTypeError: if one of them has a wrong type.
    """
    if generator is not None and seed is not None:
        raise invalid_value("seed", f"{seed}", "generator is given too", "only one of seed and generator")
    if generator is None:
        generator = torch.Generator().manual_seed(_first(seed))
    elif not isinstance(generator, torch.Generator):
        raise invalid_type("generator", repr(generator), "it draws nothing", "a torch.Generator")
    seeds = torch.randint(_SEEDS, (count,), generator=generator, device=generator.device)
    return [int(value) for value in seeds.tolist()]


def _first(seed: Any) -> int:
    if seed is None:
        return int(torch.randint(_SEEDS, (1,)).item())
    try:
        value = operator.index(accept_dense("seed", seed) if isinstance(seed, Tensor) else seed)
    except TypeError:
        raise invalid_type("seed", repr(seed), "it is no integer", "an int") from None
    if not -LARGEST - 1 <= value <= 2 * LARGEST + 1:
        raise invalid_value("seed", shown(value), "generators take 64 bits", "a smaller integer")
    return value


def generator_of(seed: int, used: torch.Generator | None = None) -> torch.Generator:
    """Make the private CPU generator of one sample, or make it of one that is used no more, which is quicker."""
    return (torch.Generator() if used is None else used).manual_seed(seed)


def normal_like(value: Tensor, stdev: float, generator: torch.Generator) -> Tensor:
    """Draw noise N(0, stdev^2) with the shape and device of ``value``, in float32 or wider."""
    dtype = torch.promote_types(value.dtype, torch.float32)
    noise = torch.randn(value.shape, generator=generator, dtype=dtype)
    return noise.mul_(stdev).to(value.device)
