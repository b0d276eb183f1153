"""KernelShap on models: exactness, agreement with Captum, sampling that goes on, and what it refuses."""

import warnings

import pytest
import torch

import pellucid
from pellucid.attr import KernelShap, ShapleyInteractions, ShapleyValues, ShapleyValueSampling
from pellucid.errors import InvalidTypeError, InvalidValueError, SamplingWarning
from tests.models import DOUBLE, GraphNet, TwoInputs, cnn, mlp
from tests.reference.regressions import network_game, shapley_of


@pytest.fixture
def x(generator):
    return torch.randn(3, 6, dtype=DOUBLE, generator=generator)


@pytest.fixture
def wide(generator):
    return torch.randn(2, 14, dtype=DOUBLE, generator=generator)


@pytest.mark.parametrize("target", [1, [0, 2, 1], None])
def test_few_features_are_exact_by_default(x, target):
    base = torch.linspace(-1, 2, 6, dtype=DOUBLE)[None]
    found = KernelShap(mlp(6)).attribute(x, base, target)
    assert torch.allclose(found, ShapleyValues(mlp(6)).attribute(x, base, target), atol=1e-12)


@pytest.mark.parametrize("players", [1, 2])
def test_one_and_two_features(players, generator):
    x = torch.randn(2, players, dtype=DOUBLE, generator=generator)
    model = lambda v: v.sin().prod(1)  # noqa: E731
    with pellucid.recording() as report:
        found = KernelShap(model).attribute(x, 0.4)
    assert torch.allclose(found, ShapleyValues(model).attribute(x, 0.4), atol=1e-14)
    assert not report.standard_error[0].any()


def test_captum_agrees_where_all_coalitions_are_drawn(x):
    captum = pytest.importorskip("captum.attr")
    torch.manual_seed(0)
    theirs = captum.KernelShap(mlp(6).float()).attribute(x[:1].float(), target=1, n_samples=3000)
    assert torch.allclose(KernelShap(mlp(6)).attribute(x[:1], target=1).float(), theirs, atol=1e-2)
    additive = lambda v: (v**3).sum(1)  # noqa: E731
    theirs = captum.KernelShap(additive).attribute(x[:1].float(), n_samples=100)
    assert torch.allclose(KernelShap(additive).attribute(x[:1], n_samples=40).float(), theirs, atol=1e-3)


def test_at_equal_budgets_captum_errs_twice_as_much():
    captum = pytest.importorskip("captum.attr")
    ours = theirs = 0.0
    for seed in range(12):
        players = 10 + seed % 5
        values = network_game(players, 500 + seed)
        exact, power = shapley_of(values), 1 << torch.arange(players)
        table = lambda v, values=values, power=power: values[(v > 0.5).long() @ power]  # noqa: E731
        ones, rows = torch.ones(1, players, dtype=DOUBLE), 8 * players
        torch.manual_seed(seed)
        scale = exact.var()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ours += (KernelShap(table).attribute(ones, n_samples=rows)[0] - exact).square().mean() / scale
            theirs += (captum.KernelShap(table).attribute(ones, n_samples=rows)[0] - exact).square().mean() / scale
    assert 2 * ours <= theirs


def test_examples_share_draws_so_that_a_batch_equals_its_examples(wide):
    together = KernelShap(mlp(14)).attribute(wide, target=[0, 2], seed=3)
    alone = [KernelShap(mlp(14)).attribute(wide[i : i + 1], target=2 * i, seed=3) for i in range(2)]
    assert torch.allclose(together, torch.cat(alone), atol=1e-13)
    every = KernelShap(mlp(14)).attribute(wide, seed=3)
    assert every.shape == (2, 3, 14)
    assert torch.allclose(every[[0, 1], [0, 2]], together, atol=1e-13)


def test_errors_are_honest_and_smaller_than_those_of_orders(wide):
    exact = KernelShap(mlp(14)).attribute(wide, target=0, n_samples=2**14)
    with pellucid.recording() as report:
        found = KernelShap(mlp(14)).attribute(wide, target=0, seed=1)
    assert report.samples == 280
    assert report.rows <= 2 * (280 + 6)
    assert ((found - exact).abs() <= 4 * report.standard_error[0]).all()
    orders = ShapleyValueSampling(mlp(14)).attribute(wide, target=0, n_samples=20, seed=1)
    assert (found - exact).square().mean() < (orders - exact).square().mean()


def test_a_call_can_be_continued(wide):
    method = KernelShap(mlp(14))
    with pellucid.recording() as first:
        method.attribute(wide, target=0, n_samples=100, seed=4)
    with pellucid.recording() as second:
        found = method.attribute(wide, target=0, n_samples=60, start_from=first.state)
    assert second.samples == 160
    assert second.rows <= 2 * (60 + 4)
    assert torch.equal(found, method.attribute(wide, target=0, n_samples=160, seed=4))
    most = method.attribute(wide, target=0, n_samples=9000, start_from=second.state)  # sizes are drawn otherwise
    assert torch.equal(most, method.attribute(wide, target=0, n_samples=9160, seed=4))
    more = ShapleyInteractions(mlp(14)).attribute(wide, target=0, n_samples=800, start_from=second.state)
    assert more.shape == (2, 14, 14)


def test_sampling_goes_on_until_the_tolerance_is_reached(wide):
    method = KernelShap(mlp(14))
    with pellucid.recording() as report:
        method.attribute(wide, target=0, tolerance=1e-3, seed=0, n_samples=40)
    assert report.standard_error[0].max() <= 1e-3
    assert 40 < report.samples < 2**14
    with pytest.warns(SamplingWarning, match="raise max_evals"), pellucid.recording() as report:
        method.attribute(wide, target=0, tolerance=1e-9, max_evals=300, seed=0)
    assert report.samples == 300
    with pellucid.recording() as report:
        exact = KernelShap(mlp(9)).attribute(wide[:, :9], target=0, tolerance=1e-12, n_samples=40)
    assert report.samples == 2**9
    assert torch.allclose(exact, ShapleyValues(mlp(9)).attribute(wide[:, :9], target=0), atol=1e-12)


@pytest.mark.filterwarnings("ignore::pellucid.errors.SamplingWarning")
@pytest.mark.parametrize("count", [5, 25])
def test_too_few_coalitions_for_the_features_are_named(count):
    x = torch.randn(1, 300, generator=torch.Generator().manual_seed(1))
    model = mlp(300).float()
    with pellucid.recording() as report:
        found = KernelShap(model).attribute(x, target=0, n_samples=count)
    assert "do not determine the values of 300 features" in report.notices[0].message
    assert report.standard_error[0].isinf().all()
    assert torch.allclose(found.sum(), (model(x) - model(0 * x))[0, 0], atol=1e-5)


def test_inputs_of_every_kind(generator):
    other = torch.rand(3, 2, 2, dtype=DOUBLE, generator=generator)
    a = torch.randn(3, 3, dtype=DOUBLE, generator=generator)
    masks = torch.tensor([0, 4, 4]), torch.tensor([[9, 9], [4, 7]])
    scale = torch.rand(3, dtype=DOUBLE, generator=generator)
    for share in (True, False):
        arguments = {"feature_mask": masks, "additional_forward_args": scale, "share_ids": share, "target": 1}
        found = KernelShap(TwoInputs()).attribute((a, other), (0.2, 0.1), **arguments)
        expected = ShapleyValues(TwoInputs()).attribute((a, other), (0.2, 0.1), **arguments)
        for f, e in zip(found, expected, strict=True):
            assert torch.allclose(f, e, atol=1e-13)
        flat = KernelShap(TwoInputs()).attribute((a, other), (0.2, 0.1), return_input_shape=False, **arguments)
        assert flat.shape == (3, 4 if share else 5)
    padded = a.clone()
    padded[1, 2] = torch.nan
    found = KernelShap(lambda v: v.nan_to_num(0).sin().sum(1)).attribute(padded)
    assert torch.allclose(found, padded.nan_to_num(0).sin(), atol=1e-14)
    edges = torch.tensor([[0, 1, 2], [1, 2, 0]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = KernelShap(GraphNet()).attribute(a, target=0, additional_forward_args=pellucid.shared(edges))
        expected = ShapleyValues(GraphNet()).attribute(a, target=0, additional_forward_args=pellucid.shared(edges))
    assert torch.allclose(found, expected, atol=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = KernelShap(lambda v: float(v.sum() ** 2)).attribute(a)
    assert table.shape == (1, 3)


def test_chunks_and_images(generator):
    images = torch.randn(2, 2, 6, 6, dtype=DOUBLE, generator=generator)
    mask = torch.arange(36).reshape(6, 6) // 2
    whole = KernelShap(cnn()).attribute(images, target=1, feature_mask=mask, seed=2)
    for cap in (1, 7):
        found = KernelShap(cnn()).attribute(images, target=1, feature_mask=mask, seed=2, perturbations_per_eval=cap)
        assert torch.allclose(found, whole, rtol=1e-9, atol=1e-12)


REFUSED = {
    "n_samples": ({"n_samples": 3}, InvalidValueError, "n_samples is 3"),
    "no count": ({"n_samples": 2.5}, InvalidTypeError, "n_samples is a float"),
    "tolerance": ({"tolerance": -1.0}, InvalidValueError, "tolerance is -1.0"),
    "max_evals": ({"max_evals": 1}, InvalidValueError, "max_evals is 1"),
    "state": ({"start_from": 3}, InvalidTypeError, "start_from is a int"),
    "keyword": ({"taget": 1}, TypeError, "taget"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_refused_before_the_model_runs(name, wide):
    arguments, error, text = REFUSED[name]
    with pytest.raises(error, match=text):
        KernelShap(lambda v: pytest.fail("called")).attribute(wide, **arguments)


def test_states_of_other_questions_and_memory_are_refused(wide):
    with pellucid.recording() as report:
        KernelShap(mlp(14)).attribute(wide, target=0, n_samples=60)
    with pytest.raises(InvalidValueError, match="start_from is about 14 features"):
        KernelShap(mlp(14)).attribute(wide, target=1, start_from=report.state)
    with pytest.raises(InvalidValueError, match="start_from is given with a seed"):
        KernelShap(mlp(14)).attribute(wide, target=0, start_from=report.state, seed=1)
    with pytest.raises(InvalidValueError, match="feature_mask"):
        KernelShap(lambda v: pytest.fail("called")).attribute(torch.zeros(1, 3, 224, 224))


def test_explain_by_name(wide):
    explanation = pellucid.explain(mlp(14), wide, method="kernel_shap", target=0, seed=1, n_samples=100)
    assert torch.equal(explanation.attributions, KernelShap(mlp(14)).attribute(wide, target=0, seed=1, n_samples=100))
    assert explanation.standard_error.shape == wide.shape


@pytest.mark.filterwarnings("ignore::pellucid.errors.SamplingWarning")
def test_the_default_is_enough_for_two_hundred_features(generator):
    """A fixed small number of coalitions would leave noise. Pairs of a quadratic share what they make together."""
    linear = torch.randn(200, dtype=DOUBLE, generator=generator)
    pairs = torch.randn(200, 200, dtype=DOUBLE, generator=generator) / 40
    x = torch.randn(2, 200, dtype=DOUBLE, generator=generator)
    with pellucid.recording() as report:
        found = KernelShap(lambda v: v @ linear + ((v @ pairs) * v).sum(1)).attribute(x, seed=1)
    exact = x * linear + x * (x @ (pairs + pairs.T)) / 2
    for row, truth, error in zip(found, exact, report.standard_error[0], strict=True):
        assert torch.corrcoef(torch.stack([row, truth]))[0, 1] > 0.97
        sure = row.abs() > 3 * error
        assert sure.sum() > 100
        assert (row.sign() == truth.sign())[sure].float().mean() > 0.99
