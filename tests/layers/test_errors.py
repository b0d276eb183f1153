"""Bad layers and neurons: each gets a message that names the argument, says what was given and what to pass."""

import pytest
import torch
from torch import nn

from pellucid import attr
from pellucid.errors import InvalidTypeError, InvalidValueError, UnsupportedModelError, UnusedInputWarning
from tests.layers.models import ConvNet, Siamese, Tokens, TupleNet, draw, seeded

pytestmark = [
    pytest.mark.filterwarnings("ignore::pellucid.errors.SamplingWarning"),
    pytest.mark.filterwarnings("ignore::pellucid.errors.ConvergenceWarning"),
]

METHODS = {
    "LayerActivation": {},
    "LayerGradientXActivation": {"target": 1},
    "LayerIntegratedGradients": {"target": 1, "n_steps": 3},
    "LayerConductance": {"target": 1, "n_steps": 3},
    "InternalInfluence": {"target": 1, "n_steps": 3},
    "LayerGradCam": {"target": 1},
    "LayerDeepLift": {"target": 1},
    "LayerDeepLiftShap": {"target": 1, "baselines": 0.2},
    "LayerGradientShap": {"target": 1, "baselines": 0.2},
    "LayerLRP": {"target": 1},
    "NeuronGradient": {"neuron_selector": 1},
    "NeuronIntegratedGradients": {"neuron_selector": 1, "n_steps": 3},
    "NeuronConductance": {"neuron_selector": 1, "target": 1, "n_steps": 3},
    "NeuronDeepLift": {"neuron_selector": 1},
    "NeuronDeepLiftShap": {"neuron_selector": 1, "baselines": 0.2},
    "NeuronGradientShap": {"neuron_selector": 1, "baselines": 0.2},
    "NeuronGuidedBackprop": {"neuron_selector": 1},
    "NeuronDeconvolution": {"neuron_selector": 1},
}
every = pytest.mark.parametrize("name", METHODS)
layers_only = pytest.mark.parametrize("name", [m for m in METHODS if m.startswith(("Layer", "Internal"))])
neurons_only = pytest.mark.parametrize("name", [m for m in METHODS if m.startswith("Neuron")])


class Partial(nn.Module):
    """One layer is never called, one gives integers, one has no influence."""

    def __init__(self):
        super().__init__()
        self.used, self.never, self.vain = nn.Linear(5, 4), nn.Linear(5, 4), nn.ReLU()
        self.buckets, self.out = Buckets(), nn.Linear(4, 3)

    def forward(self, x):
        z = torch.relu(self.used(x))
        self.vain(x)
        return self.out(z * (1 + self.buckets(x)))


class Buckets(nn.Module):
    def forward(self, x):
        return (x[:, :1] > 0).long()


@pytest.fixture
def net():
    return seeded(1, Partial)


@pytest.fixture
def x():
    return draw(3, 5, seed=1)


@every
def test_a_layer_that_is_never_called(name, net, x):
    with pytest.raises(InvalidValueError, match=r"layer is layer 'never', but it is never called"):
        getattr(attr, name)(net, net.never).attribute(x, **METHODS[name])
    with pytest.raises(InvalidValueError, match=r"layer is a Linear outside the model, but it is never called"):
        getattr(attr, name)(net, nn.Linear(5, 4)).attribute(x, **METHODS[name])


@every
def test_a_layer_of_integers(name, net, x):
    with pytest.raises(InvalidTypeError, match=r"layer 'buckets', whose output holds no floating-point.*embedding"):
        getattr(attr, name)(net, net.buckets).attribute(x, **METHODS[name])


@every
@pytest.mark.parametrize("layer", ["no such name", None, 3, lambda v: v])
def test_no_module(name, layer, net):
    with pytest.raises((InvalidTypeError, InvalidValueError), match=r"^layer"):
        getattr(attr, name)(net, layer)


@every
def test_lists_of_layers(name, net, x):
    cls = getattr(attr, name)
    if name in {"LayerActivation", "LayerGradientXActivation", "LayerIntegratedGradients", "LayerLRP"}:
        with pytest.raises(InvalidValueError, match="empty list"):
            cls(net, [])
        with pytest.raises(InvalidValueError, match="twice"):
            cls(net, [net.used, net.used])
        with pytest.raises(InvalidTypeError, match="layer"):
            cls(net, [net.used, 3])
        return
    with pytest.raises(InvalidTypeError, match=rf"layer is a list.*{name} takes one layer"):
        cls(net, [net.used, net.out])


@layers_only
def test_unknown_calls(name, net, x):
    with pytest.raises(InvalidValueError, match=r"calls is 'last'.*sum or each"):
        getattr(attr, name)(net, net.used).attribute(x, calls="last", **METHODS[name])


@pytest.mark.parametrize("name", ["LayerGradientXActivation", "LayerIntegratedGradients", "LayerDeepLift"])
def test_layers_without_influence(name, net, x):
    explain = getattr(attr, name)(net, net.vain).attribute
    with pytest.warns(UnusedInputWarning, match="layer 'vain' has no influence"):
        found = explain(x, **METHODS[name])
    assert torch.equal(found, torch.zeros(3, 5).double())
    with pytest.raises(InvalidValueError, match="allow_unused"):
        explain(x, **METHODS[name], grad_kwargs={"allow_unused": False})


WITH_KWARGS = [
    "LayerGradientXActivation",
    "LayerIntegratedGradients",
    "LayerConductance",
    "InternalInfluence",
    "LayerGradCam",
    "LayerDeepLift",
    "LayerDeepLiftShap",
    "LayerGradientShap",
    "NeuronConductance",
]


@pytest.mark.parametrize("name", WITH_KWARGS)
def test_grad_kwargs(name, net, x):
    explain = getattr(attr, name)(net, net.used).attribute
    with pytest.raises(InvalidTypeError, match=r"grad_kwargs is a dictionary with 'inputs'.*retain_graph"):
        explain(x, **METHODS[name], grad_kwargs={"inputs": 1})
    with pytest.raises(InvalidTypeError, match="grad_kwargs is a list"):
        explain(x, **METHODS[name], grad_kwargs=[("retain_graph", True)])
    more = {"seed": 1} if name == "LayerGradientShap" else {}
    expected = explain(x, **METHODS[name], **more)
    for options in ({}, {"retain_graph": True}, {"allow_unused": False}, {"materialize_grads": True}):
        assert torch.allclose(explain(x, **METHODS[name], grad_kwargs=options, **more), expected)


@pytest.mark.parametrize("name", ["LayerConductance", "InternalInfluence", "LayerGradCam", "LayerDeepLiftShap"])
@pytest.mark.filterwarnings("ignore::pellucid.errors.UnusedInputWarning")
def test_unused_layers_are_an_error_if_asked(name, net, x):
    explain = getattr(attr, name)(net, net.vain).attribute
    assert not explain(x, **METHODS[name]).any()
    with pytest.raises(InvalidValueError, match="allow_unused"):
        explain(x, **METHODS[name], grad_kwargs={"allow_unused": False})


@neurons_only
@pytest.mark.parametrize(
    ("selector", "error", "words"),
    [
        (4, InvalidValueError, r"neuron_selector is 4.*size 4"),
        (-5, InvalidValueError, "neuron_selector is -5"),
        ((1, 2), InvalidValueError, r"neuron_selector is \(1, 2\).*2 dimension"),
        ((), InvalidValueError, "empty tuple"),
        (1.5, InvalidTypeError, "neuron_selector is a float"),
        (True, InvalidTypeError, "neuron_selector is True"),
        ("first", InvalidTypeError, "neuron_selector is a str"),
        ((1.0,), InvalidTypeError, "neuron_selector is a float"),
        (lambda z: z, InvalidValueError, r"shape \(.*, 4\).*one value for each"),
        (lambda z: z.sum(), InvalidValueError, r"shape \(\)"),
        (lambda z: 3.0, InvalidTypeError, "returned a float"),
        (lambda z: z.detach()[:, 0].abs().to(torch.uint16), InvalidTypeError, "neuron_selector.*uint16"),
    ],
)
def test_selectors(name, selector, error, words, net, x):
    how = {**METHODS[name], "neuron_selector": selector}
    with pytest.raises(error, match=words):
        getattr(attr, name)(net, net.used).attribute(x, **how)


def test_indices_into_layers_of_several_tensors():
    net, x = seeded(2, TupleNet), draw(3, 5)
    with pytest.raises(InvalidValueError, match=r"neuron_selector.*several tensors.*lambda values"):
        attr.NeuronGradient(net, net.split).attribute(x, 1)


def test_neurons_of_layers_without_examples(x):
    hold = nn.Identity()
    with pytest.raises(InvalidValueError, match="neuron_selector"):
        attr.NeuronGradient(lambda v: hold(v.mean(0)).sum() * v, hold).attribute(x, 1)


@pytest.mark.parametrize("name", ["NeuronDeepLiftShap", "NeuronGradientShap", "LayerDeepLiftShap", "LayerGradientShap"])
def test_distributions_are_needed(name, net, x):
    how = {**METHODS[name], "baselines": None}
    with pytest.raises(InvalidValueError, match=r"baselines.*distribution"):
        getattr(attr, name)(net, net.used).attribute(x, **how)


# -- Grad-CAM


def test_layouts_by_kind_of_layer():
    """Convolutions have channels first, layers of tokens have them last."""
    net, x = seeded(3, ConvNet), draw(2, 2, 6, 6)
    for layer in (net.conv1, net.pool, net.conv2):
        found = attr.LayerGradCam(net, layer).attribute(x, 1)
        assert torch.equal(found, attr.LayerGradCam(net, layer).attribute(x, 1, layout="channels_first"))
    tokens, sequence = seeded(4, Tokens), draw(2, 4, 3)
    for layer in (tokens.embed, tokens.norm, tokens.encoder.layers[0], tokens.encoder.layers[0].linear1):
        found = attr.LayerGradCam(tokens, layer).attribute(sequence, 1)
        assert found.shape == (2, 1, 4)
        assert torch.equal(found, attr.LayerGradCam(tokens, layer).attribute(sequence, 1, layout="channels_last"))


def test_tokens_take_the_right_axes():
    net, x = seeded(4, Tokens), draw(2, 4, 3)
    found = attr.LayerGradCam(net, net.norm).attribute(x, 1)
    z = attr.LayerActivation(net, net.norm).attribute(x).requires_grad_()
    (g,) = torch.autograd.grad(net.head(z.mean(1))[:, 1].sum(), z)
    expected = (g.mean(1, keepdim=True) * z).sum(2)[:, None]
    assert torch.allclose(found, expected.detach(), atol=1e-14)
    apart = attr.LayerGradCam(net, net.norm).attribute(x, 1, attr_dim_summation=False)
    assert apart.shape == (2, 8, 4)
    assert torch.allclose(apart.sum(1, keepdim=True), found)


class Held(nn.Module):
    def __init__(self, *inside):
        super().__init__()
        self.inside = nn.ModuleList(inside)

    def forward(self, x):
        return x


@pytest.mark.parametrize("layer", [nn.Identity(), nn.Tanh(), Held(nn.Conv1d(3, 3, 1), nn.LayerNorm(4))])
def test_ambiguous_layouts_are_refused(layer):
    x = draw(2, 3, 4).abs()
    run = lambda v: layer(v).square().sum((1, 2))  # noqa: E731
    with pytest.raises(InvalidValueError, match=r"layout is None.*dimension 1 or in dimension 2.*channels_last"):
        attr.LayerGradCam(run, layer).attribute(x)
    first = attr.LayerGradCam(run, layer).attribute(x, layout="channels_first")
    last = attr.LayerGradCam(run, layer).attribute(x, layout="channels_last")
    assert (first.shape, last.shape) == ((2, 1, 4), (2, 1, 3))
    with pytest.raises(InvalidValueError, match=r"layout is 'tokens'.*channels_first or channels_last"):
        attr.LayerGradCam(run, layer).attribute(x, layout="tokens")


def test_layers_without_channels(x):
    hold = nn.Identity()
    with pytest.raises(InvalidValueError, match="has no channels"):
        attr.LayerGradCam(lambda v: hold(v.sum(1)) ** 2, hold).attribute(x)


def test_guided_grad_cam_with_maps_that_do_not_fit():
    """Captum gives an empty tensor there."""
    net, x = seeded(3, ConvNet), draw(2, 2, 6, 6)
    with pytest.raises(InvalidValueError, match=r"layer is one whose map has shape \(2, 1\)"):
        attr.GuidedGradCam(net, net.flat).attribute(x, 1)
    with pytest.raises(InvalidValueError, match="interpolate_mode is 'cubic'"):
        attr.GuidedGradCam(net, net.conv2).attribute(x, 1, interpolate_mode="cubic")
    smooth = seeded(3, lambda: ConvNet(nn.Identity))
    with pytest.raises(UnsupportedModelError, match="rectifier"):
        attr.GuidedGradCam(smooth, smooth.conv2).attribute(x, 1)
    with pytest.raises(InvalidValueError, match="map has shape"):
        attr.GuidedGradCam(lambda a, b: net(a) * b.relu().sum(), net.conv2).attribute((x, x[:, 0, 0]), 1)


def test_baselines_that_take_another_course():
    """Other tensors flow at the layer for the baselines than for the inputs."""
    hold = nn.Identity()

    def run(v):
        return (hold(v) if float(v.sum()) > 0 else hold(v[:, :2])).sum(1)

    with pytest.raises(UnsupportedModelError, match="takes another course"):
        attr.LayerIntegratedGradients(run, hold).attribute(draw(2, 4).abs(), -1.0)


@pytest.mark.filterwarnings("ignore::pellucid.errors.UnusedInputWarning")
@pytest.mark.filterwarnings("ignore::pellucid.errors.ExpansionWarning")
@pytest.mark.parametrize("method", ["LayerIntegratedGradients", "LayerGradientShap"])
def test_models_whose_course_depends_on_the_layer(method):
    """The layer is called once more where its value is large, as it is at both ends but not between them."""
    hold = nn.Identity()

    def run(v):
        z = hold(v)
        return (hold(z) if float(z.detach().abs().min()) > 1 else z).sum(1)

    x = torch.full((2, 4), 2.0).double()
    with pytest.raises(UnsupportedModelError, match="another number of times"):
        getattr(attr, method)(run, hold).attribute(x, -x, **({"seed": 1} if "Shap" in method else {}))


def test_siamese_selectors():
    net = seeded(5, Siamese)
    with pytest.raises(InvalidValueError, match="neuron_selector is 9"):
        attr.NeuronGradient(net, net.encoder).attribute((draw(3, 4), draw(3, 4)), 9)
