"""Small PNGs for a page: an input as it is, and a heat map whose transparency is the weakness of its values.

A value's sign chooses the colour and its size the opacity, so that a map reads the same on a light page,
on a dark page and on top of the picture it explains.
"""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pellucid._core.checks import accept_instance
from pellucid.visualization.colors import AGAINST, FOR

Array = NDArray[np.float64]


def flat_map(values: Tensor) -> Array:
    """Reduce one example's attributions, (C, H, W), (H, W) or (T,), to a map (H, W) by summing channels."""
    array: Array = values.detach().cpu().double().numpy()
    while array.ndim > 2:
        array = array.sum(axis=0)
    return np.asarray(np.nan_to_num(np.atleast_2d(array)), dtype=np.float64)


def strength(values: Array) -> float:
    """Return the value drawn at full colour: the largest of a small map, the 99.5th percentile of a large one."""
    sizes = np.abs(values)
    largest = float(sizes.max(initial=0.0))
    if values.size < 1024:
        return largest
    return float(np.quantile(sizes, 0.995)) or largest


def heat_map_uri(values: Array, limit: float) -> str:
    """Draw a map (H, W) as a transparent PNG, one pixel per value, and return it as a data URI."""
    share = np.clip(np.abs(values) / limit, 0, 1) if limit else np.zeros_like(values)
    pixels = np.empty((*values.shape, 4), dtype=np.uint8)
    pixels[..., :3] = np.where((values >= 0)[..., None], FOR, AGAINST)
    pixels[..., 3] = np.round(255 * share**0.85)  # slightly lifted: weak values stay visible
    return _png_uri(pixels)


def picture_uri(picture: NDArray[np.float32]) -> str:
    """Return a picture with values from 0 to 1, (H, W) or (H, W, 3), as a data URI."""
    return _png_uri(np.round(255 * np.clip(np.nan_to_num(picture), 0, 1)).astype(np.uint8))


def _png_uri(pixels: NDArray[np.uint8]) -> str:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG", optimize=True)
    return png_uri(stream.getvalue())


def png_uri(content: bytes) -> str:
    """Return the content of a PNG file as a data URI.

    Example:
        >>> png_uri(b"PNG")
        'data:image/png;base64,UE5H'
    """
    accept_instance("content", content, bytes, "the content of a PNG file")
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")
