"""Memory is bounded whatever the number of steps, samples or examples."""

from pathlib import Path

import pytest
import torch

from benchmarks.measure import peak_megabytes
from pellucid._core.batching import COPIES, CPU_BUDGET, RowLimit
from pellucid._core.forward import LARGEST_SHARE
from pellucid.attr import (
    FeatureAblation,
    FeaturePermutation,
    GradientShap,
    IntegratedGradients,
    Occlusion,
    ShapleyValues,
    ShapleyValueSampling,
)
from tests.models import DOUBLE, cnn

SETUP = """
from benchmarks.models import resnet
from pellucid.attr import GradientShap, IntegratedGradients, NoiseTunnel, Saliency
model, x = resnet(), torch.randn(4, 3, 32, 32)
IntegratedGradients(model).attribute(x[:1], target=0, n_steps=2)
"""

CALLS = {
    "integrated gradients": "IntegratedGradients(model).attribute(x, target=0, n_steps={})",
    "gradient shap": "GradientShap(model).attribute(x, target=0, baselines=0.1, n_samples={})",
    "smoothgrad": "NoiseTunnel(Saliency(model)).attribute(x, target=0, nt_samples={})",
}


def segments(n):
    """A mask of n x n segments of an image."""
    row = torch.arange(32) * n // 32
    return row[:, None] * n + row


GAMES = {
    "ablation": (FeatureAblation, lambda n: {"feature_mask": segments(n)}, (8, 32)),
    "occlusion": (Occlusion, lambda n: {"sliding_window_shapes": (2, 4, 4), "strides": 32 // n}, (8, 32)),
    "sampled orders": (ShapleyValueSampling, lambda n: {"feature_mask": segments(5), "n_samples": n}, (4, 100)),
    "all subsets": (ShapleyValues, lambda n: {"feature_mask": torch.arange(32) * n // 32}, (6, 10)),
    "permutation": (FeaturePermutation, lambda n: {"feature_mask": segments(2), "n_repeats": n}, (20, 300)),
}
"""Methods with a setting with which there is little to evaluate, and one with much."""


@pytest.mark.filterwarnings("ignore::pellucid.errors.SamplingWarning")
@pytest.mark.parametrize("name", GAMES)
def test_passes_of_games_do_not_grow_with_the_work(name):
    method, arguments, settings = GAMES[name]
    model, largest = cnn(), 4 * 32 * 32 * 8
    x = torch.randn(2, 2, 32, 32, dtype=DOUBLE)
    for setting in settings:
        sizes = []

        def counting(v, sizes=sizes):
            sizes.append(len(v))
            return model(v)

        given = {"seed": 1} if method in {FeaturePermutation, ShapleyValueSampling} else {}
        method(counting).attribute(x, target=0, **arguments(setting), **given)
        assert max(sizes) * largest <= CPU_BUDGET / LARGEST_SHARE
        assert sum(sizes) / len(sizes) > 10  # and they are filled


GAME_SETUP = """
import torch
from pellucid.attr import FeatureAblation
model = torch.nn.Sequential(torch.nn.Conv2d(3, 32, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(28800, 400))
x = torch.randn(2, 3, 32, 32)
def segments(n):
    row = torch.arange(32) * n // 32
    return row[:, None] * n + row
FeatureAblation(model).attribute(x, target=0, feature_mask=segments(2))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak is read from Linux's proc")
def test_peak_memory_is_flat_in_features():
    """Sixteen times as many features in the same memory; a row's activations alone take 0.1 MB."""
    few, many = (
        peak_megabytes(GAME_SETUP, f"FeatureAblation(model).attribute(x, target=0, feature_mask=segments({n}))")
        for n in (8, 32)
    )
    assert many <= 1.5 * few + 10


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak is read from Linux's proc")
@pytest.mark.parametrize("name", CALLS)
def test_peak_memory_is_flat_in_steps_and_samples(name):
    """Twenty times as much work, the same peak but for allocator noise; all at once it would be twenty times too."""
    few, many = (peak_megabytes(SETUP, CALLS[name].format(n)) for n in (20, 400))
    assert few > 5, "the probe sees nothing"
    assert many <= 1.5 * few + 10


def test_rows_that_keep_more_make_smaller_chunks():
    """The second chunk is cut by what the rows of the first one kept."""
    sizes = []
    model = cnn()

    def counting(v):
        sizes.append(len(v))
        return model(v)

    x = torch.randn(1, 2, 32, 32, dtype=DOUBLE)
    IntegratedGradients(counting).attribute(x, target=0, n_steps=2000)
    passes = sizes[2:]
    assert passes[0] <= 65
    assert max(passes) <= 2000
    assert sum(passes) == 2000 + 4  # and two rows that check the first chunk, and two for the first one larger
    kept_per_row = 32 * 32 * 8 * 4  # at least the first layer's output
    assert max(passes) * kept_per_row <= 2 * CPU_BUDGET


def test_chunks_are_the_same_in_every_run():
    def sizes():
        seen = []
        model = cnn()

        def counting(v):
            seen.append(len(v))
            return model(v)

        IntegratedGradients(counting).attribute(torch.ones(3, 2, 16, 16, dtype=DOUBLE), target=0, n_steps=300)
        return seen

    assert sizes() == sizes()


def test_a_cap_is_kept():
    for cap in (1, 3, 5, 64):
        sizes = []

        def counting(v, sizes=sizes):
            sizes.append(len(v))
            return (v**2).sum(1)

        IntegratedGradients(counting).attribute(torch.ones(4, 3), n_steps=30, internal_batch_size=cap)
        GradientShap(counting).attribute(torch.ones(4, 3), 0.0, n_samples=30, internal_batch_size=cap, seed=1)
        gradients = [s for s in sizes if s != 4]
        anchor = min(cap, 4)
        assert max(gradients, default=0) <= cap + anchor


def test_out_of_memory_halves_the_chunk_and_goes_on():
    """What an accelerator raises when a chunk does not fit; the results are those of any other chunk."""
    sizes = []

    def small(v):
        sizes.append(len(v))
        if len(v) > 10:
            raise torch.OutOfMemoryError("too large")
        return (v**3).sum(1)

    x = torch.randn(2, 3, dtype=DOUBLE)
    found = IntegratedGradients(small).attribute(x, n_steps=50)
    assert torch.allclose(found, x**3, atol=1e-12)
    assert max(sizes) > 10


def test_out_of_memory_of_a_single_row_is_passed_on():
    calls = []

    def never(v):
        calls.append(1)
        if len(calls) > 2:
            raise torch.OutOfMemoryError("too large")
        return (v**3).sum(1)

    with pytest.raises(torch.OutOfMemoryError):
        IntegratedGradients(never).attribute(torch.randn(2, 3), n_steps=50)


def test_a_limit_set_by_the_user_is_not_learned_over():
    limit = RowLimit.of((torch.zeros(2, 3),), 7)
    limit.learn(10**9, 7)
    assert limit.rows == 7


def test_the_limit_fills_the_budget_with_what_rows_keep():
    """Ten rows whose graph kept a twentieth, and their copies another, leave room for a hundred."""
    row = CPU_BUDGET // (20 * 10 * COPIES)
    limit = RowLimit.of((torch.zeros(2, row // 4),), None)
    limit.learn(CPU_BUDGET // 20, 10)
    assert limit.rows in {99, 100}
