"""The figures printed in the documentation that the project starts from."""

import pytest
import torch

import pellucid
from pellucid.attr import GradientShap, IntegratedGradients, NoiseTunnel
from tests.models import DOUBLE, toy

PRINTED = torch.tensor([[-0.5922, -1.5497, -1.0067], [0.0, -0.2219, -5.1991]], dtype=DOUBLE)


@pytest.mark.parametrize("n_steps", [50, "auto"])
def test_integrated_gradients_of_the_toy_model(n_steps):
    model, x = toy()
    found, delta = IntegratedGradients(model).attribute(
        x, torch.zeros(2, 3, dtype=DOUBLE), target=0, n_steps=n_steps, return_convergence_delta=True
    )
    assert torch.allclose(found, PRINTED, atol=1e-4, rtol=0)
    assert delta.abs().max() < 1e-6


def test_the_documented_shapes_of_deltas():
    model, x = toy()
    baselines = torch.randn(10, 3, dtype=DOUBLE) * 0.001
    _, delta = GradientShap(model).attribute(
        x, stdevs=0.09, n_samples=4, baselines=baselines, target=0, return_convergence_delta=True
    )
    assert delta.shape == (8,)
    assert delta.reshape(2, -1).mean(1).abs().max() < 0.1


def test_the_older_name_of_nt_samples_still_works():
    model, x = toy()
    tunnel = NoiseTunnel(IntegratedGradients(model))
    with pytest.deprecated_call(match="nt_samples"):
        found, delta = tunnel.attribute(
            x,
            nt_type="smoothgrad",
            stdevs=0.02,
            n_samples=4,
            baselines=torch.zeros(2, 3, dtype=DOUBLE),
            target=0,
            return_convergence_delta=True,
        )
    assert delta.shape == (8,)
    assert delta.abs().max() < 1e-6
    assert torch.allclose(found, PRINTED, atol=0.2)


def test_explain_gives_the_same_figures():
    model, x = toy()
    explanation = pellucid.explain(model, x, target=0)
    assert torch.allclose(explanation.attributions, PRINTED, atol=1e-4, rtol=0)
