"""Deletion, insertion, comprehensiveness, sufficiency, effective complexity: by hand and against slow loops."""

import pytest
import torch

from pellucid.errors import InvalidTypeError, InvalidValueError
from pellucid.metrics import comprehensiveness, deletion, effective_complexity, insertion, sufficiency
from tests.metrics.models import WEIGHTS, Counting, curved, linear, rows
from tests.models import DOUBLE, GraphNet, TwoInputs


def test_curves_of_a_linear_model_by_hand():
    x = torch.tensor([[1.0, 1.0, 1.0, 1.0, 1.0]], dtype=DOUBLE)
    exact = x * WEIGHTS  # 3, -2, 0.5, 4, 1: falls 6.5, 2.5, -0.5, -1.5, -2, 0
    curve = deletion(linear, x, exact)
    assert curve.values.tolist() == [[6.5, 2.5, -0.5, -1.5, -2.0, 0.0]]
    assert torch.allclose(curve.at, torch.tensor([[0, 0.2, 0.4, 0.6, 0.8, 1]], dtype=DOUBLE))
    assert float(curve.score) == pytest.approx((3.25 + 2.5 - 0.5 - 1.5 - 2.0 + 0.0) / 5)
    curve = insertion(linear, x, exact)
    assert curve.values.tolist() == [[0.0, 4.0, 7.0, 8.0, 8.5, 6.5]]
    assert float(curve.score) == pytest.approx((4 + 7 + 8 + 8.5 + 3.25) / 5)
    found = comprehensiveness(linear, x, exact, fractions=(0.2, 0.21, 1.0))
    assert found.values.tolist() == [[2.5, -0.5, 0.0]]
    assert float(found.score) == pytest.approx((4 + 7 + 6.5) / 3)
    found = sufficiency(linear, x, exact, fractions=(0.2, 0.4, 1.0))
    assert found.values.tolist() == [[4.0, 7.0, 6.5]]
    assert float(found.score) == pytest.approx((2.5 - 0.5 + 0) / 3)
    # by magnitude: 4, 3, -2, 1, 0.5 gives 4, 7, 5, 6, 6.5
    assert float(effective_complexity(linear, x, exact, tolerance=0.1)) == pytest.approx(0.4)
    assert float(effective_complexity(linear, x, exact, tolerance=0.0)) == pytest.approx(1.0)
    assert float(effective_complexity(linear, x, exact, tolerance=0.5)) == pytest.approx(0.2)


def test_the_true_order_is_the_best_on_additive_models():
    x = rows(1)
    exact = x * WEIGHTS
    best = deletion(linear, x, exact).score, insertion(linear, x, exact).score
    for seed in range(20):
        other = rows(1, seed=seed + 100)
        assert deletion(linear, x, other).score >= best[0] - 1e-12
        assert insertion(linear, x, other).score <= best[1] + 1e-12
    assert torch.allclose(deletion(linear, x, -exact).score, (linear(x) - best[0]))  # the reversed order


def slow_curve(model, x, attributions, base, target, keep, groups):
    """One feature after the other, one example at a time."""
    found = []
    for i in range(len(x)):
        ids = sorted(set(groups.tolist()))
        order = sorted(ids, key=lambda g, row=attributions[i]: -float(row[groups == g].sum()))
        values = []
        for count in range(len(ids) + 1):
            chosen = torch.tensor([int(g) in order[:count] for g in groups])
            point = torch.where(chosen != keep, base[0], x[i])
            values.append(model(point[None])[0, target[i]])
        found.append(torch.stack(values))
    return torch.stack(found)


@pytest.mark.parametrize("groups", [[0, 1, 2, 3, 4], [7, 0, 7, 3, 0]])
def test_against_a_slow_loop(groups):
    model, x, target, base = curved()
    attributions, mask = rows(4, seed=9), torch.tensor([groups])
    for metric, keep in ((deletion, False), (insertion, True)):
        curve = metric(model, x, attributions, target, base, feature_mask=mask)
        expected = slow_curve(model, x, attributions, base, target, keep, mask[0])
        assert torch.allclose(curve.values, expected, atol=1e-12)
        assert torch.allclose(curve.score, torch.trapezoid(expected, curve.at, dim=1))


def test_groups_of_their_own_for_each_example():
    model, x, target, base = curved()
    attributions = rows(4, seed=9)
    mask = torch.tensor([[0, 0, 0, 0, 0], [0, 1, 2, 3, 4], [5, 5, 9, 9, 9], [1, 1, 2, 2, 3]])
    together = deletion(model, x, attributions, target, base, feature_mask=mask)
    for i in range(4):
        alone = slow_curve(model, x[i : i + 1], attributions[i : i + 1], base, [target[i]], False, mask[i])[0]
        counts = (together.at[i] * (len(alone) - 1)).round().long()
        assert set(counts.tolist()) == set(range(len(alone)))
        assert torch.allclose(together.values[i], alone[counts], atol=1e-12)
    whole = deletion(model, x[:1], attributions[:1], target[:1], base, feature_mask=mask[:1])
    assert whole.at.tolist() == [[0.0, 1.0]]


def test_features_shared_between_the_tensors_of_a_tuple_go_together():
    a, b = rows(2, 3), rows(2, 2, seed=1)
    masks = torch.tensor([[0, 1, 1]]), torch.tensor([[1, 2]])
    curve = deletion(TwoInputs(), (a, b), (a, b), 0, feature_mask=masks)
    totals = torch.stack([a[:, 0], a[:, 1] + a[:, 2] + b[:, 0], b[:, 1]], dim=1)
    for i in range(2):
        first = int(totals[i].argmax())
        keep_a = (masks[0][0] != first).to(DOUBLE)
        keep_b = (masks[1][0] != first).to(DOUBLE)
        expected = TwoInputs()((a[i] * keep_a)[None], (b[i] * keep_b)[None])[0, 0]
        assert torch.allclose(curve.values[i, 1], expected)


def test_ties_have_no_corner_that_goes_first_and_are_the_same_in_every_call():
    x = torch.eye(50, dtype=DOUBLE)[:1] * 0 + torch.arange(50.0, dtype=DOUBLE)
    silent = torch.zeros_like(x)
    first = deletion(lambda v: v.sum(1), x, silent)
    assert torch.equal(first.values, deletion(lambda v: v.sum(1), x, silent).values)
    assert abs(float(first.score) / float(x.sum()) - 0.5) < 0.05  # first to last would give 0.66


def test_cost_steps_and_chunks():
    model, x, target, base = curved()
    counting = Counting(model)
    deletion(counting, x, x, target, base)
    assert counting.rows == 4 * (5 + 3)  # five features, the inputs, and these and one of those again as a check
    images = torch.rand(2, 1, 8, 8)
    curve = insertion(lambda v: v.mean((1, 2, 3)), images, images)
    assert curve.values.shape == (2, 33)
    assert insertion(lambda v: v.mean((1, 2, 3)), images, images, n_steps=4).at[0].tolist() == [0, 0.25, 0.5, 0.75, 1]
    attributions = rows(4, seed=3)
    for metric in (deletion, insertion, comprehensiveness, sufficiency):
        scores = [metric(model, x, attributions, target, base, max_examples_per_batch=c).score for c in (None, 1, 3, 9)]
        assert all(torch.allclose(scores[0], s, rtol=1e-10) for s in scores)


def test_models_that_mix_rows_get_a_pass_for_each_point():
    graph, nodes = GraphNet(), rows(3, 3)
    edges = torch.tensor([[0, 1, 2], [1, 2, 0]])
    with pytest.warns(UserWarning, match="pass of its own"):
        curve = deletion(lambda v: graph(v, edges), nodes, nodes, 0)
    places = nodes.argsort(1, descending=True).argsort(1)
    for k in range(4):
        expected = graph(torch.where(places < k, torch.zeros_like(nodes), nodes), edges)[:, 0]
        assert torch.allclose(curve.values[:, k], expected)


def test_baseline_rows_and_dtypes():
    x = rows(2).float()
    bases = rows(2, seed=4).float()
    curve = deletion(linear, x, x, baselines=bases)
    assert curve.score.dtype == torch.float32
    assert torch.allclose(curve.values[:, -1], linear(bases))
    low = deletion(lambda v: v.sum(1), x.bfloat16(), x.bfloat16())
    assert low.score.dtype == torch.float32


def test_plot():
    pytest.importorskip("matplotlib")
    curve = deletion(linear, rows(), rows())
    figure, axes = curve.plot()
    assert axes.get_title().startswith("deletion")
    assert curve.plot(1, ax=axes) == (figure, axes)
    assert "3 example(s)" in repr(curve)
    with pytest.raises(InvalidValueError, match="example"):
        curve.plot(3)


@pytest.mark.parametrize("metric", [deletion, insertion, comprehensiveness, sufficiency, effective_complexity])
@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"target": None}, InvalidValueError, "target is None"),
        ({"target": 9}, InvalidValueError, "size 3"),
        ({"attributions": rows(4, 3)}, InvalidValueError, "one value per input value"),
        ({"attributions": rows(4) * float("nan")}, InvalidValueError, "NaN"),
        ({"attributions": [rows(4)]}, InvalidTypeError, "attributions is a list"),
        ({"baselines": rows(3)}, InvalidValueError, "baselines"),
        ({"feature_mask": rows(1)}, InvalidTypeError, "feature_mask"),
        ({"feature_mask": torch.zeros(5, dtype=torch.long)}, InvalidValueError, "as many dimensions"),
        ({"feature_mask": torch.zeros(3, 5, dtype=torch.long)}, InvalidValueError, "feature_mask"),
        ({"feature_mask": torch.zeros(1, 4, dtype=torch.long)}, InvalidValueError, "feature_mask"),
        ({"max_examples_per_batch": 0}, InvalidValueError, "max_examples_per_batch"),
        ({"taget": 0}, TypeError, "taget"),
    ],
)
def test_refusals(metric, change, error, words):
    model, x, target, base = curved()
    arguments = {"model": model, "inputs": x, "attributions": x, "target": target, "baselines": base}
    with pytest.raises(error, match=words):
        metric(**{**arguments, **change})


@pytest.mark.parametrize("fractions", [(), (0.0,), (1.5,), (float("nan"),), 0.5, "0.5", (True,), ("a",)])
def test_shares_that_are_none(fractions):
    x = rows()
    with pytest.raises((InvalidValueError, InvalidTypeError), match="fractions"):
        comprehensiveness(linear, x, x, fractions=fractions)


def test_tolerances_and_steps_that_are_none():
    x = rows()
    for tolerance in (-0.1, 1.0, "a", True):
        with pytest.raises(InvalidValueError, match="tolerance"):
            effective_complexity(linear, x, x, tolerance=tolerance)
    with pytest.raises(InvalidValueError, match="n_steps"):
        deletion(linear, x, x, n_steps=0)
