"""From attributions to numbers that can be drawn: pure functions on arrays, no drawing.

A map is drawn by three steps, each of them a function here: the channels are summed, the attributions of one
sign are chosen, and these are divided by a threshold beyond which they count as outliers.

    normalized = clip(chosen(sum_c attr[..., c]) / threshold, -1, 1)
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
"""A real array; in this package attributions of shape (H, W) or (H, W, C) and images of shape (H, W, 3)."""

SIGNS = ("all", "positive", "negative", "absolute_value")
"""Which attributions a picture shows."""


def sum_channels(attr: FloatArray) -> FloatArray:
    """Sum attributions of shape (H, W, C) over their channels; return those of shape (H, W) as they are."""
    return attr.sum(axis=2) if attr.ndim == 3 else attr


def choose_sign(values: FloatArray, sign: str) -> FloatArray:
    """Keep the attributions of one sign, as magnitudes; ``"all"`` keeps the values themselves."""
    match sign:
        case "positive":
            return np.maximum(values, 0.0)
        case "negative":
            return np.maximum(-values, 0.0)
        case "absolute_value":
            return np.abs(values)
        case _:
            return values


def outlier_threshold(values: FloatArray, outlier_perc: float) -> float:
    """Return the magnitude from which on attributions count as outliers.

    The largest magnitudes are added up, largest first, until their sum exceeds ``outlier_perc`` percent of
    the sum of all; the threshold is the last one that was added. With ``outlier_perc=0`` it is the maximum,
    and zero only if every value is zero.
    """
    magnitudes = np.sort(np.abs(values), axis=None)[::-1]
    largest = float(magnitudes[0])
    if largest == 0.0:
        return 0.0
    running = np.cumsum(magnitudes / largest)  # relative, so that no sum over- or underflows
    exceeds = running > running[-1] * (outlier_perc / 100.0)
    return float(magnitudes[np.argmax(exceeds)])


def normalize(values: FloatArray, sign: str, outlier_perc: float) -> FloatArray:
    """Scale the attributions of one sign so that outliers become 1 or -1; zeros stay zeros."""
    chosen = choose_sign(values, sign)
    threshold = outlier_threshold(chosen, outlier_perc)
    if threshold == 0.0:
        return np.zeros_like(chosen)
    clipped: FloatArray = np.clip(chosen, -threshold, threshold) / threshold
    return clipped


def to_bytes(picture: FloatArray) -> npt.NDArray[np.uint8]:
    """Round a picture with values from 0 to 1 to the 256 levels of a screen."""
    levels: npt.NDArray[np.uint8] = np.round(picture * 255.0).astype(np.uint8)
    return levels


def masked_picture(picture: FloatArray, mask: FloatArray) -> npt.NDArray[np.uint8]:
    """Multiply every pixel of a (H, W, 3) picture by its value in a (H, W) mask, from 0 to 1."""
    return to_bytes(picture * mask[..., None])


def alpha_picture(picture: FloatArray, mask: FloatArray) -> npt.NDArray[np.uint8]:
    """Join a (H, W, 3) picture and a (H, W) mask as its opacity to an array of shape (H, W, 4)."""
    return to_bytes(np.concatenate([picture, mask[..., None]], axis=2))
