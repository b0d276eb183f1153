"""Ablation, occlusion, permutation and exact Shapley values: definitions, laws, masks, outputs, Captum."""

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pellucid
from pellucid._core.masks import slices
from pellucid.attr import FeatureAblation, FeaturePermutation, Occlusion, ShapleyValues, ShapleyValueSampling
from pellucid.errors import ExpansionWarning, InvalidTypeError, InvalidValueError, NonFiniteWarning
from tests.models import DOUBLE, GraphNet, TwoInputs, cnn, mlp
from tests.reference.games import occlusion, shapley_values, table_game, value_in


@pytest.fixture
def x(generator):
    return torch.randn(3, 5, dtype=DOUBLE, generator=generator)


@pytest.fixture
def base(generator):
    return torch.randn(3, 5, dtype=DOUBLE, generator=generator)


# -- definitions


def test_attributions_have_the_floating_dtype_of_the_inputs_or_else_of_the_output():
    """A wide input keeps its digits where the model computes in fewer; ids get the output's dtype."""
    weights = torch.linspace(-1, 2, 5)

    def model(ids, x):
        return ids.float() @ weights + (x * x).sum(1).float()

    ids, x = torch.arange(10).reshape(2, 5), torch.linspace(0.1, 1, 10, dtype=DOUBLE).reshape(2, 5)
    for_ids, for_x = FeatureAblation(model).attribute((ids, x))
    assert (for_ids.dtype, for_x.dtype) == (torch.float32, DOUBLE)
    assert torch.allclose(for_ids, ids * weights, atol=1e-5)
    (narrow,) = FeatureAblation(lambda v: (v * v).sum(1).double()).attribute((x.float(),))
    assert narrow.dtype == torch.float32


@pytest.mark.parametrize("players", range(1, 13))
def test_shapley_values_of_random_games(players, generator):
    model, table = table_game(players, generator)
    with pellucid.recording() as report:
        found = ShapleyValues(model).attribute(torch.ones(1, players))
    expected = shapley_values(value_in(table), players)
    assert found.dtype == torch.float32
    exact = ShapleyValues(model).attribute(torch.ones(1, players, dtype=DOUBLE))
    assert (exact[0] - expected).abs().max() <= 1e-12
    assert report.rows <= 2**players + 7


def test_twelve_features_cost_at_most_4200_rows(generator):
    with pellucid.recording() as report:
        ShapleyValues(mlp(12)).attribute(torch.randn(1, 12, dtype=DOUBLE, generator=generator), target=0)
    assert report.rows <= 4200


def test_shapley_values_of_every_output_at_once(generator):
    model, table = table_game(5, generator, outputs=(3, 2))
    found = ShapleyValues(model).attribute(torch.ones(2, 5, dtype=DOUBLE))
    expected = shapley_values(value_in(table), 5)
    assert found.shape == (2, 3, 2, 5)
    assert (found - expected.permute(1, 2, 0)).abs().max() <= 1e-12


def test_large_values_in_common_do_not_matter(generator):
    """A game plus a constant has the same Shapley values; the constant must not eat the digits."""
    model, table = table_game(8, generator)
    found = ShapleyValues(lambda v: model(v) + 1e6).attribute(torch.ones(1, 8, dtype=DOUBLE))
    assert (found[0] - shapley_values(value_in(table), 8)).abs().max() <= 1e-8


@pytest.mark.parametrize("mask", [None, torch.tensor([4, 9, 4, 0, 9]), torch.arange(15).reshape(3, 5) % 4])
def test_ablation(mask, x, base):
    model = mlp()
    found = FeatureAblation(model).attribute(x, base, 1, feature_mask=mask)
    ids = (torch.arange(5) if mask is None else mask).expand_as(x)
    expected = torch.zeros_like(x)
    for i in ids.unique():
        lost = (model(x) - model(torch.where(ids == i, base, x)))[:, 1:2]
        expected = torch.where(ids == i, lost, expected)
    assert torch.allclose(found, expected, atol=1e-14)


WINDOWS = [((2, 3, 3), (2, 3, 3)), ((1, 2, 3), (1, 1, 2)), ((2, 4, 5), (1, 3, 4)), ((2, 6, 7), (1, 1, 1))]


@pytest.mark.parametrize(("window", "strides"), WINDOWS)
@pytest.mark.parametrize("cap", [None, 3])
def test_occlusion(window, strides, cap, generator):
    model = cnn()
    x, base = torch.randn(2, 2, 2, 6, 7, dtype=DOUBLE, generator=generator)
    found = Occlusion(model).attribute(x, window, strides, base, 2, perturbations_per_eval=cap)
    assert torch.allclose(found, occlusion(lambda v: model(v)[:, 2], x, base, window, strides), atol=1e-13)


def test_occlusion_of_several_inputs_one_at_a_time(x, generator):
    other = torch.rand(3, 2, 2, dtype=DOUBLE, generator=generator)
    model = TwoInputs()
    a, b = Occlusion(model).attribute((x, other), ((2,), (1, 2)), (1, (1, 2)), (0.5, 0.0), 3)
    expected_a = occlusion(lambda v: model(v, other)[:, 3], x, torch.tensor(0.5).double(), (2,), (1,))
    expected_b = occlusion(lambda v: model(x, v)[:, 3], other, torch.tensor(0.0).double(), (1, 2), (1, 2))
    assert torch.allclose(a, expected_a, atol=1e-13)
    assert torch.allclose(b, expected_b, atol=1e-13)


def test_windows_of_one_value_are_ablation(x, base):
    found = Occlusion(mlp()).attribute(x, (1,), baselines=base, target=0)
    assert torch.allclose(found, FeatureAblation(mlp()).attribute(x, base, 0), atol=1e-14)


def test_permutation_of_two_examples_is_an_exchange(generator):
    x = torch.randn(2, 5, dtype=DOUBLE, generator=generator)
    model = mlp()
    found = FeaturePermutation(model).attribute(x, 1)
    expected = torch.stack(
        [(model(x) - model(torch.where(torch.arange(5) == i, x.flip(0), x)))[:, 1] for i in range(5)], 1
    )
    assert torch.allclose(found, expected, atol=1e-14)


def test_permutation_by_a_function_of_ones_own(x, generator):
    """It gets the mask of the feature, and the same call gives the same result whatever the chunk is."""
    model, mask = mlp(), torch.tensor([0, 1, 1, 7, 0])

    def rolled(v, where):
        return torch.where(where, v.roll(1, 0), v)

    found = FeaturePermutation(model, rolled).attribute(x, 1, feature_mask=mask, n_repeats=1)
    lost = [(model(x) - model(torch.where(mask == i, x.roll(1, 0), x)))[:, 1] for i in (0, 1, 7)]
    assert torch.allclose(found, torch.stack([lost[0], lost[1], lost[1], lost[2], lost[0]], 1), atol=1e-14)

    def drawn(v, where):
        return torch.where(where, v[torch.randperm(len(v))], v)

    state = torch.get_rng_state()
    random = FeaturePermutation(model, drawn)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = [random.attribute(x, 1, perturbations_per_eval=cap, seed=4) for cap in (None, 1, 4)]
        other = random.attribute(x, 1, seed=5)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.allclose(r, results[0], atol=1e-14) for r in results)
    assert not torch.allclose(other, results[0])


def test_permutation_takes_the_values_of_a_feature_from_one_example():
    """Joint rows stay together, also over several inputs: a model of their difference sees nothing."""
    x = torch.randn(6, 2, dtype=DOUBLE)
    y = x.clone()
    mask = torch.tensor([0, 1]), torch.tensor([0, 1])
    found = FeaturePermutation(lambda a, b: (a - b).square().sum(1)).attribute((x, y), feature_mask=mask)
    assert all(torch.equal(part, torch.zeros_like(part)) for part in found)


def test_standard_errors_of_permutation(generator):
    x = torch.randn(40, 3, dtype=DOUBLE, generator=generator)
    model = mlp(3)
    method = FeaturePermutation(lambda v: model(v)[:, 0])
    truth = method.attribute(x, n_repeats=2000, seed=1)
    with pellucid.recording() as report, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = method.attribute(x, n_repeats=20, seed=2)
    inside = (found - truth).abs() <= 1.729 * report.standard_error[0]  # the t quantile of 90 % and 19 degrees
    assert report.samples == 20
    assert 0.8 <= float(inside.double().mean()) <= 0.97


# -- laws


@pytest.mark.filterwarnings("ignore::pellucid.errors.SamplingWarning")
def test_additive_models_are_exact(x, base, generator):
    weights = torch.randn(5, dtype=DOUBLE, generator=generator)

    def additive(v):
        return (weights * torch.sin(v) + v.square()).sum(1) + 3

    parts = weights * (torch.sin(x) - torch.sin(base)) + x.square() - base.square()
    for method, arguments in [
        (FeatureAblation, {}),
        (Occlusion, {"sliding_window_shapes": (1,)}),
        (ShapleyValues, {}),
        (ShapleyValueSampling, {"n_samples": 2}),
    ]:
        found = method(additive).attribute(x, baselines=base, **arguments)
        assert torch.allclose(found, parts, atol=1e-12), method.__name__


def test_permutation_of_an_additive_model_is_its_definition(x):
    """The loss of a linear model is its weight times the distance to the donor, of which the mean is known."""
    weights = torch.tensor([1.0, -2, 3, 0, 5], dtype=DOUBLE)
    with pellucid.recording() as report:
        found = FeaturePermutation(lambda v: v @ weights).attribute(x, n_repeats=4000, seed=0)
    # donors are uniform over the other permutations: each example keeps its value in 1 of the 5 that are left
    donor = (x.sum(0) * 2 - x) / 5
    distance = (found - weights * (x - donor)).abs()
    assert (distance <= 4 * report.standard_error[0] + 1e-12).all()
    assert (report.standard_error[0][:, 3] == 0).all()
    assert (distance < 0.5).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 7), st.integers(0, 2**30))
def test_axioms(players, seed):
    generator = torch.Generator().manual_seed(seed)
    model, table = table_game(players, generator)
    x = torch.ones(1, players, dtype=DOUBLE)
    found = ShapleyValues(model).attribute(x)[0]
    assert torch.allclose(found.sum(), table[-1] - table[0], atol=1e-12)  # efficiency
    symmetric = ShapleyValues(lambda v: model(v) + model(v[:, [1, 0, *range(2, players)]])).attribute(x)[0]
    assert torch.allclose(symmetric[0], symmetric[1], atol=1e-12)
    without = ShapleyValues(lambda v: model(torch.cat([v[:, :1] * 0, v[:, 1:]], 1))).attribute(x)[0]
    assert abs(float(without[0])) <= 1e-13  # dummy
    other, _ = table_game(players, generator)
    both = ShapleyValues(lambda v: 2 * model(v) - other(v)).attribute(x)[0]
    assert torch.allclose(both, 2 * found - ShapleyValues(other).attribute(x)[0], atol=1e-12)  # linearity


# -- outputs


METHODS = [
    (FeatureAblation, {}),
    (Occlusion, {"sliding_window_shapes": (2,)}),
    (FeaturePermutation, {"seed": 3, "n_repeats": 2}),
    (ShapleyValues, {}),
    (ShapleyValueSampling, {"seed": 3, "n_samples": 4}),
]
every_method = pytest.mark.parametrize(("method", "arguments"), METHODS, ids=[m.__name__ for m, _ in METHODS])
quiet = pytest.mark.filterwarnings("ignore::pellucid.errors.SamplingWarning")


@quiet
@every_method
def test_several_outputs_at_once(method, arguments, x):
    together = method(mlp()).attribute(x, **arguments)
    apart = torch.stack([method(mlp()).attribute(x, target=c, **arguments) for c in range(3)], 1)
    rows = method in (FeatureAblation, Occlusion, FeaturePermutation)
    assert together.shape == ((9, 5) if rows else (3, 3, 5))
    assert torch.allclose(together.reshape(3, 3, 5), apart, atol=1e-14)


BATCH_VALUES = {
    "tensor": lambda v: mlp()(v)[:, 0].square().sum(),
    "one row": lambda v: mlp()(v)[:, 0].square().sum(0, keepdim=True),
    "float": lambda v: float(mlp()(v)[:, 0].square().sum()),
}


@quiet
@pytest.mark.filterwarnings("ignore::pellucid.errors.ExpansionWarning")
@every_method
@pytest.mark.parametrize("form", BATCH_VALUES)
@pytest.mark.parametrize("cap", [None, 1, 3])
def test_one_value_per_batch(method, arguments, form, cap, x):
    found = method(BATCH_VALUES[form]).attribute(x, perturbations_per_eval=cap, **arguments)
    each = method(lambda v: mlp()(v)[:, 0].square()).attribute(x, **arguments)
    assert torch.allclose(found, each.sum(0, keepdim=True), atol=1e-12)


@quiet
@every_method
def test_graphs(method, arguments, generator):
    """Features of a graph are those of all its nodes together; each node has its own output."""
    nodes = torch.randn(3, 3, dtype=DOUBLE, generator=generator)
    edges = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    model = GraphNet()
    with pytest.warns(ExpansionWarning):
        found = method(model).attribute(nodes, target=1, additional_forward_args=edges, **arguments)

    def alone(v):
        return torch.stack([model(row, edges)[:, 1] for row in v.reshape(-1, 3, 3)]).flatten()

    slow = method(alone).attribute(nodes, perturbations_per_eval=5, **arguments)
    assert torch.allclose(found, slow, atol=1e-12)


@quiet
@every_method
def test_padding_with_nan_and_infinity(method, arguments, generator):
    """What the model never reads may be NaN; it must not leak into the attributions of others."""
    x = torch.randn(3, 5, dtype=DOUBLE, generator=generator)
    x[0, 3:], x[1, 4] = float("nan"), float("-inf")

    def model(v, lengths):
        return torch.stack([row[:n].sin().cumsum(0).square().sum() for row, n in zip(v, lengths.tolist(), strict=True)])

    lengths = torch.tensor([3, 4, 5])
    mask = {"feature_mask": torch.arange(5)} if method is not Occlusion else {}
    if method is FeaturePermutation:
        x[1, 4], x[0, 3:] = 1.0, 2.0  # others would get the padding as their values
    found = method(model).attribute(x, additional_forward_args=lengths, **arguments, **mask)
    assert torch.isfinite(found).all()
    clean = method(model).attribute(x.nan_to_num(0.0, neginf=0.0), additional_forward_args=lengths, **arguments, **mask)
    assert torch.allclose(found, clean, atol=1e-14)


@quiet
@pytest.mark.parametrize("method", [FeatureAblation, FeaturePermutation, ShapleyValues, ShapleyValueSampling])
def test_an_input_without_values_beside_one_with(method, x):
    given = {"seed": 1} if method in (FeaturePermutation, ShapleyValueSampling) else {}
    found, nothing = method(lambda a, b: mlp()(a) + b.sum(1, keepdim=True)).attribute((x, x[:, :0]), target=0, **given)
    assert nothing.shape == (3, 0)
    assert torch.allclose(found, method(mlp()).attribute(x, target=0, **given), atol=1e-14)


def test_occlusion_of_an_input_without_values_beside_one_with(x):
    found, nothing = Occlusion(lambda a, b: mlp()(a)).attribute((x, x[:, :0]), ((2,), (1,)), target=0)
    assert nothing.shape == (3, 0)
    assert torch.equal(found, Occlusion(mlp()).attribute(x, (2,), target=0))


def test_a_missing_value_is_replaced_by_its_baseline():
    x = torch.tensor([[1.0, 2.0, float("nan")]])
    found = FeatureAblation(lambda v: v.nan_to_num(5.0).prod(1)).attribute(x, baselines=1.0)
    assert torch.equal(found, torch.tensor([[0.0, 5.0, 8.0]]))


def test_results_that_are_not_finite_are_named():
    with pytest.warns(NonFiniteWarning, match=r"inputs.*difference of the function's values"):
        FeatureAblation(lambda v: v.log().sum(1)).attribute(torch.ones(1, 2))


@quiet
@every_method
@pytest.mark.parametrize("dtype", [torch.long, torch.bool])
def test_ids_and_truth_values(method, arguments, dtype, generator):
    tokens = torch.randint(2, (4, 5), generator=generator).to(dtype)
    table = torch.nn.Embedding(2, 3).double()
    found = method(lambda v: table(v.long()).cumsum(1).square().sum((1, 2))).attribute(tokens, **arguments)
    real = method(lambda v: table(v.long()).cumsum(1).square().sum((1, 2))).attribute(tokens.double(), **arguments)
    assert found.dtype == DOUBLE
    assert torch.allclose(found, real, atol=1e-14)


@quiet
@every_method
def test_an_explanation_with_its_page(method, arguments, generator, tmp_path):
    x = torch.rand(2, 1, 4, 4, generator=generator)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3))
    name = "_".join(method.get_name().lower().split())
    more = {} if method is Occlusion else {"feature_mask": torch.arange(16).reshape(4, 4) // 4}
    given = {k: v for k, v in arguments.items() if k != "sliding_window_shapes"}
    explanation = pellucid.explain(model, x, method=name, **given, **more)
    assert explanation.method == name
    assert explanation.attributions.shape == x.shape
    sampled = method is FeaturePermutation
    assert (explanation.standard_error is not None) is (sampled or method is ShapleyValueSampling)
    assert "<html" in explanation.to_html(tmp_path / "page.html")
    again = pellucid.load(explanation.save(tmp_path / "e.safetensors"))
    assert torch.equal(again.attributions, explanation.attributions)


def test_ids_are_replaced_by_ids():
    tokens = torch.tensor([[1, 2, 0]])
    table = torch.nn.Embedding(3, 2)
    found = pellucid.explain(lambda v: table(v).sum(1), tokens, method="feature_ablation")
    assert found.inputs.dtype == torch.long
    assert torch.equal(found.baselines, torch.zeros(1, 1, dtype=torch.long))
    with pytest.raises(InvalidTypeError, match="int64"):
        pellucid.attr.IntegratedGradients(lambda v: table(v).sum(1)).attribute(tokens, target=0)


# -- arguments


@quiet
@every_method
def test_the_older_name_of_the_cap(method, arguments, x):
    with pytest.warns(DeprecationWarning, match="perturbations_per_eval"):
        method(mlp()).attribute(x, target=0, ablations_per_eval=2, **arguments)
    with pytest.raises(InvalidTypeError, match=r"ablations_per_eval.*only perturbations_per_eval"):
        method(mlp()).attribute(x, target=0, ablations_per_eval=2, perturbations_per_eval=2, **arguments)
    with pytest.raises(TypeError, match="taget"):
        method(mlp()).attribute(x, taget=0, **arguments)


REFUSED = [
    (ShapleyValues, {"inputs": torch.ones(1, 21)}, InvalidValueError, "21 features.*ShapleyValueSampling"),
    (FeaturePermutation, {"inputs": torch.ones(1, 3)}, InvalidValueError, "batch of one.*FeatureAblation"),
    (FeaturePermutation, {"n_repeats": 0}, InvalidValueError, "n_repeats"),
    (FeatureAblation, {"perturbations_per_eval": 0}, InvalidValueError, "perturbations_per_eval"),
    (FeatureAblation, {"baselines": torch.ones(3, 3)}, InvalidValueError, "3 rows"),
    (FeatureAblation, {"inputs": torch.ones(2, 3, dtype=torch.cfloat)}, InvalidTypeError, "view_as_real"),
    (FeatureAblation, {"feature_mask": torch.ones(2)}, InvalidTypeError, "integers"),
    (Occlusion, {"sliding_window_shapes": (4,)}, InvalidValueError, "fits"),
    (Occlusion, {"sliding_window_shapes": (2, 2)}, InvalidValueError, "channels included"),
    (Occlusion, {"sliding_window_shapes": 2}, InvalidTypeError, "tuple of 1"),
    (Occlusion, {"sliding_window_shapes": (0,)}, InvalidValueError, ">= 1"),
    (Occlusion, {"sliding_window_shapes": (1,), "strides": 2}, InvalidValueError, "left out"),
    (Occlusion, {"sliding_window_shapes": (1,), "strides": (1, 1)}, InvalidValueError, "strides"),
    (Occlusion, {"sliding_window_shapes": ((1,), (1,))}, InvalidValueError, "1 input"),
    (ShapleyValueSampling, {"n_samples": 0}, InvalidValueError, "n_samples"),
    (ShapleyValueSampling, {"tolerance": 0.0}, InvalidValueError, "tolerance"),
    (ShapleyValueSampling, {"tolerance": "low"}, InvalidTypeError, "tolerance"),
    (ShapleyValueSampling, {"max_evals": 0}, InvalidValueError, "max_evals"),
    (ShapleyValueSampling, {"start_from": 3}, InvalidTypeError, "start_from"),
]


@pytest.mark.parametrize(("method", "arguments", "error", "words"), REFUSED)
def test_refused_before_the_model_runs(method, arguments, error, words):
    calls = []
    with pytest.raises(error, match=words):
        method(lambda v: calls.append(1)).attribute(**{"inputs": torch.ones(2, 3), **arguments})
    assert not calls


def test_a_permuting_function_must_be_one():
    with pytest.raises(InvalidTypeError, match="perm_func"):
        FeaturePermutation(mlp(), 3)


@pytest.mark.parametrize("result", [None, 1j, torch.ones(2), torch.ones(3, 2).to_sparse()])
def test_functions_that_do_not_permute_inputs(result):
    method = FeaturePermutation(lambda v: v.sum(1), perm_func=lambda x, mask: result)
    with pytest.raises(InvalidTypeError, match="perm_func"):
        method.attribute(torch.ones(3, 2))


@pytest.mark.parametrize("shape", [(5,), (1, 5)])
@pytest.mark.parametrize("build", [FeatureAblation, ShapleyValues])
def test_masks_for_each_example_and_all_outputs_at_once(build, shape, generator):
    """Without a target, examples with features of their own get what each target alone, and each example, gives."""
    x = torch.randn(2, *shape, dtype=DOUBLE, generator=generator)
    mask = torch.tensor([[0, 0, 1, 2, 2], [2, 1, 0, 0, 1]]).reshape(2, *shape)
    method = build(torch.nn.Sequential(torch.nn.Flatten(), mlp()))
    found = method.attribute(x, feature_mask=mask).reshape(2, 3, *shape)
    for c in range(3):
        assert torch.allclose(found[:, c], method.attribute(x, target=c, feature_mask=mask), atol=1e-12)
        for n in range(2):
            alone = method.attribute(x[n : n + 1], target=c, feature_mask=mask[n : n + 1])
            assert torch.allclose(found[n : n + 1, c], alone, atol=1e-12)


@pytest.mark.parametrize("shape", [(2,), ((2,),)])
def test_windows_for_a_tuple_of_one_input(shape, generator):
    x = torch.randn(2, 5, dtype=DOUBLE, generator=generator)
    (found,) = Occlusion(mlp()).attribute((x,), shape, 1, target=0)
    assert torch.equal(found, Occlusion(mlp()).attribute(x, (2,), 1, target=0))


def test_slices_of_a_budget():
    assert [s.stop - s.start for s in slices(5, 2**30)] == [1] * 5
    assert [s.stop - s.start for s in slices(5, 8, 16)] == [2, 2, 1]
    assert slices(5, 0) == [slice(0, 5)]
    assert slices(0, 8) == []
