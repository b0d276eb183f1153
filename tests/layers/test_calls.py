"""A layer that is called several times in one forward pass is several sites: summed, or each on its own."""

import pytest
import torch
from torch import nn

import pellucid
from pellucid import attr
from pellucid.errors import InvalidValueError
from tests.layers.models import Chain, Siamese, Uneven, draw, seeded

pytestmark = [
    pytest.mark.filterwarnings("ignore::pellucid.errors.SamplingWarning"),
    pytest.mark.filterwarnings("ignore::pellucid.errors.ConvergenceWarning"),
]

METHODS = {
    "LayerGradientXActivation": {},
    "LayerIntegratedGradients": {"n_steps": 8},
    "LayerConductance": {"n_steps": 8},
    "InternalInfluence": {"n_steps": 8},
    "LayerGradCam": {},
    "LayerDeepLift": {},
    "LayerDeepLiftShap": {"baselines": 0.2},
    "LayerGradientShap": {"baselines": 0.2, "seed": 3},
    "LayerLRP": {},
}
every_method = pytest.mark.parametrize("name", METHODS)


def siamese():
    return seeded(1, Siamese), (draw(3, 4, seed=1), draw(3, 4, seed=2))


def with_pairs(how):
    return {**how, "baselines": (0.2, 0.2)} if "baselines" in how else how


@every_method
def test_sum_is_the_sum_of_each(name):
    net, inputs = siamese()
    explain = getattr(attr, name)(net, net.encoder).attribute
    total = explain(inputs, target=1, **with_pairs(METHODS[name]))
    each = explain(inputs, target=1, calls="each", **with_pairs(METHODS[name]))
    assert isinstance(each, list)
    assert len(each) == 2
    assert torch.allclose(total, each[0] + each[1], atol=1e-13)
    assert not torch.allclose(total, each[1], atol=1e-3)


@every_method
def test_both_calls_are_values_of_the_rest(name):
    """By hand: the rest of a siamese net takes two encodings."""
    net, inputs = siamese()
    each = getattr(attr, name)(net, net.encoder).attribute(inputs, target=1, calls="each", **with_pairs(METHODS[name]))
    with torch.no_grad():
        z = tuple(net.encoder(v) for v in inputs)
        base = tuple(net.encoder(torch.full_like(v, 0.2 if "baselines" in METHODS[name] else 0.0)) for v in inputs)

    def rest(a, b):
        return net.out(a * b.exp())

    expected = {
        "LayerGradientXActivation": lambda: attr.InputXGradient(rest).attribute(z, 1),
        "LayerIntegratedGradients": lambda: attr.IntegratedGradients(rest).attribute(z, base, 1, n_steps=8),
        "LayerDeepLift": lambda: attr.DeepLift(rest).attribute(z, base, 1),
        "LayerDeepLiftShap": lambda: attr.DeepLift(rest).attribute(z, base, 1),
        "LayerLRP": lambda: attr.LRP(rest).attribute(z, 1),
    }
    if name not in expected:
        pytest.skip("not a method on the rest of the model, or a sampled one")
    for found, other in zip(each, expected[name](), strict=True):
        assert torch.allclose(found, other, atol=1e-11)


def test_activations_are_given_for_each_call():
    net, inputs = siamese()
    each = attr.LayerActivation(net, net.encoder).attribute(inputs)
    with torch.no_grad():
        expected = [net.encoder(v) for v in inputs]
    assert isinstance(each, list)
    for found, other in zip(each, expected, strict=True):
        assert torch.equal(found, other)
    total = attr.LayerActivation(net, net.encoder).attribute(inputs, calls="sum")
    assert torch.equal(total, expected[0] + expected[1])
    into = attr.LayerActivation(net, net.encoder).attribute(inputs, attribute_to_layer_input=True)
    assert torch.equal(into[0], inputs[0])
    assert torch.equal(into[1], inputs[1])


def test_the_model_with_each_call_at_its_layer_is_itself():
    """Three calls in a chain: what is put at all of them is what the model computes; completeness holds in sum."""
    net, x = seeded(2, Chain), draw(3, 4, seed=1)
    base = draw(1, 4, seed=2)
    for cls, options in ((attr.LayerIntegratedGradients, {"n_steps": "auto"}), (attr.LayerDeepLift, {})):
        with pellucid.recording() as report:
            each = cls(net, net.step).attribute(x, base, target=1, calls="each", **options)
        with torch.no_grad():
            difference = (net(x) - net(base))[:, 1]
        assert len(each) == 3
        assert torch.allclose(sum(e.sum(1) for e in each) + report.bypass, difference, rtol=2e-3, atol=1e-5)


def test_conductance_of_a_chain_sums_to_the_difference():
    """Later calls move with earlier ones, but each conducts only what does not pass through a later one."""
    net, x = seeded(2, Chain), draw(3, 4, seed=1)
    base = draw(1, 4, seed=2)
    with pellucid.recording() as report:
        each = attr.LayerConductance(net, net.step).attribute(x, base, target=1, calls="each", n_steps=60)
    with torch.no_grad():
        difference = (net(x) - net(base))[:, 1]
    assert torch.allclose(sum(e.sum(1) for e in each) + report.bypass, difference, atol=1e-8)


@every_method
@pytest.mark.filterwarnings("ignore::pellucid.errors.UnusedInputWarning")
def test_unequal_calls_are_refused_with_advice(name):
    net, x = seeded(3, Uneven), draw(3, 4, seed=1)
    explain = getattr(attr, name)(net, net.act).attribute
    if name != "LayerGradCam":  # maps have one channel, whatever the layer has
        with pytest.raises(InvalidValueError, match=r"\(3, 6\), \(3, 3\).*calls='each'"):
            explain(x, target=1, **METHODS[name])
    each = explain(x, target=1, calls="each", **METHODS[name])
    expected = [(3, 1), (3, 1)] if name == "LayerGradCam" else [(3, 6), (3, 3)]
    assert [tuple(e.shape) for e in each] == expected


def test_unequal_activations_need_no_advice():
    net, x = seeded(3, Uneven), draw(3, 4, seed=1)
    assert [a.shape for a in attr.LayerActivation(net, net.act).attribute(x)] == [(3, 6), (3, 3)]
    with pytest.raises(InvalidValueError, match="calls='each'"):
        attr.LayerActivation(net, net.act).attribute(x, calls="sum")


def test_gradients_by_early_calls_lead_through_later_ones():
    """A call is an input of the rest of the model, whichever module is called there: as for a list of layers."""
    net, x = seeded(3, Uneven), draw(3, 4, seed=1)
    explain = attr.LayerGradientXActivation(net, net.act, multiply_by_inputs=False).attribute
    first, last = explain(x, target=1, calls="each")
    assert torch.equal(last, torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64).expand(3, 3))
    z = torch.tanh(net.one(x)).detach().requires_grad_()
    (expected,) = torch.autograd.grad(torch.tanh(net.two(z))[:, 1].sum(), z)
    assert torch.allclose(first, expected, atol=1e-14)
    listed = attr.LayerGradientXActivation(net, [net.act, net.one], multiply_by_inputs=False)
    found, _ = listed.attribute(x, target=1, calls="each")
    assert torch.allclose(found[0], first, atol=1e-14)
    for cls in (attr.InternalInfluence, attr.LayerGradCam):
        assert cls(net, net.act).attribute(x, target=1, calls="each")[0].any()


class SharedEmbedding(nn.Module):
    """One table for two sequences of ids."""

    def __init__(self):
        super().__init__()
        self.table, self.out = nn.Embedding(9, 4), nn.Linear(4, 2)

    def forward(self, question, answer):
        return self.out(torch.tanh(self.table(question.long()).mean(1)) * self.table(answer.long()).prod(1))


def test_a_shared_embedding():
    net = seeded(4, SharedEmbedding)
    ids = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), torch.tensor([[7.0, 1.0, 1.0], [2.0, 8.0, 3.0]])
    base = torch.zeros(1, 3), torch.ones(1, 3)
    total, delta = attr.LayerIntegratedGradients(net, net.table).attribute(
        ids, base, 1, n_steps=30, return_convergence_delta=True
    )
    with torch.no_grad():
        difference = (net(*ids) - net(*(b.expand(2, 3) for b in base)))[:, 1]
    assert torch.allclose(total.flatten(1).sum(1), difference, atol=1e-9)
    assert delta.abs().max() < 1e-9
    each = attr.LayerIntegratedGradients(net, net.table).attribute(ids, base, 1, n_steps=30, calls="each")
    assert torch.allclose(each[0] + each[1], total)


NEURONS = {
    "NeuronGradient": ("Saliency", {}, {"abs": False}),
    "NeuronIntegratedGradients": ("IntegratedGradients", {"n_steps": 8}, {"n_steps": 8}),
    "NeuronDeepLift": ("DeepLift", {}, {}),
    "NeuronDeepLiftShap": ("DeepLiftShap", {"baselines": (0.2, 0.1)}, {"baselines": (0.2, 0.1)}),
}


@pytest.mark.parametrize("name", NEURONS)
def test_a_neuron_of_a_layer_that_is_called_twice_is_the_sum(name):
    net, inputs = siamese()
    other, how, theirs = NEURONS[name]
    found = getattr(attr, name)(net, net.encoder).attribute(inputs, 2, **how)
    expected = getattr(attr, other)(lambda a, b: (net.encoder(a) + net.encoder(b))[:, 2]).attribute(inputs, **theirs)
    for f, e in zip(found, expected, strict=True):
        assert torch.allclose(f, e, atol=1e-12)


@pytest.mark.parametrize("model", ["siamese", "chain"])
def test_neuron_conductance_of_a_layer_that_is_called_twice(model):
    """Summed over the inputs it is the layer conductance, also where later calls depend on earlier ones."""
    net, inputs = siamese() if model == "siamese" else (seeded(2, Chain), draw(3, 4, seed=1))
    layer = net.encoder if model == "siamese" else net.step
    how = {"target": 1, "n_steps": 20}
    found = attr.NeuronConductance(net, layer).attribute(inputs, 2, **how)
    of_layer = attr.LayerConductance(net, layer).attribute(inputs, **how)[:, 2]
    parts = found if isinstance(found, tuple) else (found,)
    assert torch.allclose(sum(p.sum(1) for p in parts), of_layer, atol=1e-12)


def test_lists_of_layers_with_several_calls():
    net, inputs = siamese()
    found = attr.LayerActivation(net, [net.encoder, net.out]).attribute(inputs)
    assert isinstance(found[0], list)
    assert torch.is_tensor(found[1])
    gradient = attr.LayerGradientXActivation(net, [net.encoder, net.out]).attribute(inputs, target=1)
    alone = [attr.LayerGradientXActivation(net, m).attribute(inputs, target=1) for m in (net.encoder, net.out)]
    for f, a in zip(gradient, alone, strict=True):
        assert torch.allclose(f, a, atol=1e-14)
