"""An image whose features are its segments, which may overlap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pellucid._core.checks import accept_dense, accept_function
from pellucid.attr.interpretable import InterpretableInput, present_features
from pellucid.errors import invalid_type, invalid_value
from pellucid.visualization import draw_mask_border, draw_mask_legend, draw_regions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL.Image import Image


def _itself(image: Any) -> Any:
    return image


class ImageMaskInput(InterpretableInput):
    """An image whose features are segments: pixels of an absent segment have the colour of the baseline.

    Where segments overlap, a pixel is absent as soon as one of its segments is; pixels of no segment always stay.

    Example:
        >>> from PIL import Image
        >>> left = torch.tensor([[True, False]])
        >>> image = ImageMaskInput(Image.new("RGB", (2, 1), (9, 9, 9)), mask_list=[left, ~left])
        >>> [image.to_model_input(torch.tensor([[0, 1]])).getpixel((x, 0)) for x in (0, 1)]
        [(255, 255, 255), (9, 9, 9)]

    Args:
        image: the image, of Pillow; taken as red, green and blue.
        mask: the number of each pixel's segment, integers of shape (H, W); without, the image is one feature.
        mask_list: the segments themselves, booleans of shape (H, W), instead of ``mask``.
        baseline: red, green and blue of absent pixels, from 0 to 255.
        processor_fn: makes the model's input from the image.

    Attributes:
        n_itp_features: the number F of segments.
        values: a name for each, by its number.

    Raises:
        InvalidValueError: if a mask has another shape than the image, a segment is empty, or a colour is none.
        InvalidTypeError: for wrong types.
    """

    def __init__(
        self,
        image: Image,
        mask: Tensor | None = None,
        mask_list: Sequence[Tensor] | None = None,
        baseline: tuple[int, int, int] = (255, 255, 255),
        processor_fn: Callable[[Image], Any] = _itself,
    ) -> None:
        self.image = _picture(image)
        self.baseline = _colour(baseline)
        self.processor_fn = accept_function("processor_fn", processor_fn, "a function of an image")
        size = (image.height, image.width)
        if mask_list is not None:
            self.mask_list = _checked_list(mask_list, size)
            numbers = list(range(len(self.mask_list)))
        else:
            segments = torch.zeros(size, dtype=torch.long) if mask is None else _checked("mask", mask, size)
            numbers = [int(number) for number in torch.unique(segments)]
            self.mask_list = [segments == number for number in numbers]
        self.mask = mask
        self.mask_id_to_idx = {number: place for place, number in enumerate(numbers)}
        self.n_itp_features = len(numbers)
        self.values = [f"image_feature_{number}" for number in numbers]

    def to_tensor(self) -> Tensor:
        """Give ones, one for each segment, shape (1, F)."""
        return torch.ones(1, self.n_itp_features)

    def to_model_input(self, perturbed_tensor: Tensor | None = None) -> Any:
        """Give what ``processor_fn`` makes of the image without the segments that are zero.

        Raises:
            InvalidValueError: if there is not one number for each segment.
        """
        if perturbed_tensor is None:
            return self.processor_fn(self.image)
        import numpy as np  # noqa: PLC0415 - arrays of images
        from PIL import Image  # noqa: PLC0415 - importing pellucid must not import Pillow

        present = present_features(perturbed_tensor, self.n_itp_features)
        pixels = np.array(self.image)
        for segment, stays in zip(self.mask_list, present, strict=True):
            if not stays:
                pixels[segment.cpu().numpy()] = self.baseline
        return self.processor_fn(Image.fromarray(pixels))

    def format_pixel_attr(self, itp_attr: Tensor) -> Tensor:
        """Give each pixel the sum of the attributions of its segments: (1, F) becomes (1, H, W).

        Raises:
            InvalidValueError: if there is not one attribution for each segment.
        """
        if not isinstance(itp_attr, Tensor) or itp_attr.shape != (1, self.n_itp_features):
            shape = f"of shape {tuple(itp_attr.shape)}" if isinstance(itp_attr, Tensor) else type(itp_attr).__name__
            given, why = shape, f"there are {self.n_itp_features} segments"
            raise invalid_value("itp_attr", given, why, f"shape (1, {self.n_itp_features})")
        segments = torch.stack(self.mask_list).to(itp_attr)
        return torch.einsum("nf,fhw->nhw", itp_attr, segments)

    def get_mask_list(self) -> list[Tensor]:
        """Give the segments as booleans of shape (H, W)."""
        return list(self.mask_list)

    def plot_mask_overlay(
        self, show: bool = False, border_width: int = 0, show_legends: bool = True
    ) -> tuple[Figure, Axes] | None:
        """Draw the image with its segments in colours, each with its number at its centre.

        Args:
            show: whether pyplot shows the figure, and nothing is returned.
            border_width: width of a border around each segment, in pixels.
            show_legends: whether the numbers are written.

        Returns:
            Figure and axes, which pyplot knows, unless they are shown.
        """
        import matplotlib.pyplot as plt  # noqa: PLC0415 - draws

        figure, ax = plt.subplots(layout="tight")
        try:
            colours = draw_regions(ax, self.image, self.mask_list)
            for segment, colour in zip(self.mask_list, colours, strict=True):
                draw_mask_border(ax, segment, border_width, colour)
            if show_legends:
                for number, segment in zip(self.mask_id_to_idx, self.mask_list, strict=True):
                    draw_mask_legend(ax, segment, str(number))
        except BaseException:
            plt.close(figure)
            raise
        if show:
            plt.show()
            return None
        return figure, ax


def _picture(image: Any) -> Image:
    """Check an image, and return it in red, green and blue."""
    from PIL.Image import Image as Picture  # noqa: PLC0415 - importing pellucid must not import Pillow

    if not isinstance(image, Picture):
        given = f"a {type(image).__name__}"
        raise invalid_type("image", given, "it has no pixels", "an image of Pillow, such as Image.fromarray(array)")
    return image if image.mode == "RGB" else image.convert("RGB")


def _checked(name: str, mask: Any, size: tuple[int, int]) -> Tensor:
    """Check a mask of integers or booleans against the size of the image."""
    if (
        not isinstance(mask, Tensor)
        or accept_dense(name, mask).is_complex()
        or (mask.is_floating_point() and bool((mask != mask.round()).any()))
    ):
        given = f"a tensor of {mask.dtype}" if isinstance(mask, Tensor) else f"a {type(mask).__name__}"
        raise invalid_type(name, given, "it tells segments apart", "a tensor of whole numbers or booleans")
    if tuple(mask.shape) != size:
        raise invalid_value(name, f"of shape {tuple(mask.shape)}", f"the image has shape {size}", "one value per pixel")
    return mask.detach()


def _checked_list(masks: Any, size: tuple[int, int]) -> list[Tensor]:
    """Check segments that may overlap."""
    if isinstance(masks, Tensor) or not isinstance(masks, Sequence):
        raise invalid_type("mask_list", f"a {type(masks).__name__}", "each segment is a mask", "a list of masks")
    if not masks:
        raise invalid_value("mask_list", "empty", "an image needs a feature to explain", "at least one mask")
    checked = [_checked(f"mask_list[{place}]", mask, size).bool() for place, mask in enumerate(masks)]
    for place, mask in enumerate(checked):
        if not mask.any():
            raise invalid_value(f"mask_list[{place}]", "empty", "it is no part of the image", "a mask with a pixel")
    return checked


def _colour(baseline: Any) -> tuple[int, int, int]:
    """Check red, green and blue."""
    given = accept_dense("baseline", baseline).tolist() if isinstance(baseline, Tensor) else baseline
    channels = tuple(given) if isinstance(given, Sequence) and not isinstance(given, str | bytes) else ()
    if len(channels) != 3 or not all(isinstance(part, Real) and 0 <= float(part) <= 255 for part in channels):
        raise invalid_value("baseline", repr(baseline), "it is no colour", "red, green and blue from 0 to 255")
    red, green, blue = (int(channel) for channel in channels)
    return red, green, blue
