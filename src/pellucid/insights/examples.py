"""The examples of a data set: read when they are needed, kept within bounds, shared by all who look at them."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid.errors import invalid_type, invalid_value
from pellucid.insights.batch import Batch
from pellucid.insights.features import Feature

MAX_BYTES = 1 << 30
"""Bytes of examples that are kept; what comes after them is left out."""
ROWS = 64
"""Examples that are measured at a time."""
NOTHING = torch.zeros(1, 1)


@dataclass(frozen=True)
class Example:
    """One example as the batches hold it, with a first dimension of 1.

    Attributes:
        index: its number, from 0.
        raw: one tensor for each feature, (1, ...).
        label: index of its true class, if it is known.
        additional: further arguments of the model.
    """

    index: int
    raw: tuple[Tensor, ...]
    label: int | None
    additional: tuple[Any, ...]


@dataclass(frozen=True)
class Range:
    """Least and largest value of a feature, over the examples read so far: of each column of a table, else of all."""

    low: Tensor
    high: Tensor
    whole: Tensor

    @classmethod
    def of(cls, values: Tensor, *, columns: bool) -> Range:
        """Measure (N, ...), some examples at a time: each of their values by itself, or all together."""
        parts = [
            part.flatten(1) if columns and part.dim() > 1 else part.reshape(-1, 1) for part in torch.split(values, ROWS)
        ]
        return functools.reduce(cls.joined, [cls._of(part) for part in parts if part.numel()] or [cls._of(NOTHING)])

    @classmethod
    def _of(cls, values: Tensor) -> Range:
        numbers = values.detach().cpu().double()
        found = torch.where(numbers.isfinite(), numbers, 0.0)
        return cls(found.amin(0), found.amax(0), (found == found.round()).all(0))

    def joined(self, other: Range) -> Range:
        """Return the range of both."""
        if self.low.shape != other.low.shape:
            return self
        least, largest = torch.minimum(self.low, other.low), torch.maximum(self.high, other.high)
        return Range(least, largest, self.whole & other.whole)


class Examples:
    """Batches, read one after the other as somebody asks for them, by one thread at a time.

    Args:
        dataset: batches, or what gives them when it is iterated over; it is read once, and no further than is needed.
        features: what the inputs are.
        limit: examples that are read at most.
    """

    def __init__(self, dataset: Iterable[Batch], features: tuple[Feature, ...], limit: int) -> None:
        self._features = features
        self._source: Iterator[Batch] | None = iter(dataset)
        self._limit = limit
        self._lock = threading.RLock()
        self._batches: list[Batch] = []
        self._starts: list[int] = [0]
        self._bytes = 0
        self._ranges: list[Range] = []
        self.note: str | None = None
        """Why not all of the data set is shown."""

    def batch(self, place: int) -> Batch | None:
        """Return a batch by its number, or ``None`` after the last one.

        Raises:
            InvalidTypeError: if the data set holds something else than batches.
            InvalidValueError: if a batch has not one input for each feature.
        """
        with self._lock:
            while self._source is not None and len(self._batches) <= place:
                self._read()
            return self._batches[place] if place < len(self._batches) else None

    def start(self, place: int) -> int:
        """Return the number of a batch's first example."""
        return self._starts[place]

    @property
    def known(self) -> int:
        """How many examples have been read."""
        return self._starts[-1]

    @property
    def complete(self) -> bool:
        """Whether there are no more."""
        return self._source is None

    def __getitem__(self, index: int) -> Example:
        """Return one example.

        Raises:
            InvalidValueError: if there is none of this number.
        """
        place = 0
        while index >= 0 and (batch := self.batch(place)) is not None:
            first = self._starts[place]
            if index < first + len(batch):
                rows = slice(index - first, index - first + 1)
                parts = tuple(part[rows] for part in batch.parts)
                return Example(index, parts, batch.label(rows.start), batch.additional(rows))
            place += 1
        raise invalid_value("example", str(index), f"there are {self.known}", "the number of one, from 0")

    def range_of(self, feature: int) -> Range:
        """Return what values a feature has had so far."""
        with self._lock:
            return self._ranges[feature]

    def _read(self) -> None:
        """Read one batch, or find that there are no more."""
        if self._source is None:
            return
        batch = next(self._source, None)
        if batch is None:
            self._source = None
            return
        checked = _cut(_checked(batch, self._features), self._limit - self.known)
        self._bytes += sum(part.numel() * part.element_size() for part in checked.parts)
        self._batches.append(checked)
        self._starts.append(self.known + len(checked))
        self._measure(checked)
        if self.known >= self._limit or self._bytes >= MAX_BYTES:
            more = len(checked) < len(batch) or next(self._source, None) is not None
            self._source = None
            if more:
                self.note = f"Shows the first {self.known} examples of the data set; max_examples= says how many."

    def _measure(self, batch: Batch) -> None:
        """Widen the ranges by what a batch holds."""
        pairs = zip(self._features, batch.parts, strict=True)
        found = [Range.of(part, columns=feature.kind == "table") for feature, part in pairs]
        olds = self._ranges or found
        self._ranges = [old.joined(new) for old, new in zip(olds, found, strict=True)]


def _checked(batch: Any, features: tuple[Feature, ...]) -> Batch:
    if not isinstance(batch, Batch):
        why = "the visualizer reads batches"
        raise invalid_type("dataset", f"giving a {type(batch).__name__}", why, "an iterable of pellucid.insights.Batch")
    if len(batch.parts) != len(features):
        named = ", ".join(feature.name for feature in features)
        given = f"of {len(features)} ({named})"
        raise invalid_value("features", given, f"a batch holds {len(batch.parts)} inputs", "one feature for each input")
    return batch


def _cut(batch: Batch, room: int) -> Batch:
    """Return a batch of no more examples than there is room for."""
    if len(batch) <= room:
        return batch
    rows = slice(0, room)
    parts = tuple(part[rows] for part in batch.parts)
    labels = None if batch.labels is None else batch.labels[rows]
    return Batch(parts if isinstance(batch.inputs, tuple) else parts[0], labels, batch.additional(rows))
