"""How much goes into one forward pass.

Work is a grid of samples (steps, noise draws, coalitions) times examples. It is cut into blocks of at
most ``RowLimit.rows`` rows: several samples of all examples where they fit, else one sample of some
examples. The limit depends on shapes, dtype, device and on the bytes that a row's graph keeps, counted
in the first pass; so it is the same in every run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

CPU_BUDGET = 24 * 2**20
"""Bytes kept for the backward pass of one block on a CPU: what its caches and allocator handle well."""
DEVICE_SHARE = 1 / 16
"""Share of an accelerator's memory that one block may keep."""
GROWTH = 32
"""A row of a model that was not measured yet is taken to keep this many times its input's bytes."""
COPIES = 4
"""Copies of a row's values that exist beside its graph: the point, the model's copy, the gradient, a product."""
REREAD = 2
"""The budget is divided by this where a graph is differentiated several times."""
FEW_ROWS = 16
"""With fewer rows a pass costs more in calls than in arithmetic, so it may take up to twice the budget for them."""
FIRST_ROWS = 64
"""Rows of the first pass at most, when nothing is known yet."""
MOST_ROWS = 512
"""Rows of a pass without a graph at most; more bring no speed."""
WORKING_SHARE = 8
"""A pass that keeps nothing before a layer takes so many times its largest tensor there, with the tensor's speed."""
WHOLE_BUDGET = 2**30
"""Up to this estimate a single point per example is evaluated in one pass, which needs no check."""


class Block(NamedTuple):
    """A rectangle of the grid: some samples of some examples."""

    samples: slice
    examples: slice

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of samples and of examples."""
        return self.samples.stop - self.samples.start, self.examples.stop - self.examples.start


@dataclass
class RowLimit:
    """How many rows one forward pass may have; learns from the first pass.

    Attributes:
        rows: the limit.
        budget: bytes that one pass may take.
        row: bytes of the values of one row.
        fixed: set by the user, so that nothing is learned.
        whole: rows influence each other, so that every pass holds exactly one sample of all examples.
    """

    rows: int
    budget: int
    row: int = 0
    fixed: bool = False
    whole: bool = False

    @classmethod
    def of(cls, inputs: tuple[Tensor, ...], cap: int | None, targets: int = 1) -> RowLimit:
        """Set the limit from the user's cap, or from the inputs as long as nothing is measured.

        Args:
            inputs: the values of the site.
            cap: the user's.
            targets: how often a graph is read; what is read several times should stay in a CPU's caches.

        Returns:
            The limit.
        """
        budget = _budget(inputs[0].device) // (REREAD if targets > 1 else 1)
        if cap is not None:
            return cls(cap, budget, fixed=True)
        row = row_bytes(inputs)
        return cls(max(1, min(FIRST_ROWS, budget // (GROWTH * row))), budget, row)

    def learn(self, kept: int, rows: int) -> None:
        """Set the limit from the bytes that a pass of ``rows`` rows kept for its backward pass."""
        if not self.fixed:
            taken = max(kept + COPIES * self.row * rows, 1)
            self.rows = max(1, self.budget * rows // taken, min(FEW_ROWS, 2 * self.budget * rows // taken))
            self.fixed = True

    def halve(self, rows: int) -> bool:
        """Make passes smaller than one of ``rows`` rows that did not fit; ``False`` if that cannot be."""
        if self.whole or rows < 2:
            return False
        self.rows, self.fixed = rows // 2, True
        return True

    def next_block(self, start: tuple[int, int], samples: int, examples: int) -> Block:
        """Cut the block that begins at a sample and example."""
        sample, example = start
        if self.whole:
            return Block(slice(sample, sample + 1), slice(example, examples))
        if example or self.rows < examples:
            return Block(slice(sample, sample + 1), slice(example, min(example + self.rows, examples)))
        return Block(slice(sample, min(sample + self.rows // examples, samples)), slice(0, examples))


def rows_without_graph(inputs: tuple[Tensor, ...]) -> int:
    """Give the rows of a pass that keeps nothing for a backward pass, from shapes, dtype and device alone.

    Half of what a pass with a graph gets is quickest on convolutional and dense networks (benchmarks/metrics.py).
    """
    return max(1, min(MOST_ROWS, _budget(inputs[0].device) // (2 * GROWTH * row_bytes(inputs))))


def rows_per_call(inputs: tuple[Tensor, ...]) -> int:
    """Give the rows of one call of another method, which cuts its passes itself: more only take memory."""
    return 2 * rows_without_graph(inputs)


def after(block: Block, examples: int) -> tuple[int, int]:
    """Give the place in the grid that follows a block."""
    if block.examples.stop < examples:
        return block.samples.start, block.examples.stop
    return block.samples.stop, 0


def row_bytes(inputs: tuple[Tensor, ...]) -> int:
    """Bytes of one example's inputs."""
    return max(1, sum(x.nbytes // x.shape[0] for x in inputs))


def fits_whole(inputs: tuple[Tensor, ...]) -> bool:
    """Tell whether one gradient pass over the batch is small enough by estimate."""
    limit = WHOLE_BUDGET if inputs[0].device.type == "cpu" else _budget(inputs[0].device)
    return GROWTH * row_bytes(inputs) * inputs[0].shape[0] <= limit


def _budget(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory * DEVICE_SHARE)
    return CPU_BUDGET


class KeptBytes:
    """Counts the bytes that a graph keeps for its backward pass, parameters not included."""

    def __init__(self, modules: list[nn.Module]) -> None:
        """Take note of the parameters, which are kept anyway."""
        parameters = (p for m in modules for p in m.parameters(recurse=False))
        self._known = {p.untyped_storage().data_ptr() for p in parameters}
        self.total = 0

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count what the graphs built within the block keep."""
        with torch.autograd.graph.saved_tensors_hooks(self._pack, _unpack):
            yield

    def _pack(self, tensor: Tensor) -> tuple[Tensor, int]:
        if tensor._is_zerotensor():  # noqa: SLF001  (a zero of forward mode takes no memory; no public name)
            return tensor, tensor._version
        place = tensor.untyped_storage().data_ptr()
        if place not in self._known:
            self._known.add(place)
            self.total += tensor.untyped_storage().nbytes()
        return tensor, tensor._version


def _unpack(packed: tuple[Tensor, int]) -> Tensor:
    """Give a kept tensor back; hooks switch off torch's own check of in-place writes, so it is made here."""
    tensor, version = packed
    if tensor._version != version:
        raise RuntimeError(
            "one of the variables needed for gradient computation has been modified by an inplace operation:"
            f" a tensor of shape {tuple(tensor.shape)}"
        )
    return tensor
