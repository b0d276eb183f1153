"""The regression estimator: exact where it must be, more accurate than leverage scores, honest about its error."""

import itertools
import math

import pytest
import torch

from pellucid._core import third_order
from pellucid._core.pairs import Pairs, all_pairs, allocate, default_budget, draw_pairs, pairs_of_size
from pellucid._core.regression import shapley_regression
from tests.models import DOUBLE
from tests.reference.regressions import (
    all_coalitions,
    constrained_regression,
    independent_game,
    leverage_estimate,
    network_game,
    shapley_of,
)


def codes(coalitions):
    return (coalitions.long() << torch.arange(coalitions.shape[1])).sum(1)


def estimate(values, rows, seed):
    """The estimate from a game given by the values of all coalitions."""
    players = len(values).bit_length() - 1
    pairs = draw_pairs(players, (rows - 2) // 2, seed)
    first = codes(pairs.coalitions)
    return shapley_regression(pairs, (values[first] - values[-1 - first]) / 2, values[-1] - values[0])


# -- pairs


@pytest.mark.parametrize("players", [2, 3, 4, 7, 12, 30])
@pytest.mark.parametrize("count", [1, 5, 40, 300])
def test_pairs_are_distinct_and_of_the_sizes_allotted(players, count):
    pairs = draw_pairs(players, count, 3)
    assert len(pairs.coalitions) == min(count, all_pairs(players))
    both = pairs.both()
    assert len(both.unique(dim=0)) == len(both)
    assert torch.equal(pairs.coalitions.sum(1).double(), pairs.sizes)
    assert (pairs.sizes <= players / 2).all()
    assert pairs.taken == tuple(allocate(players, count))
    assert pairs.complete is (count >= all_pairs(players))


@pytest.mark.parametrize("players", [6, 9, 17, 40])
def test_a_larger_draw_holds_a_smaller_one(players):
    counts = [2, 7, 20, 90, 250]
    draws = [{tuple(r) for r in draw_pairs(players, c, 5).coalitions.tolist()} for c in counts]
    for small, large in itertools.pairwise(draws):
        assert small <= large
    assert draws[1] != {tuple(r) for r in draw_pairs(players, 7, 6).coalitions.tolist()}


def test_allotments_grow_without_taking_back():
    before = allocate(11, 1)
    for count in range(2, all_pairs(11) + 1):
        now = allocate(11, count)
        assert sum(now) == count
        assert sum(max(0, b - n) for b, n in zip(before, now, strict=True)) <= 1
        assert all(n <= pairs_of_size(11, k + 1) for k, n in enumerate(now))
        before = now


@pytest.mark.parametrize("players", [5, 6, 11, 12, 30])
def test_allotments_are_those_of_webster(players):
    """One seat after the other, each to the size whose share is largest beside what it has and a half."""
    sizes = range(1, players // 2 + 1)
    share = {k: (0.5 if 2 * k == players else 1.0) / math.sqrt(k * (players - k)) for k in sizes}
    taken = dict.fromkeys(sizes, 0)
    for count in range(1, min(all_pairs(players), 200) + 1):
        room = [k for k in sizes if taken[k] < pairs_of_size(players, k)]
        taken[max(room, key=lambda k: share[k] / (taken[k] + 0.5))] += 1
        assert allocate(players, count) == list(taken.values())


def test_every_coalition_of_a_size_is_as_likely():
    """Also where coalitions are cut from random orders (many of them) rather than drawn from a list of all."""
    from pellucid._core import pairs as module

    def counts(few):
        found = torch.zeros(2**8)
        for seed in range(400):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(module, "ENUMERATED", 0 if few else module.ENUMERATED)
                found[codes(draw_pairs(8, 30, seed).coalitions)] += 1
        return found

    for few in (False, True):
        found = counts(few)
        for size, taken in enumerate(allocate(8, 30), 1):
            members = all_coalitions(8)
            mine = found[(members.sum(1) == size) & (members[:, 0] if size == 4 else True)]
            expected = 400 * taken / pairs_of_size(8, size)
            assert mine.sum() == 400 * taken
            spread = math.sqrt(max(expected * (1 - taken / pairs_of_size(8, size)), 1e-9))
            assert (mine - expected).abs().max() <= 4.5 * spread


def test_the_default_budget_grows_with_the_features():
    assert [default_budget(n) for n in (1, 3, 8, 9, 13, 200)] == [2, 8, 256, 256, 260, 4000]


# -- exactness


@pytest.mark.parametrize("players", [2, 3, 5, 8, 11])
@pytest.mark.parametrize("game", [network_game, independent_game])
def test_all_coalitions_give_the_definition(players, game):
    values = game(players, players)
    found = estimate(values, 2**players, 0)
    assert torch.allclose(found.values, shapley_of(values), atol=1e-12)
    assert not found.errors.any()


def test_additive_games_are_exact_from_any_determined_sample(generator):
    weights = torch.randn(12, dtype=DOUBLE, generator=generator)
    values = all_coalitions(12).double() @ weights + 3
    for rows in (26, 40, 300):
        found = estimate(values, rows, 1)
        assert torch.allclose(found.values, weights, atol=1e-12)
        assert found.errors.isinf().all() if rows == 26 else found.errors.max() < 1e-12


def test_the_plain_regression_is_the_constrained_one(monkeypatch):
    """Without the control, the solution with projected pairs is that of the regression with a constraint."""
    monkeypatch.setattr("pellucid._core.third_order.LARGEST", 0)
    values = network_game(9, 4)
    pairs = draw_pairs(9, 60, 2)
    rows = codes(pairs.both())
    halves = torch.where(2 * pairs.sizes == 9, 0.5, 1.0)
    taken = torch.tensor(pairs.taken, dtype=DOUBLE)[pairs.sizes.long() - 1]
    weights = (halves / taken / (pairs.sizes * (9 - pairs.sizes))).repeat(2)
    expected = constrained_regression(all_coalitions(9)[rows], values[rows], weights, values[0], values[-1])
    assert torch.allclose(estimate(values, 122, 2).values, expected, atol=1e-12)


@pytest.mark.parametrize("rows", [10, 16, 60, 400])
def test_the_total_is_kept_whatever_the_budget(rows):
    values = torch.stack([network_game(10, 1), independent_game(10, 2)], dim=1)
    pairs = draw_pairs(10, (rows - 2) // 2, 4)
    first = codes(pairs.coalitions)
    found = shapley_regression(pairs, (values[first] - values[-1 - first]) / 2, values[-1] - values[0])
    assert torch.allclose(found.values.sum(0), values[-1] - values[0], atol=1e-12)
    assert found.errors.isfinite().all() == (rows >= 60)
    for k in range(2):  # columns do not influence each other
        assert torch.allclose(found.values[:, k], estimate(values[:, k], rows, 4).values, atol=1e-12)


def test_the_control_knows_inner_products_and_shapley_values_of_interactions_of_three(generator):
    """Both against their definitions: products of three signs less the mean sign, over all coalitions."""
    signs = all_coalitions(6).double() * 2 - 1
    triples = [signs[:, list(three)].prod(1) for three in itertools.combinations(range(6), 3)]
    features = (torch.stack(triples, 1) - signs.mean(1, keepdim=True)) / math.sqrt(20)
    drawn = torch.tensor([1, 6, 23, 41, 56])
    assert torch.allclose(third_order._kernel(signs[drawn]), features[drawn] @ features[drawn].T, atol=1e-13)
    assert torch.allclose(third_order._triples(signs[drawn]), features[drawn], atol=1e-13)
    weights = torch.randn(5, 2, dtype=DOUBLE, generator=generator)
    values = features @ features[drawn].T @ weights
    expected = torch.stack([shapley_of(column) for column in values.T], 1)
    assert torch.allclose(third_order._shapley(signs[drawn], weights), expected, atol=1e-13)


def test_games_with_interactions_of_three_are_nearly_exact():
    """The control finds them, by pairs and by interactions, whichever are fewer."""
    members = all_coalitions(11).double() - 0.5
    first, second, third = torch.tensor([[0, 1, 2], [3, 4, 5], [2, 6, 10], [7, 8, 9]]).T
    values = (members[:, first] * members[:, second] * members[:, third]).sum(1) + members.sum(1)
    exact = shapley_of(values)
    for rows in (600, 1500):
        with pytest.MonkeyPatch.context() as patch:
            found = estimate(values, rows, 3).values
            patch.setattr("pellucid._core.third_order.LARGEST", 0)
            plain = estimate(values, rows, 3).values
        assert (found - exact).square().mean() < 0.01 * (plain - exact).square().mean()


def test_the_control_by_pairs_and_by_interactions_is_the_same(monkeypatch):
    """The kernel is the sum over all sets of three, so both forms give one fit."""
    values, rows = network_game(9, 5), 2 * 150 + 2
    by_pairs = estimate(values, rows, 1)
    monkeypatch.setattr("pellucid._core.third_order.LARGEST", 149)
    by_interactions = estimate(values, rows, 1)
    assert torch.allclose(by_pairs.values, by_interactions.values, atol=1e-9)
    assert torch.allclose(by_pairs.errors, by_interactions.errors, atol=1e-9)


def test_columns_are_fitted_in_blocks_of_any_size(monkeypatch):
    values = torch.stack([network_game(10, seed) for seed in range(7)], dim=1)
    pairs = draw_pairs(10, 70, 4)
    first = codes(pairs.coalitions)
    odd, total = (values[first] - values[-1 - first]) / 2, values[-1] - values[0]
    whole = shapley_regression(pairs, odd, total)
    monkeypatch.setattr("pellucid._core.third_order.BLOCK", 140)
    for one, other in zip(whole, shapley_regression(pairs, odd, total), strict=True):
        assert torch.allclose(one, other, atol=1e-13)


# -- accuracy


def mean_squared_errors(game, rows, games):
    """Ours, and plain leverage scores', over games of 10 to 14 players, relative to the spread of their values."""
    ours = plain = 0.0
    for seed in range(games):
        players = 10 + seed % 5
        values = game(players, 100 + seed)
        exact = shapley_of(values)
        scale = exact.var()
        source = torch.Generator().manual_seed(seed)
        ours += float((estimate(values, rows * players, seed).values - exact).square().mean() / scale)
        plain += float((leverage_estimate(values, rows * players, source) - exact).square().mean() / scale)
    return ours, plain


@pytest.mark.parametrize("rows", [8, 20])
@pytest.mark.parametrize("game", [network_game, independent_game])
def test_errors_are_no_larger_than_those_of_plain_leverage_scores(game, rows):
    ours, plain = mean_squared_errors(game, rows, 30)
    assert ours <= (0.85 if game is network_game else 1.0) * plain


@pytest.mark.parametrize("game", [network_game, independent_game])
def test_intervals_cover_the_truth_as_often_as_they_say(game):
    covered = total = 0
    for seed in range(60):
        values = game(10 + seed % 5, 300 + seed)
        rows = default_budget(10 + seed % 5)
        found, exact = estimate(values, rows, seed), shapley_of(values)
        covered += int(((found.values - exact).abs() <= 1.66 * found.errors).sum())
        total += len(exact)
    assert 0.85 <= covered / total <= 0.95


def test_drawing_a_larger_share_makes_errors_smaller_than_the_square_root():
    """Sampling without replacement: at three quarters of all pairs only a quarter of the variance is left."""
    values = independent_game(10, 3)
    some, most = estimate(values, 2 * 128 + 2, 0).errors.mean(), estimate(values, 2 * 460 + 2, 0).errors.mean()
    assert most < 0.6 * some * math.sqrt(128 / 460)


def test_pairs_know_what_they_stand_for():
    pairs = draw_pairs(10, 100, 1)
    assert isinstance(pairs, Pairs)
    for size, taken in enumerate(pairs.taken, 1):
        mine = pairs.fractions[pairs.sizes == size]
        assert len(mine) == taken
        assert torch.allclose(mine, torch.full_like(mine, taken / pairs_of_size(10, size)))
