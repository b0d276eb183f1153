"""Where a model cuts gradients off, nobody is told that what it computes from has no influence."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import pellucid
from pellucid.attr import (
    LRP,
    DeepLift,
    GuidedBackprop,
    InputXGradient,
    IntegratedGradients,
    LayerConductance,
    LayerGradCam,
    LayerGradientXActivation,
    LayerIntegratedGradients,
    NeuronConductance,
    NoiseTunnel,
    Saliency,
)
from pellucid.errors import CutGradientWarning, InvalidValueError, UnsupportedModelError, UnusedInputWarning
from tests.models import DOUBLE, mlp


class Probe(nn.Module):
    """A head on features that take no gradients, as linear probes are written."""

    def __init__(self, frozen=True):
        super().__init__()
        self.features, self.head, self.frozen = nn.Sequential(nn.Linear(4, 6), nn.Softplus()), nn.Linear(6, 3), frozen
        self.aside = nn.Linear(4, 3)
        self.double()

    def forward(self, x):
        self.aside(x)
        with torch.set_grad_enabled(not self.frozen):
            features = self.features(x)
        return self.head(features) ** 2


@pytest.fixture
def x(generator):
    return torch.randn(3, 4, dtype=DOUBLE, generator=generator)


@pytest.fixture
def probe():
    torch.manual_seed(2)
    return Probe()


def open_copy(probe):
    model = Probe(frozen=False)
    model.load_state_dict(probe.state_dict())
    return model


METHODS = {
    "guided backprop": GuidedBackprop,
    "saliency": Saliency,
    "input x gradient": InputXGradient,
    "integrated gradients": IntegratedGradients,
    "lrp": LRP,
    "noise tunnel": lambda m: NoiseTunnel(Saliency(m)),
    "layer gradients": lambda m: LayerGradientXActivation(m, m.features[0]),
    "conductance": lambda m: LayerConductance(m, m.features[0]),
    "grad-cam": lambda m: LayerGradCam(lambda v: m(v.flatten(1)), m.features[0]),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_cut_between_all_inputs_and_the_output_is_an_error(name, probe, x):
    with pytest.raises(InvalidValueError, match="nothing differentiable connects it with"):
        METHODS[name](probe).attribute(x, target=1)


def test_a_neuron_whose_layer_is_cut_off_the_output_is_an_error(probe, x):
    with pytest.raises(InvalidValueError, match=r"connects it with layer 'features\.0'"):
        NeuronConductance(probe, probe.features[0]).attribute(x, (2,), target=1)


def test_what_was_computed_in_inference_mode_has_no_gradient(probe, x):
    net = mlp(4)

    def inferring(v):
        with torch.inference_mode():
            features = net[0](v)
        return net[2](torch.tanh(net[1](features)))

    with pytest.raises(InvalidValueError, match="nothing differentiable connects it with"):
        InputXGradient(inferring).attribute(x, target=0)
    with pytest.warns(UnusedInputWarning, match="or the model cuts its gradient off"):
        NeuronConductance(inferring, net[1]).attribute(x, (0,), target=0)


def test_a_model_that_takes_no_other_values_at_a_layer_without_influence_is_left_alone(probe, x):
    def refusing(v):
        if not torch.equal(probe.aside(v), nn.functional.linear(v, probe.aside.weight, probe.aside.bias)):
            raise ValueError("other values")
        return open_copy(probe)(v)

    found = NeuronConductance(refusing, probe.aside).attribute(x, (0,), target=1)
    assert not found.any()


SEEING_THROUGH = {
    "deep lift": DeepLift,
    "layer integrated gradients": lambda m: LayerIntegratedGradients(m, m.features[0]),
}


@pytest.mark.parametrize("name", SEEING_THROUGH)
def test_what_sees_through_the_cut_is_right(name, probe, x):
    found, expected = (SEEING_THROUGH[name](m).attribute(x, 0.3 * x + 0.1, target=1) for m in (probe, open_copy(probe)))
    assert torch.allclose(found, expected, atol=1e-12)
    assert found.abs().min() > 0


@pytest.mark.parametrize("make", [LayerGradientXActivation, LayerIntegratedGradients, LayerConductance])
def test_the_last_layer_before_the_gradients_go_on_is_explained(make, probe, x):
    whole = open_copy(probe)
    found = make(probe, probe.features).attribute(x, target=1)
    assert torch.allclose(found, make(whole, whole.features).attribute(x, target=1), atol=1e-12)
    assert found.abs().min() > 0


def test_a_layer_without_influence_is_told_from_one_that_is_cut_off(probe, x):
    with pytest.warns(UnusedInputWarning, match="layer 'aside' has no influence on the explained output, so"):
        found = LayerGradientXActivation(probe, probe.aside).attribute(x, target=1)
    assert not found.any()


@pytest.mark.parametrize("make", [InputXGradient, IntegratedGradients])
def test_one_input_of_several_that_is_cut_off(make, x):
    model = mlp(4)
    expected = make(model).attribute(x, target=0)
    with pellucid.recording(quiet=True) as report:
        found = make(lambda a, b: model(a) + model(b).detach()).attribute((x, x + 1), target=0)
    said = [n.message for n in report.notices if n.category == CutGradientWarning.__name__]
    assert len(said) == 1
    assert said[0].startswith("inputs[1] has an influence on the explained output, but the model cuts its gradient off")
    assert torch.allclose(found[0], expected, atol=1e-9)
    assert not found[1].any()


def test_one_input_of_several_without_influence(x):
    with pytest.warns(UnusedInputWarning, match=r"inputs\[1\] has no influence on the explained output, so"):
        InputXGradient(lambda a, b: mlp(4)(a) + 0 * b.detach()[:, :1]).attribute((x, x), target=0)


def test_only_the_explained_output_counts(x):
    model = mlp(4)

    def parted(a, b):
        return torch.stack([model(a)[:, 0], model(b)[:, 0].detach()], 1)

    with pytest.warns(UnusedInputWarning, match=r"inputs\[1\] has no influence on the explained output, so"):
        Saliency(parted).attribute((x, x), target=0)


def test_where_influence_cannot_be_seen_both_are_said(x):
    model = mlp(4)

    def refusing(a, b):
        if not torch.equal(b, torch.ones_like(b)):
            raise ValueError("other values")
        return model(a)

    def wavering(a, b):
        return model(a) + 1e-3 * torch.rand(3, 1) * b.detach()[:, :1]

    for function in (refusing, wavering):
        with pytest.warns(UnusedInputWarning, match=r"inputs\[1\] has no influence .*, or the model cuts"):
            Saliency(function).attribute((x, torch.ones_like(x)), target=0)


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_frozen_scripts_have_no_training_mode(x):
    script = torch.jit.freeze(torch.jit.script(mlp(4).eval()))
    assert torch.allclose(Saliency(script).attribute(x, target=0), Saliency(mlp(4)).attribute(x, target=0), atol=1e-12)


def test_reentrant_checkpoints_are_refused_by_name(x):
    model = mlp(4)
    with pytest.raises(UnsupportedModelError, match="use_reentrant=False"):
        Saliency(lambda v: checkpoint(model, v, use_reentrant=True)).attribute(x, target=0)
