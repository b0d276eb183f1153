"""Robust accuracy with its interval and its flags, and what the strong attacks return."""

import dataclasses

import pytest
import torch
from torch import nn

from pellucid import recording
from pellucid.errors import AttackWarning, InvalidValueError
from pellucid.robust import APGD, FAB, RobustnessEvaluator, Square, wilson_interval
from pellucid.robust._ascent import _looks
from pellucid.robust._losses import UNTARGETED, dlr, dlr_to, log_odds, margin, margin_to
from pellucid.robust._random_search import Windows, _hill, share_of_values
from tests.models import DOUBLE, GraphNet, cnn, mlp


def linear(n=40, features=6, scale=1.0):
    torch.manual_seed(2)
    weight = torch.randn(features, 3, dtype=DOUBLE) * scale
    x = torch.randn(n, features, dtype=DOUBLE)
    return (lambda v: v @ weight), x, (x @ weight).argmax(1)


def flagged(model, x, y, **settings):
    given = {"radius": 0.05, "seed": 0, "n_iter": 10, "n_queries": 20, **settings}
    with pytest.warns(AttackWarning, match="may be too high"):
        found = RobustnessEvaluator(model).evaluate(x, y, given.pop("radius"), **given)
    return found, {f.name: f.message for f in found.flags}


def test_the_result_says_everything():
    model, x, y = linear()
    y = torch.where(torch.arange(40) < 4, (y + 1) % 3, y)
    with recording() as report:
        found = RobustnessEvaluator(model).evaluate(x, y, 0.3, seed=0, n_iter=20, n_queries=30)
    assert found.accuracy == 0.9
    assert found.examples == 40
    assert [a.name for a in found.attacks] == ["APGD-CE", "APGD-DLR targeted", "FAB targeted", "Square"]
    left = 36
    for outcome in found.attacks:
        assert outcome.tried == left
        left -= outcome.broken
    assert left == int(found.standing.sum()) == round(found.robust_accuracy * 40)
    assert sum(a.rows for a in found.attacks) <= report.rows
    fell = found.correct & ~found.standing
    assert [b is not None for b in found.broken_by] == fell.tolist()
    assert torch.equal(found.perturbed[~fell], x[~fell])
    assert torch.equal(found.distances > 0, fell)
    low, high = found.interval
    assert low < found.robust_accuracy < high
    text = str(found)
    assert text.startswith(f"Robust accuracy {found.robust_accuracy:.1%} (95% interval {low:.1%} to {high:.1%}) within")
    assert f"APGD-CE: turned {found.attacks[0].broken} of 36" in text
    assert "no flags" in text
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.radius = 1.0
    again = RobustnessEvaluator(model).evaluate(x, y, 0.3, seed=0, n_iter=20, n_queries=30)
    assert torch.equal(again.perturbed, found.perturbed)


def test_wilsons_interval():
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.27754), abs=1e-5)
    assert wilson_interval(10, 10) == pytest.approx((0.72246, 1.0), abs=1e-5)
    assert wilson_interval(50, 100, 0.99) == pytest.approx((0.37528, 0.62472), abs=1e-5)
    z = 1.959963984540054
    for p in wilson_interval(7, 31):  # the ends solve |p^ - p| = z sqrt(p (1 - p) / n)
        assert abs(7 / 31 - p) == pytest.approx(z * (p * (1 - p) / 31) ** 0.5, rel=1e-9)


# -- flags


def test_vanishing_gradients_are_flagged():
    model, x, y = linear()
    found, flags = flagged(lambda v: (model(v) * 1e5).softmax(1), x, y, radius=1e-6)
    assert found.robust_accuracy > 0.9
    assert "40 of 40 standing examples" in flags["zero_gradient"]
    assert "! zero_gradient" in str(found)


def test_saturated_cross_entropy_is_flagged_and_yet_attacked():
    model, x, y = linear(scale=1e4)
    found, flags = flagged(model, x, y, radius=0.3, n_iter=30)
    plain = RobustnessEvaluator(linear()[0]).evaluate(x, y, 0.3, seed=0, n_iter=30, n_queries=20)
    assert torch.equal(found.standing, plain.standing)
    assert "saturated_loss" in flags
    assert plain.flags == ()


def test_steps_that_hide_the_gradient_are_flagged_and_seen_through():
    model, x, y = linear()
    hidden = lambda v: model((v * 8).round() / 8 + 0 * v)  # noqa: E731
    found, flags = flagged(hidden, x, y, radius=0.4, n_queries=200)
    assert {"zero_gradient", "black_box_wins"} <= set(flags)
    assert found.attacks[-1].broken > 0


def test_gradients_that_mislead_are_flagged():
    model, x, y = linear()

    class Misleading(torch.autograd.Function):
        @staticmethod
        def forward(ctx, v):
            return v.clone()

        @staticmethod
        def backward(ctx, g):
            return -g

    found, flags = flagged(lambda v: model(Misleading.apply(v)), x, y, radius=0.1, n_queries=200)
    assert {"flat_loss", "black_box_wins"} & set(flags)
    assert found.attacks[-1].broken > 0


def test_losses_that_cannot_rise_are_no_sign():
    model, x, y = linear()
    assert RobustnessEvaluator(model).evaluate(x, y, 0.0, seed=0, n_iter=5, n_queries=5).flags == ()
    corner = torch.ones(3, 2, dtype=DOUBLE)  # the loss would rise beyond the bounds only
    upwards = lambda v: torch.stack([5 - v.sum(1), v.sum(1)], 1)  # noqa: E731
    found = RobustnessEvaluator(upwards, 0.0, 1.0).evaluate(corner, 0, 0.3, seed=0, n_iter=5, n_queries=5)
    assert found.robust_accuracy == 1.0
    assert found.flags == ()


def test_random_outputs_are_flagged():
    model, x, y = linear()
    found, flags = flagged(lambda v: model(v) + 0.01 * torch.randn(len(v), 3, dtype=DOUBLE), x, y)
    assert "random_output" in flags
    assert found.examples == 40


def test_restarts_that_matter_are_flagged():
    """Half of the random starts lie where the loss is flat."""
    x = torch.zeros(30, 1, dtype=DOUBLE)

    def one_sided(v):
        rise = torch.relu(v[:, 0] - 0.2) * 10
        return torch.stack([torch.ones_like(rise), rise], 1)

    evaluator = RobustnessEvaluator(one_sided, attacks=("APGD-CE",))
    with pytest.warns(AttackWarning, match="restarts_matter"):
        found = evaluator.evaluate(x, 0, 0.5, seed=0, n_iter=10, n_restarts=2)
    assert 0 < found.robust_accuracy < 0.7
    late = evaluator.evaluate(x, 0, 0.5, seed=0, n_iter=10, n_restarts=30)
    assert late.robust_accuracy == 0
    assert late.flags == ()


def test_a_function_without_gradients_can_only_be_searched():
    steps = lambda v: torch.stack([(v.sum(1) > 0).float(), (v.sum(1) <= 0).float()], 1)  # noqa: E731
    x = torch.tensor([[0.1, 0.1], [0.9, 0.9]])
    with pytest.raises(InvalidValueError, match="no gradient"):
        RobustnessEvaluator(steps).evaluate(x, 0, 0.2, seed=0, n_iter=3, n_queries=5)
    with pytest.warns(AttackWarning, match="zero_gradient"):
        found = RobustnessEvaluator(steps, attacks=("Square",)).evaluate(x, 0, 0.2, seed=0, n_queries=50)
    assert found.standing.tolist() == [False, True]


# -- parts


def test_losses_follow_their_formulas():
    z = torch.tensor([[1.0, 4.0, 2.0, 0.5], [3.0, 0.0, -1.0, 2.5]], dtype=DOUBLE, requires_grad=True)
    y = torch.tensor([1, 1])
    p = z.softmax(1).gather(1, y[:, None])[:, 0]
    assert torch.allclose(log_odds(z, y), (1 - p).log() - p.log())
    assert torch.allclose(margin(z, y), torch.tensor([-2.0, 3.0]).double())
    assert torch.allclose(dlr(z, y), torch.tensor([-2 / (4 - 1), 3 / (3 - 0)]).double())
    wanted = torch.tensor([2, 3])
    assert torch.allclose(margin_to(z, y, wanted), torch.tensor([-2.0, 2.5]).double())
    expected = torch.tensor([-2 / (4 - (1 + 0.5) / 2), 2.5 / (3 - (0 - 1) / 2)]).double()
    assert torch.allclose(dlr_to(z, y, wanted), expected)
    assert torch.equal(dlr(z[:, :2], y), margin(z[:, :2], y))  # no third class
    assert torch.equal(dlr_to(z[:, :3], y, y * 0), margin_to(z[:, :3], y, y * 0))  # no fourth one
    assert torch.allclose(dlr(z * 7, y), dlr(z, y))  # scale-invariant
    ours = torch.autograd.grad(log_odds(z, y).sum(), z, retain_graph=True)[0]
    theirs = torch.autograd.grad(nn.functional.cross_entropy(z, y, reduction="sum"), z)[0]
    assert torch.allclose(ours * (1 - p[:, None]), theirs)  # the direction of cross-entropy
    assert set(UNTARGETED) == {"cross_entropy", "dlr", "margin"}


def test_apgd_looks_when_the_paper_says():
    assert sorted(_looks(100))[:5] == [22, 41, 57, 70, 80]


def test_square_windows():
    assert share_of_values(5, 5000) == 0.8
    assert share_of_values(4999, 5000) == 0.8 / 2**9
    windows = Windows(((2, 8, 6), (5,)))
    first, second = windows.pair(200, 0.25, torch.Generator().manual_seed(0))
    for window in (first, second):
        image, rest = window[:, :96].reshape(200, 2, 8, 6) > 0, window[:, 96:] > 0
        assert bool((image.any((1, 2, 3)) != rest.any(1))[image.any((1, 2, 3))].all())  # one input at a time
        assert torch.equal(image[:, 0], image[:, 1])
        drawn = image[image.any((1, 2, 3))][:, 0]
        assert set(drawn.sum((1, 2)).tolist()) == {9}  # round(sqrt(12)) squared
        assert bool((drawn.any(1).sum(1) == 3).all())
    assert _hill(3).tolist() == [[0.25, 0.25, 0.25], [0.25, 1.25, 0.25], [0.25, 0.25, 0.25]]


@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
def test_images_are_attacked_in_chunks_with_the_same_result(norm, monkeypatch):
    model = cnn()
    x = torch.rand(6, 2, 8, 8, dtype=DOUBLE)
    y = model(x).argmax(1)
    settings = {"norm": norm, "seed": 1}

    def run():
        yield APGD(model, "dlr", 0.0, 1.0).perturb(x, 0.5, y, n_iter=8, **settings)
        yield Square(model, 0.0, 1.0).perturb(x, 0.5, y, n_queries=15, **settings)
        yield FAB(model, 0.0, 1.0).search(x, y, n_iter=4, n_restarts=2, **settings).perturbed

    with recording() as whole:
        first = list(run())
    monkeypatch.setattr("pellucid._core.batching.WHOLE_BUDGET", 0)
    monkeypatch.setattr("pellucid._core.batching.FIRST_ROWS", 2)
    monkeypatch.setattr("pellucid._core.batching.CPU_BUDGET", 1)
    with recording() as cut:
        second = list(run())
    assert cut.calls > 1.5 * whole.calls
    for a, b in zip(first, second, strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_masks_and_tuples_share_one_ball():
    a, b = torch.randn(20, 3, dtype=DOUBLE), torch.randn(20, 2, 2, dtype=DOUBLE)
    weight = torch.randn(7, 2, dtype=DOUBLE)
    logits = lambda v, w, s: torch.cat([v, w.flatten(1)], 1) @ weight * s  # noqa: E731
    scale = torch.rand(20, 1, dtype=DOUBLE) + 0.5
    y = logits(a, b, scale).argmax(1)
    mask = (torch.ones(1, 3), torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
    found = FAB(logits).search((a, b), y, scale, norm="L2", mask=mask, n_iter=5)
    gap = logits(a, b, scale).diff(dim=1)[:, 0].abs() / scale[:, 0]
    normal = (weight[:, 0] - weight[:, 1])[[0, 1, 2, 3, 5, 6]]
    assert torch.allclose(found.distances, gap / normal.norm(), rtol=1e-4)
    assert torch.equal(found.perturbed[1][:, 0, 1], b[:, 0, 1])
    radius = float(found.distances.median())
    result = RobustnessEvaluator(logits).evaluate((a, b), y, radius, scale, "L2", mask, seed=0, n_iter=30, n_queries=30)
    assert torch.equal(result.standing, found.distances > radius)


def test_fab_says_what_it_did_not_find():
    constant = lambda v: torch.stack([v.sum(1) * 0 + 1, v.sum(1) * 0], 1)  # noqa: E731
    x = torch.rand(3, 2)
    with pytest.warns(AttackWarning, match="no point with another prediction for 3 of 3"):
        assert torch.equal(FAB(constant).perturb(x, 0, n_iter=2), x)
    found = FAB(constant).search(x, [0, 1, 0], n_iter=2)  # the second is wrong already
    assert found.distances.tolist() == [torch.inf, 0.0, torch.inf]


def test_models_that_mix_examples_are_refused():
    graph = GraphNet()
    nodes, edges = torch.randn(4, 3, dtype=DOUBLE), torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])
    for call in (
        lambda: RobustnessEvaluator(graph).evaluate(nodes, 0, 0.1, edges),
        lambda: APGD(graph).perturb(nodes, 0.1, 0, edges),
    ):
        with pytest.raises(InvalidValueError, match="mixes the examples"):
            call()


@pytest.mark.parametrize("largest", [0, 3])
def test_models_whose_largest_example_bends_the_others_are_refused(largest):
    x = torch.rand(4, 3, dtype=DOUBLE)
    x[largest] += 2

    def scaled(v):
        return torch.stack([v.sum(1), (v**2).sum(1)], 1) / v.max()

    with pytest.raises(InvalidValueError, match="mixes the examples"):
        RobustnessEvaluator(scaled).evaluate(x, 0, 0.1)


def test_probabilities_are_attacked_as_their_logits():
    model, x = mlp(), torch.randn(10, 5, dtype=DOUBLE)
    y = model(x).argmax(1)
    logits = APGD(model, "targeted_dlr").perturb(x, 0.2, y, n_iter=5, seed=0)
    # log p differs from logits by a constant per row, which the loss does not see
    assert torch.allclose(APGD(nn.Sequential(model, nn.Softmax(1)), "targeted_dlr").perturb(
        x, 0.2, y, n_iter=5, seed=0), logits, atol=1e-6)  # fmt: skip


def test_only_points_inside_the_ball_count():
    """A model that turns just outside the ball, where rounding alone can lead."""
    x = torch.rand(50, 3)

    def edge(v):
        far = (v.double() - x[: len(v)].double()).abs().amax(1) > 0.3 if len(v) == 50 else torch.zeros(len(v)).bool()
        return torch.stack([(~far).float(), far.float()], 1)

    assert bool((edge(x + 0.3) != edge(x)).any())
    with pytest.warns(AttackWarning, match="zero_gradient"):
        found = RobustnessEvaluator(edge, attacks=("Square",)).evaluate(x, 0, 0.3, seed=0, n_queries=1)
    assert bool(found.standing.all())
    assert torch.equal(found.perturbed, x)
