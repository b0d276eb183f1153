"""Statistics over many attributions, one batch at a time: ``Summarizer``, ``ClassSummarizer`` and what they compute.

A statistic is a value: it names an accumulator, which takes in samples, and reads its own number from that
accumulator's state. Statistics with the same accumulator share it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeAlias

import torch
from torch import Tensor

from pellucid._core.checks import accept_dense, accept_function, accept_text
from pellucid._core.door import accept_count
from pellucid._core.structure import like, tensors_in
from pellucid.errors import invalid_type, invalid_value
from pellucid.typing import Tensors

StatValue: TypeAlias = Tensor | int
"""What a statistic gives: a tensor shaped like a sample, or a number of samples."""
Summary: TypeAlias = dict[str, StatValue]
"""Statistics by name."""
Step: TypeAlias = Callable[[Any, Tensor], Any]
"""An accumulator: from its state, ``None`` at first, and samples (k, ...) to its next state."""


class Moments(NamedTuple):
    """Number of samples, their mean, and the sum of squared deviations from it, in float64."""

    samples: int
    mean: Tensor
    squares: Tensor
    dtype: torch.dtype


def _moments(state: Moments | None, samples: Tensor) -> Moments:
    dtype = samples.dtype if samples.is_floating_point() else torch.float64
    values = samples.detach().double()
    mean = values.mean(0)
    squares = (values - mean).square().sum(0)
    if state is None:
        return Moments(len(values), mean, squares, dtype)
    total = state.samples + len(values)
    shift = mean - state.mean
    weight = state.samples * len(values) / total
    return Moments(
        total, state.mean + shift * (len(values) / total), state.squares + squares + shift.square() * weight, dtype
    )


@dataclass(frozen=True)
class _Fold:
    """Combines samples two by two."""

    function: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, state: Tensor | None, samples: Tensor) -> Tensor:
        whole = _WHOLE.get(self.function)
        if whole is not None:
            folded = whole(samples.detach())
            return folded if state is None else self.function(state, folded)
        for sample in samples.detach():
            state = sample.clone() if state is None else _folded(self.function(state, sample), sample)
        return samples[0] if state is None else state


def _folded(made: Any, sample: Tensor) -> Tensor:
    """Check what a user's function made of two samples."""
    if not isinstance(made, Tensor) or made.shape != sample.shape:
        given = f"that returned shape {tuple(made.shape)}" if isinstance(made, Tensor) else f"of {type(made).__name__}s"
        why, instead = f"samples have shape {tuple(sample.shape)}", "a function that returns such a tensor"
        raise invalid_value("the function of a statistic", f"one {given}", why, instead)
    return made


_WHOLE: Mapping[Any, Callable[[Tensor], Tensor]] = {
    torch.min: lambda samples: samples.amin(0),
    torch.max: lambda samples: samples.amax(0),
    torch.add: lambda samples: samples.sum(0),
}


class Stat(ABC):
    """A statistic of samples."""

    @property
    @abstractmethod
    def label(self) -> str:
        """Name in a summary."""

    @property
    @abstractmethod
    def step(self) -> Step:
        """The accumulator; statistics with equal ones share its state."""

    @abstractmethod
    def read(self, state: Any) -> StatValue:
        """Read the statistic from the accumulator's state."""


@dataclass(frozen=True)
class _OfMoments(Stat):
    usual: ClassVar[str] = ""
    name: str | None = None

    def __post_init__(self) -> None:
        """Check the name."""
        _accept_name(self.name)

    @property
    def label(self) -> str:
        """Name in a summary."""
        return self.name or self.usual

    @property
    def step(self) -> Step:
        """The accumulator of moments."""
        return _moments


@dataclass(frozen=True)
class Count(_OfMoments):
    """Number of samples."""

    usual = "count"

    def read(self, state: Moments) -> int:
        """Read the number."""
        return state.samples


@dataclass(frozen=True)
class Mean(_OfMoments):
    """Mean of the samples."""

    usual = "mean"

    def read(self, state: Moments) -> Tensor:
        """Read the mean."""
        return state.mean.to(state.dtype)


@dataclass(frozen=True)
class MSE(_OfMoments):
    """Mean squared deviation of the samples from their mean."""

    usual = "mse"

    def read(self, state: Moments) -> Tensor:
        """Read the mean of the squares."""
        return (state.squares / state.samples).to(state.dtype)


@dataclass(frozen=True)
class Var(_OfMoments):
    """Variance of the samples, ``sum((x - mean)^2) / (n - order)``; NaN where n is not above ``order``."""

    order: int = 0

    def __post_init__(self) -> None:
        """Check the name and the order."""
        super().__post_init__()
        accept_count("order", self.order, 0)

    @property
    def label(self) -> str:
        """Name in a summary."""
        return self.name or ("sample_variance" if self.order == 1 else "variance")

    def read(self, state: Moments) -> Tensor:
        """Read the variance."""
        degrees = max(state.samples - self.order, 0)
        return (state.squares / degrees if degrees else torch.full_like(state.squares, math.nan)).to(state.dtype)


@dataclass(frozen=True)
class StdDev(_OfMoments):
    """Standard deviation of the samples: the root of ``Var``."""

    order: int = 0

    def __post_init__(self) -> None:
        """Check the name and the order."""
        super().__post_init__()
        accept_count("order", self.order, 0)

    @property
    def label(self) -> str:
        """Name in a summary."""
        return self.name or ("sample_std_dev" if self.order == 1 else "std_dev")

    def read(self, state: Moments) -> Tensor:
        """Read the root of the variance."""
        exact = Moments(state.samples, state.mean, state.squares, torch.float64)
        return Var(order=self.order).read(exact).sqrt().to(state.dtype)


@dataclass(frozen=True)
class _Folded(Stat):
    usual: ClassVar[str] = ""
    own: ClassVar[str] = ""
    name: str | None = None

    def __post_init__(self) -> None:
        """Check the name and the function."""
        _accept_name(self.name)
        accept_function(self.own, getattr(self, self.own), "a function of two samples")

    @property
    def label(self) -> str:
        """Name in a summary."""
        return self.name or self.usual

    def read(self, state: Tensor) -> Tensor:
        """Read what the samples were combined to."""
        return state


@dataclass(frozen=True)
class Min(_Folded):
    """Smallest value in each place."""

    usual, own = "min", "min_fn"
    min_fn: Callable[[Tensor, Tensor], Tensor] = torch.min

    @property
    def step(self) -> Step:
        """The accumulator that keeps what ``min_fn`` makes of two samples."""
        return _Fold(self.min_fn)


@dataclass(frozen=True)
class Max(_Folded):
    """Largest value in each place."""

    usual, own = "max", "max_fn"
    max_fn: Callable[[Tensor, Tensor], Tensor] = torch.max

    @property
    def step(self) -> Step:
        """The accumulator that keeps what ``max_fn`` makes of two samples."""
        return _Fold(self.max_fn)


@dataclass(frozen=True)
class Sum(_Folded):
    """Sum of the samples."""

    usual, own = "sum", "add_fn"
    add_fn: Callable[[Tensor, Tensor], Tensor] = torch.add

    @property
    def step(self) -> Step:
        """The accumulator that keeps what ``add_fn`` makes of two samples."""
        return _Fold(self.add_fn)


def CommonStats() -> list[Stat]:  # noqa: N802  (an established name)
    """Mean, sample variance, sample standard deviation, minimum and maximum.

    Example:
        >>> from pellucid.attr import CommonStats
        >>> [stat.label for stat in CommonStats()]
        ['mean', 'sample_variance', 'sample_std_dev', 'min', 'max']
    """
    return [Mean(), Var(order=1), StdDev(order=1), Min(), Max()]


class SummarizerSingleTensor:
    """Statistics of samples that are single tensors of one shape."""

    def __init__(self, stats: Iterable[Stat]) -> None:
        """Start without samples."""
        self.stats = _accept_stats(stats)
        self._states: dict[Step, Any] = {stat.step: None for stat in self.stats}

    def add(self, samples: Tensor) -> None:
        """Take in samples of shape (k, ...)."""
        samples = _tensor(samples)
        if samples.dim() == 0 or len(samples) == 0:
            raise invalid_value("samples", f"of shape {tuple(samples.shape)}", "row k is sample k", "shape (k, ...)")
        self._states = {step: step(state, samples) for step, state in self._states.items()}

    @property
    def summary(self) -> Summary:
        """Statistics by name."""
        return {stat.label: stat.read(self._states[stat.step]) for stat in self.stats}


class Summarizer:
    """Statistics over samples that come one after the other, such as attributions.

    Example:
        >>> import torch
        >>> from pellucid.attr import Count, Max, Mean, Summarizer
        >>> summarizer = Summarizer([Mean(), Max(), Count()])
        >>> for value in (1.0, 2.0, 6.0):
        ...     summarizer.update(torch.tensor([value, -value]))
        >>> summarizer.summary
        {'mean': tensor([ 3., -3.]), 'max': tensor([ 6., -1.]), 'count': 3}
    """

    def __init__(self, stats: Sequence[Stat]) -> None:
        """Choose the statistics.

        Args:
            stats: statistics, such as ``CommonStats()`` or ``[Mean(), Var()]``; none of a name twice.

        Raises:
            InvalidTypeError: if one of them is no statistic.
            InvalidValueError: if two have the same name.
        """
        self.stats = _accept_stats(stats)
        self._parts: list[SummarizerSingleTensor] | None = None
        self._is_tuple = False
        self._shapes: list[tuple[int, ...]] = []

    def update(self, x: float | Tensors) -> None:
        """Take in one sample.

        Args:
            x: a tensor, a number, or a tuple of tensors, each of which gets statistics of its own.

        Raises:
            InvalidTypeError: for what is no tensor and no number.
            InvalidValueError: if the sample has another structure or shape than those before.
        """
        self.update_rows(tuple(_tensor(part)[None] for part in x) if isinstance(x, tuple) else _tensor(x)[None])

    def update_rows(self, x: Tensors) -> None:
        """Take in several samples: the rows of a tensor, or of each of a tuple.

        Raises:
            InvalidValueError: as for ``update``.
        """
        is_tuple = isinstance(x, tuple)
        samples = tuple(_tensor(part) for part in (x if isinstance(x, tuple) else (x,)))
        if not samples or any(part.dim() == 0 for part in samples):
            raise invalid_value(
                "x", "without rows", "each of them is a sample", "a tensor (k, ...), or a tuple of such"
            )
        shapes = [tuple(sample.shape[1:]) for sample in samples]
        if self._parts is None:
            self._parts, self._is_tuple = [SummarizerSingleTensor(self.stats) for _ in samples], is_tuple
            self._shapes = shapes
        if is_tuple != self._is_tuple or shapes != self._shapes:
            given, known = _structure(is_tuple, shapes), _structure(self._is_tuple, self._shapes)
            raise invalid_value("x", given, f"the samples before had another structure: {known}", "such a sample")
        for part, sample in zip(self._parts, samples, strict=True):
            part.add(sample)

    @property
    def summary(self) -> Summary | list[Summary] | None:
        """Statistics by name, a list of these for tuples, ``None`` without samples."""
        if self._parts is None:
            return None
        summaries = [part.summary for part in self._parts]
        return summaries if self._is_tuple else summaries[0]


class ClassSummarizer(Summarizer):
    """Statistics over all samples, and over those of each class.

    Example:
        >>> import torch
        >>> from pellucid.attr import ClassSummarizer, Mean
        >>> summarizer = ClassSummarizer([Mean()])
        >>> summarizer.update(torch.tensor([[1.0], [2.0], [5.0]]), labels=torch.tensor([7, 3, 7]))
        >>> summarizer.class_summaries
        {7: {'mean': tensor([3.])}, 3: {'mean': tensor([2.])}}
    """

    def __init__(self, stats: Sequence[Stat]) -> None:
        """Choose the statistics, as for ``Summarizer``."""
        super().__init__(stats)
        self._classes: dict[Hashable, Summarizer] = {}

    def update(self, x: float | Tensors, labels: Any = None) -> None:
        """Take in samples of classes.

        Args:
            x: as for ``Summarizer``; with several labels tensors whose rows are the samples.
            labels: a list, tuple or tensor with one label per row, or one label for x as a single sample, or ``None``
                to count it without a class. Labels are compared by value: ``torch.tensor(3)`` and 3 are the same.

        Raises:
            InvalidValueError: if there is not one label per row, or as for ``Summarizer.update``.
        """
        several = isinstance(labels, list | tuple) or (isinstance(labels, Tensor) and labels.dim() > 0)
        if isinstance(labels, Tensor):
            accept_dense("labels", labels)
        if not several:
            super().update(x)
            if labels is not None:
                self._class(labels).update(x)
            return
        parts = tuple(_tensor(part) for part in (x if isinstance(x, tuple) else (x,)))
        keys = [_key(label) for label in labels]
        if any(part.dim() == 0 or len(part) != len(keys) for part in parts):
            shapes = [tuple(part.shape) for part in parts]
            raise invalid_value("labels", f"of length {len(keys)}", f"x has shape {shapes}", "one label per row")
        if not keys:
            return
        self.update_rows(like(x, parts))
        places: dict[Hashable, list[int]] = {}
        for place, key in enumerate(keys):
            places.setdefault(key, []).append(place)
        for key, own in places.items():
            rows = torch.tensor(own)
            self._class(key).update_rows(like(x, [part[rows.to(part.device)] for part in parts]))

    def _class(self, label: Any) -> Summarizer:
        return self._classes.setdefault(_key(label), Summarizer(self.stats))

    @property
    def class_summaries(self) -> dict[Hashable, Summary | list[Summary] | None]:
        """The summary of each class by its label."""
        return {label: summarizer.summary for label, summarizer in self._classes.items()}


def _accept_stats(stats: Any) -> tuple[Stat, ...]:
    """Check statistics, none of a name twice."""
    try:
        known = tuple(stats)
    except TypeError:  # no list of anything
        known = (stats,)
    for stat in known:
        if not isinstance(stat, Stat):
            given = f"with a {type(stat).__name__}"
            raise invalid_type("stats", given, "it is no statistic", "a list of Mean(), Var(), ...")
    labels = [stat.label for stat in known]
    if len(set(labels)) != len(labels):
        raise invalid_value("stats", f"of names {labels}", "a summary holds each name once", "name=... for one")
    return known


def _accept_name(name: Any) -> None:
    """Check the name of a statistic."""
    if name is not None:
        accept_text("name", name, "a statistic stands under it in a summary")


def _tensor(x: Any) -> Tensor:
    why, instead = "statistics are taken of numbers", "a tensor, a number, or a tuple of tensors"
    if not isinstance(x, Tensor) and any(True for _ in tensors_in(x)):
        raise invalid_type("x", f"a {type(x).__name__} of tensors", why, instead)
    try:
        made = x.detach() if isinstance(x, Tensor) else torch.tensor(x)
    except (RuntimeError, TypeError, ValueError, OverflowError):
        raise invalid_type("x", f"a {type(x).__name__}", why, instead) from None
    if accept_dense("x", made).is_complex():
        raise invalid_type("x", f"of dtype {made.dtype}", why, instead)
    return made


def _structure(is_tuple: bool, shapes: list[tuple[int, ...]]) -> str:
    return f"a tuple of tensors of shapes {shapes}" if is_tuple else f"a tensor of shape {shapes[0]}"


def _key(label: Any) -> Hashable:
    """A label as a key: a tensor, or another array, by its values."""
    if isinstance(label, Tensor):
        accept_dense("labels", label)
    if hasattr(label, "tolist"):
        label = label.tolist()
    key: Hashable = tuple(_key(part) for part in label) if isinstance(label, list) else label
    try:
        hash(key)
    except TypeError:
        given = f"a {type(label).__name__}"
        raise invalid_type("labels", given, "classes are told apart by them", "numbers or texts") from None
    return key
