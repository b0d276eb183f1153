"""How much goes into a pass: limits in numbers, blocks that cover the grid once, and bytes that are counted exactly."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pellucid._core.batching import (
    COPIES,
    CPU_BUDGET,
    FEW_ROWS,
    FIRST_ROWS,
    GROWTH,
    MOST_ROWS,
    REREAD,
    WHOLE_BUDGET,
    KeptBytes,
    RowLimit,
    after,
    fits_whole,
    row_bytes,
    rows_without_graph,
)

SMALL = (torch.zeros(4, 3), torch.zeros(4, 2, 2, dtype=torch.float64))
LARGE = (torch.zeros(1, CPU_BUDGET // (4 * GROWTH * 10)),)
"""Ten rows of it fill the budget by estimate."""


def test_bytes_of_a_row():
    assert row_bytes(SMALL) == 3 * 4 + 4 * 8
    assert row_bytes((torch.zeros(2, 0),)) == 1


def test_first_limits():
    assert RowLimit.of(SMALL, None).rows == FIRST_ROWS
    assert RowLimit.of(LARGE, None).rows == 10
    assert RowLimit.of(LARGE, None, targets=2).rows == 10 // REREAD
    assert RowLimit.of((torch.zeros(1, CPU_BUDGET),), None).rows == 1
    asked = RowLimit.of(LARGE, 777)
    assert (asked.rows, asked.fixed) == (777, True)


def test_limits_without_a_graph():
    assert rows_without_graph(SMALL) == MOST_ROWS
    assert rows_without_graph(LARGE) == 5
    assert rows_without_graph((torch.zeros(1, CPU_BUDGET),)) == 1


@pytest.mark.parametrize(("over", "fits"), [(0, True), (1, False)])
def test_a_batch_that_fits_by_estimate(over, fits):
    rows = WHOLE_BUDGET // (GROWTH * 4) + over
    assert fits_whole((torch.zeros(1, 1).expand(rows, 1),)) is fits


def test_limits_learn_from_the_first_pass_only():
    limit = RowLimit.of(LARGE, None)
    row = LARGE[0].numel() * 4
    limit.learn(kept=100 * 2**20, rows=10)
    per_row = 10 * 2**20 + COPIES * row
    assert limit.rows == max(CPU_BUDGET // per_row, min(FEW_ROWS, 2 * CPU_BUDGET // per_row))
    assert limit.rows == 2 * CPU_BUDGET // per_row < FEW_ROWS
    learned = limit.rows
    limit.learn(kept=1, rows=10)
    assert limit.rows == learned
    light = RowLimit.of(SMALL, None)
    light.learn(kept=64 * 2**10, rows=64)
    assert light.rows == CPU_BUDGET * 64 // (64 * 2**10 + COPIES * 44 * 64)


def test_halving_ends_at_one_row():
    limit = RowLimit(rows=8, budget=1)
    assert limit.halve(5)
    assert (limit.rows, limit.fixed) == (2, True)
    assert limit.halve(2)
    assert limit.rows == 1
    assert not limit.halve(1)
    assert not RowLimit(rows=8, budget=1, whole=True).halve(8)


@given(st.integers(1, 12), st.integers(1, 7), st.integers(1, 6), st.booleans())
@settings(derandomize=True, database=None, deadline=None)
def test_blocks_cover_the_grid_once(rows, samples, examples, whole):
    limit, seen, place = RowLimit(rows, 1, whole=whole), torch.zeros(samples, examples), (0, 0)
    while place[0] < samples:
        block = limit.next_block(place, samples, examples)
        count = block.shape[0] * block.shape[1]
        assert count <= rows or whole
        assert block.shape[0] == 1 or block.shape[1] == examples
        # as much as the limit lets in, up to an edge of the grid
        full = block.examples.stop == examples and (block.shape[1] < examples or rows < 2 * examples or whole)
        assert full or count == rows or count + examples > rows or block.samples.stop == samples
        seen[block.samples, block.examples] += 1
        place = after(block, examples)
    assert (seen == 1).all()


def test_kept_bytes_are_those_of_the_graph():
    """A product keeps both factors, a hyperbolic tangent its result; parameters and repeated tensors count nothing."""
    layer = nn.Linear(6, 6, bias=False).double()
    x = torch.ones(5, 6, dtype=torch.float64, requires_grad=True)
    kept = KeptBytes([layer])
    with kept.counting():
        y = torch.tanh(layer(x))
    assert kept.total == 2 * 5 * 6 * 8
    with kept.counting():
        z = y * y
    assert kept.total == 2 * 5 * 6 * 8
    assert KeptBytes([layer]).total == 0
    z.sum().backward()


def test_writing_into_what_a_graph_kept_is_noticed():
    kept = KeptBytes([])
    x = torch.ones(3, requires_grad=True)
    with kept.counting():
        y = x.exp()
        z = y * 1
    with torch.no_grad():
        y.add_(1)
    with pytest.raises(RuntimeError, match="inplace"):
        z.sum().backward()
