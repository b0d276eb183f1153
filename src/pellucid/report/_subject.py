"""What was explained: the examples as a person knows them, beside the tensors that the model saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pellucid._core.checks import accept_choice, accept_texts, listed
from pellucid.errors import invalid_type, invalid_value
from pellucid.report._verdict import accept_explanation, single_tensor

if TYPE_CHECKING:
    from pellucid import Explanation

Kind = Literal["image", "table", "text", "figure"]


@dataclass(frozen=True)
class Subject:
    """The examples of a report, each under the same position as its row in the explanations.

    Example:
        >>> subject = Subject("table", names=("row 0", "row 1"), feature_names=("age", "income"))
        >>> subject.feature_names[1]
        'income'

    Args:
        kind: How the examples are shown: ``"image"``, ``"table"``, ``"text"``, or ``"figure"`` for what
            `Explanation.plot` draws of anything else.
        names: One name per example, such as the file name.
        pictures: For images: one array per example, (height, width) or (height, width, 3), from 0 to 1,
            as a person would see it (before normalisation).
        feature_names: For tables: the name of each column, in the order of the model's input.
        values: For tables: what each example holds in its columns, as text.
        tokens: For texts: the tokens of each example; positions after them are padding.
        truth: The index of the true class of each example; None where it is not known.
        labels: The true label of each example as text, where it is known but is no class of the model.
        class_names: The name of each class.
    """

    kind: Kind
    names: Sequence[str]
    pictures: Sequence[NDArray[np.float32]] = ()
    feature_names: Sequence[str] = ()
    values: Sequence[Sequence[str]] = ()
    tokens: Sequence[Sequence[str]] = ()
    truth: Sequence[int | None] = ()
    labels: Sequence[str | None] = ()
    class_names: Sequence[str] = ()

    def __post_init__(self) -> None:
        accept_choice("kind", self.kind, ("image", "table", "text", "figure"), "examples are not shown so")
        for name, why in _LISTS:
            object.__setattr__(self, name, accept_texts(name, getattr(self, name), why))
        for name, fits, instead in _FIELDS:
            given = getattr(self, name)
            if not isinstance(given, list | tuple) or not all(fits(part) for part in given):
                raise invalid_type(name, f"a {type(given).__name__} of other things", "each example has one", instead)
        for name in ("values", "tokens"):
            object.__setattr__(self, name, tuple(listed(part) or () for part in getattr(self, name)))
        for name in ("pictures", "values", "tokens", "truth", "labels"):
            given = len(getattr(self, name))
            if given not in {0, len(self.names)}:
                raise invalid_value(
                    name, f"of length {given}", f"there are {len(self.names)} examples", "one entry per example"
                )

    def class_name(self, index: int) -> str:
        """Return the name of a class, or its number where it has no name."""
        return str(self.class_names[index]) if 0 <= index < len(self.class_names) else f"class {index}"

    def true_class(self, position: int) -> int | None:
        """Return the index of an example's true class, or None."""
        return self.truth[position] if self.truth else None

    def true_label(self, position: int) -> str | None:
        """Return the true label of an example as text, or None."""
        known = self.true_class(position)
        if known is not None:
            return self.class_name(known)
        return self.labels[position] if self.labels else None


def _is_picture(value: object) -> bool:
    """Tell whether something is an array of shape (H, W) or (H, W, 3) or (H, W, 1)."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub" or not value.size:
        return False
    return value.ndim == 2 or (value.ndim == 3 and value.shape[2] in {1, 3})


_LISTS = (
    ("names", "each example has one"),
    ("feature_names", "each column has one"),
    ("class_names", "each class has one"),
)
"""Fields that are lists of texts, and why."""
_FIELDS = (
    ("pictures", _is_picture, "a list of arrays of shape (H, W) or (H, W, 3)"),
    ("values", lambda value: isinstance(value, list | tuple), "a list of lists of texts"),
    ("tokens", lambda value: isinstance(value, list | tuple), "a list of lists of texts"),
    ("truth", lambda value: value is None or isinstance(value, int | np.integer), "a list of numbers of classes"),
    ("labels", lambda value: value is None or isinstance(value, str), "a list of texts"),
)
"""What the parts of a field are."""


def subject_of(explanation: Explanation) -> Subject:
    """Describe the examples of an explanation by what it holds: images, features, tokens, or whatever has a figure.

    Args:
        explanation: Of one input.

    Returns:
        The subject. Pictures are stretched to their own range if they leave 0 to 1.

    Raises:
        InvalidTypeError: The explanation is of several inputs.
    """
    accept_explanation("explanation", explanation)
    inputs = single_tensor(explanation.inputs, "inputs").detach().cpu()
    same = single_tensor(explanation.attributions, "attributions").shape == inputs.shape
    names = [f"example {i + 1}" for i in range(len(inputs))]
    if explanation.tokens is not None:
        return Subject("text", names, tokens=explanation.tokens)
    if inputs.ndim == 2 and same:
        features = explanation.names or [f"feature {i}" for i in range(inputs.shape[1])]
        values = [[f"{value:.4g}" for value in row] for row in inputs.tolist()]
        return Subject("table", names, feature_names=features, values=values)
    if inputs.ndim == 4 and inputs.shape[1] in {1, 3} and same:
        return Subject("image", names, pictures=[_picture(image) for image in inputs.float()])
    return Subject("figure", names)


def _picture(image: Tensor) -> NDArray[np.float32]:
    low, high = float(image.min()), float(image.max())
    if low < 0 or high > 1:
        image = (image - low) / max(high - low, 1e-12)
    pixels: NDArray[np.float32] = image.permute(1, 2, 0).numpy()
    return pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
