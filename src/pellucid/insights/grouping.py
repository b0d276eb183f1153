"""Groups of values that perturbation methods take together: squares of an image, stretches of a series."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pellucid.insights.features import Feature, TimeSeriesFeature


def groups(features: tuple[Feature, ...], inputs: tuple[Tensor, ...], side: int) -> tuple[Tensor, ...]:
    """Number the groups of each input: all channels of a square or a stretch are one, all else stands alone.

    Example:
        >>> from pellucid.insights import ImageFeature
        >>> groups((ImageFeature("scan"),), (torch.ones(1, 3, 4, 4),), side=2)[0].tolist()
        [[[[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]]]

    Args:
        features: what the inputs are.
        inputs: the model's inputs, (1, ...) each.
        side: how many squares or stretches lie along the longer side.

    Returns:
        A mask of integer ids for each input, none of which occurs in two of them.
    """
    masks, start = [], 0
    for feature, values in zip(features, inputs, strict=True):
        mask = _image(values, side) if feature.kind == "image" and values.dim() >= 3 else _alone(values)
        if isinstance(feature, TimeSeriesFeature):
            mask = _series(values, side, feature.channel_axis)
        masks.append(mask + start)
        start += int(mask.max()) + 1
    return tuple(masks)


def _image(values: Tensor, side: int) -> Tensor:
    """Squares of (1, C, H, W), or of (1, H, W)."""
    height, width = values.shape[-2:]
    size = max(1, math.ceil(max(height, width) / side))
    rows, columns = (torch.arange(n, device=values.device) // size for n in (height, width))
    mask = rows[:, None] * (int(columns[-1]) + 1) + columns
    return mask.reshape(*(1 for _ in values.shape[:-2]), height, width)


def _series(values: Tensor, side: int, channel_axis: int) -> Tensor:
    """Stretches of (1, C, T), (1, T, C) or (1, T), the same in all channels."""
    time = 1 if values.dim() == 2 or channel_axis == 1 else 2
    steps = values.shape[time]
    mask = torch.arange(steps, device=values.device) // max(1, math.ceil(steps / side))
    return mask.reshape([steps if axis == time else 1 for axis in range(values.dim())])


def _alone(values: Tensor) -> Tensor:
    return torch.arange(values[0].numel(), device=values.device).reshape(1, *values.shape[1:])
