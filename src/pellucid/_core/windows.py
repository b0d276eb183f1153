"""Windows that slide over an input: where they lie, and what each value gets from those that cover it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid._core.game import replaced
from pellucid._core.structure import names_of
from pellucid.errors import invalid_type, invalid_value


@dataclass(frozen=True)
class Windows:
    """Positions of a window in one example; at the far end of a dimension it may reach beyond.

    Attributes:
        shape: shape of the example.
        window: shape of the window.
        strides: distance of neighbouring windows in each dimension.
    """

    shape: tuple[int, ...]
    window: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of windows along each dimension."""
        sizes = zip(self.shape, self.window, self.strides, strict=True)
        return tuple(1 + math.ceil(max(0, size - width) / stride) for size, width, stride in sizes)

    @property
    def total(self) -> int:
        """Number of windows."""
        return math.prod(self.counts) if math.prod(self.shape) else 0

    def places(self, numbers: Tensor) -> Tensor:
        """List the values under windows, some of them more than once: shape (windows, values of a window)."""
        found = torch.zeros(len(numbers), 1, dtype=torch.long)
        for d, size in enumerate(self.shape):
            start = numbers // math.prod(self.counts[d + 1 :]) % self.counts[d] * self.strides[d]
            along = (start[:, None] + torch.arange(self.window[d])).clamp(max=size - 1)
            found = (found[:, :, None] * size + along[:, None, :]).flatten(1)
        return found

    def average(self, values: Tensor) -> Tensor:
        """Give each value the mean over the windows that cover it: (windows, ...) to (..., *shape)."""
        lead = values.shape[1:]
        grid = values.flatten(1).T.reshape(-1, *self.counts)
        count = self._covered(grid.new_ones(1, *self.counts))
        return (self._covered(grid) / count).reshape(*lead, *self.shape)

    def _covered(self, grid: Tensor) -> Tensor:
        """Give each value the sum over the windows that cover it: (k, *counts) to (k, *shape)."""
        for d, (size, width, stride) in enumerate(zip(self.shape, self.window, self.strides, strict=True), start=1):
            found = grid.new_zeros(*grid.shape[:d], size, *grid.shape[d + 1 :])
            for offset in range(min(width, size)):
                reach = min(grid.shape[d], math.ceil((size - offset) / stride))
                ahead = (slice(None),) * d
                places = (*ahead, slice(offset, offset + stride * (reach - 1) + 1, stride))
                found[places] += grid[(*ahead, slice(reach))]
            grid = found
        return grid


@dataclass(frozen=True)
class Occluded:
    """Inputs with a window of one of them at its baseline.

    Attributes:
        inputs: the inputs.
        base: baseline of the one that windows slide over, with 1 or N rows.
        which: its number.
        places: for each window the numbers of the values under it.
    """

    inputs: tuple[Tensor, ...]
    base: Tensor
    which: int
    places: Tensor

    @property
    def samples(self) -> int:
        """Number of windows."""
        return len(self.places)

    def values(self, samples: slice, examples: Tensor) -> tuple[Tensor, ...]:
        """Put the baseline under windows."""
        inputs = [x[examples.to(x.device)] for x in self.inputs]
        base = self.base[examples.to(self.base.device)] if self.base.shape[0] > 1 else self.base
        places = self.places[samples]
        rows = torch.arange(len(places)).repeat_interleave(places.shape[1])
        own = replaced(inputs[self.which], base, rows, places.flatten(), len(places))
        return tuple(own if i == self.which else x.expand(len(places), *x.shape).clone() for i, x in enumerate(inputs))


def accept_windows(shapes: Any, strides: Any, inputs: tuple[Tensor, ...], template: Any) -> tuple[Windows, ...]:
    """Check the shapes and strides of windows.

    Args:
        shapes: shape of the window without the batch dimension, or a tuple with one for each input.
        strides: ``None`` (1), an int, one int per dimension, or a tuple with one of the last two for each input.
        inputs: the checked inputs.
        template: the inputs as given.

    Returns:
        The windows of each input.
    """
    several = isinstance(template, tuple) and len(inputs) > 1
    nested = isinstance(shapes, tuple | list) and any(isinstance(s, tuple | list) for s in shapes)
    each = list(shapes) if nested or several else [shapes]
    if len(each) != len(inputs):
        raise invalid_value(
            "sliding_window_shapes", f"{shapes}", f"there are {len(inputs)} input(s)", "one shape for each"
        )
    steps: list[Any] = [strides] * len(inputs)
    if isinstance(strides, tuple | list) and (several or any(isinstance(s, tuple | list) for s in strides)):
        steps = list(strides)
    if len(steps) != len(inputs):
        raise invalid_value("strides", f"{strides}", f"there are {len(inputs)} inputs", "an int, or one per input")
    window_names = names_of("sliding_window_shapes", template if several else None)
    stride_names = names_of("strides", template if several else None)
    zipped = zip(window_names, each, stride_names, steps, inputs, strict=True)
    return tuple(_windows(n, s, m, t, tuple(x.shape[1:])) for n, s, m, t, x in zipped)


def _windows(name: str, window: Any, stride_name: str, stride: Any, shape: tuple[int, ...]) -> Windows:
    widths = _ints(name, window, shape)
    strides = (
        _ints(stride_name, (1 if stride is None else stride,) * len(shape), shape)
        if stride is None or isinstance(stride, int)
        else _ints(stride_name, stride, shape)
    )
    for width, size in zip(widths, shape, strict=True):
        if width > size > 0:
            raise invalid_value(name, f"{widths}", f"an example has shape {shape}", "a window that fits in it")
    for step, width, size in zip(strides, widths, shape, strict=True):
        if step > width and width < size:
            raise invalid_value(
                stride_name,
                f"{strides}",
                f"values between windows of shape {widths} would be left out",
                "strides that are at most the window's size",
            )
    return Windows(shape, widths, strides)


def _ints(name: str, value: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    if not isinstance(value, tuple | list) or any(isinstance(v, bool) or not isinstance(v, int) for v in value):
        raise invalid_type(name, repr(value), "it is no shape", f"a tuple of {len(shape)} ints")
    if len(value) != len(shape) or any(v < 1 for v in value):
        raise invalid_value(
            name, f"{tuple(value)}", f"an example has shape {shape}", f"{len(shape)} ints >= 1, channels included"
        )
    return tuple(value)
