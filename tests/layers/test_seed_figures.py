"""The figures of layers and neurons in the documentation that the project starts from."""

import pytest
import torch

from pellucid import attr
from tests.models import DOUBLE, toy


def test_layer_conductance_is_exact():
    """Printed were -3.0856 and -5.3126, since neither end of the path was taken in; theirs miss 2 %."""
    model, x = toy()
    found, delta = attr.LayerConductance(model, model.lin1).attribute(
        x, torch.zeros(2, 3, dtype=DOUBLE), target=0, return_convergence_delta=True
    )
    expected = torch.tensor([[0.0, 0.0, -3.1486], [0.0, -0.3559, -5.0652]], dtype=DOUBLE)
    assert torch.allclose(found, expected, atol=1e-4, rtol=0)
    assert float(found[0].sum()) == pytest.approx(-3.1486, abs=1e-4)
    with torch.no_grad():
        difference = (model(x) - model(0 * x))[:, 0]
    assert torch.allclose(found.sum(1), difference, atol=1e-12)
    assert delta.abs().max() < 1e-12


@pytest.mark.parametrize("spelling", ["neuron_selector", "neuron_index"])
@pytest.mark.filterwarnings("ignore:neuron_index is now called:DeprecationWarning")
def test_neuron_conductance_is_exact(spelling):
    """Printed were 1.3358 and -1.6811."""
    model, x = toy()
    found = attr.NeuronConductance(model, model.lin1).attribute(x, **{spelling: 1}, target=0)
    expected = torch.tensor([[0.0, 0.0, 0.0], [1.3771, 0.0, -1.7330]], dtype=DOUBLE)
    assert torch.allclose(found, expected, atol=1e-4, rtol=0)
    assert float(found[1].sum()) == pytest.approx(-0.3559, abs=1e-4)


def test_all_complete_methods_agree_at_the_cutting_layer():
    """The toy model is linear behind each side of its rectifiers, and the path starts at zero."""
    model, x = toy()
    expected = attr.LayerConductance(model, model.lin1).attribute(x, target=0)
    for cls in (attr.LayerIntegratedGradients, attr.LayerDeepLift):
        assert torch.allclose(cls(model, model.lin1).attribute(x, target=0), expected, atol=1e-12)
    gradient = attr.LayerGradientXActivation(model, model.lin1).attribute(x, target=0)
    assert torch.allclose(gradient, expected, atol=1e-12)


def test_every_neuron_method_of_the_documentation():
    """Neuron 1 is linear in the inputs: its gradient is its row of weights."""
    model, x = toy()
    row = model.lin1.weight[1].detach()
    assert torch.allclose(attr.NeuronGradient(model, model.lin1).attribute(x, 1), row.expand(2, 3))
    rows = torch.zeros(2, 3, dtype=DOUBLE)
    for cls in (attr.NeuronIntegratedGradients, attr.NeuronDeepLift):
        assert torch.allclose(cls(model, model.lin1).attribute(x, 1), row * x, atol=1e-12)
    for cls in (attr.NeuronDeepLiftShap, attr.NeuronGradientShap):
        assert torch.allclose(cls(model, model.lin1).attribute(x, 1, rows), row * x, atol=1e-12)
    for cls in (attr.NeuronGuidedBackprop, attr.NeuronDeconvolution):
        found = cls(model, model.lin2).attribute(x, 1)  # behind the rectifier; weights 0, 1, 2
        assert found.shape == (2, 3)
