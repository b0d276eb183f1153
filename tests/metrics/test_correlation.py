"""Faithfulness correlation and sensitivity-n: exact on additive models, small where an explanation says nothing."""

import pytest
import torch

from pellucid.errors import InvalidTypeError, InvalidValueError, NonFiniteWarning
from pellucid.metrics import faithfulness_correlation, sensitivity_n
from tests.metrics.models import WEIGHTS, Counting, curved, linear, rows
from tests.models import DOUBLE


def additive(x):
    """A sum of curved functions of one value each."""
    return (torch.sin(3 * x) + x**2 * WEIGHTS.to(x)).sum(1)


@pytest.mark.parametrize("mask", [None, torch.tensor([[0, 1, 1, 5, 0]])])
def test_exact_attributions_of_additive_models_score_one(mask):
    x, base = rows(4), rows(1, seed=3)
    exact = torch.sin(3 * x) + x**2 * WEIGHTS - torch.sin(3 * base) - base**2 * WEIGHTS
    found = faithfulness_correlation(additive, x, exact, baselines=base, feature_mask=mask, subset_size=2, seed=0)
    assert torch.allclose(found, torch.ones(4, dtype=DOUBLE))
    reversed_ = faithfulness_correlation(additive, x, -2 * exact, baselines=base, feature_mask=mask, subset_size=2)
    assert torch.allclose(reversed_, -torch.ones(4, dtype=DOUBLE))
    curve = sensitivity_n(additive, x, exact, baselines=base, feature_mask=mask, n_samples=30, seed=0)
    assert torch.allclose(curve.score, torch.ones(4, dtype=DOUBLE))


def test_against_a_slow_loop():
    model, x, target, base = curved()
    attributions = rows(4, seed=9)
    seen = []

    def watched(v):
        seen.append(v)
        return model(v)

    found = faithfulness_correlation(
        watched, x, attributions, target, base, n_samples=7, subset_size=2, seed=4, max_examples_per_batch=4
    )
    points = torch.stack([v for v in seen if len(v) == 4][1:8])  # after the reference, one pass per sample
    told, happened = torch.zeros(7, 4, dtype=DOUBLE), torch.zeros(7, 4, dtype=DOUBLE)
    for k in range(7):
        for i in range(4):
            gone = points[k, i] != x[i]
            assert int(gone.sum()) == 2
            assert torch.equal(points[k, i][gone], base[0][gone])
            told[k, i] = attributions[i][gone].sum()
            happened[k, i] = (model(x[i : i + 1]) - model(points[k, i : i + 1]))[0, target[i]]
    expected = torch.stack([torch.corrcoef(torch.stack([told[:, i], happened[:, i]]))[0, 1] for i in range(4)])
    assert torch.allclose(found, expected, rtol=1e-9)


def test_an_explanation_that_ignores_the_model_scores_near_zero():
    x = rows(40, 5, seed=1)
    found = faithfulness_correlation(linear, x, rows(40, 5, seed=2), subset_size=2, seed=0)
    assert abs(float(found.mean())) < 0.2
    assert float(faithfulness_correlation(linear, x, x * WEIGHTS, subset_size=2, seed=0).min()) > 0.999


def test_sizes():
    x = rows(2, 8, seed=1)

    def model(v):
        return v.sum(1)

    assert sensitivity_n(model, x, x, seed=0).at[0].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert sensitivity_n(model, x, x, sizes=(1, 8), seed=0, n_samples=9).at.tolist() == [[1, 8], [1, 8]]
    wide = rows(1, 200)
    assert len(sensitivity_n(model, wide, wide, seed=0, n_samples=2).at[0]) == 10


def test_what_does_not_vary_has_no_correlation():
    x = rows(3)
    with pytest.warns(NonFiniteWarning, match="3 of 3"):
        assert faithfulness_correlation(linear, x, torch.ones_like(x), subset_size=2).isnan().all()
    for scale in (0, 1e-9):  # nothing but rounding

        def flat(v, scale=scale):
            return (v.float() * scale).sum(1) + 1000.0

        with pytest.warns(NonFiniteWarning):
            assert faithfulness_correlation(flat, x, x, subset_size=2).isnan().all()
    curve = sensitivity_n(linear, x, x * WEIGHTS, sizes=(2, 5), seed=1)  # all five is always the same subset
    assert curve.values[:, 1].isnan().all()
    assert torch.allclose(curve.score, torch.ones(3, dtype=DOUBLE))


def test_chunks_cost_and_generators():
    model, x, target, base = curved()
    attributions = rows(4, seed=9)
    for metric in (faithfulness_correlation, sensitivity_n):
        arguments = (x, attributions, target, base)
        scores = [metric(model, *arguments, n_samples=6, seed=2, max_examples_per_batch=c) for c in (None, 1, 3, 8)]
        values = [getattr(s, "score", s) for s in scores]
        assert all(torch.allclose(values[0], v, rtol=1e-9) for v in values)
        generator = torch.Generator().manual_seed(2)
        again = metric(model, *arguments, n_samples=6, generator=generator)
        assert torch.equal(getattr(again, "score", again), values[0])
        torch.manual_seed(0)
        first = metric(model, *arguments, n_samples=6)
        torch.manual_seed(0)
        second = metric(model, *arguments, n_samples=6)
        assert torch.equal(getattr(first, "score", first), getattr(second, "score", second))
    counting = Counting(model)
    faithfulness_correlation(counting, x, attributions, target, base, n_samples=20)
    assert counting.rows == 4 * 23


@pytest.mark.parametrize(
    ("metric", "change", "error", "words"),
    [
        (faithfulness_correlation, {"subset_size": 6}, InvalidValueError, "subset_size"),
        (faithfulness_correlation, {"subset_size": 0}, InvalidValueError, "subset_size"),
        (faithfulness_correlation, {"n_samples": 1}, InvalidValueError, "n_samples"),
        (faithfulness_correlation, {"seed": 1, "generator": torch.Generator()}, InvalidValueError, "seed"),
        (faithfulness_correlation, {"target": None}, InvalidValueError, "target is None"),
        (sensitivity_n, {"sizes": (1, 6)}, InvalidValueError, r"sizes\[1\]"),
        (sensitivity_n, {"sizes": ()}, InvalidTypeError, "sizes"),
        (sensitivity_n, {"sizes": 3}, InvalidTypeError, "sizes"),
        (sensitivity_n, {"sizes": (1.5,)}, InvalidTypeError, r"sizes\[0\]"),
        (sensitivity_n, {"target": None}, InvalidValueError, "target is None"),
    ],
)
def test_refusals(metric, change, error, words):
    model, x, target, base = curved()
    with pytest.raises(error, match=words):
        metric(**{"model": model, "inputs": x, "attributions": x, "target": target, "baselines": base, **change})
