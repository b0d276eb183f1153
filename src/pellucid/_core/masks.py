"""Features: which values of the inputs count as one.

A mask gives every value the id of its feature. Inside, features are numbered from 0 without gaps; where
there is no mask, every value of an example is a feature of its own, and no tensor of ids is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pellucid._core.checks import accept_dense
from pellucid._core.door import aligned
from pellucid.errors import invalid_type, invalid_value


@dataclass(frozen=True)
class Features:
    """The features of inputs.

    Attributes:
        count: number of features.
        shapes: shape of one example of each input.
        ids: for each input the numbers of its values' features, with 1 or N rows and dimensions that broadcast to
            the input's; ``None`` where every value is a feature of its own.
        starts: for each input the number of its first feature, where ``ids`` is ``None``.
    """

    count: int
    shapes: tuple[torch.Size, ...]
    ids: tuple[Tensor | None, ...]
    starts: tuple[int, ...]

    @property
    def per_example(self) -> bool:
        """Whether examples differ in their features."""
        return any(ids is not None and ids.shape[0] > 1 for ids in self.ids)

    def kept(self, i: int, coalitions: Tensor, examples: Tensor) -> Tensor:
        """Tell which values of input i belong to coalitions, broadcastable to (coalitions, examples, ...).

        Args:
            i: number of the input.
            coalitions: bool, shape (coalitions, features).
            examples: numbers of the examples.
        """
        ids, shape = self.ids[i], self.shapes[i]
        if ids is None:
            own = coalitions[:, self.starts[i] : self.starts[i] + shape.numel()]
            return own.reshape(len(coalitions), 1, *shape)
        ids = ids[examples.to(ids.device)] if ids.shape[0] > 1 else ids
        return coalitions.gather(1, ids.reshape(1, -1).expand(len(coalitions), -1)).reshape(len(coalitions), *ids.shape)

    def spread(self, i: int, per_feature: Tensor) -> Tensor:
        """Give each value of input i what its feature has: (features, values, ...) to (values, ..., *input).

        Where examples differ in their features, the first dimension after the features counts examples.
        """
        ids, shape = self.ids[i], self.shapes[i]
        by_value = per_feature.movedim(0, -1)
        if ids is None:
            own = by_value[..., self.starts[i] : self.starts[i] + shape.numel()]
            return own.reshape(*own.shape[:-1], *shape)
        places = ids.to(per_feature.device)
        if places.shape[0] == 1:
            found = by_value.index_select(-1, places.flatten())
        else:
            rows = places.reshape(len(places), *(1,) * (by_value.dim() - 2), -1)
            found = by_value.gather(-1, rows.expand(*by_value.shape[:-1], -1))
        lead = found.shape[:-1]
        return found.reshape(*lead, *places.shape[1:]).expand(*lead, *shape).contiguous()

    def places(self, i: int, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """List the values of features in input i, where examples do not differ.

        Args:
            i: number of the input.
            numbers: numbers of features.

        Returns:
            For each value which of the features it belongs to, in their order, and its number in an example.
        """
        ids = self.ids[i]
        if ids is not None:
            return _layout(ids, self.shapes[i], self.count).places(numbers)
        every = torch.arange(len(numbers))
        if len(self.ids) == 1:
            return every, numbers
        places = numbers - self.starts[i]
        inside = (places >= 0) & (places < self.shapes[i].numel())
        return every[inside], places[inside]


class Layout(NamedTuple):
    """Where the values of each feature lie in one example.

    Attributes:
        sizes: number of places of each feature in ``order``.
        starts: where these begin.
        order: numbers of values, feature after feature.
        beside: what is added to a number for further values of the same feature.
    """

    sizes: Tensor
    starts: Tensor
    order: Tensor
    beside: Tensor

    def places(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """List the values of features: for each value which of the features it belongs to, and its number."""
        device = self.order.device
        features = features.to(device)
        sizes = self.sizes.to(device)[features]
        which = torch.repeat_interleave(torch.arange(len(features), device=device), sizes)
        shift = self.starts.to(device)[features] - (sizes.cumsum(0) - sizes)
        number = self.order[torch.arange(len(which), device=device) + shift[which]]
        every = (number[:, None] + self.beside.to(device)).flatten()
        return which.repeat_interleave(len(self.beside)), every


def _layout(ids: Tensor, shape: torch.Size, count: int) -> Layout:
    number = torch.arange(shape.numel(), device=ids.device).reshape(shape)
    ahead = number[tuple(slice(1 if m == 1 else None) for m in ids.shape[1:])].flatten()
    beside = number[tuple(slice(None if m == 1 else 1) for m in ids.shape[1:])].flatten()
    flat = ids.flatten()
    sizes = torch.bincount(flat, minlength=count)
    return Layout(sizes, sizes.cumsum(0) - sizes, ahead[flat.argsort(stable=True)], beside)


def accept_features(mask: Any, inputs: tuple[Tensor, ...], template: Any, share_ids: bool = True) -> Features:
    """Check a feature mask and number its features.

    Args:
        mask: integer tensor that broadcasts to the input with its last dimensions aligned, a tuple of such, or
            ``None``: every value is a feature.
        inputs: the checked inputs.
        template: the inputs as given; a tuple wants a tuple of masks.
        share_ids: whether an id that several tensors hold means one feature, or one in each tensor.

    Returns:
        The features.

    Raises:
        InvalidTypeError: if a mask is no tensor of integers.
        InvalidValueError: if a mask does not fit its input, or there is no feature.
    """
    shapes = tuple(x.shape[1:] for x in inputs)
    if mask is None:
        sizes = [shape.numel() for shape in shapes]
        starts = tuple(sum(sizes[:i]) for i in range(len(sizes)))
        features = Features(sum(sizes), shapes, (None,) * len(inputs), starts)
    else:
        names, values = aligned("feature_mask", mask, inputs, template)
        masks = [_checked(n, v, x) for n, v, x in zip(names, values, inputs, strict=True)]
        count, ids = _numbered(masks, share_ids)
        features = Features(count, shapes, tuple(ids), (0,) * len(inputs))
    if features.count == 0:
        raise invalid_value("inputs", "without any value", "there is no feature", "tensors that hold values")
    return features


def _checked(name: str, mask: Any, x: Tensor) -> Tensor:
    """Give a mask as many dimensions as its input."""
    if not isinstance(mask, Tensor):
        raise invalid_type(name, f"a {type(mask).__name__}", "it is no mask", "a tensor of feature ids")
    if mask.is_floating_point() or mask.is_complex():
        raise invalid_type(name, f"a tensor of dtype {mask.dtype}", "ids are integers", "mask.long()")
    accept_dense(name, mask)
    missing = x.dim() - mask.dim()
    full = mask.reshape((1,) * missing + mask.shape)
    if missing < 0 or any(m not in {1, size} for m, size in zip(full.shape, x.shape, strict=True)):
        raise invalid_value(
            name,
            f"a tensor of shape {tuple(mask.shape)}",
            f"it does not broadcast to the input of shape {tuple(x.shape)}",
            "one id per value: dimensions of the input's size or 1, the last ones aligned, and 1 or N rows",
        )
    return full.detach().to(x.device, torch.long)


def _numbered(masks: list[Tensor], share_ids: bool) -> tuple[int, list[Tensor]]:
    """Number the ids that occur from 0, in their order: over all masks together, or mask after mask."""
    if not share_ids:
        count, found = 0, []
        for mask in masks:
            own, (ids,) = _numbered([mask], share_ids=True)
            found.append(ids + count)
            count += own
        return count, found
    flat = torch.cat([mask.flatten().to(masks[0].device) for mask in masks])
    if flat.numel() == 0:
        return 0, masks
    least = int(flat.min())
    width = int(flat.max()) - least + 1
    if width <= 4 * flat.numel() + 1024:  # counting is faster than sorting
        number = (torch.bincount(flat - least, minlength=width) > 0).cumsum(0) - 1
        count, ids = int(number[-1]) + 1, number[flat - least]
    else:
        found_ids, ids = torch.unique(flat, return_inverse=True)
        count = len(found_ids)
    parts = torch.split(ids, [mask.numel() for mask in masks])
    return count, [part.reshape(mask.shape).to(mask.device) for part, mask in zip(parts, masks, strict=True)]


def slices(total: int, width: int, budget: int = 2**24) -> list[slice]:
    """Cut ``total`` rows of ``width`` bytes into slices that stay within a budget, one row at least."""
    step = max(1, budget // max(1, width))
    return [slice(start, min(start + step, total)) for start in range(0, total, step)]
