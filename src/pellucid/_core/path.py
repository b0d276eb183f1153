"""At which points the gradient is taken, and with which weights.

A path is random access: the points of any samples of any examples can be asked for, in any order and
as often as needed, and are always the same. So they do not depend on how the work is cut.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from pellucid._core.random import generator_of, normal_like
from pellucid._core.structure import per_row, wide


class Points(NamedTuple):
    """Points of some samples of some examples.

    Attributes:
        values: per input a tensor of shape (samples, examples, ...).
        displacements: what the gradient at each point is multiplied with, shaped like ``values``; empty
            where that is the same for all samples and left to the end.
        references: what each point is compared with, shaped like ``values``; empty without.
    """

    values: tuple[Tensor, ...]
    displacements: tuple[Tensor, ...] = ()
    references: tuple[Tensor, ...] = ()


class Path(Protocol):
    """Points with weights; ``samples`` is their number per example."""

    @property
    def samples(self) -> int:
        """Number of points per example."""

    def weights(self, samples: slice) -> Tensor:
        """Weights of some samples, in float64."""

    def points(self, samples: slice, examples: Tensor) -> Points:
        """Points of some samples of the chosen examples."""


@dataclass(frozen=True)
class Line:
    """Points ``x' + a (x - x')`` on the straight line from baseline x' to input x.

    With ``displaced``, each point comes with its displacement ``x - x'``, for rules that need it within a pass.
    """

    inputs: tuple[Tensor, ...]
    baselines: tuple[Tensor, ...]
    nodes: Tensor
    node_weights: Tensor
    displaced: bool = False

    @classmethod
    def at(cls, inputs: tuple[Tensor, ...]) -> Line:
        """The line that has shrunk to its end: a single point, the input."""
        one = torch.ones(1, dtype=torch.float64)
        return cls(inputs, inputs, one, one)

    @property
    def samples(self) -> int:
        """Number of quadrature nodes."""
        return len(self.nodes)

    def weights(self, samples: slice) -> Tensor:
        """Quadrature weights of some nodes."""
        return self.node_weights[samples]

    def points(self, samples: slice, examples: Tensor) -> Points:
        """Points at some nodes of the chosen examples, computed in float32 or wider."""
        nodes = self.nodes[samples]
        values, displacements = [], []
        for x, base in zip(self.inputs, self.baselines, strict=True):
            if x is base:  # a line that has shrunk to a point: ids among the inputs stay what they are
                values.append(_chosen(x, examples).expand(len(nodes), -1, *x.shape[1:]).clone())
                continue
            end = _chosen(x, examples).to(wide(x.dtype))
            start = (base if len(base) == 1 else _chosen(base, examples)).to(end.dtype)
            alpha = per_row(nodes, end.unsqueeze(0))
            values.append(torch.addcmul(start, alpha, end - start).to(x.dtype))
            if self.displaced:
                displacements.append((end - start).to(x.dtype).expand(len(nodes), *end.shape))
        return Points(tuple(values), tuple(displacements))


@dataclass(frozen=True)
class Pairs:
    """Each input beside each of its references: the points are the inputs, once per reference.

    ``references`` has shape (samples, 1 or N, ...) per input.
    """

    inputs: tuple[Tensor, ...]
    references: tuple[Tensor, ...]

    @property
    def samples(self) -> int:
        """Number of references per example."""
        return self.references[0].shape[0]

    def weights(self, samples: slice) -> Tensor:
        """Equal weights that sum to one over all references."""
        return torch.full((len(range(self.samples)[samples]),), 1 / self.samples, dtype=torch.float64)

    def points(self, samples: slice, examples: Tensor) -> Points:
        """Pairs of the chosen examples with some references."""
        values, displacements, references = [], [], []
        for x, reference in zip(self.inputs, self.references, strict=True):
            some = reference[samples]
            every = some.shape[1] == 1 or len(examples) == len(x)
            some = some if every else some[:, examples.to(x.device)]
            value = _chosen(x, examples).expand(len(some), len(examples), *x.shape[1:])
            some = some.expand_as(value)
            values.append(value)
            references.append(some)
            displacements.append(value.to(wide(x.dtype)) - some.to(wide(x.dtype)))
        return Points(tuple(values), tuple(displacements), tuple(references))


@dataclass(frozen=True)
class RandomLine:
    """A random point between a random baseline and a noisy input, once per seed and example.

    With noise e ~ N(0, stdev^2), a baseline row b and a ~ U(0, 1) the point is ``b + a (x + e - b)``
    and its displacement ``x + e - b``. All tensors of an example share the row and a.
    """

    inputs: tuple[Tensor, ...]
    distributions: tuple[Tensor, ...]
    stdevs: tuple[float, ...]
    seeds: tuple[int, ...]
    _last: dict[int, _Draw] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        """Number of draws per example."""
        return len(self.seeds)

    def weights(self, samples: slice) -> Tensor:
        """Equal weights that sum to one over all samples."""
        return torch.full((len(self.seeds[samples]),), 1 / self.samples, dtype=torch.float64)

    def ends(self, sample: int, examples: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], Tensor]:
        """Noisy inputs, baseline rows and positions of one sample, in float32 or wider."""
        draw = self._draw(sample)
        ends, starts = [], []
        for x, noise, base in zip(self.inputs, draw.noises, self.distributions, strict=True):
            end = x[examples.to(x.device)].to(wide(x.dtype))
            ends.append(end if noise is None else end + noise[examples.to(x.device)])
            starts.append(_rows(base, draw.rows[examples.cpu()]).to(end.dtype))
        return tuple(ends), tuple(starts), draw.positions[examples.cpu()]

    def points(self, samples: slice, examples: Tensor) -> Points:
        """Random points of some samples of the chosen examples, with their displacements."""
        return _between(self.drawn(samples, examples), self.inputs)

    def drawn(self, samples: slice, examples: Tensor) -> _Drawn:
        """Noisy inputs, baseline rows and positions of some samples, each of shape (samples or 1, examples, ...)."""
        generator = torch.Generator()
        draws = [self._draw(sample, generator) for sample in range(self.samples)[samples]]
        every = examples.shape[0] == self.inputs[0].shape[0]
        at = [(d.rows, d.positions) if every else (d.rows[examples], d.positions[examples]) for d in draws]
        rows, positions = (torch.stack(parts) for parts in zip(*at, strict=True))
        ends = []
        for i, x in enumerate(self.inputs):
            end = _chosen(x, examples).to(wide(x.dtype)).unsqueeze(0)
            noises = [n if every or n is None else n[examples.to(n.device)] for n in (d.noises[i] for d in draws)]
            if noises[0] is not None:
                end = end + torch.stack([n for n in noises if n is not None])
            ends.append(end)
        return _Drawn(tuple(ends), self.starts(rows), positions, rows)

    def starts(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Rows of the baselines, shape (samples or 1, examples, ...), in float32 or wider."""
        pairs = zip(self.inputs, self.distributions, strict=True)
        return tuple([(b[None] if len(b) == 1 else b[rows.to(b.device)]).to(wide(x.dtype)) for x, b in pairs])

    def _draw(self, sample: int, generator: torch.Generator | None = None) -> _Draw:
        """Draw for the whole batch; the last draw is kept, since chunks may share it."""
        if sample not in self._last:
            self._last.clear()
            generator = generator_of(self.seeds[sample], generator)
            examples = self.inputs[0].shape[0]
            rows = torch.randint(self.distributions[0].shape[0], (examples,), generator=generator)
            positions = torch.rand(examples, generator=generator, dtype=torch.float64)
            noises: tuple[Tensor | None, ...] = (None,) * len(self.inputs)
            if any(self.stdevs):
                pairs = zip(self.inputs, self.stdevs, strict=True)
                noises = tuple(normal_like(x, stdev, generator) if stdev else None for x, stdev in pairs)
            self._last[sample] = _Draw(rows, positions, noises)
        return self._last[sample]


@dataclass(frozen=True)
class MappedLine:
    """The points of a random line between what its ends become elsewhere in the model.

    Attributes:
        line: draws the ends, at the inputs.
        become: from samples of values of the inputs for the whole batch, shape (samples, N, ...), to values of the same
            examples elsewhere.
        at_inputs: what the inputs themselves become.
        together: whether the rows of values are known not to be those of examples, so that all take one position.
    """

    line: RandomLine
    become: Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]
    at_inputs: tuple[Tensor, ...]
    together: Callable[[], bool]
    _last: dict[tuple[range, bool], _Drawn] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        """Number of draws per example."""
        return self.line.samples

    def weights(self, samples: slice) -> Tensor:
        """Equal weights that sum to one over all samples."""
        return self.line.weights(samples)

    def ends(self, sample: int, examples: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], Tensor]:
        """What noisy inputs and baselines of one sample become, and the positions, in float32 or wider."""
        drawn = self._drawn(slice(sample, sample + 1), examples)
        return tuple(e[0] for e in drawn.ends), tuple(s[0] for s in drawn.starts), drawn.positions[0]

    def points(self, samples: slice, examples: Tensor) -> Points:
        """Random points of some samples of the chosen examples, with their displacements."""
        return _between(self._drawn(samples, examples), self.at_inputs)

    def _drawn(self, samples: slice, examples: Tensor) -> _Drawn:
        """Ends, starts and positions of some samples of the chosen examples; the last are kept, as chunks may share."""
        key = range(self.samples)[samples], self.together()
        if key not in self._last:
            self._last.clear()
            self._last[key] = self._carried(*key)
        drawn = self._last[key]
        every = len(self.line.inputs[0])
        if len(examples) == every or len(self.at_inputs[0]) != every:
            return drawn
        ends, starts = (tuple(v[:, examples.to(v.device)] for v in part) for part in (drawn.ends, drawn.starts))
        return _Drawn(ends, starts, drawn.positions[:, examples.cpu()], drawn.rows)

    def _carried(self, samples: range, together: bool) -> _Drawn:
        """Draw some samples for the whole batch, and carry their ends to where the line is.

        Samples that begin at the same baselines are carried once.
        """
        every = torch.arange(len(self.line.inputs[0]))
        drawn = self.line.drawn(slice(samples.start, samples.stop), every)
        distinct, place = torch.unique(drawn.rows, dim=0, return_inverse=True)
        starts = self.become(self._whole(self.line.starts(distinct), len(distinct)))
        starts = tuple(v[place.to(v.device)] for v in starts)
        ends = tuple(x.expand(len(samples), *x.shape) for x in self.at_inputs)
        if any(self.line.stdevs):
            ends = self.become(self._whole(drawn.ends, len(samples)))
        positions = drawn.positions
        if len(self.at_inputs[0]) != len(every):  # the batch as one example: its rows cannot be told apart
            positions = positions[:, :1]
        elif together:
            positions = positions[:, :1].expand_as(positions)
        wider = [tuple(v.to(wide(v.dtype)) for v in part) for part in (ends, starts)]
        return _Drawn(wider[0], wider[1], positions, drawn.rows)

    def _whole(self, values: tuple[Tensor, ...], samples: int) -> tuple[Tensor, ...]:
        """Give values of some samples for the whole batch the shape and the dtypes of inputs."""
        pairs = zip(values, self.line.inputs, strict=True)
        return tuple(v.expand(samples, *x.shape).to(x.dtype) for v, x in pairs)


def _between(drawn: _Drawn, like: tuple[Tensor, ...]) -> Points:
    """Points at positions between starts and ends, with their displacements, in the dtypes of some tensors."""
    values, displacements = [], []
    for x, end, start in zip(like, drawn.ends, drawn.starts, strict=True):
        difference = end - start
        difference = difference.expand(drawn.positions.shape[0], *difference.shape[1:])
        values.append((start + per_row(drawn.positions, difference) * difference).to(x.dtype))
        displacements.append(difference)
    return Points(tuple(values), tuple(displacements))


class _Drawn(NamedTuple):
    """Ends and starts of random lines, the positions on them, and which rows of the baselines they start at."""

    ends: tuple[Tensor, ...]
    starts: tuple[Tensor, ...]
    positions: Tensor
    rows: Tensor


class _Draw(NamedTuple):
    rows: Tensor
    positions: Tensor
    noises: tuple[Tensor | None, ...]


def _rows(base: Tensor, examples: Tensor) -> Tensor:
    """Rows of a baseline that has one row for all examples or one per example."""
    return base if base.shape[0] == 1 else base[examples.to(base.device)]


def _chosen(values: Tensor, examples: Tensor) -> Tensor:
    """Rows of the chosen examples, which are in order; all of them are not copied."""
    return values if values.shape[0] == examples.shape[0] else values[examples.to(values.device)]
