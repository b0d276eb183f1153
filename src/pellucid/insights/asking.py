"""What can be asked of a desk: one frozen dataclass per route.

Programs build them; a browser's or a notebook's JSON becomes one of them at the door (`reading`), where pydantic
refuses what does not fit. What a question means for a model is checked by the desk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

Target = int | Literal["label", "predicted"]
"""Which class is explained: one by its index, the true one, or the predicted one."""
Form = Literal["png", "svg", "json", "safetensors"]
"""What an explanation can be exported as."""

_STRICT = {"extra": "forbid", "strict": True, "allow_inf_nan": False}
"""How pydantic reads JSON: nothing unknown, nothing converted, nothing that is not finite."""


@dataclass(frozen=True)
class Edit:
    """A change of an example before it is explained.

    Attributes:
        feature: which input of the model, from 0.
        cells: positions in the flattened raw example, of numbers.
        values: what they become.
        token: position of a token, of texts.
        text: what it becomes; nothing removes it.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    feature: int
    cells: tuple[int, ...] = ()
    values: tuple[float, ...] = ()
    token: int | None = None
    text: str = ""


@dataclass(frozen=True)
class Question:
    """Which example is explained, how.

    Attributes:
        example: its number, from 0.
        model: which of the models, from 0.
        method: a name in ``pellucid.methods()``.
        arguments: arguments of the method that differ from its defaults.
        target: which class is explained; outputs without classes ignore it.
        layer: name of the explained layer, ``None`` for the inputs.
        edits: changes of the example, in their order.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    example: int
    model: int = 0
    method: str = "integrated_gradients"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    target: Target = "predicted"
    layer: str | None = None
    edits: tuple[Edit, ...] = ()


@dataclass(frozen=True)
class AboutBody:
    """Asks for models, features, methods and classes."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT


@dataclass(frozen=True)
class PredictionsBody:
    """Asks for the predictions of all examples by one model."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    model: int = 0


@dataclass(frozen=True)
class ThumbnailsBody:
    """Asks for small pictures of some examples, at most 200."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    examples: tuple[int, ...]


@dataclass(frozen=True)
class ExportBody:
    """Asks for a file that holds an explanation."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    question: Question
    form: Form


BODIES: dict[str, type] = {
    "about": AboutBody,
    "predictions": PredictionsBody,
    "thumbnails": ThumbnailsBody,
    "explain": Question,
    "export": ExportBody,
}
"""The body of each route."""
