"""Owen values and Shapley interactions: the definitions, their laws, and honest errors of their estimates."""

import pytest
import torch

import pellucid
from pellucid._core.interaction import interaction_matrix
from pellucid._core.owen import accept_hierarchy, exact_owen_values, owen_cost, owen_sum, players_in
from pellucid._core.pairs import draw_pairs
from pellucid._core.regression import shapley_regression
from pellucid.attr import OwenValues, ShapleyInteractions, ShapleyValues, quad_tree
from pellucid.errors import InvalidTypeError, InvalidValueError, SamplingWarning
from tests.models import DOUBLE, TwoInputs, cnn, mlp
from tests.reference.regressions import (
    all_coalitions,
    independent_game,
    interactions_of,
    network_game,
    owen_of,
    shapley_of,
)

TREES = {
    "one level": (0, 1, 2, 3, 4, 5),
    "two groups": ((0, 1, 2), (3, 4, 5)),
    "unequal": ((4, 0), 1, (2, (3, 5))),
    "deep": (0, (1, (2, (3, (4, 5))))),
    "single members": ((0,), ((1,),), (2, 3), 4, (5,)),
}


def codes(coalitions):
    return (coalitions.long() << torch.arange(coalitions.shape[1])).sum(1)


@pytest.fixture
def x(generator):
    return torch.randn(2, 6, dtype=DOUBLE, generator=generator)


# -- Owen values


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("game", [network_game, independent_game])
def test_owen_values_are_means_over_admissible_orders(tree, game):
    values = game(6, 3)
    found = exact_owen_values(lambda coalitions: values[codes(coalitions)], TREES[tree])
    assert torch.allclose(found, owen_of(values, TREES[tree]), atol=1e-13)
    assert len(owen_sum(TREES[tree]).coalitions) == 2 + owen_cost(TREES[tree])


def test_a_hierarchy_of_one_level_gives_shapley_values(x):
    base = torch.linspace(-1, 1, 6, dtype=DOUBLE)[None]
    expected = ShapleyValues(mlp(6)).attribute(x, base, target=1)
    for tree in (tuple(range(6)), tuple((i,) for i in range(6))):
        assert torch.allclose(OwenValues(mlp(6)).attribute(x, base, 1, hierarchy=tree), expected, atol=1e-13)


def test_a_group_gets_its_owen_value_as_a_single_feature(x):
    tree = ((0, 1), (2, (3, 4)), 5)
    fine = OwenValues(mlp(6)).attribute(x, 0.2, target=[0, 1], hierarchy=tree)
    together = torch.tensor([0, 0, 1, 2, 2, 3])
    coarse = OwenValues(mlp(6)).attribute(
        x, 0.2, [0, 1], feature_mask=together, hierarchy=(0, (1, 2), 3), return_input_shape=False
    )
    sums = torch.stack([fine[:, together == k].sum(1) for k in range(4)], dim=1)
    assert torch.allclose(sums, coarse, atol=1e-13)
    assert torch.allclose(fine.sum(1), (mlp(6)(x) - mlp(6)(0 * x + 0.2))[[0, 1], [0, 1]], atol=1e-13)


def test_symmetry_dummy_and_additivity(x):
    tree = ((0, 1), (2, 3), (4, 5))
    model = lambda v: (v[:, 0] * v[:, 1] * v[:, 2]).sin() + v[:, 3] ** 2  # noqa: E731
    alike = x.clone()
    alike[:, 1] = alike[:, 0]
    found = OwenValues(model).attribute(alike, hierarchy=tree)
    assert torch.allclose(found[:, 0], found[:, 1], atol=1e-14)
    assert found[:, 4:].abs().max() < 1e-14
    assert torch.allclose(found[:, 3], alike[:, 3] ** 2, atol=1e-14)
    for count in (None, 2):
        additive = OwenValues(lambda v: v.exp().sum(1)).attribute(x, hierarchy=tree, n_samples=count)
        assert torch.allclose(additive, x.exp() - 1, atol=1e-13)


def test_sampled_orders_are_admissible_unbiased_and_honest(x):
    tree = (((0, 1), 2), (3, (4, 5)))
    seen = []

    def model(v):
        seen.append(v != 0)
        return mlp(6)(3 * v)

    exact = OwenValues(model).attribute(x, target=0, hierarchy=tree)
    allowed = {tuple(r) for r in owen_sum(tree).coalitions.tolist()}
    seen.clear()
    errors, covered, total = 0.0, 0, 0
    for seed in range(60):
        with pellucid.recording() as report, pytest.MonkeyPatch.context() as patch:
            patch.setattr("pellucid.attr.owen_values.warn_if_noisy", lambda *_: None)
            found = OwenValues(model).attribute(x, target=0, hierarchy=tree, n_samples=25, seed=seed)
        assert report.samples == 26
        errors = errors + (found - exact) / 60
        covered += int(((found - exact).abs() <= 1.78 * report.standard_error[0]).sum())
        total += exact.numel()
    assert {tuple(r) for part in seen for r in part.tolist()} <= allowed
    assert 0.85 <= covered / total <= 0.95
    assert errors.abs().max() < 4 * float(report.standard_error[0].max()) / 60**0.5


def test_owen_sampling_is_continued_and_goes_on_until_the_tolerance(x):
    method, tree = OwenValues(mlp(6)), ((0, 1), (2, 3), (4, 5))
    with pellucid.recording() as first:
        method.attribute(x, target=0, hierarchy=tree, n_samples=10, seed=3)
    found = method.attribute(x, target=0, hierarchy=tree, n_samples=6, start_from=first.state)
    assert torch.allclose(found, method.attribute(x, target=0, hierarchy=tree, n_samples=16, seed=3), atol=1e-14)
    with pellucid.recording() as report:
        method.attribute(x, target=0, hierarchy=tree, n_samples=4, tolerance=1e-2, seed=3)
    assert report.standard_error[0].max() <= 1e-2
    with pytest.raises(InvalidValueError, match="start_from"):
        method.attribute(x, target=1, hierarchy=tree, start_from=first.state)


def test_images_have_a_quad_tree_by_default(generator):
    images = torch.randn(2, 2, 6, 6, dtype=DOUBLE, generator=generator)
    mask, tree = quad_tree(6, 6, depth=3)
    assert sorted(players_in(tree)) == list(range(36))
    assert mask.unique().tolist() == list(range(36))
    mask, tree = quad_tree(6, 6, depth=1)
    expected = ShapleyValues(cnn()).attribute(images, target=0, feature_mask=mask)
    found = OwenValues(cnn()).attribute(images, target=0, feature_mask=mask, hierarchy=tree)
    assert torch.allclose(found, expected, atol=1e-13)
    with pellucid.recording() as report:
        found = OwenValues(cnn()).attribute(images, target=0, seed=0)
    assert found.shape == images.shape
    assert report.samples == 26
    difference = (cnn()(images) - cnn()(0 * images))[:, 0]
    assert torch.allclose(found[:, 0].sum((1, 2)), difference, atol=1e-12)  # both channels of a region have its value
    assert quad_tree(1, 4, depth=2)[1] == ((0, 1), (2, 3))
    assert quad_tree(3, 1, depth=5)[1] == ((0, 1), 2)


@pytest.mark.parametrize(
    ("tree", "error", "text"),
    [
        (((0, 1), (2, 3)), InvalidValueError, "4 is not"),
        (((0, 1), (2, 3, 3, 4, 5)), InvalidValueError, "3 is not"),
        (((0, 1), "23", 4, 5), InvalidTypeError, "'23'"),
        (((0, 1), (), 2, 3, 4, 5), InvalidTypeError, "holds \\(\\)"),
        (None, InvalidValueError, "hierarchy is None"),
    ],
)
def test_hierarchies_that_cannot_be_used(tree, error, text, x):
    with pytest.raises(error, match=text):
        OwenValues(lambda v: pytest.fail("called")).attribute(x, hierarchy=tree)
    assert accept_hierarchy([[0, 1], 2], 3) == ((0, 1), 2)


# -- interactions


def matrix_of(values):
    index, shapley = interactions_of(values), shapley_of(values)
    return index / 2 + torch.diag(shapley - index.sum(1) / 2)


def estimate(values, rows, seed):
    players = len(values).bit_length() - 1
    pairs = draw_pairs(players, (rows - 2) // 2, seed)
    first = codes(pairs.coalitions)
    one, other = values[first], values[-1 - first]
    shapley = shapley_regression(pairs, (one - other) / 2, values[-1] - values[0])
    return interaction_matrix(pairs, (one + other) / 2, (values[-1] + values[0]) / 2, shapley)


@pytest.mark.parametrize("players", [2, 3, 6, 9])
@pytest.mark.parametrize("game", [network_game, independent_game])
def test_interactions_are_those_of_the_definition(players, game):
    values = game(players, 5)
    found = estimate(values, 2**players, 0)
    assert torch.allclose(found.values, matrix_of(values), atol=1e-12)
    assert not found.errors.any()


@pytest.mark.parametrize("rows", [30, 150, 400])
def test_rows_sum_to_shapley_values_whatever_the_budget(rows):
    values = network_game(11, 2)
    found = estimate(values, rows, 1)
    pairs = draw_pairs(11, (rows - 2) // 2, 1)
    first = codes(pairs.coalitions)
    shapley = shapley_regression(pairs, (values[first] - values[-1 - first]) / 2, values[-1] - values[0])
    assert torch.allclose(found.values.sum(1), shapley.values, atol=1e-11)
    assert torch.allclose(found.values.sum(), values[-1] - values[0], atol=1e-11)
    assert torch.allclose(found.values, found.values.T, atol=1e-13)


def test_quadratic_games_are_exact_from_a_determined_sample(generator):
    members = all_coalitions(12).double()
    weights = torch.randn(12, 12, dtype=DOUBLE, generator=generator)
    values = ((members @ weights) * members).sum(1) + 3
    found = estimate(values, 200, 1)
    both = (weights + weights.T).fill_diagonal_(0) / 2
    assert torch.allclose(found.values, both + weights.diag().diag(), atol=1e-10)


def test_intervals_of_interactions_cover_the_truth():
    covered = total = 0
    for seed in range(16):
        players = 10 + seed % 4
        values = (network_game, independent_game)[seed % 2](players, seed)
        found = estimate(values, 8 * (1 + players * (players - 1) // 2), seed)
        covered += int(((found.values - matrix_of(values)).abs() <= 1.66 * found.errors).sum())
        total += players**2
    assert 0.85 <= covered / total <= 0.96


def test_interactions_of_models(x, generator):
    product = lambda v: v[:, 0] * v[:, 1] - v[:, 2] * v[:, 3] + v[:, 4].sin()  # noqa: E731
    found = ShapleyInteractions(product).attribute(x)
    expected = torch.zeros(2, 6, 6, dtype=DOUBLE)
    expected[:, 0, 1] = expected[:, 1, 0] = x[:, 0] * x[:, 1] / 2
    expected[:, 2, 3] = expected[:, 3, 2] = -x[:, 2] * x[:, 3] / 2
    expected[:, 4, 4] = x[:, 4].sin()
    assert torch.allclose(found, expected, atol=1e-14)
    every = ShapleyInteractions(mlp(6)).attribute(x)
    assert every.shape == (2, 3, 6, 6)
    assert torch.allclose(every.sum(-1)[:, 1], ShapleyValues(mlp(6)).attribute(x, target=1), atol=1e-13)
    other = torch.rand(2, 2, 2, dtype=DOUBLE, generator=generator)
    masks = torch.tensor([0, 0, 0, 1, 1, 1]), torch.tensor([[1, 1], [2, 2]])
    assert ShapleyInteractions(TwoInputs()).attribute((x, other), target=0, feature_mask=masks).shape == (2, 3, 3)
    single = ShapleyInteractions(lambda v: v.sum(1)).attribute(x[:, :1])
    assert torch.allclose(single[:, 0], x[:, :1])


def test_sampled_interactions_of_models(generator):
    wide = torch.randn(2, 14, dtype=DOUBLE, generator=generator)
    exact = ShapleyInteractions(mlp(14)).attribute(wide, target=0, n_samples=2**14)
    with pellucid.recording() as report:
        found = ShapleyInteractions(mlp(14)).attribute(wide, target=0, seed=1)
    assert report.samples == 736
    assert report.standard_error[0].shape == found.shape
    assert ((found - exact).abs() <= 5 * report.standard_error[0]).all()
    with pytest.warns(SamplingWarning, match="do not determine"):
        ShapleyInteractions(mlp(14)).attribute(wide, target=0, n_samples=100)
    with pellucid.recording() as report:
        ShapleyInteractions(mlp(14)).attribute(wide, target=0, tolerance=2e-3, seed=1)
    assert report.standard_error[0].max() <= 2e-3
    with pytest.raises(InvalidValueError, match="feature_mask"):
        ShapleyInteractions(lambda v: pytest.fail("called")).attribute(torch.zeros(1, 500))
