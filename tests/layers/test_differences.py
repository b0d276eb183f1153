"""What docs/differences.md says of Captum at layers and neurons, and of us."""

import warnings

import pytest
import torch
from torch import nn

import pellucid
from pellucid import attr
from tests.layers.models import ConvNet, Net, Residual, Siamese, Tokens, draw, seeded
from tests.models import toy

captum = pytest.importorskip("captum.attr", reason="Captum is a development dependency")


def theirs(name, model, layer, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(captum, name)(model, layer).attribute(*args, **kwargs)


def test_conductance():
    model, x = toy()
    found = theirs("LayerConductance", model, model.lin1, x, target=0)
    assert float(found[0].sum().detach()) == pytest.approx(-3.1452, abs=1e-4)
    found = theirs("NeuronConductance", model, model.lin1, x, 1, target=0)
    assert torch.allclose(found[1], torch.tensor([1.3358, 0.0, -1.6811]).double(), atol=1e-4)


def test_slices_of_neurons():
    net, x = seeded(1, Net), draw(3, 5, seed=1)
    ours = attr.NeuronConductance(net, net.act1)
    both = ours.attribute(x, (slice(0, 2),), target=0)
    assert torch.allclose(both, ours.attribute(x, 0, target=0) + ours.attribute(x, 1, target=0), atol=1e-12)
    other = theirs("NeuronConductance", net, net.act1, x, (slice(0, 2),), target=0, method="gausslegendre")
    assert not torch.allclose(both, other, atol=1e-3)


def test_what_bypasses_a_layer():
    net, x, base = seeded(2, Residual), draw(3, 5, seed=1), draw(3, 5, seed=2)
    how = {"target": 0, "n_steps": 80, "return_convergence_delta": True}
    with pellucid.recording() as report:
        found, delta = attr.LayerIntegratedGradients(net, net.inner).attribute(x, base, **how)
    assert delta.abs().max() < 1e-10
    with torch.no_grad():
        difference = (net(x) - net(base))[:, 0]
    assert torch.allclose(found.sum(1) + report.bypass, difference, atol=1e-10)
    _, other = theirs("LayerIntegratedGradients", net, net.inner, x, base, **how)
    assert other.abs().max() > 1e-2


def test_several_calls():
    net, inputs = seeded(1, Siamese), (draw(3, 4, seed=1), draw(3, 4, seed=2))
    found = theirs("LayerActivation", net, net.encoder, inputs)
    ours = attr.LayerActivation(net, net.encoder).attribute(inputs)
    assert torch.equal(found, ours[1])
    assert len(ours) == 2


def test_grad_cam_of_tokens():
    net, x = seeded(4, Tokens), draw(2, 4, 3)
    assert theirs("LayerGradCam", net, net.norm, x, 1).shape == (2, 1, 8)
    assert attr.LayerGradCam(net, net.norm).attribute(x, 1).shape == (2, 1, 4)


def test_guided_grad_cam_that_does_not_fit():
    net, x = seeded(3, ConvNet), draw(2, 2, 6, 6)
    assert theirs("GuidedGradCam", net, net.flat, x, 1).numel() == 0
    with pytest.raises(pellucid.errors.InvalidValueError, match="map has shape"):
        attr.GuidedGradCam(net, net.flat).attribute(x, 1)


def test_deep_lift_with_a_connection_around_the_layer():
    """Ours is DeepLIFT of the rest of the model (test_definitions); theirs is not complete for either difference."""
    net, x, base = seeded(2, lambda: Residual(nn.ReLU)), draw(3, 5, seed=1), draw(3, 5, seed=2)
    with pellucid.recording() as report:
        ours = attr.LayerDeepLift(net, net.inner).attribute(x, base, target=0)
    with torch.no_grad():
        difference = (net(x) - net(base))[:, 0]
    assert torch.allclose(ours.sum(1) + report.bypass, difference, atol=1e-10)
    other = theirs("LayerDeepLift", net, net.inner, x, base, target=0)
    assert not torch.allclose(other.sum(1), difference, atol=1e-2)
    assert not torch.allclose(other.sum(1), difference - report.bypass, atol=1e-2)
