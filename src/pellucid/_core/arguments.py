"""Additional arguments of the model: repeated with the batch, or shared by all examples.

A tensor whose dimension 0 is the number of examples belongs to the examples; everything else is
passed as it is. Where the two coincide by accident, ``shared`` says so; and ``gradient`` compares
the first expanded pass with the plain one, so that an accident cannot pass unseen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Shared:
    """Marks an additional argument that belongs to the whole batch (see ``shared``)."""

    value: Any


def shared(value: Any) -> Shared:
    """Mark an additional argument as belonging to the batch, not to its examples.

    A tensor among the ``additional_forward_args`` whose first dimension equals the number of
    examples is taken for one row per example and repeated when the batch is. An edge list, a
    position table or a square mask is not; wrap it::

        ig.attribute(nodes, additional_forward_args=shared(edge_index), target=0)

    Args:
        value: the argument, passed to the model unwrapped and unrepeated.

    Returns:
        The marked argument.

    Example:
        >>> import torch
        >>> from pellucid import shared
        >>> shared(torch.zeros(2, 5)).value.shape
        torch.Size([2, 5])
    """
    return Shared(value)


@dataclass(frozen=True)
class Arguments:
    """Additional arguments with the knowledge of which of them follow the examples."""

    values: tuple[Any, ...]
    per_example: tuple[bool, ...]
    _written: set[int] = field(default_factory=set)
    _seen: set[int] = field(default_factory=set)

    @classmethod
    def accept(cls, given: Any, examples: int) -> Arguments:
        """Take what a user passed as ``additional_forward_args``: nothing, one value or a tuple."""
        if given is None:
            return cls((), ())
        values = given if isinstance(given, tuple) else (given,)
        per_example = tuple(
            isinstance(value, Tensor) and value.dim() > 0 and value.shape[0] == examples for value in values
        )
        return cls(tuple(_plain(value) for value in values), per_example)

    def whole(self) -> tuple[Any, ...]:
        """Arguments for a pass over the batch as it was given.

        The user's tensors are protected: the model gets a copy at first, and from then on only if
        it wrote into that copy.
        """
        if not self.values:
            return ()
        lent = []
        for i, value in enumerate(self.values):
            if isinstance(value, Tensor) and (i not in self._seen or i in self._written):
                value = value.clone()  # noqa: PLW2901
            lent.append(value)
        return tuple(lent)

    def returned(self, lent: tuple[Any, ...]) -> None:
        """Note into which of the lent arguments the model wrote."""
        for i, value in enumerate(lent):
            if isinstance(value, Tensor):
                self._seen.add(i)
                if value._version > 0 and value is not self.values[i]:
                    self._written.add(i)

    def rows(self, examples: Tensor, repeats: int) -> tuple[Any, ...]:
        """Arguments for ``repeats`` copies of the chosen examples, copy after copy."""
        if not self.values:
            return ()
        return tuple(
            repeat_rows(value, examples, repeats) if per_example else value
            for value, per_example in zip(self.whole(), self.per_example, strict=True)
        )


def repeat_rows(value: Tensor, examples: Tensor, repeats: int) -> Tensor:
    """Choose rows of a tensor and repeat the choice ``repeats`` times."""
    chosen = examples.to(value.device)
    if value.layout == torch.sparse_coo:
        return value.index_select(0, chosen.repeat(repeats))
    return value[chosen].repeat((repeats,) + (1,) * (value.dim() - 1))


FOLLOWING = frozenset({"target", "baselines", "additional_forward_args", "feature_mask"})
"""Arguments of a method that have, or may have, one row per example."""


def repeat_keyword(name: str, value: Any, examples: int, repeats: int) -> Any:
    """Give a method's argument for ``repeats`` copies of its examples, copy after copy.

    Args:
        name: of the argument; those that do not follow the examples come back as they are.
        value: what was given.
        examples: number of examples N; a tensor with as many rows follows them.
        repeats: number of copies.

    Returns:
        The argument for N * repeats rows.
    """
    if repeats == 1 or name not in FOLLOWING:
        return value
    if isinstance(value, tuple) and name != "target":
        return tuple(repeat_keyword(name, part, examples, repeats) for part in value)
    if isinstance(value, list) and name == "target":
        return value * repeats
    if isinstance(value, Shared) or not isinstance(value, Tensor) or value.dim() == 0:
        return value
    if value.shape[0] != examples or (name == "target" and value.numel() == 1):
        return value
    return repeat_rows(value, torch.arange(examples), repeats)


def _plain(value: Any) -> Any:
    value = value.value if isinstance(value, Shared) else value
    if isinstance(value, Tensor):
        value = value.detach()
        return value.clone() if value.is_inference() and not torch.is_inference_mode_enabled() else value
    return value
