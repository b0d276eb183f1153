"""FGSM and PGD: equal to Captum's where it is right, and right where it is not."""

import math
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pellucid import recording, shared
from pellucid.errors import AttackWarning, ExpansionWarning
from pellucid.robust import FGSM, PGD, Perturbation
from pellucid.robust._balls import corner
from tests.models import DOUBLE, GraphNet, TwoInputs, mlp


def probabilities(features=5):
    return nn.Sequential(mlp(features), nn.Softmax(1))


def batch(n=6, features=5):
    torch.manual_seed(1)
    return torch.randn(n, features, dtype=DOUBLE), torch.tensor([0, 1, 2] * n)[:n]


def captum_quietly(call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(pytest.importorskip("captum.robust"))


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("bounds", [{}, {"lower_bound": -3.0, "upper_bound": 2.5}])
@pytest.mark.parametrize("loss", [None, nn.CrossEntropyLoss(reduction="none")])
def test_fgsm_is_captums(targeted, bounds, loss):
    model, (x, y) = probabilities() if loss is None else mlp(), batch()
    x = x.clamp(-3.0, 2.5)
    mask = (torch.arange(5) % 2).to(DOUBLE).expand(6, 5)
    for more in ({}, {"mask": mask}):
        ours = FGSM(model, loss, **bounds).perturb(x, 0.1, y, targeted=targeted, **more)
        theirs = captum_quietly(lambda c, m=more: c.FGSM(model, loss, **bounds).perturb(x, 0.1, y, None, targeted, **m))
        assert torch.allclose(ours, theirs, atol=1e-12)


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("bounds", [{}, {"lower_bound": -2.0, "upper_bound": 2.0}])
def test_pgd_is_captums(norm, bounds, targeted):
    model, (x, y) = probabilities(), batch()
    x = x.clamp(-2.0, 2.0)
    mask = (torch.arange(5) > 0).to(DOUBLE).expand(6, 5)
    for more in ({}, {"mask": mask}):
        ours = PGD(model, **bounds).perturb(x, 0.3, 0.1, 8, y, None, targeted, norm=norm, **more)
        theirs = captum_quietly(
            lambda c, m=more: c.PGD(model, **bounds).perturb(x, 0.3, 0.1, 8, y, None, targeted, False, norm, **m)
        )
        assert torch.allclose(ours, theirs, atol=1e-7)


def test_tuples_and_additional_arguments_are_captums():
    model = nn.Module()
    model.forward = lambda a, b, scale: F.softmax(TwoInputs()(a, b, scale), 1)
    a, b, scale = (
        torch.rand(3, 4, dtype=DOUBLE),
        torch.rand(3, 2, 2, dtype=DOUBLE),
        torch.tensor([0.5, 1.0, 2.0]).double(),
    )
    for run in (
        lambda r: r.FGSM(model).perturb((a, b), 0.1, [0, 1, 2], scale),
        lambda r: r.PGD(model).perturb((a, b), 0.2, 0.05, 6, 1, scale, norm="L2"),
    ):
        import pellucid.robust

        ours, theirs = run(pellucid.robust), captum_quietly(run)
        assert isinstance(ours, tuple)
        assert all(torch.allclose(o, t, atol=1e-7) for o, t in zip(ours, theirs, strict=True))


def test_on_logits_the_targets_probability_falls():
    model, (x, y) = mlp(), batch()
    shifted = lambda v: model(v) + 10  # noqa: E731  positive logits: -log of them would be defined
    before = model(x).softmax(1).gather(1, y[:, None])
    after = shifted(FGSM(shifted).perturb(x, 1e-3, y)).softmax(1).gather(1, y[:, None])
    assert bool((after < before).all())
    after = model(PGD(model).perturb(x, 0.2, 0.05, 8, y)).softmax(1).gather(1, y[:, None])
    assert bool((after < before).all())
    towards = model(PGD(model).perturb(x, 0.2, 0.05, 8, y, targeted=True)).softmax(1).gather(1, y[:, None])
    assert bool((towards > before).all())


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_a_confident_model_is_attacked_all_the_same(dtype):
    weight = torch.tensor([[1.0, -2.0], [-1.0, 3.0]], dtype=dtype) * 1e4
    logits = lambda x: x @ weight.T  # noqa: E731  cross-entropy's gradient is exactly zero here
    x = torch.tensor([[1.0, 0.5], [0.9, 0.1]], dtype=dtype)
    y = logits(x).argmax(1)
    assert not torch.autograd.functional.jacobian(lambda v: F.cross_entropy(logits(v), y), x).any()
    assert bool((logits(FGSM(logits).perturb(x, 0.6, y)).argmax(1) != y).all())
    assert bool((logits(PGD(logits).perturb(x, 0.6, 0.1, 8, y)).argmax(1) != y).all())


def test_tiny_gradients_move_and_vanished_ones_are_said():
    x = torch.ones(2, 3, dtype=DOUBLE)
    tiny = lambda v: (v * 1e-12).sum(1)  # noqa: E731
    assert torch.allclose(FGSM(tiny).perturb(x, 0.5, None), x - 0.5)
    saturated = lambda v: torch.stack([v.sum(1), -v.sum(1)], 1).mul(1e3).softmax(1)  # noqa: E731
    for attack in (
        lambda: FGSM(saturated).perturb(x, 0.5, 0),
        lambda: PGD(saturated).perturb(x, 0.5, 0.1, 3, 0),
        lambda: FGSM(mlp(3), lambda out, t: out[:, 0] * 0.0).perturb(x, 0.1, 0),
    ):
        with pytest.warns(AttackWarning, match="exactly zero for 2 of 2 examples.*nothing about their robustness"):
            found = attack()
        assert torch.equal(found, x)
    half = lambda v: v.sum(1) * (torch.arange(2) == 0)  # noqa: E731
    with pytest.warns(AttackWarning, match="1 of 2 examples"):
        found = FGSM(half).perturb(x, 0.5, None)
    assert torch.equal(found, torch.tensor([[0.5] * 3, [1.0] * 3], dtype=DOUBLE))


def test_gradients_that_are_no_numbers_are_said_and_stay():
    x = torch.tensor([[0.0, 1.0]], dtype=DOUBLE)
    with pytest.warns(UserWarning, match="1 entries of the loss's gradient are NaN"):
        found = FGSM(lambda v: (v[:, 0] * v[:, 0].sqrt() * 0 / v[:, 0] * v[:, 0]) + v[:, 1]).perturb(x, 0.5, None)
    assert torch.equal(found, torch.tensor([[0.0, 0.5]], dtype=DOUBLE))


@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
def test_normalised_steps_reach_the_exact_point_of_a_linear_function(norm):
    w = torch.tensor([3.0, -4.0, 0.5], dtype=DOUBLE)
    x = torch.zeros(2, 3, dtype=DOUBLE)
    found = PGD(lambda v: v @ w).perturb(x, 0.7, 0.2, 9, None, norm=norm, normalized=True)
    expected = {"Linf": -w.sign() * 0.7, "L2": -w / w.norm() * 0.7, "L1": torch.tensor([0.0, 0.7, 0.0], dtype=DOUBLE)}[
        norm
    ]
    assert torch.allclose(found, expected.expand(2, 3), atol=1e-9)
    bounded = PGD(lambda v: v @ w, None, -0.3, 0.3).perturb(x, 0.7, 0.2, 80, None, norm="L1", normalized=True)
    assert torch.allclose(
        bounded, torch.tensor([[-0.3, 0.3, -0.1]] * 2, dtype=DOUBLE), atol=1e-9
    )  # largest weights first


def test_restarts_keep_the_best_and_draws_follow_the_seed():
    model, (x, y) = mlp(), batch(12)
    attack = PGD(model)
    loss = lambda v: F.cross_entropy(model(v), y, reduction="none")  # noqa: E731
    settings = {"radius": 1.5, "step_size": 0.2, "step_num": 5, "target": y, "random_start": True}
    once = attack.perturb(x, **settings, seed=4)
    many = attack.perturb(x, **settings, n_restarts=6, seed=4)
    assert bool((loss(many) >= loss(once) - 1e-12).all())
    assert bool((loss(many) > loss(once) + 1e-9).any())
    assert torch.equal(many, attack.perturb(x, **settings, n_restarts=6, seed=4))
    torch.manual_seed(3)
    first, second = attack.perturb(x, **settings), attack.perturb(x, **settings)
    torch.manual_seed(3)
    assert torch.equal(first, attack.perturb(x, **settings))
    assert not torch.equal(first, second)
    state = torch.get_rng_state()
    attack.perturb(x, 0.3, 0.1, 2, y)
    assert torch.equal(state, torch.get_rng_state())


def test_default_losses_fit_the_output():
    x, y = batch(3)
    model = mlp()
    one = lambda v: model(v)[:, :1]  # noqa: E731
    assert torch.equal(FGSM(one).perturb(x, 0.1, 0), FGSM(lambda v: model(v)[:, 0]).perturb(x, 0.1, None))
    log = FGSM(lambda v: model(v).softmax(1)).perturb(x, 0.1, y)
    assert torch.equal(log, FGSM(model).perturb(x, 0.1, y))  # -log p and cross-entropy of its logits are the same
    assert torch.equal(log, FGSM(model, nn.CrossEntropyLoss(reduction="none")).perturb(x, 0.1, y))
    assert torch.equal(log, FGSM(model).perturb(x, 0.1, [int(v) - 3 for v in y]))  # counted from the end
    both = FGSM(lambda v: model(v).softmax(1)).perturb(x, 0.1, (slice(0, 2),))
    theirs = FGSM(model, lambda out, t: -out.log_softmax(1)[:, :2].sum(1)).perturb(x, 0.1, 0)
    assert torch.equal(both, theirs)
    grid = lambda v: model(v)[:, :, None].softmax(1).expand(-1, 3, 2)  # noqa: E731
    assert torch.equal(FGSM(grid).perturb(x, 0.1, (1, 0)), FGSM(model).perturb(x, 0.1, 1))
    assert torch.equal(FGSM(grid).perturb(x, 0.1, [(0, 1), (1, 0), (2, 1)]), log)


def test_a_loss_of_ones_own_gets_what_was_passed():
    x, _ = batch(3)
    seen = []

    def loss(output, target):
        seen.append(target)
        return (output["scores"] - target["wanted"]).square().sum(1)

    target = {"wanted": 2.0}
    found = FGSM(lambda v: {"scores": v}, loss).perturb(x, 0.1, target)
    assert torch.allclose(found, x + 0.1 * (x - 2).sign())
    assert seen == [target]
    mean = FGSM(mlp(), F.cross_entropy).perturb(x, 0.1, torch.tensor([0, 1, 2]))  # one value per batch
    assert torch.equal(mean, FGSM(mlp()).perturb(x, 0.1, [0, 1, 2]))


@pytest.mark.parametrize("target", [[0, 1, 2] * 5, torch.tensor([0, 1, 2] * 5)])
@pytest.mark.parametrize("loss", [None, lambda out, t: F.cross_entropy(out, torch.as_tensor(t), reduction="none")])
def test_chunks_do_not_change_the_result(monkeypatch, target, loss):
    model, x = mlp(), torch.randn(15, 5, dtype=DOUBLE)
    scale = torch.rand(15, 1, dtype=DOUBLE)
    forward = lambda v, s: model(v) * s  # noqa: E731
    whole = PGD(forward, loss).perturb(x, 0.3, 0.1, 4, target, scale, norm="L2")
    monkeypatch.setattr("pellucid._core.batching.WHOLE_BUDGET", 0)
    monkeypatch.setattr("pellucid._core.batching.FIRST_ROWS", 4)
    monkeypatch.setattr("pellucid._core.batching.CPU_BUDGET", 1500)
    with recording() as report:
        chunks = PGD(forward, loss).perturb(x, 0.3, 0.1, 4, target, scale, norm="L2")
    assert report.calls > 8
    assert torch.allclose(whole, chunks, atol=1e-12)


def test_models_that_mix_their_rows_are_attacked_whole(monkeypatch):
    monkeypatch.setattr("pellucid._core.batching.WHOLE_BUDGET", 0)
    monkeypatch.setattr("pellucid._core.batching.FIRST_ROWS", 2)
    graph, nodes = GraphNet(), torch.randn(5, 3, dtype=DOUBLE)
    edges = torch.tensor([[0, 1, 2, 3, 4], [1, 2, 3, 4, 0]])
    with pytest.warns(ExpansionWarning, match="part of the batch"):
        found = FGSM(graph).perturb(nodes, 0.1, 0, shared(edges))
    leaf = nodes.clone().requires_grad_()
    F.cross_entropy(graph(leaf, edges), torch.zeros(5, dtype=torch.long)).backward()
    assert torch.allclose(found, nodes + 0.1 * leaf.grad.sign())


def test_bounds_by_channel_and_inputs_outside_them():
    x = torch.tensor([[0.9, 0.1], [0.5, 0.5]], dtype=DOUBLE)
    low, high = torch.tensor([[0.45, 0.0]], dtype=DOUBLE), torch.tensor([[1.0, 0.55]], dtype=DOUBLE)
    found = FGSM(lambda v: v[:, 0] - v[:, 1], None, low, high).perturb(x, 0.1, None)
    assert torch.allclose(found, torch.tensor([[0.8, 0.2], [0.45, 0.55]], dtype=DOUBLE))
    with pytest.warns(AttackWarning, match="1 input values lie outside"):
        found = FGSM(lambda v: v.sum(1), None, 0.0, 0.5).perturb(torch.tensor([[0.9, 0.4]]), 0.1, None)
    assert torch.allclose(found, torch.tensor([[0.5, 0.3]]))


def test_a_perturbation_is_called():
    with pytest.raises(TypeError, match="abstract"):
        Perturbation()
    x, y = batch(2)
    assert torch.equal(FGSM(mlp())(x, 0.1, y), FGSM(mlp()).perturb(x, 0.1, y))
    assert math.isfinite(float(PGD(mlp())(x, 0.1, 0.1, 1, y).sum()))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("radius", [0.1, 1 / 3, 3e-4])
def test_corners_are_the_farthest_points_within_the_radius(dtype, radius):
    generator = torch.Generator().manual_seed(0)
    center = torch.randn(200, 5, generator=generator, dtype=torch.float64).to(dtype)
    center[0], center[1] = 0, radius
    signs = torch.randint(-1, 2, center.shape, generator=generator).to(dtype)
    found = corner(center, signs, radius)
    moves = signs != 0
    assert found.dtype == dtype
    assert torch.equal(found[~moves], center[~moves])
    assert bool(((found.double() - center.double()).abs() <= radius).all())
    beyond = torch.nextafter(found, signs * torch.inf)[moves]
    assert bool(((beyond.double() - center.double()[moves]).abs() >= radius * (1 - 1e-15)).all())
