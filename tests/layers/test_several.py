"""Several targets or neurons from one call equal separate calls, and share the forward pass."""

import pytest
import torch

import pellucid
from pellucid import attr
from pellucid.errors import InvalidTypeError, InvalidValueError
from tests.layers.models import ConvNet, Net, Structured, draw, seeded

pytestmark = [
    pytest.mark.filterwarnings("ignore::pellucid.errors.SamplingWarning"),
    pytest.mark.filterwarnings("ignore::pellucid.errors.ConvergenceWarning"),
]

ROWS = draw(3, 2, 6, 6, seed=9)
LAYER = {
    "LayerGradientXActivation": {},
    "LayerIntegratedGradients": {"n_steps": 6, "baselines": ROWS[:1]},
    "LayerConductance": {"n_steps": 6, "baselines": ROWS[:1]},
    "InternalInfluence": {"n_steps": 6, "baselines": ROWS[:1]},
    "LayerGradCam": {},
    "LayerDeepLift": {"baselines": ROWS[:1]},
    "LayerDeepLiftShap": {"baselines": ROWS},
    "LayerGradientShap": {"baselines": ROWS, "seed": 3},
    "LayerLRP": {},
}
NEURON = {
    "NeuronGradient": {},
    "NeuronIntegratedGradients": {"n_steps": 6, "baselines": ROWS[:1]},
    "NeuronConductance": {"n_steps": 6, "baselines": ROWS[:1], "target": 1},
    "NeuronDeepLift": {"baselines": ROWS[:1]},
    "NeuronDeepLiftShap": {"baselines": ROWS},
    "NeuronGradientShap": {"baselines": ROWS, "seed": 3},
    "NeuronGuidedBackprop": {},
    "NeuronDeconvolution": {},
}
TARGETS = [2, (0,), [1, 2], torch.tensor([0, 0]), 2]
NEURONS = [(1, 2, 0), (slice(0, 2), 1, slice(None)), lambda z: z[:, 1].amax((1, 2)), (-1, -1, -1)]


@pytest.fixture
def images():
    return draw(2, 2, 6, 6, seed=1)


@pytest.mark.parametrize("name", LAYER)
def test_targets(name, images):
    net = seeded(1, ConvNet)
    explain = getattr(attr, name)(net, net.conv2).attribute
    together = explain(images, targets=TARGETS, **LAYER[name])
    for found, target in zip(together, TARGETS, strict=True):
        assert torch.allclose(found, explain(images, target=target, **LAYER[name]), rtol=1e-12, atol=1e-14)
    single = explain(images, targets=[1], **LAYER[name])
    assert single.shape == (1, *together.shape[1:])


@pytest.mark.parametrize("name", [n for n in LAYER if getattr(attr, n)._completeness])
def test_deltas_of_several_targets(name, images):
    net = seeded(1, ConvNet)
    explain = getattr(attr, name)(net, net.conv2).attribute
    with pellucid.recording() as report:
        _, together = explain(images, targets=TARGETS, return_convergence_delta=True, **LAYER[name])
    for k, target in enumerate(TARGETS):
        with pellucid.recording() as alone:
            _, delta = explain(images, target=target, return_convergence_delta=True, **LAYER[name])
        assert torch.allclose(together[k], delta, atol=1e-12)
        if alone.bypass is not None:
            assert torch.allclose(report.bypass[k], alone.bypass, atol=1e-12)


@pytest.mark.parametrize("name", NEURON)
def test_neurons(name, images):
    net = seeded(1, ConvNet)
    explain = getattr(attr, name)(net, net.act1 if "Guided" not in name and "Deco" not in name else net.conv2).attribute
    together = explain(images, neurons=NEURONS, **NEURON[name])
    assert together.shape == (4, 2, 2, 6, 6)
    for found, neuron in zip(together, NEURONS, strict=True):
        assert torch.allclose(found, explain(images, neuron, **NEURON[name]), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("structure", ["tuple", "dict"])
def test_structured_layers(structure):
    net, x = seeded(2, lambda: Structured(structure)), draw(3, 5, seed=1)
    explain = attr.LayerIntegratedGradients(net, net.packs).attribute
    together, alone = explain(x, targets=[0, 2]), [explain(x, target=t) for t in (0, 2)]
    keys = together if structure == "dict" else range(2)
    assert type(together) is (dict if structure == "dict" else tuple)
    for key in keys:
        assert torch.allclose(together[key], torch.stack([a[key] for a in alone]), atol=1e-14)


def test_lists_of_layers_with_several_targets():
    net, x = seeded(1, Net), draw(3, 5, seed=1)
    layers = [net.act1, net.act2]
    for cls in (attr.LayerGradientXActivation, attr.LayerLRP):
        together = cls(net, layers).attribute(x, targets=[0, 1])
        assert [t.shape for t in together] == [(2, 3, 6), (2, 3, 4)]
        for found, layer in zip(together, layers, strict=True):
            alone = [cls(net, layer).attribute(x, target=t) for t in (0, 1)]
            assert torch.allclose(found, torch.stack(alone), atol=1e-14)


def test_lists_of_layers_with_deltas():
    net, x = seeded(1, Net), draw(3, 5, seed=1)
    found, deltas = attr.LayerLRP(net, [net.act1, net.act2]).attribute(x, 1, return_convergence_delta=True)
    for f, delta in zip(found, deltas, strict=True):
        assert torch.allclose(f.sum(1) + delta, net(x)[:, 1], atol=1e-12)
        assert torch.allclose(attr.LayerLRP.compute_convergence_delta(f, net(x)[:, 1]), delta, atol=1e-14)


def test_a_list_of_targets_stays_one_per_example():
    net, x = seeded(1, Net), draw(3, 5, seed=1)
    explain = attr.LayerGradientXActivation(net, net.act1).attribute
    each = explain(x, target=[0, 2, 1])
    for i, target in enumerate([0, 2, 1]):
        assert torch.allclose(each[i], explain(x, target=target)[i])


@pytest.mark.parametrize("name", NEURON)
@pytest.mark.parametrize("selector", [[0, 1], [(0, 1), (1, 0)]])
def test_a_list_of_neurons_is_refused_with_both_spellings(name, selector):
    net, x = seeded(1, Net), draw(3, 5, seed=1)
    words = r"neuron_selector is the list .*neurons=\[.*neuron_selector=\("
    more = {"baselines": 0.0} if "Shap" in name else {}
    with pytest.raises(InvalidTypeError, match=words):
        getattr(attr, name)(net, net.act1).attribute(x, selector, **more)


@pytest.mark.parametrize("name", NEURON)
def test_one_of_both(name):
    net, x = seeded(1, Net), draw(3, 5, seed=1)
    explain = getattr(attr, name)(net, net.act1).attribute
    with pytest.raises(InvalidValueError, match=r"neuron_selector is None.*one of both"):
        explain(x)
    with pytest.raises(InvalidValueError, match=r"given together with neurons"):
        explain(x, 1, neurons=[1])
    with pytest.raises(InvalidTypeError, match=r"neurons is a int"):
        explain(x, neurons=3)
    with pytest.raises(InvalidTypeError, match=r"neurons is an empty list"):
        explain(x, neurons=[])


@pytest.mark.parametrize("name", NEURON)
def test_the_older_name_of_the_selector(name):
    net, x = seeded(1, ConvNet), draw(2, 2, 6, 6, seed=1)
    explain = getattr(attr, name)(net, net.conv2).attribute
    with pytest.deprecated_call(match="neuron_index is now called neuron_selector"):
        found = explain(x, neuron_index=(1, 1, 1), **NEURON[name])
    assert torch.equal(found, explain(x, (1, 1, 1), **NEURON[name]))
    with pytest.raises(InvalidTypeError, match="neuron_index"):
        explain(x, neuron_selector=(1, 1, 1), neuron_index=(1, 1, 1), **NEURON[name])


def cost(explain, *args, **kwargs):
    with pellucid.recording() as report:
        explain(*args, **kwargs)
    return report.rows, report.calls


@pytest.mark.parametrize("name", [n for n in LAYER if n != "LayerLRP"])
def test_targets_share_the_forward_pass(name, images):
    net = seeded(1, ConvNet)
    explain = getattr(attr, name)(net, net.conv2).attribute
    assert cost(explain, images, targets=[0, 1, 2], **LAYER[name]) == cost(explain, images, target=0, **LAYER[name])


@pytest.mark.parametrize("name", NEURON)
def test_neurons_share_the_forward_pass(name, images):
    net = seeded(1, ConvNet)
    explain = getattr(attr, name)(net, net.conv2).attribute
    eight = [(i % 5, i % 3, 1) for i in range(8)]
    assert cost(explain, images, neurons=eight, **NEURON[name]) == cost(explain, images, (0, 0, 1), **NEURON[name])


def test_the_model_really_runs_as_often_as_is_counted(images):
    """Rows that the model saw, against rows that were counted."""
    net = seeded(1, ConvNet)
    seen = []
    net.conv1.register_forward_hook(lambda _, args, __: seen.append(len(args[0])))
    for name, how in NEURON.items():
        seen.clear()
        rows, calls = cost(getattr(attr, name)(net, net.conv2).attribute, images, neurons=[(0, 1, 1), (1, 1, 1)], **how)
        assert (sum(seen), len(seen)) == (rows, calls), name
