"""The door of the plots: tensors, arrays and images in any accepted form become float64 arrays of one form.

Attributions become (H, W) maps, images (H, W, 3) pictures with values from 0 to 1. What is refused is refused
here, before there is a figure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pellucid._core.checks import accept_dense, is_finite, shown
from pellucid.errors import invalid_type, invalid_value
from pellucid.visualization.normalize import FloatArray, sum_channels

ArrayLike = Any
"""A NumPy array, a tensor on any device (also one that requires grad), or what ``numpy.asarray`` takes."""

Denormalize = tuple[Any, Any] | Callable[[FloatArray], ArrayLike]
"""(mean, std), each a number or one per channel, or a function from the given image to the one to show."""

GREY_LEVEL = 1.0 / 255.0
"""By so much a float may exceed 0 to 1 and still be taken for rounding."""

DENORMALIZED_ROUNDING = 0.01
"""By so much a level from 0 to 255 may miss a whole number after a normalisation in float32 was undone."""

LAYOUT = "an array of shape (H, W, C) or (H, W)"


def as_floats(name: str, value: ArrayLike) -> FloatArray:
    """Return the finite real numbers of an array or tensor, detached and on the CPU."""
    array = as_numpy(name, value)
    if array.dtype.kind not in "fiub":
        given = f"of type {type(value).__name__} with elements of type {array.dtype}"
        why = "it is no array of real numbers"
        raise invalid_type(name, given, why, "a NumPy array or a tensor of real numbers")
    floats = array.astype(np.float64)
    if floats.size == 0:
        raise invalid_value(name, f"empty, of shape {floats.shape}", "there is nothing to draw", "one number or more")
    bad = int(np.count_nonzero(~np.isfinite(floats)))
    if bad:
        given = f"an array in which {bad} of {floats.size} values are NaN or infinite"
        raise invalid_value(name, given, "these have no place on a colour scale", "finite values")
    return floats


def as_numpy(name: str, value: ArrayLike) -> npt.NDArray[Any]:
    """Return what NumPy makes of a value: an array of objects if nothing better."""
    if isinstance(value, torch.Tensor):
        if value.layout != torch.strided or value.is_nested or value.is_meta or value.is_quantized:
            accept_dense(name, value)
        here = value.detach().cpu()  # first: not every device has float64
        wide = here if here.is_complex() else here.to(torch.float64)  # NumPy knows no bfloat16
        return wide.numpy(force=True)
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError, OverflowError):  # rows of different lengths, tensors with graphs, ...
        return np.asarray(None)


def one_number(name: str, value: ArrayLike) -> float:
    """Return a finite number, given as it is or as an array that holds nothing else."""
    array = as_floats(name, value)
    if array.size != 1:
        raise invalid_value(name, f"of shape {array.shape}", "it is one number", "a number")
    return float(array.reshape(()))


def counted(value: Any) -> int | None:
    """Return how many entries a list, an array or a tensor has; None for what has none in an order."""
    if isinstance(value, str | bytes | Mapping | Set) or not hasattr(value, "__getitem__"):
        return None
    try:
        return len(value)
    except TypeError:  # no dimensions
        return None


def attribution_map(name: str, value: ArrayLike) -> FloatArray:
    """Return attributions of shape (H, W) or (H, W, C), summed over the channels."""
    if value is None:
        raise invalid_type(name, "None", "there is nothing to draw", LAYOUT)
    array = as_floats(name, value)
    refuse_layout(name, array)
    with np.errstate(over="ignore", invalid="ignore"):
        values = sum_channels(array)
    if not np.isfinite(values).all():
        given = f"an array with values up to {np.abs(array).max():.3g}"
        raise invalid_value(name, given, "its sums over the channels overflow", "smaller values")
    return values


def refuse_layout(name: str, array: FloatArray) -> None:
    """Refuse what is no picture: other than two or three dimensions, or the channels in front."""
    shape = array.shape
    if array.ndim == 4:
        why = "one picture is drawn at a time and channels come last"
        advice = f"one example of the batch, for a tensor {name}[0].permute(1, 2, 0)"
        raise invalid_value(name, f"of shape {shape}", why, advice)
    if array.ndim not in {2, 3}:
        raise invalid_value(name, f"of shape {shape}", "a picture has two or three dimensions", LAYOUT)
    if array.ndim == 3 and looks_channels_first(shape):
        why = "its channels seem to come first and must come last"
        raise invalid_value(name, f"of shape {shape}", why, channels_last_advice(name))


def looks_channels_first(shape: tuple[int, ...]) -> bool:
    """Say whether (1 or 3, H, W) is more likely than (H, W, C): few rows, and no colours at the end."""
    return shape[0] in {1, 3} and shape[2] >= 4


def channels_last_advice(name: str) -> str:
    """Say how channels are moved to the end."""
    return f"{name}.permute(1, 2, 0) of a tensor, {name}.transpose(1, 2, 0) of an array: shape (H, W, C)"


def picture(name: str, value: ArrayLike, denormalize: Denormalize | None = None) -> FloatArray:
    """Return an image of shape (H, W), (H, W, 1) or (H, W, 3) as a (H, W, 3) picture from 0 to 1."""
    array = image_array(name, value)
    rounding = 0.0
    if denormalize is not None:
        array, rounding = denormalized(name, array, denormalize), DENORMALIZED_ROUNDING
        name = f"{name} after denormalize"
    if array.ndim == 2:
        array = array[..., None]
    unit = unit_range(name, array, rounding=rounding)
    return np.repeat(unit, 3, axis=2) if unit.shape[2] == 1 else unit


def image_array(name: str, value: ArrayLike) -> FloatArray:
    """Return the numbers of an image after a look at its shape."""
    array = as_floats(name, value)
    refuse_layout(name, array)
    if array.ndim == 3 and array.shape[2] not in {1, 3}:
        given = f"of shape {array.shape}"
        if array.shape[0] in {1, 3}:
            why = "its channels seem to come first and must come last"
            raise invalid_value(name, given, why, channels_last_advice(name))
        why = f"a picture has 1 or 3 channels and this one has {array.shape[2]}"
        raise invalid_value(name, given, why, f"three of its channels, for instance {name}[..., :3]")
    return array


def denormalized(name: str, array: FloatArray, denormalize: Any) -> FloatArray:
    """Undo the normalisation of an image by (mean, std), or by a function."""
    if callable(denormalize):
        result = as_floats(f"denormalize({name})", denormalize(array.copy()))
        if result.shape != array.shape:
            given = f"a function that returns shape {result.shape}"
            why = f"{name} has shape {array.shape}"
            raise invalid_value("denormalize", given, why, "a function that keeps the shape")
        return result
    if not isinstance(denormalize, Sequence) or isinstance(denormalize, str) or len(denormalize) != 2:
        given = f"of type {type(denormalize).__name__}"
        why = "it is neither a function nor a pair"
        raise invalid_type("denormalize", given, why, "(mean, std) as used for normalising, or a function")
    channels = array.shape[2] if array.ndim == 3 else 1
    mean, std = (per_channel(part, denormalize[i], channels) for i, part in enumerate(("mean", "std")))
    restored: FloatArray = array * std + mean
    return restored


def per_channel(part: str, value: ArrayLike, channels: int) -> FloatArray:
    """Return one number per channel of a mean or a standard deviation."""
    numbers = as_floats(f"the {part} of denormalize", value).ravel()
    if numbers.size not in {1, channels}:
        given = f"{numbers.size} numbers"
        why = f"the image has {channels} channel{'s' * (channels > 1)}"
        raise invalid_value(f"the {part} of denormalize", given, why, "one number, or one per channel")
    return np.broadcast_to(numbers, (channels,))


def unit_range(name: str, array: FloatArray, *, rounding: float) -> FloatArray:
    """Return values from 0 to 1, given so or as whole numbers from 0 to 255 up to a rounding error."""
    low, high = float(array.min()), float(array.max())
    if low >= -GREY_LEVEL and high <= 1.0 + GREY_LEVEL:
        return np.clip(array, 0.0, 1.0)
    levels = np.round(array)
    if low >= -rounding and high <= 255.0 + rounding and bool((np.abs(array - levels) <= rounding).all()):
        return np.clip(levels / 255.0, 0.0, 1.0)
    given = f"an array with values from {low:.4g} to {high:.4g}"
    why = "an image has floats from 0 to 1 or whole numbers from 0 to 255"
    advice = "denormalize=(mean, std) or denormalize=function to undo the normalisation of the image"
    raise invalid_value(name, given, why, advice)


def check_number(name: str, value: Any, wanted: str, below: float) -> None:
    """Refuse what is no number from 0 to a bound that it must not reach."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise invalid_type(name, f"of type {type(value).__name__}", "it is no number", wanted)
    if not is_finite(value) or not 0.0 <= float(value) < below:
        raise invalid_value(name, shown(value), "it is out of range", wanted)
