"""The figures printed in the documentation that the project starts from."""

import pytest
import torch

import pellucid
from pellucid.attr import DeepLift, DeepLiftShap, GradientShap, IntegratedGradients, NoiseTunnel
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


def test_deep_lift_of_the_toy_model():
    model, x = toy()
    found, delta = DeepLift(model).attribute(x, 0.0, target=0, return_convergence_delta=True)
    assert torch.allclose(found, PRINTED, atol=1e-4, rtol=0)
    assert delta.abs().max() < 1e-12


def test_deep_lift_shap_of_the_toy_model():
    """The printed baselines are drawn from another generator, so only their smallness is comparable."""
    model, x = toy()
    baselines = torch.randn(10, 3, dtype=DOUBLE) * 0.001
    found, delta = DeepLiftShap(model).attribute(x, baselines, target=0, return_convergence_delta=True)
    assert torch.allclose(found, PRINTED, atol=2e-2, rtol=0)
    assert delta.shape == (20,)
    assert delta.abs().max() < 1e-12


def test_reveal_cancel_shares_what_rescale_gives_to_one():
    """o = i1 - relu(i1 - i2), zero reference, positive inputs: the output is the minimum, to which both contribute."""
    x = torch.tensor([[3.0, 2.0], [1.0, 5.0]], dtype=DOUBLE)

    def smaller(v):
        return v[:, 0] - torch.relu(v[:, 0] - v[:, 1])

    shared = DeepLift(smaller).attribute(x, rule="reveal_cancel")
    assert torch.allclose(shared, (x.min(1, keepdim=True).values / 2).expand(2, 2), atol=1e-12)
    assert not torch.allclose(DeepLift(smaller).attribute(x), shared)
