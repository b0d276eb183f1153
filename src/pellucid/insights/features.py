"""What a model's inputs are to a person: images, texts, tables, series, or nothing that is shown."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from pellucid._core.checks import accept_dense, accept_function, accept_texts
from pellucid.errors import invalid_type, invalid_value
from pellucid.ids import special_ids

Transform = Callable[[Tensor], Tensor]
"""From a batch (N, ...) to a batch with the same N."""
Transforms = Transform | Sequence[Transform] | None
Kind = Literal["image", "text", "table", "series", "empty"]


@dataclass(frozen=True)
class Feature:
    """One input of the models. The classes below say which kind it is.

    Attributes:
        name: what it is called on the page.
        baseline_transforms: each makes a baseline from the model's input; the first is the default.
        input_transforms: make the model's input from what the batches hold, one after the other.
        visualization_transform: makes what is shown from what the batches hold; of one example.
    """

    name: str
    baseline_transforms: Transforms = None
    input_transforms: Transforms = None
    visualization_transform: Callable[[Any], Any] | None = None

    kind: ClassVar[Kind] = "empty"

    def __post_init__(self) -> None:
        """Check the transforms, and keep them as tuples."""
        if not isinstance(self.name, str) or not self.name:
            raise invalid_type("name", repr(self.name), "a feature is called something", "a text")
        if self.visualization_transform is not None:
            accept_function(f"visualization_transform of {self.name}", self.visualization_transform)
        for field in ("baseline_transforms", "input_transforms"):
            given = getattr(self, field)
            many = () if given is None else tuple(given) if isinstance(given, list | tuple) else (given,)
            for place, transform in enumerate(many):
                if not callable(transform):
                    where = f"{field}[{place}] of {self.name}"
                    raise invalid_type(where, f"a {type(transform).__name__}", "it cannot be called", "a function")
            object.__setattr__(self, field, many)

    def inputs(self, raw: Tensor) -> Tensor:
        """Return the model's input for a batch of raw examples."""
        made = raw
        for transform in self.transforms("input_transforms"):  # on copies, since some write into what they are given
            made = _rows(transform(made.clone()), raw, f"input_transforms of {self.name}")
        return made

    def baselines(self) -> dict[str, Transform]:
        """Return what makes baselines of the model's inputs, by name."""
        found: dict[str, Transform] = {}
        for place, transform in enumerate(self.transforms("baseline_transforms")):
            name = getattr(transform, "__name__", "")
            found[name if name.isidentifier() and name not in found else f"baseline {place + 1}"] = transform
        return found

    def baseline(self, name: str, inputs: Tensor) -> Tensor | None:
        """Return one of the baselines for a batch of the model's inputs; the first for a name of another feature."""
        known = self.baselines()
        if not known:
            return None
        chosen = name if name in known else next(iter(known))
        return _rows(known[chosen](inputs.clone()), inputs, f"the baseline {chosen} of {self.name}")

    def transforms(self, field: str) -> tuple[Transform, ...]:
        """Return one of the lists of transforms."""
        many: tuple[Transform, ...] = getattr(self, field)
        return many

    def shown(self, raw: Tensor) -> Any:
        """Return what is shown of one raw example."""
        return raw if self.visualization_transform is None else self.visualization_transform(raw.clone())


@dataclass(frozen=True)
class ImageFeature(Feature):
    """An image: raw examples of shape (C, H, W) with 1 or 3 channels, or (H, W), or what the transform makes of them.

    Example:
        >>> import torch
        >>> feature = ImageFeature("photograph", baseline_transforms=torch.zeros_like)
        >>> feature.baseline("zeros_like", torch.ones(1, 3, 2, 2)).sum()
        tensor(0.)

    Args:
        name: what it is called on the page.
        baseline_transforms: a function or several; each makes a baseline (N, ...) from the model's inputs.
        input_transforms: a function or several that make the model's inputs (N, ...) from the batch's.
        visualization_transform: makes (C, H, W) from one raw example, in fractions from 0 to 1; without it, values
            beyond 0 to 1 are stretched to their own range.
    """

    kind: ClassVar[Kind] = "image"


@dataclass(frozen=True)
class TextFeature(Feature):
    """A text: raw examples are ids of tokens, shape (T,), or of embeddings, shape (T, D).

    Example:
        >>> import torch
        >>> words = ["the", "film", "was", "fine"]
        >>> feature = TextFeature("review", visualization_transform=lambda ids: [words[i] for i in ids])
        >>> feature.shown(torch.tensor([1, 2, 3]))
        ['film', 'was', 'fine']

    Args:
        name: what it is called on the page.
        baseline_transforms: a function or several; each makes a baseline (N, ...) from the model's inputs. Without
            one, ids are compared with padding if there is a tokenizer, else with vectors of zeros.
        input_transforms: a function or several that make the model's inputs (N, ...) from the batch's.
        visualization_transform: makes the list of tokens from one raw example; a tokenizer does it by itself.
        tokenizer: a Hugging Face tokenizer, with which tokens can also be edited.
    """

    tokenizer: Any = None

    kind: ClassVar[Kind] = "text"

    def __post_init__(self) -> None:
        """Check the transforms and the tokenizer."""
        Feature.__post_init__(self)
        if self.tokenizer is not None and not callable(getattr(self.tokenizer, "convert_ids_to_tokens", None)):
            given = f"a {type(self.tokenizer).__name__}"
            instead = "a tokenizer such as AutoTokenizer gives, or None"
            raise invalid_type("tokenizer", given, "it has no convert_ids_to_tokens", instead)

    def baselines(self) -> dict[str, Transform]:
        """Return what makes baselines of ids, by name; padding in the place of words comes last."""
        found = Feature.baselines(self)
        padding = None if self.tokenizer is None else self.tokenizer.pad_token_id
        return found if padding is None else {**found, "padding": self._padded}

    def _padded(self, ids: Tensor) -> Tensor:
        """Return ids with padding in the place of words."""
        kept = torch.tensor(sorted(special_ids(self.tokenizer)), dtype=ids.dtype, device=ids.device)
        return torch.where(torch.isin(ids, kept), ids, self.tokenizer.pad_token_id)

    def shown(self, raw: Tensor) -> list[str]:
        """Return the tokens of one raw example."""
        if self.visualization_transform is not None:
            return [str(token) for token in self.visualization_transform(raw.clone())]
        if self.tokenizer is not None and raw.dim() == 1:
            return [str(token) for token in self.tokenizer.convert_ids_to_tokens(raw.tolist())]
        return [f"{value:g}" if raw.dim() == 1 else f"token {place}" for place, value in enumerate(raw.tolist())]

    def special(self, raw: Tensor) -> list[int]:
        """Return the positions of padding and other tokens that stand for no text."""
        if self.tokenizer is None or raw.dim() != 1:
            return []
        known = special_ids(self.tokenizer)
        return [place for place, token in enumerate(raw.tolist()) if token in known]

    def replaced(self, raw: Tensor, position: int, text: str) -> Tensor:
        """Return one raw example with another word in the place of a token; without text it becomes padding.

        A word of several tokens takes the place of padding at the end, if there is enough of it.
        """
        if self.tokenizer is None or raw.dim() != 1 or raw.is_floating_point():
            raise invalid_value("edits", "of a text", f"{self.name} has no tokenizer", "a feature with tokenizer=")
        if not 0 <= position < len(raw):
            raise invalid_value("token", str(position), f"there are {len(raw)} tokens", "the position of one")
        if position in self.special(raw):
            raise invalid_value("token", str(position), "it stands for no text", "the position of a word")
        ids, padding = raw.tolist(), self.tokenizer.pad_token_id
        empty = self.tokenizer.unk_token_id if padding is None else padding
        new = self.tokenizer.encode(text, add_special_tokens=False) if text.strip() else [empty]
        room = len(list(itertools.takewhile(lambda token: token == padding, reversed(ids))))
        if not new or new == [None] or len(new) - 1 > room:
            why = f"it is {len(new)} tokens, and there is room for {room + 1}"
            raise invalid_value("text", repr(text), why, "a shorter word")
        changed = [*ids[:position], *new, *ids[position + 1 :]][: len(ids)]
        return torch.tensor(changed, dtype=raw.dtype, device=raw.device)


@dataclass(frozen=True)
class GeneralFeature(Feature):
    """A row of a table: raw examples of shape (F,).

    Example:
        >>> GeneralFeature("patient", ["age", "dose"]).categories
        ('age', 'dose')

    Args:
        name: what it is called on the page.
        categories: name of each column.
        baseline_transforms: a function or several; each makes a baseline (N, F) from the model's inputs.
        input_transforms: a function or several that make the model's inputs (N, F) from the batch's.
        visualization_transform: makes the F shown values from one raw example.
    """

    categories: Sequence[str] = ()

    kind: ClassVar[Kind] = "table"

    def __init__(
        self,
        name: str,
        categories: Sequence[str],
        baseline_transforms: Transforms = None,
        input_transforms: Transforms = None,
        visualization_transform: Callable[[Any], Any] | None = None,
    ) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "baseline_transforms", baseline_transforms)
        object.__setattr__(self, "input_transforms", input_transforms)
        object.__setattr__(self, "visualization_transform", visualization_transform)
        object.__setattr__(self, "categories", accept_texts("categories", categories, "each column has a name"))
        self.__post_init__()


@dataclass(frozen=True)
class TimeSeriesFeature(Feature):
    """A series of one channel or several: raw examples of shape (C, T), or (T, C), or (T,).

    Example:
        >>> TimeSeriesFeature("heart", channels=["lead I"]).channels
        ('lead I',)

    Args:
        name: what it is called on the page.
        baseline_transforms: a function or several; each makes a baseline (N, ...) from the model's inputs.
        input_transforms: a function or several that make the model's inputs (N, ...) from the batch's.
        visualization_transform: makes what is shown, of the same shape, from one raw example.
        channels: name of each channel.
        channel_axis: 0 for (C, T), 1 for (T, C).
    """

    channels: Sequence[str] = ()
    channel_axis: int = 0

    kind: ClassVar[Kind] = "series"

    def __post_init__(self) -> None:
        """Check the names and the axis."""
        Feature.__post_init__(self)
        if not isinstance(self.channel_axis, int) or self.channel_axis not in {0, 1}:
            raise invalid_value("channel_axis", repr(self.channel_axis), "there are two axes", "0 or 1")
        object.__setattr__(self, "channels", accept_texts("channels", self.channels, "each channel has a name"))


@dataclass(frozen=True)
class EmptyFeature(Feature):
    """An input that is not shown; its share of the contributions is.

    Example:
        >>> EmptyFeature().kind
        'empty'

    Args:
        name: what it is called on the page.
        baseline_transforms: a function or several; each makes a baseline (N, ...) from the model's inputs.
        input_transforms: a function or several that make the model's inputs (N, ...) from the batch's.
        visualization_transform: accepted for uniformity; nothing is shown.
    """

    name: str = "empty"


def _rows(made: Any, given: Tensor, where: str) -> Tensor:
    """Check that a transform returned a batch of as many examples as it was given."""
    if not isinstance(made, Tensor):
        raise invalid_type(where, f"returning a {type(made).__name__}", "it makes inputs", "a function to a tensor")
    accept_dense(f"the result of {where}", made)
    if made.dim() == 0 or len(made) != len(given):
        shape = f"returning shape {tuple(made.shape)}"
        raise invalid_value(where, shape, f"it was given {len(given)} examples", "a function that keeps their number")
    return made
