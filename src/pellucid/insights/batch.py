"""A part of a data set, as the visualizer takes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from pellucid.errors import invalid_type, invalid_value
from pellucid.typing import Tensors


@dataclass(frozen=True)
class Batch:
    """Examples with their true labels.

    Example:
        >>> import torch
        >>> len(Batch(torch.rand(3, 1, 8, 8), torch.tensor([0, 1, 1])))
        3

    Args:
        inputs: a tensor of shape (N, ...), or a tuple of such with the same N: one for each feature, as the user
            knows them; what a model needs in addition (normalisation, say) belongs into a feature's transforms.
        labels: index of the true class of each example, shape (N,), -1 where it is not known; or ``None``.
        additional_args: further arguments of the model, one or a tuple, that are not explained; tensors with N rows
            follow their examples.

    Raises:
        InvalidTypeError: if something is no tensor.
        InvalidValueError: for inputs of different length or none, or not one label for each.
    """

    inputs: Tensors
    labels: Tensor | None
    additional_args: Any = None

    def __post_init__(self) -> None:
        """Check that everything is of one length."""
        for place, part in enumerate(self.parts):
            if not isinstance(part, Tensor) or part.dim() == 0:
                given = f"a {type(part).__name__}" if not isinstance(part, Tensor) else "a tensor without dimensions"
                raise invalid_type(f"inputs[{place}]", given, "it holds no examples", "a tensor of shape (N, ...)")
            if len(part) != len(self.parts[0]):
                why = f"inputs[0] holds {len(self.parts[0])} examples"
                raise invalid_value(f"inputs[{place}]", f"of {len(part)} examples", why, "as many in each")
        if not self.parts or not len(self.parts[0]):
            raise invalid_value("inputs", "empty", "there is nothing to show", "one example or more")
        if self.labels is None:
            return
        if not isinstance(self.labels, Tensor) or self.labels.is_floating_point():
            given = f"a {getattr(self.labels, 'dtype', type(self.labels).__name__)}"
            raise invalid_type("labels", given, "they are indices of classes", "a tensor of whole numbers, or None")
        if self.labels.shape != (len(self),):
            given = f"of shape {tuple(self.labels.shape)}"
            raise invalid_value("labels", given, f"there are {len(self)} examples", f"shape ({len(self)},)")

    @property
    def parts(self) -> tuple[Tensor, ...]:
        """The inputs as a tuple."""
        return self.inputs if isinstance(self.inputs, tuple) else (self.inputs,)

    def __len__(self) -> int:
        """Count the examples."""
        return len(self.parts[0])

    def label(self, row: int) -> int | None:
        """Return the true class of an example, if it is known."""
        found = -1 if self.labels is None else int(self.labels[row])
        return None if found < 0 else found

    def additional(self, rows: slice) -> tuple[Any, ...]:
        """Return the further arguments of some of the examples."""
        given = self.additional_args
        if given is None:
            return ()
        many = given if isinstance(given, tuple) else (given,)
        return tuple(a[rows] if isinstance(a, Tensor) and a.dim() and len(a) == len(self) else a for a in many)
