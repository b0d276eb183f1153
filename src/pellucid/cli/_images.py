"""DATA as images: one file, or a folder whose sub-folders are the true labels."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from pellucid.cli._content import first_bytes
from pellucid.cli._failures import Refusal

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")  # formats that start no other program


@dataclass(frozen=True)
class ImageSettings:
    """How an image file becomes a model's input.

    Attributes:
        size: Height and width; None keeps the file's.
        shortest: Scale the shorter side to this first, then cut the middle out; None scales to ``size``.
        mean: Subtracted per channel from values from 0 to 1.
        std: Divided by, per channel.
        grayscale: One channel in place of three.
        resample: Pillow's number of the filter for scaling.
    """

    size: tuple[int, int] | None = None
    shortest: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    grayscale: bool = False
    resample: int = 2

    def normalize(self, pixels: Tensor) -> Tensor:
        """Return (pixels - mean) / std for a batch (N, C, H, W)."""
        for name, values in (("--mean", self.mean), ("--std", self.std)):
            if values is not None and len(values) not in {1, pixels.shape[1]}:
                raise Refusal(f"{name} holds {len(values)} numbers, but the images have {pixels.shape[1]} channel(s).")
        mean = torch.tensor(self.mean or (0.0,)).reshape(1, -1, 1, 1)
        std = torch.tensor(self.std or (1.0,)).reshape(1, -1, 1, 1)
        return (pixels - mean) / std


def find_images(path: Path) -> tuple[list[Path], list[str | None]]:
    """List the images of a folder, sorted, each with the name of its sub-folder as its label.

    Raises:
        Refusal: There is none.
    """
    if path.is_file():
        return [path], [None]
    files = sorted(
        file
        for file in path.rglob("*")
        if file.is_file() and file.suffix.lower() in SUFFIXES and not _hidden(file, path)
    )
    if not files:
        raise Refusal(f"DATA {path} holds no image ({', '.join(sorted(SUFFIXES))}).")
    return files, [file.relative_to(path).parts[0] if file.parent != path else None for file in files]


def _hidden(file: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(root).parts)


def load_images(files: Sequence[Path], settings: ImageSettings) -> tuple[Tensor, list[NDArray[np.float32]]]:
    """Read images as one batch (N, C, H, W), with each as a person sees it beside it.

    Raises:
        Refusal: A file is no image, or the sizes differ and none is asked for.
    """
    pictures = [_read(file, settings) for file in files]
    sizes = {picture.shape[:2]: file for picture, file in zip(pictures, files, strict=True)}
    if len(sizes) > 1:
        (one, first), (other, second) = list(sizes.items())[:2]
        raise Refusal(
            f"The images differ in size: {first.name} is {one[0]}x{one[1]} and {second.name} is "
            f"{other[0]}x{other[1]} (height x width). Pass --size HxW to scale them."
        )
    stack = torch.from_numpy(np.stack(pictures))
    pixels = stack.unsqueeze(1) if stack.ndim == 3 else stack.permute(0, 3, 1, 2).contiguous()
    return settings.normalize(pixels), pictures


def _read(file: Path, settings: ImageSettings) -> NDArray[np.float32]:
    """Read one image as (H, W) or (H, W, 3) with values from 0 to 1."""
    first_bytes(file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=FORMATS) as opened:
                image = _converted(ImageOps.exif_transpose(opened), settings)
    except UnidentifiedImageError:
        raise Refusal(f"{file} is no image: its content is none of {', '.join(FORMATS)}.") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Refusal(f"{file} is refused: it would unpack to an unreasonable number of pixels.") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise Refusal(f"{file} cannot be read as an image: {error}") from error
    return np.asarray(_scaled(image, settings), dtype=np.float32) / np.float32(255)


def _converted(image: Any, settings: ImageSettings) -> Any:

    if image.mode.startswith("I;16"):  # convert("L") would cut 16 bits at 255
        image = Image.fromarray((np.asarray(image) / 257).round().astype(np.uint8))
    return image.convert("L" if settings.grayscale else "RGB")


def _scaled(image: Any, settings: ImageSettings) -> Any:

    if settings.size is None:
        return image
    height, width = settings.size
    filtered = Image.Resampling(settings.resample)
    if settings.shortest is None:
        return image if image.size == (width, height) else image.resize((width, height), filtered)
    factor = settings.shortest / min(image.size)
    image = image.resize((round(image.width * factor), round(image.height * factor)), filtered)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))
