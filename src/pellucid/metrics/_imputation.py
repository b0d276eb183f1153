"""Noisy linear imputation: removed pixels become weighted means of their neighbours, known or removed themselves.

For every removed pixel i, ``x_i = sum_j w_ij x_j / sum_j w_ij`` over its (up to eight) neighbours j, with w = 1/6 for
those beside it and 1/12 for those at its corners; then a little noise. The system of all removed pixels is that of a
graph Laplacian, symmetric and positive definite as long as one pixel is known, so conjugate gradients solve it
without ever forming it: one small convolution a step, for many images at once, on any device.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid._core.structure import wide

_WEIGHTS = ((1 / 12, 1 / 6, 1 / 12), (1 / 6, 0.0, 1 / 6), (1 / 12, 1 / 6, 1 / 12))


def imputed(images: Tensor, removed: Tensor) -> Tensor:
    """Fill in removed pixels by linear imputation.

    Args:
        images: shape (B, C, H, W).
        removed: which pixels are filled, shape (B, H, W); at least one of each image is known.

    Returns:
        The images, shape (B, C, H, W), in float32 or wider.
    """
    known = images.to(wide(images.dtype))
    hidden = removed[:, None].to(known.dtype)
    weight = _neighbours(torch.ones_like(hidden))

    def operator(x: Tensor) -> Tensor:
        return hidden * (weight * x - _neighbours(x * hidden))

    right = hidden * _neighbours(known * (1 - hidden))
    mean = (known * (1 - hidden)).sum((2, 3), keepdim=True) / (1 - hidden).sum((2, 3), keepdim=True)
    found = _conjugate_gradients(operator, right, mean * hidden, weight)
    return torch.where(removed[:, None], found, known)


def _neighbours(x: Tensor) -> Tensor:
    """Weighted sum of each pixel's neighbours, channel by channel."""
    kernel = torch.tensor(_WEIGHTS, dtype=x.dtype, device=x.device)
    return F.conv2d(x.flatten(0, 1)[:, None], kernel[None, None], padding=1).reshape(x.shape)


def _conjugate_gradients(
    operator: Callable[[Tensor], Tensor], right: Tensor, start: Tensor, diagonal: Tensor
) -> Tensor:
    """Solve a positive definite system for each image and channel, with its diagonal as preconditioner."""
    x, residual = start, right - operator(start)
    direction = step = residual / diagonal
    energy = _dot(residual, step)
    enough = torch.finfo(x.dtype).eps ** 1.5 * torch.maximum(energy, _dot(right, right))
    for _ in range(2 * x.shape[2] * x.shape[3] + 10):
        if not bool((energy > enough).any()):
            break
        image = operator(direction)
        length = _ratio(energy, _dot(direction, image))
        x, residual = x + length * direction, residual - length * image
        step = residual / diagonal
        before, energy = energy, _dot(residual, step)
        direction = step + _ratio(energy, before) * direction
    return x


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    return torch.where(b > 0, a / torch.where(b > 0, b, 1.0), 0.0)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((2, 3), keepdim=True)
