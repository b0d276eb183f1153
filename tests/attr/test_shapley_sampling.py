"""Shapley values from sampled orders: laws, seeds, errors that can be trusted, stopping and going on."""

import warnings

import pytest
import torch
from torch import nn

import pellucid
from pellucid.attr import ShapleyValues, ShapleyValueSampling
from pellucid.errors import InvalidValueError, SamplingWarning
from tests.models import DOUBLE, mlp
from tests.reference.games import shapley_values, table_game, value_in

T90 = 1.782
"""The t quantile of a two-sided 90 % interval with 12 degrees of freedom: 13 pairs of orders."""
pytestmark = pytest.mark.filterwarnings("ignore::pellucid.errors.SamplingWarning")


def sampled(model, x, **arguments):
    """Attributions and report."""
    with pellucid.recording() as report:
        found = ShapleyValueSampling(model).attribute(x, **{"seed": 5, **arguments})
    return found, report


@pytest.fixture
def x(generator):
    return torch.randn(3, 12, dtype=DOUBLE, generator=generator)


def slow(model, x, base, orders):
    """The mean contribution over orders and their reverses, one order and one feature at a time."""
    found = torch.zeros_like(x)
    both = [order for o in orders for order in (o, o.flip(0))]
    for order in both:
        kept = torch.zeros(x.shape[1], dtype=torch.bool)
        before = model(torch.where(kept, x, base))
        for i in order.tolist():
            kept[i] = True
            after = model(torch.where(kept, x, base))
            found[:, i] += (after - before) / len(both)
            before = after
    return found


def test_the_definition(x, generator, monkeypatch):
    orders, drawn = [], torch.randperm

    def noting(n, **given):
        orders.append(drawn(n, **given))
        return orders[-1]

    monkeypatch.setattr(torch, "randperm", noting)
    model, base = mlp(12), torch.randn(1, 12, dtype=DOUBLE, generator=generator)
    found, report = sampled(lambda v: model(v)[:, 1], x, n_samples=7, baselines=base)
    assert len(orders) == 4  # 7 orders are 4 pairs
    assert report.samples == 8
    assert torch.allclose(found, slow(lambda v: model(v)[:, 1], x, base, orders), atol=1e-13)


def test_completeness_with_any_number_of_orders(x, generator):
    model, base = mlp(12), torch.randn(3, 12, dtype=DOUBLE, generator=generator)
    for n in (1, 2, 5, 30):
        found, _ = sampled(model, x, n_samples=n, baselines=base, target=2)
        assert torch.allclose(found.sum(1), (model(x) - model(base))[:, 2], atol=1e-13)


def test_examples_share_their_orders(x):
    together, _ = sampled(mlp(12), x, target=[0, 2, 1])
    alone = [sampled(mlp(12), x[i : i + 1], target=t)[0] for i, t in enumerate([0, 2, 1])]
    assert torch.allclose(together, torch.cat(alone), atol=1e-13)


def test_seeds(x):
    first, _ = sampled(mlp(12), x, target=0)
    assert torch.equal(first, sampled(mlp(12), x, target=0)[0])
    assert not torch.allclose(first, sampled(mlp(12), x, target=0, seed=6)[0])
    for cap in (1, 2, 7):
        assert torch.allclose(first, sampled(mlp(12), x, target=0, perturbations_per_eval=cap)[0], atol=1e-13)


@pytest.mark.parametrize("players", [1, 2, 5, 7])
def test_where_all_subsets_cost_no_more_the_result_is_exact(players, generator):
    model, table = table_game(players, generator)
    found, report = sampled(model, torch.ones(1, players, dtype=DOUBLE))
    assert (found[0] - shapley_values(value_in(table), players)).abs().max() <= 1e-12
    assert torch.equal(report.standard_error[0], torch.zeros(1, players, dtype=DOUBLE))
    assert report.rows <= 2**players + 3


def test_errors_are_zero_only_where_exact(x):
    _, report = sampled(mlp(12), x, target=0)
    assert (report.standard_error[0] > 0).all()
    with pellucid.recording() as alone:
        ShapleyValueSampling(mlp(12)).attribute(x, target=0, n_samples=2, seed=0)
    assert alone.standard_error is None


def small_network(generator):
    """A random curved network on 8 to 12 features."""
    players = 8 + int(torch.randint(5, (1,), generator=generator))
    first = torch.randn(players, 10, dtype=DOUBLE, generator=generator) * 1.5 / players**0.5
    second = torch.randn(10, dtype=DOUBLE, generator=generator)
    return players, lambda v: torch.tanh(3 * v @ first) @ second


def test_intervals_cover_the_truth(generator):
    """90 % intervals at the default budget, over 60 games and their players."""
    inside = []
    for game in range(60):
        players, model = small_network(generator)
        x = torch.randn(1, players, dtype=DOUBLE, generator=generator)
        truth = ShapleyValues(model).attribute(x)
        with pellucid.recording() as report:
            found = ShapleyValueSampling(model).attribute(x, seed=game)
        if 2**players > 26 * players:
            inside.append(((found - truth).abs() <= T90 * report.standard_error[0])[0])
    covered = torch.cat(inside).double()
    assert len(inside) >= 40
    assert 0.85 <= float(covered.mean()) <= 0.95


def test_a_noisy_estimate_is_said_to_be_one(x):
    with pytest.warns(SamplingWarning, match="4 samples"):
        ShapleyValueSampling(lambda v: (v**3).prod(1)).attribute(x, n_samples=4, seed=0)


# -- any time


def test_sampling_until_a_tolerance(x):
    rough, before = sampled(mlp(12), x, target=0)
    tolerance = 0.3 * float(before.standard_error[0].max())
    found, report = sampled(mlp(12), x, target=0, tolerance=tolerance)
    assert float(report.standard_error[0].max()) <= tolerance
    assert report.samples > 26
    exact = ShapleyValues(mlp(12)).attribute(x, target=0)
    assert (found - exact).abs().max() < (rough - exact).abs().max()


@pytest.mark.filterwarnings("ignore::pellucid.errors.SamplingWarning")
def test_a_tolerance_beyond_all_numbers_takes_the_budget(x):
    _, report = sampled(mlp(12), x, target=0, tolerance=1e-300, max_evals=100)
    assert 100 - 23 < report.rows / len(x) <= 100 + 4


def test_a_tolerance_that_all_subsets_reach_first(x):
    found, report = sampled(mlp(12), x, target=0, tolerance=1e-9)
    assert torch.allclose(found, ShapleyValues(mlp(12)).attribute(x, target=0), atol=1e-12)
    assert torch.equal(report.standard_error[0], torch.zeros_like(x))
    assert report.rows < 3 * 3 * 2**12


def test_a_budget_is_kept(generator):
    x = torch.randn(1, 30, dtype=DOUBLE, generator=generator)
    for budget in (59, 500, 2000):
        with pytest.warns(SamplingWarning, match="above the tolerance") if budget > 59 else warnings.catch_warnings():
            _, report = sampled(mlp(30), x, target=0, tolerance=1e-9, max_evals=budget)
        assert report.rows <= budget + 4
        assert report.samples == 2 * (budget // 59)
    _, capped = sampled(mlp(30), x, target=0, max_evals=200)
    assert capped.samples == 6
    with pytest.raises(InvalidValueError, match=r"max_evals is 58.*>= 59"):
        sampled(mlp(30), x, target=0, max_evals=58)


@pytest.mark.parametrize("players", [4, 6])
def test_all_subsets_are_taken_where_the_budget_holds_them_and_not_before(players, generator):
    """The value of all features is known: there remain one less than all subsets."""
    model, _ = table_game(players, generator)
    every = 2**players - 1
    for budget, exact in ((every - 1, False), (every, True), (every + 1, True)):
        asked = {"n_samples": 1000, "max_evals": budget}
        found, report = sampled(model, torch.ones(1, players, dtype=DOUBLE), **asked)
        assert bool((report.standard_error[0] == 0).all()) is exact
        assert found.isfinite().all()
        assert report.rows <= budget + 4


def test_going_on_is_as_if_never_stopped(x):
    whole, once = sampled(mlp(12), x, target=0, n_samples=40)
    _, first = sampled(mlp(12), x, target=0, n_samples=10)
    _, second = sampled(mlp(12), x, target=0, n_samples=6, start_from=first.state, seed=None)
    found, last = sampled(mlp(12), x, target=0, n_samples=24, start_from=second.state, seed=None)
    assert torch.allclose(found, whole, atol=1e-13)
    assert torch.allclose(last.standard_error[0], once.standard_error[0], atol=1e-13)
    assert last.samples == once.samples == 40
    exact, done = sampled(mlp(5), x[:, :5], target=0)
    again, _ = sampled(mlp(5), x[:, :5], target=0, start_from=done.state, seed=None)
    assert torch.equal(exact, again)


@pytest.mark.parametrize(
    "change", [{"target": 1}, {"baselines": 0.5}, {"inputs": 2.0}, {"feature_mask": torch.arange(12) % 11}]
)
def test_going_on_with_another_question_is_refused(change, x):
    _, first = sampled(mlp(12), x, target=0, n_samples=4)
    given = {"inputs": x, "target": 0, **change}
    given["inputs"] = x * change.get("inputs", 1.0)
    with pytest.raises(InvalidValueError, match="start_from is about 12 features"):
        ShapleyValueSampling(mlp(12)).attribute(**given, start_from=first.state)
    with pytest.raises(InvalidValueError, match=r"start_from.*only one"):
        ShapleyValueSampling(mlp(12)).attribute(x, target=0, start_from=first.state, seed=1)


# -- futures, memory, Captum


class Later(nn.Module):
    """A model whose answers come from a pool of threads."""

    def __init__(self, model, pool):
        super().__init__()
        self.model, self.pool = model, pool

    def forward(self, x):
        future = torch.futures.Future()
        self.pool.submit(lambda: future.set_result(self.model(x)))
        return future


FUTURES = [
    ("FeatureAblation", {}),
    ("FeaturePermutation", {"seed": 1, "n_repeats": 2}),
    ("ShapleyValues", {"feature_mask": torch.arange(12) % 6}),
    ("ShapleyValueSampling", {"seed": 1, "n_samples": 6}),
]


@pytest.mark.parametrize(("name", "arguments"), FUTURES, ids=[name for name, _ in FUTURES])
@pytest.mark.parametrize("cap", [None, 2])
def test_functions_that_return_futures(name, arguments, cap, x):
    from concurrent.futures import ThreadPoolExecutor

    method = getattr(pellucid.attr, name)
    expected = method(mlp(12)).attribute(x, target=1, **arguments)
    with ThreadPoolExecutor(3) as pool:
        later = Later(mlp(12), pool)
        future = method(later).attribute_future(x, target=1, perturbations_per_eval=cap, **arguments)
        assert torch.allclose(future.wait(), expected, atol=1e-13)
        assert torch.allclose(method(later).attribute(x, target=1, **arguments), expected, atol=1e-13)
    with pytest.raises(pellucid.errors.InvalidTypeError, match=r"returns no torch.futures.Future"):
        method(mlp(12)).attribute_future(x, target=1, **arguments)


def test_many_features_and_outputs_in_slices(generator, monkeypatch):
    """Coalitions and values are held in slices, which changes nothing."""
    from pellucid._core import estimators

    x = torch.randn(2, 12, dtype=DOUBLE, generator=generator)
    whole = {m: m(mlp(12)).attribute(x, **a) for m, a in ((ShapleyValues, {}), (ShapleyValueSampling, {"seed": 1}))}
    monkeypatch.setattr(estimators, "_BUDGET", 500)
    for method, expected in whole.items():
        given = {"seed": 1} if method is ShapleyValueSampling else {}
        assert torch.allclose(method(mlp(12)).attribute(x, **given), expected, atol=1e-13)


def test_as_captum_in_the_limit(x):
    captum = pytest.importorskip("captum.attr")
    theirs = captum.ShapleyValues(mlp(4)).attribute(x[:, :4], target=0).double()
    found, _ = sampled(mlp(4), x[:, :4], target=0)
    assert torch.allclose(found, theirs, atol=1e-6)
