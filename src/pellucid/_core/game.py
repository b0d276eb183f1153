"""The game: features are its players, and the value of a coalition is the output when only it is there.

A value of the inputs that belongs to a feature outside the coalition has its baseline's value instead. It is
replaced by selection, never by arithmetic, so that NaN and infinite values stay with their own feature.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.futures import Future

from pellucid._core.forward import ForwardEvaluator, perturbing
from pellucid._core.masks import Features
from pellucid._core.progress import Progress
from pellucid._core.site import Question
from pellucid.errors import invalid_value
from pellucid.typing import Tensors

MANY = 256
"""Features above which equal coalitions are not looked for: they hardly occur, and looking costs."""


@dataclass(frozen=True)
class Coalitions:
    """The inputs under coalitions.

    Attributes:
        members: bool, shape (coalitions, features).
        features: the features of the inputs.
        inputs: the inputs.
        baselines: one per input, with 1 or N rows.
    """

    members: Tensor
    features: Features
    inputs: tuple[Tensor, ...]
    baselines: tuple[Tensor, ...]

    @property
    def samples(self) -> int:
        """Number of coalitions."""
        return len(self.members)

    def values(self, samples: slice, examples: Tensor) -> tuple[Tensor, ...]:
        """Put baselines in place of what is not in the coalition."""
        members = self.members[samples]
        found = []
        for i, (x, base) in enumerate(chosen(self.inputs, self.baselines, examples)):
            kept = self.features.kept(i, members.to(x.device), examples)
            found.append(torch.where(kept, x, base).expand(len(members), *x.shape))
        return tuple(found)


@dataclass(frozen=True)
class Without:
    """The inputs without one feature each: made by index, since hardly any value differs.

    Attributes:
        samples: number of samples.
        inputs: the inputs.
        baselines: one per input, with 1 or N rows.
        places: per input, the sample and number of each value that is replaced, in the order of the samples.
    """

    samples: int
    inputs: tuple[Tensor, ...]
    baselines: tuple[Tensor, ...]
    places: tuple[tuple[Tensor, Tensor], ...]

    def values(self, samples: slice, examples: Tensor) -> tuple[Tensor, ...]:
        """Put baselines in place of the feature."""
        count, found = samples.stop - samples.start, []
        pairs = chosen(self.inputs, self.baselines, examples)
        for (which, places), (x, base) in zip(self.places, pairs, strict=True):
            if count != self.samples:
                ends = torch.tensor([samples.start, samples.stop], device=which.device)
                first, last = torch.searchsorted(which, ends).tolist()
                which, places = which[first:last] - samples.start, places[first:last]  # noqa: PLW2901
            found.append(replaced(x, base, which, places, count))
        return tuple(found)


def chosen(
    inputs: tuple[Tensor, ...], baselines: tuple[Tensor, ...], examples: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    """Choose examples of inputs and baselines.

    Yields:
        Each input with its baseline, which has 1 row or one per example.
    """
    for x, base in zip(inputs, baselines, strict=True):
        if len(examples) == len(x):
            yield x, base
        else:
            at = examples.to(x.device)
            yield x[at], base[at] if base.shape[0] > 1 else base


def replaced(x: Tensor, base: Tensor, rows: Tensor, places: Tensor, samples: int) -> Tensor:
    """Copy inputs and put baselines at chosen places.

    Args:
        x: inputs, shape (N, ...).
        base: baselines with 1 or N rows.
        rows: numbers of copies.
        places: for each of these, which value of an example gets its baseline.
        samples: number of copies.

    Returns:
        Tensor of shape (samples, N, ...).
    """
    copies = x.repeat(samples, *(1,) * (x.dim() - 1)).reshape(samples, len(x), x[0].numel())
    flat = base.reshape(len(base), base[0].numel())
    values = flat if flat.shape[1] == 1 else flat[:, places.to(flat.device)]
    every = torch.arange(len(x), device=x.device)
    copies[rows.to(x.device)[:, None], every, places.to(x.device)[:, None]] = values.T.expand(len(places), len(x))
    return copies.reshape(samples, *x.shape)


class Game:
    """A question as a game between the features of its inputs; made by ``playing``."""

    def __init__(self, evaluator: ForwardEvaluator, baselines: tuple[Tensor, ...], features: Features) -> None:
        """Prepare; nothing is evaluated yet."""
        self.evaluator = evaluator
        self.question = evaluator.question
        self.baselines = baselines
        self.features = features

    @property
    def players(self) -> int:
        """Number of features."""
        return self.features.count

    @cached_property
    def full(self) -> Tensor:
        """Value of the coalition of all features: the explained values at the inputs, shape (*value_shape).

        That is (N,) with a target or one value per example, (N, *outputs) without a target, and one value or one
        per output where the function does not give one row per example.
        """
        score = self.evaluator.score()
        if self.features.per_example and (score.dim() == 0 or len(score) != self.question.site.examples):
            raise invalid_value(
                "feature_mask",
                "with one row per example",
                f"the function returns {len(score)} value(s) for {self.question.site.examples} examples together",
                "a mask with one row",
            )
        return score

    @cached_property
    def empty(self) -> Tensor:
        """Value of the empty coalition: the explained values at the baselines."""
        return self._evaluate(torch.zeros(1, self.players, dtype=torch.bool))[0]

    def values(self, coalitions: Tensor, repeats: bool = True) -> Tensor:
        """Evaluate coalitions; of up to ``MANY`` features equal ones once, and the full one not at all.

        Args:
            coalitions: bool, shape (m, players); True where a feature keeps the input's value.
            repeats: whether equal ones, or the full one, may be among them; ``False`` saves looking for them.

        Returns:
            Explained values in float64, shape (m, *value_shape).
        """
        return self.begin(coalitions, repeats)[1]()

    def begin(self, coalitions: Tensor, repeats: bool = True) -> tuple[list[Future[Any]], Callable[[], Tensor]]:
        """Evaluate coalitions as ``values`` does, as far as the function does not return futures.

        Returns:
            The futures, and what gives the values when these are done.
        """
        full = self.full
        if not repeats or self.players > MANY:
            return self._begin(coalitions)
        different, place = distinct(coalitions)
        known = different.all(1)
        futures, finish = self._begin(different[~known])

        def values() -> Tensor:
            found = torch.empty(len(different), *full.shape, dtype=full.dtype, device=full.device)
            found[known.to(full.device)] = full
            found[~known.to(full.device)] = finish()
            return found[place.to(full.device)]

        return futures, values

    def _evaluate(self, coalitions: Tensor) -> Tensor:
        return self._begin(coalitions)[1]()

    def _begin(self, coalitions: Tensor) -> tuple[list[Future[Any]], Callable[[], Tensor]]:
        perturbed = Coalitions(coalitions, self.features, self.question.inputs, self.baselines)
        return self.evaluator.begin(perturbed)

    def begin_without(self, numbers: Tensor) -> tuple[list[Future[Any]], Callable[[], Tensor]]:
        """Evaluate the coalitions of all features but one, for some features, as ``begin`` does.

        Args:
            numbers: the features that are missing, each alone.
        """
        if self.features.per_example:
            return self._begin(~torch.nn.functional.one_hot(numbers, self.players).bool())
        inputs = self.question.inputs
        places = tuple(self.features.places(i, numbers) for i in range(len(inputs)))
        return self.evaluator.begin(Without(len(numbers), inputs, self.baselines, places))

    def attributions(self, per_player: Tensor, flat: bool = False) -> Tensors:
        """Give each value of the inputs what its feature has.

        Args:
            per_player: shape (players, *value_shape).
            flat: whether the dimensions of the explained values become one, so that there is a row for each.

        Returns:
            Tensors of shape (*value_shape, *features of the input) in the structure of the inputs, in the input's
            floating dtype, or the output's where the input has none.
        """
        return answered(self.evaluator, self.spread(per_player, flat))

    def spread(self, per_player: Tensor, flat: bool = False) -> tuple[Tensor, ...]:
        """Do as ``attributions``, in float64 and with a tuple in any case."""
        found = [self.features.spread(i, per_player).to(x.device) for i, x in enumerate(self.question.inputs)]
        return tuple(value.flatten(0, per_player.dim() - 2) for value in found) if flat else tuple(found)


def answered(evaluator: ForwardEvaluator, attributions: tuple[Tensor, ...]) -> Tensors:
    """Give attributions the structure of the inputs and a floating dtype: the input's, or else the output's."""
    dtype = evaluator.outputs().dtype
    inputs = evaluator.question.inputs
    cast = [a if x.is_floating_point() else a.to(dtype) for a, x in zip(attributions, inputs, strict=True)]
    answer: Tensors = evaluator.question.answer([tuple(cast)], "a difference of the function's values is")
    return answer


@contextmanager
def playing(
    question: Question, baselines: tuple[Tensor, ...], features: Features, cap: int | None, bar: Progress
) -> Iterator[Game]:
    """Borrow the model for a game.

    Args:
        question: what is asked (``accept_question(..., any_values=True)``).
        baselines: values of features outside a coalition (``accept_baselines(..., any_values=True)``).
        features: the players (``accept_features``).
        cap: coalitions of the whole batch per forward pass at most, chosen by the library if ``None``.
        bar: counts evaluated rows.

    Yields:
        The game.
    """
    with perturbing(question, cap, expanded(baselines, question.inputs), bar) as evaluator:
        yield Game(evaluator, baselines, features)


def expanded(baselines: tuple[Tensor, ...], inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Give baselines the shape of an example, in 1 or N rows."""
    return tuple(b.expand(len(b), *x.shape[1:]) for b, x in zip(baselines, inputs, strict=True))


def distinct(coalitions: Tensor) -> tuple[Tensor, Tensor]:
    """Find the distinct coalitions, in the order of their first occurrence, and the place of each among them."""
    place = torch.zeros(len(coalitions), dtype=torch.long, device=coalitions.device)
    for word in _packed(coalitions).unbind(1):
        _, number = torch.unique(word, return_inverse=True)
        _, place = torch.unique(place * len(coalitions) + number, return_inverse=True)
    count = int(place.max()) + 1 if len(place) else 0
    if count == len(coalitions):
        return coalitions, torch.arange(count, device=coalitions.device)
    every = torch.arange(len(place), device=place.device)
    first = torch.full((count,), len(place), device=place.device).scatter_reduce_(0, place, every, "amin")
    order = first.argsort()
    return coalitions[first[order]], order.argsort()[place]


def _packed(coalitions: Tensor) -> Tensor:
    """Pack each row of truth values into integers of 64 bits."""
    padded = torch.nn.functional.pad(coalitions, (0, -coalitions.shape[1] % 64)).contiguous()
    eights = padded.view(torch.uint8).view(torch.int64)  # a byte per player
    packed = (eights * 0x0102040810204080 >> 56) & 0xFF  # the product gathers the lowest bits of the bytes on top
    return packed.to(torch.uint8).view(torch.int64)
