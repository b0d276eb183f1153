"""Arithmetic of rules is done in single precision or better, whatever the model computes in."""

from __future__ import annotations

import torch
from torch import Tensor

_HALF = frozenset({torch.float16, torch.bfloat16})


def at_least_single(tensor: Tensor) -> Tensor:
    """Return a half-precision tensor in single precision, and any other as it is."""
    return tensor.float() if tensor.dtype in _HALF else tensor
