"""Passes that hold other rows than the batch as it was given, and the check that such passes are right.

The first of them is compared in both directions. The inputs are among its rows, and must give what they gave in
the plain pass over the batch; others of its rows must give what they give without the inputs, since a row may bend
to larger ones (under a maximum over the batch) that do not bend to it. If they disagree, rows influence each
other (graph networks, statistics over the batch, a fixed batch size, an argument that is no row per
example), and every further pass holds the batch as given. A pass that holds more rows than any that was compared is
compared as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

from pellucid._core import report
from pellucid._core.batching import Block, RowLimit, after
from pellucid._core.structure import wide
from pellucid.errors import ExpansionWarning, PellucidError

Result = TypeVar("Result")

SHAPE_ERRORS = (RuntimeError, ValueError, IndexError, TypeError, AssertionError)
"""What models raise that cannot take another batch size."""

AMONG_OTHERS = "a row gave another output among other rows than alone"


class NotExpandableError(Exception):
    """The rows of a block influence each other."""


class Compared:
    """Which passes need no comparison: for each choice of examples, those with no more rows than a compared one.

    Each choice is compared, since what is no row per example (a statistic of the batch, a tensor with as many rows by
    accident) may go unnoticed in one and not in the next.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._rows: dict[tuple[int, ...], int] = {}

    def covers(self, examples: Tensor, rows: int) -> bool:
        """Tell whether a pass of so many rows need not be compared."""
        return rows <= self._rows.get(tuple(examples.tolist()), 0)

    def add(self, examples: Tensor, rows: int) -> None:
        """Note that a pass of so many rows was right."""
        self._rows[tuple(examples.tolist())] = rows


def run_blocks(
    limit: RowLimit, samples: int, examples: int, evaluate: Callable[[Block], Result]
) -> Iterator[tuple[Block, Result]]:
    """Evaluate a grid of samples and examples block by block.

    Blocks become smaller where memory does not suffice, and hold one sample of all examples where rows
    influence each other.

    Args:
        limit: how many rows a block may have.
        samples: number of samples.
        examples: number of examples.
        evaluate: evaluates a block.

    Yields:
        Each block with its result.
    """
    place = (0, 0)
    while place[0] < samples:
        block = limit.next_block(place, samples, examples)
        try:
            result = evaluate(block)
        except NotExpandableError as reason:
            go_whole(limit, samples, str(reason))
            continue
        except torch.OutOfMemoryError:
            rows, columns = block.shape
            if not limit.halve(rows * columns):
                raise
            continue
        yield block, result
        place = after(block, examples)


def go_whole(limit: RowLimit, samples: int, reason: str) -> None:
    """Let every further pass hold the batch as it was given, and say so."""
    limit.whole = True
    report.notify(
        ExpansionWarning,
        "The rows of a larger batch do not give what they give in the batch as it is, so each of the"
        f" {samples} points takes a forward pass of its own ({reason}). If the model mixes the examples of a"
        " batch, as graph networks do, this is right and needed.",
    )


def require_rows(expected: Tensor, examples: int) -> None:
    """Refuse to expand a batch whose plain output has not one row per example."""
    if expected.dim() == 0 or expected.shape[0] != examples:
        raise NotExpandableError(f"the output has shape {tuple(expected.shape)}")


def compared(run: Callable[[], Result], output_of: Callable[[Result], Tensor], expected: Tensor) -> Result:
    """Run an expanded pass whose last rows are known, and compare them.

    Args:
        run: makes the pass.
        output_of: finds the model's output in its result.
        expected: what the last rows must give.

    Returns:
        What ``run`` returned.

    Raises:
        NotExpandableError: if the rows gave something else, or the model cannot take them.
    """
    try:
        result = run()
    except PellucidError:
        raise
    except SHAPE_ERRORS as error:
        _insist(run, error)
        first = next(iter(str(error).splitlines()), "")
        raise NotExpandableError(f"{type(error).__name__}: {first}") from error
    if not agree(output_of(result)[-expected.shape[0] :], expected):
        raise NotExpandableError(AMONG_OTHERS)
    return result


def between(inputs: tuple[Tensor, ...], others: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Mix examples with others that differ: half of each value; where that is no value, half the values, the farther.

    Beside both, what lies between them has neither the largest values nor the smallest, so that it bends to
    statistics of a batch that the inputs themselves decide; and a model is seldom blind there, as it may be at a
    baseline.
    """
    return tuple(_between(x, other) for x, other in zip(inputs, others, strict=True))


def _between(x: Tensor, other: Tensor) -> Tensor:
    if x.is_floating_point() or x.is_complex():
        return x / 2 + other / 2
    apart = (x.double() - other.double()).abs().reshape(len(x), x[:1].numel())
    kept = apart.argsort(dim=1, stable=True).argsort(dim=1) < apart.shape[1] // 2
    return torch.where(kept.reshape(x.shape), x, other)


def _insist(run: Callable[[], object], error: Exception) -> None:
    """Tell a model that cannot take expanded rows from one that failed just now: it fails again."""
    if isinstance(error, torch.OutOfMemoryError):
        raise error
    try:
        run()
    except (NotExpandableError, *SHAPE_ERRORS):
        return
    raise error


def agree(found: Tensor, expected: Tensor) -> bool:
    """Tell whether outputs that should be equal are equal up to the rounding of their dtype."""
    if found.shape != expected.shape:
        return False
    if not expected.is_floating_point():
        return torch.equal(found, expected)
    eps = torch.finfo(expected.dtype).eps
    found, expected = found.detach().to(wide(found.dtype)), expected.detach().to(wide(expected.dtype))
    if not expected.numel():
        return True
    scale = largest(expected)
    if largest(found - expected) <= scale * eps**0.6 + eps < math.inf:
        return True
    if not math.isfinite(scale):
        finite = expected[expected.isfinite()]
        scale = largest(finite) if finite.numel() else 0.0
    return bool(torch.allclose(found, expected, rtol=0.0, atol=scale * eps**0.6 + eps, equal_nan=True))


def largest(values: Tensor) -> float:
    """Give the largest magnitude of some values."""
    return float(torch.linalg.vector_norm(values, math.inf))


def appended(*rows: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Put rows behind rows."""
    return tuple(torch.cat(parts) for parts in zip(*rows, strict=True))


def run_plain(run: Callable[[tuple[Tensor, ...]], Result], values: tuple[Tensor, ...]) -> Result:
    """Run a function on copies of values, without a graph unless it differentiates inside itself."""
    with torch.no_grad():
        try:
            return run(tuple(v.clone() for v in values))
        except RuntimeError as error:
            if "does not require grad" not in str(error):
                raise
    return run(tuple(v.detach().clone().requires_grad_(v.is_floating_point()) for v in values))
