"""Estimates and integrals that are not good enough say so, and their advice helps; numbers stay what they must be."""

import re
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import pellucid
from pellucid.attr import (
    DeepLiftShap,
    FeatureAblation,
    GradientShap,
    IntegratedGradients,
    LayerGradientShap,
    LayerIntegratedGradients,
    NoiseTunnel,
    Saliency,
)
from pellucid.errors import ConvergenceWarning, InvalidTypeError, InvalidValueError, SamplingWarning
from tests.models import DOUBLE, TwoInputs, mlp


@pytest.mark.parametrize("at_layer", [False, True])
def test_an_integral_that_has_not_converged_says_which_steps_would_do(at_layer, generator):
    x = 3 * torch.randn(3, 5, dtype=DOUBLE, generator=generator)
    layer = nn.Identity()

    def steep(v):
        return torch.tanh(8 * layer(v)).sum(1)

    method = LayerIntegratedGradients(steep, layer) if at_layer else IntegratedGradients(steep)
    with pytest.warns(ConvergenceWarning, match=r"delta .*n_steps=3 is too few: try about n_steps=\d+") as caught:
        _, delta = method.attribute(x, -1.5, n_steps=3, return_convergence_delta=True)
    enough = int(re.search(r"about n_steps=(\d+)", str(caught[0].message)).group(1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, better = method.attribute(x, -1.5, n_steps=enough, return_convergence_delta=True)
        method.attribute(x, -1.5, n_steps="auto")
    assert better.abs().max() < delta.abs().max() / 10


def test_five_samples_of_expected_gradients_say_how_noisy_they_are(generator):
    x = torch.randn(3, 5, dtype=DOUBLE, generator=generator)
    rows, method = torch.randn(50, 5, dtype=DOUBLE, generator=generator), GradientShap(mlp())
    with pytest.warns(SamplingWarning, match=r"with 5 samples the standard error is \d+%") as caught:
        method.attribute(x, rows, target=0, seed=1)
    enough = int(re.search(r"about (\d+) samples", str(caught[0].message)).group(1))
    with warnings.catch_warnings(), pellucid.recording() as report:
        warnings.simplefilter("error")
        found = method.attribute(x, rows, target=0, n_samples=enough, seed=1)
    exact = DeepLiftShap(mlp()).attribute(x, rows, target=0)
    errors = report.standard_error[0] if isinstance(report.standard_error, tuple) else report.standard_error
    assert errors.norm() / found.norm() < 0.25
    assert (found - exact).norm() / exact.norm() < 0.35  # another method, of which expected gradients are near


def test_numpy_neither_decides_what_is_drawn_nor_moves(generator):
    x = torch.randn(3, 5, dtype=DOUBLE, generator=generator)
    found = []
    for seed in (0, 1):
        np.random.seed(seed)
        state = str(np.random.get_state())
        torch.manual_seed(5)
        found.append(NoiseTunnel(Saliency(mlp())).attribute(x, target=0, nt_samples=3))
        assert str(np.random.get_state()) == state
    assert torch.equal(*found)


@pytest.mark.parametrize("method", [GradientShap, DeepLiftShap])
def test_rows_of_a_tuple_of_baselines_belong_together(method, generator):
    """The function is constant on joint rows: independent draws would meet pairs on which it is not."""
    rows = torch.randn(6, 5, dtype=DOUBLE, generator=generator)
    seen = []

    def watched(a, b):
        seen.append((a.detach()[:, :1], b.detach().flatten(1)[:, :1]))
        return TwoInputs()(a, b)

    x = torch.full((2, 5), 9.0, dtype=DOUBLE), torch.full((2, 5), 9.0, dtype=DOUBLE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        extra = {"n_samples": 20, "seed": 2} if method is GradientShap else {}
        method(watched).attribute(x, (rows, rows.clone()), target=0, **extra)
    points = torch.cat([torch.cat(pair, 1) for pair in seen if pair[0].shape == pair[1].shape])
    assert torch.allclose(points[:, 0], points[:, 1], atol=1e-12)
    assert len(points.unique(dim=0)) > 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_variances_are_not_negative_beside_large_means(dtype, generator):
    """Gradients of 1e4 with a spread of 1e-3: a difference of mean squares would lose it, sign included."""
    x = torch.randn(4, 5, generator=generator).to(dtype)

    def model(v):
        return (1e4 * v + 0.001 * torch.sin(v)).sum(1)

    found = NoiseTunnel(Saliency(model)).attribute(x, nt_type="vargrad", nt_samples=40, stdevs=1.0, abs=False, seed=1)
    assert (found >= 0).all()
    assert found.dtype == dtype
    assert found.max() < 1.0


def test_noise_is_added_to_no_ids():
    embedding, head = nn.Embedding(7, 3).double(), nn.Linear(3, 2).double()
    ids = torch.tensor([[1, 2, 3], [4, 5, 6]])

    def model(i):
        return torch.tanh(head(embedding(i).sum(1)))

    for method in (LayerIntegratedGradients(model, embedding), FeatureAblation(model)):
        with pytest.raises(InvalidTypeError, match="ids"):
            NoiseTunnel(method).attribute(ids, target=0)
    with pytest.raises(InvalidValueError, match="noise makes no id"):
        LayerGradientShap(model, embedding).attribute(ids, ids * 0, target=0, stdevs=0.1)


def test_two_samples_have_a_standard_error_and_one_has_none():
    x, given = torch.rand(3, 4, dtype=DOUBLE), {"target": 1, "stdevs": 0.5, "seed": 2}
    with pellucid.recording() as report, warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)
        NoiseTunnel(Saliency(mlp(4))).attribute(x, nt_samples=2, abs=False, **given)
        assert report.standard_error[0].shape == x.shape
        assert (report.standard_error[0] > 0).all()
    with pellucid.recording() as report, warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)
        NoiseTunnel(Saliency(mlp(4))).attribute(x, nt_samples=1, abs=False, **given)
    assert report.standard_error is None


@pytest.mark.parametrize("stdevs", [-1.0, float("inf"), float("nan"), (-0.5,)])
def test_a_standard_deviation_is_finite_and_not_negative(stdevs):
    x = torch.rand(3, 4, dtype=DOUBLE)
    given = (x,) if isinstance(stdevs, tuple) else x
    for method in (NoiseTunnel(Saliency(mlp(4))), GradientShap(mlp(4))):
        base = {} if isinstance(method, NoiseTunnel) else {"baselines": 0.0}
        with pytest.raises(InvalidValueError, match="finite and not negative"):
            method.attribute(given, stdevs=stdevs, target=1, **base)
