"""Infidelity: closed forms, Captum, cost, chunks and whatever perturb_func may do."""

import pytest
import torch

from pellucid.errors import InvalidTypeError, InvalidValueError
from pellucid.metrics import infidelity, infidelity_perturb_func_decorator
from tests.metrics.models import WEIGHTS, Counting, curved, linear, rows
from tests.models import DOUBLE, TwoInputs


def noise(x):
    drawn = 0.3 * torch.randn(x.shape, dtype=x.dtype)
    return drawn, x - drawn


def fixed(x):
    """The same shift for equal rows, whatever stands beside them."""
    shift = torch.sin(7 * x) / 5 + 0.1
    return shift, x - shift


def test_gradients_of_a_linear_model_have_none():
    x = rows()
    assert infidelity(linear, noise, x, WEIGHTS.expand_as(x), n_perturb_samples=50).abs().max() < 1e-25


@pytest.mark.parametrize("normalize", [False, True])
def test_a_wrong_gradient_by_hand(normalize):
    x, wrong = rows(), WEIGHTS * torch.tensor([1.0, 1.0, 1.0, 0.0, 1.0], dtype=DOUBLE)
    torch.manual_seed(3)
    found = infidelity(linear, noise, x, wrong.expand_as(x), n_perturb_samples=7, normalize=normalize)
    torch.manual_seed(3)
    shift, _ = noise(x.repeat_interleave(7, 0))
    told, happened = (shift @ wrong).reshape(3, 7), (shift @ WEIGHTS).reshape(3, 7)
    beta = (told * happened).sum(1) / (told**2).sum(1) if normalize else torch.ones(3, dtype=DOUBLE)
    assert torch.allclose(found, ((beta[:, None] * told - happened) ** 2).mean(1), rtol=1e-12)


def test_scaling_does_not_matter_once_normalized():
    model, x, target, _ = curved()
    attributions = rows(4, seed=2)
    scores = [infidelity(model, fixed, x, c * attributions, target=target, normalize=True) for c in (1.0, 1e-4, 1e4)]
    assert torch.allclose(scores[0], scores[1], rtol=1e-9)
    assert torch.allclose(scores[0], scores[2], rtol=1e-9)
    silent = infidelity(model, fixed, x, torch.zeros_like(x), target=target, normalize=True)
    assert (silent >= scores[0]).all()


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("multiply", [False, True])
def test_equal_to_captum(normalize, multiply):
    captum = pytest.importorskip("captum.metrics")
    model, x, target, base = curved()
    attributions = rows(4, seed=2)
    for cap in (None, 8):
        arguments = {"target": target, "n_perturb_samples": 6, "max_examples_per_batch": cap, "normalize": normalize}
        torch.manual_seed(0)
        ours = infidelity(model, noise, x, attributions, **{**arguments, "max_examples_per_batch": None})
        torch.manual_seed(0)
        theirs = captum.infidelity(model, noise, x, attributions, **{**arguments, "max_examples_per_batch": None})
        assert torch.allclose(ours, theirs, rtol=1e-9)  # the very same draws

        def moved(v, b=base):
            return v + torch.cos(3 * v) / 4 + b / 10

        decorated = [m.infidelity_perturb_func_decorator(multiply)(moved) for m in (_ours(), captum)]
        ours = infidelity(model, decorated[0], x, attributions, base, **arguments)
        theirs = captum.infidelity(model, decorated[1], x, attributions, base, **arguments)
        assert torch.allclose(ours, theirs, rtol=1e-9)
        ours = infidelity(model, decorated[0], x, attributions, **arguments)
        theirs = captum.infidelity(model, decorated[1], x, attributions, **arguments)
        assert torch.allclose(ours, theirs, rtol=1e-9)


def _ours():
    import pellucid.metrics

    return pellucid.metrics


def test_tuples_and_arguments_equal_captum():
    captum = pytest.importorskip("captum.metrics")
    a, b, scale = rows(3), rows(3, 2, seed=1), torch.tensor([1.0, 2.0, 0.5], dtype=DOUBLE)
    bases = (rows(3, seed=8), 0.25)

    @infidelity_perturb_func_decorator(True)
    def ours_function(values, baselines):
        assert len(baselines[0]) == len(values[0])
        return values[0] * 0.9, values[1] - 0.05

    @captum.infidelity_perturb_func_decorator(True)
    def their_function(values, baselines):
        return values[0] * 0.9, values[1] - 0.05

    arguments = {"additional_forward_args": scale, "target": 1, "n_perturb_samples": 4, "baselines": bases}
    ours = infidelity(TwoInputs(), ours_function, (a, b), (a**2, b), **arguments)
    theirs = captum.infidelity(TwoInputs(), their_function, (a, b), (a**2, b), **arguments)
    assert torch.allclose(ours, theirs, rtol=1e-9)


def test_cost_and_chunks():
    model, x, target, _ = curved()
    counting = Counting(model)
    infidelity(counting, fixed, x, x, target=target, n_perturb_samples=100)
    assert counting.rows == 4 * (100 + 1 + 2)  # perturbations, the reference, and one of each again as a check
    assert counting.calls == 3
    scores, calls = [], []
    for cap in (None, 1, 3, 4, 7, 64):
        counting = Counting(model)
        torch.manual_seed(5)
        scores.append(infidelity(counting, noise, x, x, target=target, n_perturb_samples=9, max_examples_per_batch=cap))
        calls.append(counting.calls)
    assert all(torch.allclose(scores[0], other, rtol=1e-12) for other in scores)
    assert calls[1] > calls[2] > calls[4] > calls[5]


def test_draws_of_large_inputs_are_made_in_parts(monkeypatch):
    from pellucid.metrics import _drawing

    monkeypatch.setattr(_drawing, "DRAWN_BYTES", 3 * 4 * 5 * 8 * 2)  # two copies of four rows of five doubles
    model, x, target, _ = curved()
    seen = []

    def function(v):
        seen.append(len(v))
        return fixed(v)

    parts = infidelity(model, function, x, x, target=target, n_perturb_samples=5)
    assert seen == [8, 8, 4]
    monkeypatch.undo()
    assert torch.allclose(parts, infidelity(model, fixed, x, x, target=target, n_perturb_samples=5), rtol=1e-12)


def test_the_users_generator_moves_as_if_called_alone():
    """Dropout in a model in training mode draws too; it must not shift what perturb_func draws next."""
    model = torch.nn.Sequential(torch.nn.Linear(5, 1), torch.nn.Dropout(0.5)).to(DOUBLE).train()
    x = rows()
    torch.manual_seed(1)
    with pytest.warns(UserWarning, match="training mode|pass of its own"):
        infidelity(model, noise, x, x, n_perturb_samples=3)
    after = torch.rand(1)
    torch.manual_seed(1)
    torch.randn(9, 5, dtype=DOUBLE)
    assert torch.equal(after, torch.rand(1))


@pytest.mark.parametrize("samples", [1, 10])
def test_a_forgotten_target_is_an_error(samples):
    model, x, _, _ = curved()
    with pytest.raises(InvalidValueError, match="target is None"):
        infidelity(model, noise, x, x, n_perturb_samples=samples)


def test_one_value_for_a_batch_is_an_error_and_for_one_example_is_not():
    x = rows()
    with pytest.raises(InvalidValueError, match="one value for 3 examples"):
        infidelity(lambda v: linear(v).sum(), fixed, x, x, n_perturb_samples=1)
    one = infidelity(lambda v: linear(v).sum(), lambda v: (0 * v + 1, v - 1), x[:1], 0 * x[:1], n_perturb_samples=1)
    assert torch.allclose(one, WEIGHTS.sum() ** 2)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"perturb_func": 3}, InvalidTypeError, "perturb_func"),
        ({"perturb_func": lambda v: v}, InvalidTypeError, "infidelity_perturb_func_decorator"),
        ({"perturb_func": lambda v: (v, v[:1])}, InvalidValueError, "perturbed inputs have shape"),
        ({"perturb_func": lambda v: (v[:, :1], v)}, InvalidValueError, "perturbations have shape"),
        ({"perturb_func": lambda v: (v / 0, v)}, InvalidValueError, "not all finite"),
        ({"perturb_func": lambda v: ((v, v), v)}, InvalidTypeError, "1 inputs"),
        ({"attributions": rows(3, 4)}, InvalidValueError, "attributions"),
        ({"attributions": rows() / 0}, InvalidValueError, "NaN or infinite"),
        ({"attributions": rows().long()}, InvalidTypeError, "attributions"),
        ({"n_perturb_samples": 0}, InvalidValueError, "n_perturb_samples"),
        ({"max_examples_per_batch": 0}, InvalidValueError, "max_examples_per_batch"),
        ({"baselines": rows(2)}, InvalidValueError, "baselines"),
        ({"inputs": rows() / 0}, InvalidValueError, "inputs"),
        ({"forward_func": None}, InvalidTypeError, "forward_func"),
        ({"taget": 1}, TypeError, "taget"),
    ],
)
def test_refusals(change, error, words):
    arguments = {"forward_func": linear, "perturb_func": noise, "inputs": rows(), "attributions": rows()}
    with pytest.raises(error, match=words):
        infidelity(**{**arguments, **change})


def test_passes_stay_small_whatever_the_number_of_samples():
    largest = []

    def model(v):
        largest.append(len(v))
        return v.mean((1, 2, 3))

    x = torch.rand(4, 3, 64, 64)
    infidelity(model, lambda v: (v / 10, v * 0.9), x, x, n_perturb_samples=60)
    assert max(largest) <= 16
    assert sum(largest) == 4 * 63


@pytest.mark.parametrize("mask", [None, torch.tensor([[0, 1, 1, 2, 0]])])
def test_infidelity_of_removals_as_the_registry_has_it(mask):
    from pellucid.metrics import METRICS, Setting

    x, base = rows(6), rows(1, seed=3)
    exact = (x - base) * WEIGHTS

    def score(attributions):
        return METRICS["infidelity"].compute(Setting(linear, x, attributions, None, base, feature_mask=mask, seed=1))

    assert score(exact).max() < 1e-25
    assert score(exact / 1e3).max() < 1e-20
    nothing = score(torch.zeros_like(x))
    assert torch.allclose(score(-exact), nothing)  # as bad as saying nothing, and no better
    assert (score(rows(6, seed=8)) <= nothing + 1e-12).all()
