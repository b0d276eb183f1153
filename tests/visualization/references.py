"""Figures compared with stored pictures, so that a change of colours or signs is seen and one of fonts is not.

Both pictures are averaged over squares of eight pixels; then the mean and the largest difference must be small.
``PELLUCID_WRITE_REFERENCES=1 python -m pytest tests/visualization/test_reference_images.py`` writes new ones: look
at them before they are committed.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

FOLDER = Path(__file__).parent / "reference"
WRITE = "PELLUCID_WRITE_REFERENCES"
DPI, SQUARE = 60, 8
MEAN, LARGEST, COLOUR = 2.6, 64.0, 0.75
"""Differences of averaged pictures, in levels from 0 to 255, that letters drawn in another way may make: on the mean,
in one square, and on the mean between channels, since letters are grey."""


def rendered(figure: Figure) -> np.ndarray:
    """A figure as levels of shape (H, W, 3)."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI)
    with Image.open(stream) as image:
        return np.asarray(image.convert("RGB"), dtype=np.float64)


def averaged(picture: np.ndarray) -> np.ndarray:
    """The means of whole squares."""
    rows, columns = (size // SQUARE for size in picture.shape[:2])
    whole = picture[: rows * SQUARE, : columns * SQUARE]
    return whole.reshape(rows, SQUARE, columns, SQUARE, 3).mean(axis=(1, 3))


def differences(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    """The mean and the largest difference of two averaged pictures, and the mean one of their colours."""
    apart = averaged(first) - averaged(second)
    colour = apart[..., [0, 2]] - apart[..., [1]]
    return float(np.abs(apart).mean()), float(np.abs(apart).max()), float(np.abs(colour).mean())


def alike(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two pictures show the same."""
    if first.shape != second.shape:
        return False
    mean, largest, colour = differences(first, second)
    return mean <= MEAN and largest <= LARGEST and colour <= COLOUR


def check(name: str, figure: Figure) -> None:
    """Compare a figure with the stored one, or store it."""
    path = FOLDER / f"{name}.png"
    picture = rendered(figure)
    if os.environ.get(WRITE):
        FOLDER.mkdir(exist_ok=True)
        Image.fromarray(picture.astype(np.uint8)).save(path, optimize=True)
    with Image.open(path) as image:
        stored = np.asarray(image.convert("RGB"), dtype=np.float64)
    assert picture.shape == stored.shape, f"{name}: {picture.shape} instead of {stored.shape}"
    found = ", ".join(f"{size:.2f}" for size in differences(picture, stored))
    assert alike(picture, stored), f"{name} differs from {path.name}: mean, largest, colour {found} of 255"
