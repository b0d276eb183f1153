"""Sampling methods of both libraries have the same expectation: within four standard errors of many runs.

Draws differ, so runs are compared by their means. The bound of four holds for one entry in 16,000 by chance, and seeds
are fixed. Where the draws cannot matter, results are compared exactly.
"""

import warnings

import numpy as np
import pytest
import torch

pytest.importorskip("captum.attr", reason="Captum is a development dependency")

from captum import attr as captum

from pellucid import attr
from tests.layers.models import Net, draw, seeded
from tests.models import mlp

X, ROWS = draw(2, 5, seed=1), draw(6, 5, seed=2)
NET = seeded(1, Net)
pytestmark = pytest.mark.filterwarnings("ignore::pellucid.errors.PellucidWarning")


def runs(call, library, count):
    """Results of several seeds, side by side."""
    found = []
    for seed in range(count):
        torch.manual_seed(seed)
        np.random.seed(seed)  # Captum draws baselines with NumPy
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found.append(call(library).detach().double())
    return torch.stack(found)


def same_expectation(call, count=24):
    theirs, ours = (runs(call, library, count) for library in (captum, attr))
    assert theirs.shape == ours.shape
    error = ((theirs.var(0) + ours.var(0)) / count).sqrt()
    assert ((theirs.mean(0) - ours.mean(0)).abs() <= 4 * error + 1e-6).all()
    assert float(theirs.mean(0).abs().max()) > 8 * float(error.max())  # or the comparison says nothing


def smooth(kind, inner):
    return lambda library: library.NoiseTunnel(getattr(library, inner)(NET)).attribute(
        X, target=1, nt_type=kind, nt_samples=60, stdevs=0.3
    )


MEANS = {
    "gradient shap": lambda lib: lib.GradientShap(NET).attribute(X, ROWS, n_samples=100, target=1),
    "gradient shap with noise": lambda lib: lib.GradientShap(NET).attribute(
        X, ROWS, n_samples=100, stdevs=0.4, target=[0, 2]
    ),
    "gradients of gradient shap": lambda lib: lib.GradientShap(NET, multiply_by_inputs=False).attribute(
        X, ROWS, n_samples=100, target=1
    ),
    "neuron gradient shap": lambda lib: lib.NeuronGradientShap(NET, NET.act2).attribute(X, 2, ROWS, n_samples=100),
    "smoothgrad": smooth("smoothgrad", "Saliency"),
    "squares": smooth("smoothgrad_sq", "InputXGradient"),
    "variances": smooth("vargrad", "InputXGradient"),
    "shapley sampling": lambda lib: lib.ShapleyValueSampling(mlp(8)).attribute(
        draw(2, 8, seed=3), 0.3, target=1, n_samples=30
    ),
    "permutation": lambda lib: lib.FeaturePermutation(mlp(5)).attribute(draw(6, 5, seed=3), target=1),
}


@pytest.mark.parametrize("name", MEANS)
def test_means_are_the_same(name):
    same_expectation(MEANS[name], count=400 if name == "permutation" else 24)


def test_kernel_shap_with_many_draws_comes_near():
    """Captum weighs the total by 1e6 and draws with replacement: it converges to the values that ours has exactly."""
    x = draw(1, 6, seed=3).float()
    model = mlp(6).float()
    torch.manual_seed(0)
    theirs = captum.KernelShap(model).attribute(x, 0.2, target=1, n_samples=4000)
    ours = attr.KernelShap(model).attribute(x, 0.2, target=1)
    assert torch.allclose(ours, attr.ShapleyValues(model).attribute(x, 0.2, target=1), atol=1e-6)
    assert torch.allclose(theirs, ours, atol=0.02 * float(ours.abs().max()))


@pytest.mark.parametrize("mask", [None, torch.tensor([[0, 1, 1, 2, 0]])])
@pytest.mark.parametrize("cap", [1, 3])
def test_additive_models_leave_nothing_to_chance(mask, cap):
    weights = torch.arange(1.0, 6.0, dtype=torch.float64)

    def additive(x):
        return (x.pow(3) * weights).sum(1)

    call = {"baselines": ROWS[:2], "feature_mask": mask, "perturbations_per_eval": cap}
    theirs = captum.ShapleyValueSampling(additive).attribute(X, n_samples=3, **call)
    ours = attr.ShapleyValueSampling(additive).attribute(X, n_samples=4, **call)
    assert torch.allclose(theirs.double(), ours, atol=1e-5)
