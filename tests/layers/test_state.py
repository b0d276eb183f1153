"""Nothing is left behind by layer and neuron methods, and threads do not meet."""

import contextlib
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from pellucid import attr
from pellucid.testing import PlantedError, changed, fingerprint
from pellucid.testing import Watched as Fails
from tests.layers.models import ConvNet, draw, seeded
from tests.models import DOUBLE, quiet_if

pytestmark = [
    pytest.mark.filterwarnings("ignore::pellucid.errors.SamplingWarning"),
    pytest.mark.filterwarnings("ignore::pellucid.errors.ConvergenceWarning"),
]

LAYER = {
    "LayerActivation": {},
    "LayerGradientXActivation": {"target": 0},
    "LayerIntegratedGradients": {"target": 0, "n_steps": 5, "internal_batch_size": 7},
    "LayerConductance": {"target": 0, "n_steps": 5, "internal_batch_size": 7},
    "InternalInfluence": {"target": 0, "n_steps": 5, "internal_batch_size": 7},
    "LayerGradCam": {"target": 0},
    "LayerDeepLift": {"target": 0},
    "LayerDeepLiftShap": {"target": 0, "baselines": 0.2},
    "LayerGradientShap": {"target": 0, "baselines": 0.2, "seed": 1},
    "LayerLRP": {"target": 0},
}
NEURON = {
    "NeuronGradient": {},
    "NeuronIntegratedGradients": {"n_steps": 5, "internal_batch_size": 7},
    "NeuronConductance": {"target": 0, "n_steps": 5, "internal_batch_size": 7},
    "NeuronDeepLift": {},
    "NeuronDeepLiftShap": {"baselines": 0.2},
    "NeuronGradientShap": {"baselines": 0.2, "seed": 1},
    "NeuronGuidedBackprop": {},
    "NeuronDeconvolution": {},
}


def question(name, model, x, scale):
    """A call at a layer inside the model, which fails on demand."""
    if name in LAYER:
        return lambda: getattr(attr, name)(model, model.norm).attribute(x, additional_forward_args=scale, **LAYER[name])
    return lambda: getattr(attr, name)(model, model.last).attribute(
        x, neuron_selector=1, additional_forward_args=scale, **NEURON[name]
    )


@pytest.mark.parametrize("name", [*LAYER, *NEURON])
@pytest.mark.parametrize("training", [False, True])
def test_after_a_call_and_after_a_failure_at_every_evaluation(name, training):
    model = Fails().train(training)
    x = torch.randn(3, 4, dtype=DOUBLE, requires_grad=True)
    scale = torch.ones(3, 1, dtype=DOUBLE, requires_grad=True)
    call = question(name, model, x, scale)
    before = fingerprint(model, [x, scale])
    with quiet_if(training):
        call()
    assert changed(before, fingerprint(model, [x, scale])) == []
    needed = model.evaluations
    for fail_at in range(1, min(needed, 8) + 1):
        model.evaluations, model.fail_at = 0, fail_at
        with quiet_if(training):
            if name in {"LayerIntegratedGradients", "LayerGradientShap"}:  # a full pass heals a failing replay
                with contextlib.suppress(PlantedError):
                    call()
            else:
                with pytest.raises(PlantedError, match="the model failed"):
                    call()
        assert changed(before, fingerprint(model, [x, scale])) == []


def test_forward_mode_is_left_after_a_failure():
    """One level serves the whole process; an open one would break the next conductance."""
    model = Fails().eval()
    x, scale = torch.randn(3, 4, dtype=DOUBLE), torch.ones(3, 1, dtype=DOUBLE)
    call = question("LayerConductance", model, x, scale)
    expected = call()
    model.evaluations, model.fail_at = 0, 4
    with pytest.raises(PlantedError):
        call()
    model.fail_at = None
    assert torch.equal(call(), expected)
    assert torch.autograd.forward_ad._current_level == -1


THREADS = {
    "LayerActivation": {},
    **{k: {**v, "target": 1} for k, v in LAYER.items() if k != "LayerActivation"},
}


@pytest.mark.parametrize("name", THREADS)
def test_four_threads_on_different_layers_agree_exactly(name):
    net, x = seeded(1, ConvNet), draw(3, 2, 6, 6, seed=1)
    layers = [net.conv1, net.act1, net.pool, net.conv2]
    more = {"layout": "channels_first"} if name == "LayerGradCam" else {}

    def explain(i):
        return getattr(attr, name)(net, layers[i % 4]).attribute(x, **THREADS[name], **more)

    expected = [explain(i) for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for i, found in enumerate(pool.map(explain, range(12))):
            assert torch.equal(found, expected[i % 4])
    assert not any(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules())


def test_four_threads_with_different_methods_and_neurons():
    net, x = seeded(1, ConvNet), draw(3, 2, 6, 6, seed=1)
    calls = [
        lambda: attr.LayerConductance(net, net.conv2).attribute(x, target=1, n_steps=8),
        lambda: attr.NeuronConductance(net, net.conv2).attribute(x, (1, 1, 1), target=1, n_steps=8),
        lambda: attr.NeuronDeepLift(net, net.conv2).attribute(x, (1, 1, 1)),
        lambda: attr.LayerIntegratedGradients(net, net.conv1).attribute(x, target=1, n_steps=8),
        lambda: attr.NeuronGuidedBackprop(net, net.conv2).attribute(x, (0, 2, 2)),
    ]
    expected = [call() for call in calls]
    with ThreadPoolExecutor(4) as pool:
        for i, found in enumerate(pool.map(lambda i: calls[i % 5](), range(20))):
            assert torch.equal(found, expected[i % 5])


def test_a_model_that_runs_in_another_thread_meanwhile_is_not_touched():
    """Hooks act only in the thread that placed them."""
    net, x = seeded(1, ConvNet), draw(3, 2, 6, 6, seed=1)
    expected = net(x).detach()
    stop, wrong = [], []

    def predict():
        while not stop:
            wrong.append(not torch.equal(net(x).detach(), expected))

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(predict)
        for _ in range(3):
            attr.LayerIntegratedGradients(net, net.conv2).attribute(x, 1.0, target=1, n_steps=10)
            attr.LayerConductance(net, net.conv2).attribute(x, 1.0, target=1, n_steps=10)
        stop.append(True)
        running.result()
    assert len(wrong) > 0
    assert not any(wrong)


@pytest.mark.parametrize("name", [*LAYER, *NEURON])
def test_results_are_the_callers_own(name):
    """Writing into a result changes neither the model nor the next result."""
    model = Fails().eval()
    x, scale = torch.randn(3, 4, dtype=DOUBLE), torch.ones(3, 1, dtype=DOUBLE)
    call = question(name, model, x, scale)
    first = call()
    kept = first.clone()
    first.fill_(7.0)
    assert torch.equal(call(), kept)
    assert not first.requires_grad


def test_gradients_that_are_wanted_again():
    """``create_graph`` gives attributions that can be differentiated by the parameters behind the layer."""
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    x = draw(3, 4, seed=1)
    found = attr.LayerGradientXActivation(net, net[0]).attribute(x, target=1, grad_kwargs={"create_graph": True})
    assert found.requires_grad
    (g,) = torch.autograd.grad(found.sum(), net[2].weight)
    z = net[0](x).detach()
    expected = torch.zeros_like(net[2].weight)
    expected[1] = (z * (1 - torch.tanh(z) ** 2)).sum(0)
    assert torch.allclose(g, expected, atol=1e-12)


def test_kept_graphs_and_materialised_zeros():
    net, x = seeded(1, ConvNet), draw(2, 2, 6, 6, seed=1)
    expected = attr.LayerGradientXActivation(net, net.conv1).attribute(x, target=1)
    for options in ({"retain_graph": True}, {"materialize_grads": True}, {"allow_unused": True}, {}):
        found = attr.LayerGradientXActivation(net, net.conv1).attribute(x, target=1, grad_kwargs=options)
        assert torch.equal(found, expected)
