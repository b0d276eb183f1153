"""Models whose rows influence each other are explained right, and never in silence wrongly."""

import pytest
import torch
from torch import nn

import pellucid
from pellucid._core.expansion import agree, between
from pellucid._core.structure import all_finite
from pellucid._core.surrogate import LeastSquares
from pellucid.attr import (
    DeepLift,
    DeepLiftShap,
    FeatureAblation,
    FeaturePermutation,
    GradientShap,
    IntegratedGradients,
    KernelShap,
    LayerConductance,
    Lime,
    LimeBase,
    NoiseTunnel,
    Occlusion,
    OwenValues,
    Saliency,
    ShapleyValues,
    ShapleyValueSampling,
)
from pellucid.errors import ExpansionWarning
from tests.models import DOUBLE, GraphNet, mlp
from tests.reference.gradients import integrated_gradients

EDGES = torch.tensor([[0, 1, 2, 0], [1, 2, 0, 2]])


def graph_reference(model, nodes, base, target, edges):
    """Integrated gradients of the sum over nodes, the whole graph as one example."""
    (found,) = integrated_gradients(
        lambda v: model(v, edges), (nodes,), (base,), lambda out: out[:, target].sum(), n_steps=500
    )
    return found


@pytest.fixture
def graph(generator):
    nodes = torch.randn(3, 3, dtype=DOUBLE, generator=generator)
    return GraphNet(), nodes, torch.randn(3, 3, dtype=DOUBLE, generator=generator)


@pytest.mark.parametrize("mark", [lambda e: e, pellucid.shared])
@pytest.mark.parametrize("n_steps", [50, "auto"])
def test_a_graph_with_its_edges_as_additional_argument(graph, mark, n_steps):
    model, nodes, base = graph
    with pytest.warns(ExpansionWarning, match="forward pass of its own"):
        found = IntegratedGradients(model).attribute(
            nodes, base, target=1, additional_forward_args=mark(EDGES), n_steps=n_steps, tolerance=1e-4
        )
    assert torch.allclose(found, graph_reference(model, nodes, base, 1, EDGES), atol=1e-4)


@pytest.mark.parametrize("mark", [lambda e: e, pellucid.shared])
def test_as_many_nodes_as_the_edge_list_has_rows(mark, generator):
    """Two nodes: the edge list (2, E) looks like one row per example."""
    model = GraphNet()
    nodes = torch.randn(2, 3, dtype=DOUBLE, generator=generator)
    edges = torch.tensor([[0, 1, 1], [1, 0, 1]])
    base = torch.full_like(nodes, 0.3)
    with pytest.warns(ExpansionWarning):
        found = IntegratedGradients(model).attribute(nodes, base, target=0, additional_forward_args=mark(edges))
    assert torch.allclose(found, graph_reference(model, nodes, base, 0, edges), atol=1e-6)


def test_a_large_graph_is_not_cut_into_pieces(graph):
    model, nodes, base = graph
    with pytest.warns(ExpansionWarning):
        found = IntegratedGradients(model).attribute(
            nodes, base, target=1, additional_forward_args=EDGES, internal_batch_size=2
        )
    assert torch.allclose(found, graph_reference(model, nodes, base, 1, EDGES), atol=1e-6)


def test_pooled_graphs_give_one_row_per_graph(graph):
    """Three nodes in two graphs: the output has two rows."""
    model, nodes, base = graph
    member = torch.tensor([0, 0, 1])

    def pooled(v, edges, graphs):
        return torch.zeros(2, 2, dtype=DOUBLE).index_add(0, graphs, model(v, edges))

    with pytest.warns(ExpansionWarning), pellucid.recording() as report:
        found = IntegratedGradients(pooled).attribute(nodes, base, target=1, additional_forward_args=(EDGES, member))
    assert torch.allclose(found, graph_reference(model, nodes, base, 1, EDGES), atol=1e-6)
    assert report.delta.shape == (1,)
    assert abs(float(report.delta)) < 1e-8


@pytest.mark.parametrize("reduce", [torch.sum, torch.mean])
def test_one_value_per_batch(reduce, generator):
    """A loss over the batch: attributions of all examples together are complete."""
    x = torch.randn(3, 4, dtype=DOUBLE, generator=generator)
    base = torch.randn(3, 4, dtype=DOUBLE, generator=generator)

    def loss(v):
        return reduce(torch.sin(v).prod(1))

    with pytest.warns(ExpansionWarning):
        found, delta = IntegratedGradients(loss).attribute(x, base, return_convergence_delta=True)
    assert torch.allclose(found.sum(), loss(x) - loss(base), atol=1e-10)
    assert delta.shape == (1,)


def test_a_fixed_batch_size(generator):
    model, x = mlp(), torch.randn(2, 5, dtype=DOUBLE, generator=generator)

    def fixed(v):
        return model(v.view(2, 5))

    with pytest.warns(ExpansionWarning):
        found = IntegratedGradients(fixed).attribute(x, target=0)
    assert torch.allclose(found, IntegratedGradients(model).attribute(x, target=0), atol=1e-12)


def test_statistics_over_the_batch(generator):
    x = torch.randn(4, 5, dtype=DOUBLE, generator=generator)
    model = mlp()

    def centred(v):
        return model(v - v.mean(0))

    with pytest.warns(ExpansionWarning):
        found, delta = IntegratedGradients(centred).attribute(x, 0.5, target=2, return_convergence_delta=True)
    assert torch.allclose(found.sum(), (centred(x) - centred(torch.full_like(x, 0.5)))[:, 2].sum(), atol=1e-8)
    assert delta.sum().abs() < 1e-8


def test_sampling_methods_notice_too(graph):
    model, nodes, base = graph
    with pytest.warns(ExpansionWarning):
        found = GradientShap(model).attribute(
            nodes, base[:1], n_samples=400, seed=1, target=1, additional_forward_args=EDGES
        )
    together = graph_reference(model, nodes, base[:1].expand_as(nodes), 1, EDGES)
    # each node has its own position on the path, so only the sum over the graph is comparable
    assert torch.allclose(found.sum(), together.sum(), atol=0.15)


def test_noise_tunnel_does_not_expand_graphs(graph):
    model, nodes, _ = graph
    tunnel = NoiseTunnel(Saliency(model))
    found = tunnel.attribute(nodes, stdevs=0.0, nt_samples=4, target=1, additional_forward_args=EDGES, abs=False)
    expected = Saliency(model).attribute(nodes, target=1, additional_forward_args=EDGES, abs=False)
    assert torch.allclose(found, expected, atol=1e-12)


@pytest.mark.filterwarnings("ignore::pellucid.errors.SamplingWarning")
def test_noise_tunnel_does_not_mix_statistics_over_the_batch(generator):
    """A copied batch has the same mean as the batch, so a model that subtracts it must not be probed with a copy."""
    x = torch.randn(4, 5, dtype=DOUBLE, generator=generator)
    model = mlp()
    tunnel = NoiseTunnel(Saliency(lambda v: model(v - v.mean(0))))
    settings = {"stdevs": 0.8, "nt_samples": 6, "seed": 3, "target": 1, "abs": False}
    together = tunnel.attribute(x, **settings)
    assert torch.allclose(together, tunnel.attribute(x, nt_samples_batch_size=1, **settings), atol=1e-14)


def test_pairs_notice_statistics_over_the_batch(generator):
    """Every value of a pair is an input, so a batch of pairs has the inputs' mean; their references have not."""
    x, rows = (torch.randn(n, 5, dtype=DOUBLE, generator=generator) for n in (4, 3))
    model = mlp()

    def centred(v):
        return model(v - v.mean(0))[:, 1]

    with pytest.warns(ExpansionWarning):
        found, delta = DeepLiftShap(centred).attribute(x, rows, return_convergence_delta=True)
    assert delta.shape == (3,)
    assert delta.abs().max() < 1e-12
    each = [DeepLift(centred).attribute(x, row[None]) for row in rows]
    alone = DeepLift(centred).attribute(x, rows[:1], return_convergence_delta=True)[1]
    assert alone.shape == (1,)
    assert alone.abs().max() < 1e-12
    assert torch.allclose(found, torch.stack(each).mean(0), atol=1e-12)


def scaled(v):
    """A function of a batch whose largest value all rows bend to; what is small does not bend what is large."""
    return (v**2).sum(1) / (1 + v.abs().max())


def least(v):
    return (v.sum(1) + 9) / (v.min() + 9)


def counted(v):
    """Ids: the largest of a batch scales all rows."""
    return v.sum(1).double() / (1 + v.max())


ONE_SIDED = {
    "maximum": (scaled, torch.tensor([[3.0, 1.0, 0.5, -0.2, 2.0, 1.1], [0.4, -1.0, 2.5, 0.3, 0.1, 0.2]], dtype=DOUBLE)),
    "minimum": (least, torch.tensor([[-3.0, -1.0, -0.5, 0.2, -2.0, -1.1]], dtype=DOUBLE)),
    "ids": (counted, torch.tensor([[1, 9, 2, 3]])),
}


@pytest.mark.parametrize("kind", ONE_SIDED)
def test_changed_rows_that_bend_to_unchanged_ones(kind):
    """The inputs give the same beside what is smaller in every value; that does not without the inputs."""
    function, x = ONE_SIDED[kind]
    features = range(x.shape[1])
    expected = torch.stack([function(x) - function(x * (torch.arange(x.shape[1]) != i)) for i in features], 1)
    with pytest.warns(ExpansionWarning, match="alone"):
        found = FeatureAblation(function).attribute(x)
    assert torch.allclose(found, expected, atol=1e-12)
    with pytest.warns(ExpansionWarning):
        found = Occlusion(function).attribute(x, (1,), perturbations_per_eval=3)
    assert torch.allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("kind", ["maximum", "minimum"])
def test_points_of_a_path_that_bend_to_the_inputs(kind):
    function, x = ONE_SIDED[kind]
    with pytest.warns(ExpansionWarning, match="alone"), pellucid.recording() as report:
        found = IntegratedGradients(function).attribute(x, n_steps=400)
    alone = integrated_gradients(function, (x,), (torch.zeros_like(x),), lambda out: out.sum(), n_steps=4000)
    assert torch.allclose(found, alone[0], atol=1e-3)
    assert report.delta.abs().max() < 1e-3


def test_coalitions_that_bend_to_the_inputs():
    function, x = ONE_SIDED["minimum"]
    with pytest.warns(ExpansionWarning):
        whole = ShapleyValues(function).attribute(x)
    each = ShapleyValues(function).attribute(x, perturbations_per_eval=1)
    assert torch.allclose(whole, each, atol=1e-12)
    assert torch.allclose(whole.sum(1), function(x) - function(0 * x), atol=1e-12)


def test_samples_of_ones_own_that_bend_to_the_inputs():
    """LimeBase knows of no baseline."""
    function, x = ONE_SIDED["maximum"]
    with pytest.warns(ExpansionWarning, match="alone"):
        together = lime_of_smaller(function, x[:1], cap=40)
    assert torch.allclose(together, lime_of_smaller(function, x[:1], cap=1), atol=1e-12)


def lime_of_smaller(function, x, cap):
    draw = torch.Generator().manual_seed(0)
    lime = LimeBase(
        function,
        LeastSquares(),
        lambda *_, **__: torch.tensor([1.0]),
        lambda v, **_: v * torch.rand(v.shape, generator=draw, dtype=DOUBLE),
        False,
        None,
        lambda v, original, **_: v / original,
    )
    return lime.attribute(x, n_samples=40, perturbations_per_eval=cap)


def test_secants_of_a_function_that_scales_a_batch_are_made_in_passes_of_their_own():
    function, x = ONE_SIDED["maximum"]
    rows = torch.tensor([[0.1, 0.2, 0.1, 0.0, 0.1, -0.2], [0.3, 0.1, -0.1, 0.1, 0.2, 0.1]], dtype=DOUBLE)
    with pytest.warns(ExpansionWarning):
        found = DeepLiftShap(function).attribute(x, rows)
    each = [DeepLift(function).attribute(x, row[None]) for row in rows]
    assert torch.allclose(found, torch.stack(each).mean(0), atol=1e-12)


@pytest.mark.filterwarnings("ignore::pellucid.errors.SamplingWarning")
def test_noisy_copies_do_not_bend_to_each_other():
    function, x = ONE_SIDED["maximum"]
    tunnel = NoiseTunnel(Saliency(function))
    settings = {"stdevs": 0.8, "nt_samples": 6, "seed": 3, "abs": False}
    together = tunnel.attribute(x[:1], **settings)
    assert torch.allclose(together, tunnel.attribute(x[:1], nt_samples_batch_size=1, **settings), atol=1e-14)


def test_what_lies_between():
    x, other = torch.tensor([[4.0, 2.0], [1.0, 0.0]]), torch.tensor([[0.0, 4.0]])
    assert torch.equal(between((x,), (other,))[0], torch.tensor([[2.0, 3.0], [0.5, 2.0]]))
    ids, pads = torch.tensor([[7, 9, 8, 1], [4, 5, 6, 7]]), torch.tensor([[0, 0, 0, 9]])
    assert torch.equal(between((ids,), (pads,))[0], torch.tensor([[7, 0, 8, 9], [4, 0, 0, 7]]))
    assert torch.equal(between((ids[:, 0],), (pads[:, 0],))[0], torch.tensor([0, 0]))


def test_row_arguments_follow_their_examples(generator):
    x = torch.randn(3, 4, dtype=DOUBLE, generator=generator)
    scale = torch.randn(3, dtype=DOUBLE, generator=generator)
    found = IntegratedGradients(lambda v, s, k: (v**2).sum(1) * s * k).attribute(
        x, additional_forward_args=(scale, 2.0), n_steps=7
    )
    assert torch.allclose(found, 2 * scale[:, None] * x**2, atol=1e-12)


def test_a_coincidence_of_shapes_is_noticed_without_a_mark(generator):
    """A (T, T) mask with T examples: repeated it no longer fits, shared it does."""
    x = torch.randn(4, 4, dtype=DOUBLE, generator=generator)
    mask = torch.randn(4, 4, dtype=DOUBLE, generator=generator)

    def model(v, m):
        return torch.tanh(v @ m[:4, :4]).sum(1)

    expected = IntegratedGradients(lambda v: model(v, mask)).attribute(x)
    assert torch.allclose(IntegratedGradients(model).attribute(x, additional_forward_args=mask), expected)
    shared = IntegratedGradients(model).attribute(x, additional_forward_args=pellucid.shared(mask))
    assert torch.allclose(shared, expected, atol=1e-12)


def test_an_error_of_the_model_itself_passes_unchanged(generator):
    x = torch.randn(2, 5, dtype=DOUBLE, generator=generator)

    class BoomError(Exception):
        pass

    calls = []

    def failing(v):
        calls.append(1)
        if len(calls) >= 3:
            raise BoomError("mine")
        return (v**2).sum(1)

    with pytest.raises(BoomError, match="mine"):
        IntegratedGradients(failing).attribute(x)


@pytest.mark.parametrize("kind", [RuntimeError, ValueError])
def test_a_passing_fault_is_not_taken_for_a_fixed_batch_size(kind, generator):
    x = torch.randn(2, 5, dtype=DOUBLE, generator=generator)
    calls = []

    def once(v):
        calls.append(1)
        if len(calls) == 3:
            raise kind("just now")
        return (v**2).sum(1)

    with pytest.raises(kind, match="just now"):
        IntegratedGradients(once).attribute(x)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_finite_values_with_an_infinite_sum_are_finite(dtype):
    huge = torch.full((4,), torch.finfo(dtype).max, dtype=dtype)
    assert all_finite(huge)
    for wrong in (float("nan"), float("inf"), -float("inf")):
        assert not all_finite(torch.cat([huge, torch.tensor([wrong], dtype=dtype)]))
    assert not all_finite(torch.tensor([float("inf"), -float("inf")], dtype=dtype))


def test_outputs_agree_up_to_rounding_also_where_they_are_infinite():
    ends = torch.tensor([float("inf"), -float("inf"), float("nan"), 1.0], dtype=torch.float64)
    assert agree(ends, ends)
    assert agree(ends + 1e-12, ends)
    assert not agree(ends.flip(0), ends)
    assert not agree(ends + 1e-3, ends)
    assert agree(torch.empty(0, 3), torch.empty(0, 3))


PAIRS_OF_20 = tuple((i, i + 1) for i in range(0, 20, 2))
GROWING = {
    "integrated gradients": (IntegratedGradients, {"n_steps": 2000}),
    "integrated gradients, by level": (IntegratedGradients, {"n_steps": "auto", "tolerance": 1e-9}),
    "gradient shap": (GradientShap, {"n_samples": 800, "seed": 0, "baselines": torch.zeros(2, 20, dtype=DOUBLE)}),
    "deep lift shap": (DeepLiftShap, {"baselines": torch.linspace(0, 1, 4000, dtype=DOUBLE).reshape(200, 20)}),
    "shapley value sampling": (ShapleyValueSampling, {"n_samples": 200, "seed": 0}),
    "kernel shap": (KernelShap, {"n_samples": 4000, "seed": 0}),
    "lime": (Lime, {"n_samples": 3000, "seed": 0}),
    "owen values": (OwenValues, {"hierarchy": PAIRS_OF_20, "n_samples": 200, "seed": 0}),
    "feature permutation": (FeaturePermutation, {"n_repeats": 60, "seed": 0}),
}


@pytest.mark.parametrize("name", GROWING)
def test_a_pass_larger_than_all_before_is_compared_too(name, generator):
    """The first pass may be a small one: a model that has room for more rows than it, and not for all, is noticed."""
    make, arguments = GROWING[name]
    x = torch.rand(2, 20, dtype=DOUBLE, generator=generator)
    model, sizes = nn.Sequential(nn.Linear(20, 3), nn.Softplus(), nn.Linear(3, 1)).double(), []

    def counting(v):
        sizes.append(len(v))
        return model(v)

    expected = make(counting).attribute(x, target=0, **arguments)
    room = max(sizes)
    assert room > 30, "the passes are too small to say anything"

    def crowded(v):
        return model(v) * (1 + 0.5 * (len(v) >= room))

    with pytest.warns(ExpansionWarning, match="among other rows"):
        found = make(crowded).attribute(x, target=0, **arguments)
    assert torch.allclose(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("make", [DeepLiftShap, GradientShap, IntegratedGradients, KernelShap, LayerConductance])
def test_a_model_for_small_batches_only_is_explained_by_them(make, generator):
    """As exported programs are, which have room for so many rows and no more."""
    x = torch.rand(2, 6, dtype=DOUBLE, generator=generator)
    net = mlp(6)

    class Room(nn.Module):
        def __init__(self, rows):
            super().__init__()
            self.net, self.rows = net, rows

        def forward(self, v):
            assert len(v) <= self.rows, "the batch is too large"
            return self.net(v)

    references = {"baselines": torch.linspace(0, 1, 120, dtype=DOUBLE).reshape(20, 6)}
    arguments = {
        DeepLiftShap: references,
        GradientShap: {**references, "n_samples": 60, "seed": 0},
        KernelShap: {"n_samples": 40, "seed": 0},
    }.get(make, {"n_steps": 40})

    def ask(rows):
        model = Room(rows)
        method = make(model, model.net[0]) if make is LayerConductance else make(model)
        return method.attribute(x, target=1, **arguments)

    expected = ask(10_000)
    with pytest.warns(ExpansionWarning, match="the batch is too large"):
        assert torch.allclose(ask(8), expected, atol=1e-9)


def test_a_model_that_fails_in_larger_passes_than_the_first_is_explained_by_smaller_ones(generator):
    """A table of positions has so many rows; the first pass is within it."""
    places = torch.rand(300, 1, dtype=DOUBLE, generator=generator)
    x = torch.rand(1, 20, dtype=DOUBLE, generator=generator)
    with pytest.warns(ExpansionWarning, match="RuntimeError"):
        found = ShapleyValueSampling(lambda v: (v**2).sum(1) + 0 * places[: len(v)].reshape(len(v))).attribute(
            x, n_samples=200, seed=0
        )
    assert torch.allclose(found, x**2, atol=1e-12)
