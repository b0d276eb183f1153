"""Each layer method is its method on the rest of the model; each neuron method is its method on the neuron."""

import pytest
import torch
from torch import nn

from pellucid import attr
from pellucid._core.path import RandomLine
from pellucid._core.random import draw_seeds
from tests.layers.models import ConvNet, Mixed, Net, Residual, Structured, Tokens, draw, seeded
from tests.reference.layers import conductance, grad_cam, internal_influence, neuron_conductance

pytestmark = [
    pytest.mark.filterwarnings("ignore::pellucid.errors.SamplingWarning"),
    pytest.mark.filterwarnings("ignore::pellucid.errors.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::pellucid.errors.UnusedInputWarning"),
]


class Parts:
    """A model with one of its layers, and the same by hand: ``before(x) -> z`` and ``after(z, x) -> output``."""

    def __init__(self, model, layer, before, after, inputs, baselines, arguments=None):
        self.model, self.layer, self.before, self.after = model, layer, before, after
        self.inputs, self.baselines, self.arguments = inputs, baselines, arguments

    @property
    def extra(self):
        return {} if self.arguments is None else {"additional_forward_args": self.arguments}


def dense():
    net = seeded(1, Net)
    return Parts(
        net,
        net.act1,
        lambda x: net.act1(net.one(x)),
        lambda z, x: net.three(net.act2(net.two(z))),
        draw(3, 5, seed=1),
        draw(3, 5, seed=2),
    )


def skipping():
    """A layer with a connection around it."""
    net = seeded(2, Residual)

    def after(z, x):
        return net.out(torch.sin(net.stem(x)) + net.act(z)) ** 2

    return Parts(
        net, net.inner, lambda x: net.inner(torch.sin(net.stem(x))), after, draw(3, 5, seed=1), draw(3, 5, seed=2)
    )


def images(activation=nn.ReLU):
    net = seeded(3, lambda: ConvNet(activation))
    return Parts(
        net,
        net.conv2,
        lambda x: net.conv2(net.pool(net.act1(net.conv1(x)))),
        lambda z, x: net.head(net.flat(net.act2(z))),
        draw(2, 2, 6, 6, seed=1),
        draw(1, 2, 6, 6, seed=2),
    )


def two_inputs():
    """A layer that only one input reaches, and additional arguments."""
    net = seeded(4, Mixed)
    scale = draw(3, seed=5)

    def after(z, a, b, scale=scale, power=2):
        hidden = torch.tanh(z) * torch.sigmoid(net.right(b))
        return net.out(torch.tanh(net.join(hidden)) * scale[:, None]) ** power

    return Parts(
        net,
        net.left,
        lambda a, b: net.left(a),
        after,
        (draw(3, 4, seed=1), draw(3, 3, seed=2)),
        (draw(3, 4, seed=3), draw(3, 3, seed=4)),
        (scale, 2),
    )


def tokens():
    net = seeded(5, Tokens)

    def before(x):
        return net.encoder.layers[0](torch.tanh(net.embed(x)))

    return Parts(
        net,
        net.encoder.layers[0],
        before,
        lambda z, x: net.head(net.norm(net.encoder.layers[1](z)).mean(1)),
        draw(2, 3, 3, seed=1),
        draw(2, 3, 3, seed=2),
    )


MODELS = {"dense": dense, "skipping": skipping, "images": images, "two inputs": two_inputs, "tokens": tokens}
every_model = pytest.mark.parametrize("parts", MODELS.values(), ids=MODELS.keys())


def on_the_rest(parts, inputs=None):
    """The rest of the model with everything else held, and the layer's value at the inputs."""
    inputs = parts.inputs if inputs is None else inputs
    held = inputs if isinstance(inputs, tuple) else (inputs,)
    with torch.no_grad():
        z = parts.before(*held)
    return parts.after, z, (*held, *(parts.arguments or ()))


def at_baselines(parts):
    rows = len(parts.inputs[0] if isinstance(parts.inputs, tuple) else parts.inputs)
    base = parts.baselines if isinstance(parts.baselines, tuple) else (parts.baselines,)
    with torch.no_grad():
        return parts.before(*(b.expand(rows, *b.shape[1:]) for b in base))


def same(a, b, tolerance=1e-12):
    return a.shape == b.shape and torch.allclose(a, b, rtol=tolerance, atol=tolerance)


@every_model
def test_activation_and_gradient(parts):
    parts = parts()
    rest, z, held = on_the_rest(parts)
    assert same(attr.LayerActivation(parts.model, parts.layer).attribute(parts.inputs, **parts.extra), z)
    found = attr.LayerGradientXActivation(parts.model, parts.layer).attribute(parts.inputs, target=1, **parts.extra)
    assert same(found, attr.InputXGradient(rest).attribute(z, target=1, additional_forward_args=held))


@every_model
@pytest.mark.parametrize("options", [{}, {"n_steps": 7, "method": "riemann_left"}, {"n_steps": "auto"}])
@pytest.mark.parametrize("multiply", [True, False])
def test_integrated_gradients(parts, options, multiply):
    parts = parts()
    rest, z, held = on_the_rest(parts)
    found, delta = attr.LayerIntegratedGradients(parts.model, parts.layer, multiply_by_inputs=multiply).attribute(
        parts.inputs, parts.baselines, 1, return_convergence_delta=True, **options, **parts.extra
    )
    expected, error = attr.IntegratedGradients(rest, multiply).attribute(
        z, at_baselines(parts), 1, additional_forward_args=held, return_convergence_delta=True, **options
    )
    assert same(found, expected)
    assert same(delta, error)


@every_model
def test_deep_lift(parts):
    parts = parts()
    rest, z, held = on_the_rest(parts)
    for rule in ("rescale", "reveal_cancel"):
        found, delta = attr.LayerDeepLift(parts.model, parts.layer).attribute(
            parts.inputs, parts.baselines, 1, return_convergence_delta=True, rule=rule, **parts.extra
        )
        expected = attr.DeepLift(rest).attribute(z, at_baselines(parts), 1, additional_forward_args=held, rule=rule)
        assert same(found, expected, 1e-11)
        assert delta.abs().max() < 1e-10


@every_model
def test_deep_lift_shap(parts):
    """The mean over references, each of which is one row for all examples."""
    parts = parts()
    rest, z, held = on_the_rest(parts)
    single = not isinstance(parts.inputs, tuple)
    given = (parts.inputs,) if single else parts.inputs
    rows = tuple(draw(3, *v.shape[1:], seed=30 + i) for i, v in enumerate(given))
    found = attr.LayerDeepLiftShap(parts.model, parts.layer).attribute(
        parts.inputs, rows[0] if single else rows, 1, **parts.extra
    )
    expected = []
    for j in range(3):
        with torch.no_grad():
            reference = parts.before(*(r[j : j + 1].expand_as(v) for r, v in zip(rows, given, strict=True)))
        expected.append(attr.DeepLift(rest).attribute(z, reference, 1, additional_forward_args=held))
    assert same(found, torch.stack(expected).mean(0), 1e-11)


@every_model
def test_gradient_shap(parts):
    """Equal draws: each sample is one gradient on the line between the layer's values at its ends."""
    parts = parts()
    rest, z, held = on_the_rest(parts)
    single = not isinstance(parts.inputs, tuple)
    given = (parts.inputs,) if single else parts.inputs
    rows = tuple(draw(4, *v.shape[1:], seed=20 + i) for i, v in enumerate(given))
    for stdevs in (0.0, 0.3):
        found, delta = attr.LayerGradientShap(parts.model, parts.layer).attribute(
            parts.inputs,
            rows[0] if single else rows,
            n_samples=3,
            stdevs=stdevs,
            target=1,
            seed=5,
            return_convergence_delta=True,
            **parts.extra,
        )
        path = RandomLine(given, rows, (stdevs,) * len(given), tuple(draw_seeds(3, None, 5)))
        values, errors = [], []
        for k in range(3):
            ends, starts, positions = path.ends(k, torch.arange(len(z)))
            with torch.no_grad():
                end, start = parts.before(*ends), parts.before(*starts)
                change = (rest(end, *held) - rest(start, *held))[:, 1]
            at = positions.reshape(-1, *(1,) * (z.dim() - 1))
            point = (start + at * (end - start)).requires_grad_()
            (g,) = torch.autograd.grad(rest(point, *held)[:, 1].sum(), point)
            values.append(g * (end - start))
            errors.append(values[-1].flatten(1).sum(1) - change)
        assert same(found, torch.stack(values).mean(0))
        assert same(delta, torch.stack(errors, 1).flatten())


@every_model
def test_relevance(parts):
    parts = parts()
    rest, z, held = on_the_rest(parts)
    found, delta = attr.LayerLRP(parts.model, parts.layer).attribute(
        parts.inputs, 1, return_convergence_delta=True, **parts.extra
    )
    expected, error = attr.LRP(rest).attribute(z, 1, additional_forward_args=held, return_convergence_delta=True)
    assert same(found, expected, 1e-9)
    assert same(delta, error, 1e-9)


def one(parts, i):
    """Example i as tuples of a batch of one: inputs and baselines."""
    given = parts.inputs if isinstance(parts.inputs, tuple) else (parts.inputs,)
    base = parts.baselines if isinstance(parts.baselines, tuple) else (parts.baselines,)
    return tuple(v[i : i + 1] for v in given), tuple(b[i : i + 1] if len(b) > 1 else b for b in base)


@pytest.mark.parametrize("name", ["dense", "skipping", "images", "tokens"])
def test_conductance_and_influence(name):
    parts = images(nn.Softplus) if name == "images" else MODELS[name]()
    how = {"inputs": parts.inputs, "baselines": parts.baselines, "target": 1, "n_steps": 60}
    conducted = attr.LayerConductance(parts.model, parts.layer).attribute(**how)
    influence = attr.InternalInfluence(parts.model, parts.layer).attribute(**how)
    tolerance = 1e-6 if name == "tokens" else 1e-8  # what the reference's coarse rule leaves
    for i in range(len(parts.inputs)):
        x, base = one(parts, i)
        reference = conductance(parts.before, parts.after, x, base, lambda o: o[0, 1])
        assert torch.allclose(conducted[i], reference[0], atol=tolerance, rtol=0)
        reference = internal_influence(parts.before, parts.after, x, base, lambda o: o[0, 1])
        assert torch.allclose(influence[i], reference[0], atol=10 * tolerance, rtol=0)


def test_conductance_of_two_inputs():
    parts = two_inputs()
    how = {"inputs": parts.inputs, "baselines": parts.baselines, "target": 1, "n_steps": 80, **parts.extra}
    conducted = attr.LayerConductance(parts.model, parts.layer).attribute(**how)
    for i in range(3):
        x, base = one(parts, i)

        def after(z, a, b, s=parts.arguments[0][i : i + 1]):
            return parts.after(z, a, b, s)

        reference = conductance(parts.before, after, x, base, lambda o: o[0, 1])
        assert torch.allclose(conducted[i], reference[0], atol=1e-8, rtol=0)


@pytest.mark.parametrize(
    ("name", "selector", "flat"),
    [
        ("dense", 2, [2]),
        ("dense", (slice(1, 4),), [1, 2, 3]),
        ("skipping", (0,), [0]),
        ("tokens", (1, 3), [11]),
        ("tokens", (slice(None), 3), [3, 11, 19]),
    ],
)
def test_neuron_conductance(name, selector, flat):
    """A slice is the sum of its neurons, each with its own gradient; Captum multiplies sums."""
    parts = MODELS[name]()
    how = {"inputs": parts.inputs, "baselines": parts.baselines, "target": 1, "n_steps": 60}
    found = attr.NeuronConductance(parts.model, parts.layer).attribute(
        **how, neuron_selector=selector, method="gausslegendre"
    )
    of_layer = attr.LayerConductance(parts.model, parts.layer).attribute(**how)
    for i in range(1 if name == "tokens" else 3):
        x, base = one(parts, i)
        (reference,) = neuron_conductance(parts.before, parts.after, x, base, lambda o: o[0, 1], flat)
        assert torch.allclose(found[i], reference[0], atol=1e-8, rtol=0)
    summed = of_layer.flatten(1)[:, flat].sum(1)
    assert torch.allclose(found.flatten(1).sum(1), summed, atol=1e-9, rtol=0)


def test_neuron_conductance_of_a_function_uses_its_derivative():
    """``s_j = dn/dz_j``: for n = z_0 ** 2 that is twice the activation times the conductance along the way."""
    net = seeded(1, Net)
    x, base = draw(1, 5, seed=1), draw(1, 5, seed=2)
    how = {"baselines": base, "target": 1, "n_steps": 60, "method": "gausslegendre"}
    found = attr.NeuronConductance(net, net.act1).attribute(x, lambda z: z[:, 0] ** 2, **how)
    expected = torch.zeros_like(x)
    nodes, weights = torch.tensor([-((3 / 5) ** 0.5), 0.0, (3 / 5) ** 0.5]), torch.tensor([5.0, 8.0, 5.0]) / 18
    for k in range(60):
        for t, w in zip(nodes.tolist(), weights.tolist(), strict=True):
            point = (base + (k + 0.5 + t / 2) / 60 * (x - base)).requires_grad_()
            z = net.act1(net.one(point))
            leaf = z.detach().requires_grad_()
            (g,) = torch.autograd.grad(net.three(net.act2(net.two(leaf)))[0, 1], leaf)
            (dz,) = torch.autograd.grad(z[0, 0], point)
            expected += w / 60 * g[0, 0] * 2 * leaf[0, 0] * dz * (x - base)
    assert torch.allclose(found, expected.detach(), atol=1e-7)


@pytest.mark.parametrize("options", [{}, {"relu_attributions": True}, {"attr_dim_summation": False}])
def test_grad_cam(options):
    parts = images()
    found = attr.LayerGradCam(parts.model, parts.layer).attribute(parts.inputs, 1, **options)
    for i in range(2):
        x, _ = one(parts, i)
        relu, summed = options.get("relu_attributions", False), options.get("attr_dim_summation", True)
        assert same(found[i : i + 1], grad_cam(parts.before, parts.after, x, lambda o: o[0, 1], relu, summed), 1e-11)


def test_guided_grad_cam():
    parts = images()
    found = attr.GuidedGradCam(parts.model, parts.layer).attribute(parts.inputs, 1)
    cam = attr.LayerGradCam(parts.model, parts.layer).attribute(parts.inputs, 1, relu_attributions=True)
    map_of_inputs = cam.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert same(found, map_of_inputs * attr.GuidedBackprop(parts.model).attribute(parts.inputs, 1))


# -- neurons


def neuron_of(parts, select):
    def run(*inputs):
        return select(parts.before(*inputs))

    return run


SELECTORS = {
    "int": (2, lambda z: z[:, 2], ["dense", "skipping", "two inputs"]),
    "negative": (-1, lambda z: z[:, -1], ["dense"]),
    "tuple": ((1, 2), lambda z: z[:, 1, 2], ["tokens"]),
    "slice": ((slice(0, 3, 2),), lambda z: z[:, 0] + z[:, 2], ["dense", "two inputs"]),
    "mixed": ((slice(1, None), 0, slice(0, 2)), lambda z: z[:, 1:, 0, :2].sum((1, 2)), ["images"]),
    "function": (lambda z: z.flatten(1)[:, 0] * z.flatten(1)[:, 1].exp(), None, ["dense", "images", "tokens"]),
}
QUESTIONS = [(model, kind) for kind, (_, _, models) in SELECTORS.items() for model in models]
METHODS = {
    "NeuronGradient": ("Saliency", {}, {"abs": False}, {}),
    "NeuronIntegratedGradients": ("IntegratedGradients", {"n_steps": 9}, {"n_steps": 9}, {"base": 1}),
    "NeuronDeepLift": ("DeepLift", {}, {}, {"base": 1}),
    "NeuronDeepLiftShap": ("DeepLiftShap", {}, {}, {"rows": 3}),
    "NeuronGradientShap": ("GradientShap", {"seed": 3, "stdevs": 0.2}, {"seed": 3, "stdevs": 0.2}, {"rows": 3}),
    "NeuronGuidedBackprop": ("GuidedBackprop", {}, {}, {}),
    "NeuronDeconvolution": ("Deconvolution", {}, {}, {}),
}


@pytest.mark.parametrize(("model", "kind"), QUESTIONS)
@pytest.mark.parametrize("name", METHODS)
def test_neurons(name, model, kind):
    parts = MODELS[model]()
    if ("Guided" in name or "Deconvolution" in name) and model != "images":
        pytest.skip("there is no rectifier before the layer")
    selector, select, _ = SELECTORS[kind]
    other, theirs, ours, needs = METHODS[name]
    given = {}
    if "base" in needs:
        given["baselines"] = parts.baselines
    if "rows" in needs:
        single = not isinstance(parts.inputs, tuple)
        each = (parts.inputs,) if single else parts.inputs
        rows = tuple(draw(needs["rows"], *v.shape[1:], seed=40 + i) for i, v in enumerate(each))
        given["baselines"] = rows[0] if single else rows
    found = getattr(attr, name)(parts.model, parts.layer).attribute(
        parts.inputs, selector, **given, **theirs, **parts.extra
    )
    expected = getattr(attr, other)(neuron_of(parts, select or selector)).attribute(parts.inputs, **given, **ours)
    pairs = zip(found, expected, strict=True) if isinstance(found, tuple) else [(found, expected)]
    for f, e in pairs:
        assert same(f, e, 1e-11)
        assert f.any() or model == "two inputs"


@pytest.mark.parametrize("name", ["tuple", "dict", "dataclass", "with None", "nested"])
def test_structured_layers_as_values_of_the_rest(name):
    net = seeded(7, lambda: Structured(name))
    x, base = draw(3, 5, seed=1), draw(3, 5, seed=2)
    with torch.no_grad():
        z, start = (torch.tanh(net.packs.inner(torch.sin(v))).split([2, 4], 1) for v in (x, base))
    for layer_method, method in (
        (attr.LayerIntegratedGradients, attr.IntegratedGradients),
        (attr.LayerDeepLift, attr.DeepLift),
    ):
        found = layer_method(net, net.packs).attribute(x, base, target=1)
        values = tuple(found.values()) if isinstance(found, dict) else found
        expected = method(net.rest).attribute(tuple(z), tuple(start), target=1)
        for f, e in zip(values, expected, strict=True):
            assert same(f, e, 1e-11)


class Masked(nn.Module):
    """Attention under a mask that the caller gives."""

    def __init__(self) -> None:
        super().__init__()
        self.project, self.site = nn.Linear(4, 4).double(), nn.Identity()

    def forward(self, x, mask):
        keys = torch.tanh(self.project(x))
        attended = nn.functional.scaled_dot_product_attention(keys, keys, x, mask)
        return (self.site(attended) ** 2).sum((1, 2))


def test_conductance_reads_boolean_masks_as_attention_does():
    torch.manual_seed(0)
    model = Masked()
    x, start = torch.randn(2, 3, 5, 4, dtype=torch.float64)
    mask = torch.rand(3, 5, 5) > 0.4
    mask[0, 2] = False  # nothing to see: attention gives zeros
    method = attr.LayerConductance(model, model.site)
    found, delta = method.attribute(
        x, start, additional_forward_args=(mask,), n_steps=200, return_convergence_delta=True
    )
    change = model(x, mask) - model(start, mask)
    assert torch.allclose(found.sum((1, 2)), change, atol=1e-10)
    assert delta.abs().max() < 1e-10
    numbers = torch.zeros(mask.shape, dtype=torch.float64).masked_fill(~mask, -1e300)  # the same mask, added
    seen = method.attribute(x, start, additional_forward_args=(numbers,), n_steps=200)
    assert torch.allclose(seen[1:], found[1:], atol=1e-12)
