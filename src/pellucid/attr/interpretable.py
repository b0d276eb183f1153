"""Inputs that people read, such as words and image segments, and what a model is given when some are absent.

An interpretable input x' of zeros and ones, shape (1, F), says which features are present; h maps it to what
the model takes: the text, the tokens or the image in which the absent features have their baselines.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pellucid._core.checks import LARGEST, shown
from pellucid._core.random import draw_seeds, generator_of
from pellucid.errors import invalid_type, invalid_value

Values = list[Any] | dict[str, Any]
"""What stands for each feature: in order, or by name."""


class InterpretableInput(ABC):
    """Interface between what a person reads and what a model takes: ``model_input = h(x')``.

    Attributes:
        n_itp_features: the number F of features.
        values: what each feature reads.

    References:
        Ribeiro, Singh and Guestrin, 2016, "Why should I trust you?"; Lundberg and Lee, 2017, A unified approach to
        interpreting model predictions.
    """

    n_itp_features: int
    values: list[str]

    @abstractmethod
    def to_tensor(self) -> Tensor:
        """Give x' with all features present, shape (1, F)."""

    @abstractmethod
    def to_model_input(self, perturbed_tensor: Tensor | None = None) -> Any:
        """Give the model's input for x' of shape (1, F), or the original one without it."""

    def format_attr(self, itp_attr: Tensor) -> Tensor:
        """Give attributions of the features, shape (..., F), in the form in which they are read: here as they are."""
        return itp_attr


class ProductBaselines:
    """Draws one baseline for each feature, independently and evenly from a list of its own.

    Each combination has the probability ``prod_i 1 / len(list_i)``. Draws come from a private generator, so that
    they neither depend on nor change any other state.

    Example:
        >>> draw = ProductBaselines({"name": ["Ann", "Bo"], ("he", "his"): [("he", "his"), ("she", "her")]}, seed=1)
        >>> sample = draw()
        >>> sorted(sample), (sample["he"], sample["his"]) in [("he", "his"), ("she", "her")]
        (['he', 'his', 'name'], True)

    Args:
        baseline_values: a list with the possible values of each feature, or such lists by name. A tuple of names
            has a list of tuples: features whose baselines belong together.
        seed: seed of the private generator.
        generator: source of its seed, instead of ``seed``; without both, one number is drawn from torch's default
            generator.

    Raises:
        InvalidValueError: for an empty list, or a tuple of values that does not fit its names.
        InvalidTypeError: for something else than lists.
    """

    def __init__(
        self,
        baseline_values: Sequence[Sequence[Any]] | Mapping[str | tuple[str, ...], Sequence[Any]],
        *,
        seed: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        named = isinstance(baseline_values, Mapping)
        if not named and (isinstance(baseline_values, str) or not isinstance(baseline_values, Sequence)):
            given = f"a {type(baseline_values).__name__}"
            raise invalid_type("baseline_values", given, "each feature has a list", "a list of lists, or lists by name")
        pairs = baseline_values.items() if isinstance(baseline_values, Mapping) else enumerate(baseline_values)
        self.dict_keys = list(baseline_values) if named else []
        self.baseline_values = [_possible(key, values) for key, values in pairs]
        self._generator = generator_of(draw_seeds(1, generator, seed)[0])

    def sample(self) -> Values:
        """Draw one combination, in the form of ``baseline_values``."""
        drawn = [values[self._draw(len(values))] for values in self.baseline_values]
        if not self.dict_keys:
            return drawn
        sample: dict[Any, Any] = {}
        for key, value in zip(self.dict_keys, drawn, strict=True):
            keys, parts = (key, value) if isinstance(key, tuple) else ((key,), (value,))
            sample.update(dict(zip(keys, parts, strict=True)))
        return sample

    def __call__(self) -> Values:
        """Draw one combination, so that templates take this object where they take a function."""
        return self.sample()

    def _draw(self, count: int) -> int:
        return int(torch.randint(count, (1,), generator=self._generator))


class TextTemplateInput(InterpretableInput):
    """A text whose features are the values in a template: absent ones are replaced by their baselines.

    Example:
        >>> text = TextTemplateInput("{} feels {} today", ["Ann", "sad"], baselines=["Somebody", "fine"])
        >>> text.to_model_input(torch.tensor([[0, 1]]))
        'Somebody feels sad today'

    Args:
        template: a format string, or a function of the values that returns the text.
        values: the values in order, or by name.
        baselines: what stands for absent ones, in the form of ``values``, or a function that draws it anew for
            every text, such as ``ProductBaselines``; without, nothing does.
        mask: the number of each value's feature, in the form of ``values``: values of the same number are present
            or absent together.

    Raises:
        InvalidValueError: if lengths or names differ, or the template does not fit the values.
        InvalidTypeError: for wrong types.
    """

    def __init__(
        self,
        template: str | Callable[..., str],
        values: list[str] | dict[str, str],
        baselines: list[str] | dict[str, str] | Callable[[], Values] | None = None,
        mask: list[int] | dict[str, int] | None = None,
    ) -> None:
        self.template = _template(template)
        self.dict_keys = list(values) if isinstance(values, dict) else []
        self.values = self._ordered("values", values)
        if not self.values:
            raise invalid_value("values", "empty", "a text needs a feature to explain", "at least one value")
        empty = [""] * len(self.values)
        self.baselines = baselines if callable(baselines) else self._ordered("baselines", baselines, empty)
        ids = self._ordered("mask", mask, list(range(len(self.values))))
        self.mask = mask
        self.formatted_mask = _ranks("mask", ids)
        self.n_features = len(self.values)
        self.n_itp_features = max(self.formatted_mask) + 1
        self.to_model_input()  # a template that does not fit is refused here, not in the middle of an explanation

    def to_tensor(self) -> Tensor:
        """Give ones, one for each feature, shape (1, F)."""
        return torch.ones(1, self.n_itp_features)

    def to_model_input(self, perturbed_tensor: Tensor | None = None) -> str:
        """Give the text in which the features that are zero have their baselines.

        Raises:
            InvalidValueError: if there is not one number for each feature.
        """
        chosen = self.values
        if perturbed_tensor is not None:
            present = present_features(perturbed_tensor, self.n_itp_features)
            absent = self._ordered("baselines", self.baselines()) if callable(self.baselines) else self.baselines
            pairs = zip(self.values, absent, self.formatted_mask, strict=True)
            chosen = [value if present[feature] else other for value, other, feature in pairs]
        make = self.template.format if isinstance(self.template, str) else self.template
        try:
            return make(**dict(zip(self.dict_keys, chosen, strict=True))) if self.dict_keys else make(*chosen)
        except (IndexError, KeyError) as error:
            given = f"a template that asks for {error}"
            instead = "a template with a place for each value"
            raise invalid_value("template", given, f"there are {len(chosen)} values", instead) from error

    def format_attr(self, itp_attr: Tensor) -> Tensor:
        """Give each value the attribution of its feature: (..., F) becomes (..., number of values)."""
        if not isinstance(itp_attr, Tensor) or itp_attr.shape[-1:] != (self.n_itp_features,):
            shape = f"of shape {tuple(itp_attr.shape)}" if isinstance(itp_attr, Tensor) else type(itp_attr).__name__
            why = f"there are {self.n_itp_features} features"
            raise invalid_value("itp_attr", shape, why, f"a tensor (..., {self.n_itp_features})")
        return itp_attr[..., torch.tensor(self.formatted_mask, device=itp_attr.device)]

    def _ordered(self, name: str, given: Any, default: list[Any] | None = None) -> list[Any]:
        """Bring what is given by name into the order of the names."""
        if given is None and default is not None:
            return default
        wanted = dict if self.dict_keys else list
        if isinstance(given, dict) != bool(self.dict_keys) or not isinstance(given, dict | list | tuple):
            why = "values come as a list or dict, and all others in the same form"
            raise invalid_type(name, f"a {type(given).__name__}", why, f"a {wanted.__name__}")
        count = len(self.dict_keys) or len(getattr(self, "values", given))
        if len(given) != count or (isinstance(given, dict) and set(given) != set(self.dict_keys)):
            raise invalid_value(name, repr(given), f"there are {count} values", "one entry for each of them")
        return [given[key] for key in self.dict_keys] if isinstance(given, dict) else list(given)


class TextTokenInput(InterpretableInput):
    """A text whose features are its tokens: absent ones are replaced by the token of the baseline.

    Args:
        text: the text.
        tokenizer: what has the methods ``encode(text, return_tensors="pt")`` and ``convert_ids_to_tokens``, as
            those of Hugging Face.
        baselines: id or text of the token that stands for absent ones.
        skip_tokens: ids or texts of tokens that are always present and no features, such as [CLS] and [SEP].

    Attributes:
        inp_tensor: ids of all tokens, shape (1, T).
        itp_tensor: ids of those that are features, shape (1, F).
        itp_mask: whether a token is a feature, shape (1, T).

    Raises:
        InvalidValueError: if no feature is left, or the tokenizer does not know a token.
        InvalidTypeError: for wrong types.
    """

    def __init__(
        self, text: str, tokenizer: Any, baselines: int | str = 0, skip_tokens: Sequence[int | str] | None = None
    ) -> None:
        if not isinstance(text, str):
            raise invalid_type("text", f"a {type(text).__name__}", "it is tokenized", "a text")
        for name in ("encode", "convert_ids_to_tokens"):
            if isinstance(tokenizer, str | bytes) or not callable(getattr(tokenizer, name, None)):
                given = f"a {type(tokenizer).__name__}"
                raise invalid_type("tokenizer", given, f"it has no {name}", "a tokenizer such as AutoTokenizer gives")
        if skip_tokens is not None and not isinstance(skip_tokens, list | tuple | set | frozenset):
            given = f"a {type(skip_tokens).__name__}"
            raise invalid_type("skip_tokens", given, "it lists tokens", "a list of ids or texts")
        encoded = tokenizer.encode(text, return_tensors="pt")
        self.inp_tensor = encoded if isinstance(encoded, Tensor) else torch.as_tensor(encoded).reshape(1, -1)
        self.tokenizer = tokenizer
        self.skip_tokens = [
            _token_id("skip_tokens", token, tokenizer) for token in (() if skip_tokens is None else skip_tokens)
        ]
        self.baselines = _token_id("baselines", baselines, tokenizer)
        skipped = torch.tensor(self.skip_tokens, dtype=self.inp_tensor.dtype, device=self.inp_tensor.device)
        self.itp_mask = ~torch.isin(self.inp_tensor, skipped)
        self.itp_tensor = self.inp_tensor[self.itp_mask][None]
        self.n_itp_features = self.itp_tensor.shape[1]
        if not self.n_itp_features:
            why = "all of its tokens are among skip_tokens"
            raise invalid_value("text", repr(text), why, "a text with a token that is a feature")
        self.values = [str(token) for token in tokenizer.convert_ids_to_tokens(self.itp_tensor[0].tolist())]

    def to_tensor(self) -> Tensor:
        """Give ones, one for each token that is a feature, integers of shape (1, F)."""
        return torch.ones_like(self.itp_tensor)

    def to_model_input(self, perturbed_tensor: Tensor | None = None) -> Tensor:
        """Give the ids of all tokens, shape (1, T), the baseline's where a feature is zero.

        Raises:
            InvalidValueError: if there is not one number for each feature.
        """
        ids = self.inp_tensor.clone()
        if perturbed_tensor is not None:
            present = torch.tensor(present_features(perturbed_tensor, self.n_itp_features), device=ids.device)
            ids[self.itp_mask] = torch.where(present, self.itp_tensor[0], self.baselines)
        return ids


def _possible(key: Any, values: Any) -> list[Any]:
    """Check the possible values of one feature, or of several that belong together."""
    name = f"baseline_values[{key!r}]"
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise invalid_type(name, f"a {type(values).__name__}", "one of several values is drawn", "a list")
    if not values:
        raise invalid_value(name, "empty", "there is nothing to draw", "at least one value")
    if isinstance(key, tuple) and any(not isinstance(v, tuple | list) or len(v) != len(key) for v in values):
        raise invalid_value(name, repr(values), f"it is for {len(key)} features", f"tuples of {len(key)} values")
    return list(values)


def _template(template: Any) -> str | Callable[..., str]:
    """Check what makes a text from values."""
    if not isinstance(template, str) and not callable(template):
        given = f"a {type(template).__name__}"
        raise invalid_type("template", given, "it makes no text", "a format string or a function")
    made: str | Callable[..., str] = template
    return made


def _ranks(name: str, ids: Sequence[Any]) -> list[int]:
    """Number the groups from 0 on, in the order of the numbers that were given; gaps cost nothing."""
    for number in ids:
        if isinstance(number, bool) or not isinstance(number, int):
            raise invalid_type(name, f"with {number!r}", "it numbers the features", "integers")
    order = {number: rank for rank, number in enumerate(sorted(set(ids)))}
    return [order[number] for number in ids]


def present_features(perturbed: Any, count: int) -> list[bool]:
    """Return which features are present."""
    if not isinstance(perturbed, Tensor):
        given = f"a {type(perturbed).__name__}"
        raise invalid_type(
            "perturbed_tensor", given, "it says which features are present", "a tensor of zeros and ones"
        )
    if perturbed.numel() != count or perturbed.shape[-1:] != (count,):
        given = f"of shape {tuple(perturbed.shape)}"
        raise invalid_value("perturbed_tensor", given, f"there are {count} features", f"shape (1, {count})")
    return [bool(flag) for flag in perturbed.reshape(-1).tolist()]


def _token_id(name: str, token: Any, tokenizer: Any) -> int:
    """Return the id of a token."""
    if isinstance(token, int) and not isinstance(token, bool):
        if not 0 <= token <= LARGEST:
            raise invalid_value(name, shown(token), "no token has it", "an id of the tokenizer's")
        return token
    if not isinstance(token, str):
        raise invalid_type(name, f"with {token!r}", "it is no token", "an id or the text of a token")
    found = tokenizer.convert_tokens_to_ids(token)
    unknown = getattr(tokenizer, "unk_token_id", None)
    if not isinstance(found, int) or (found == unknown and token != getattr(tokenizer, "unk_token", None)):
        raise invalid_value(name, repr(token), "the tokenizer does not know it", "the text of one of its tokens")
    return found
