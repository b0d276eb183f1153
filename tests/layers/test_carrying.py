"""Samples are carried to a layer many at a time, and one batch at a time where a model mixes its rows."""

import pytest
import torch
from torch import nn

import pellucid
from pellucid._core.path import RandomLine
from pellucid._core.random import draw_seeds
from pellucid.attr import DeepLift, LayerDeepLiftShap, LayerGradientShap
from pellucid.errors import UnsupportedModelError
from tests.layers.models import DOUBLE, draw, seeded

X, ROWS = draw(3, 4, seed=1), draw(5, 4, seed=2)
MIXING = ["nowhere", "before", "after"]
CAPS = [None, 1, 3, 5, 100]


class Mixing(nn.Module):
    """Takes the mean of the batch away before or after the layer."""

    def __init__(self, mixes):
        super().__init__()
        self.mixes, self.passes = mixes, []
        self.first, self.site, self.last = nn.Linear(4, 5), nn.Identity(), nn.Linear(5, 3)

    def before(self, x):
        h = torch.tanh(self.first(x))
        return h - h.mean(0) if self.mixes == "before" else h

    def after(self, z):
        y = torch.sigmoid(self.last(z))
        return (y - y.mean(0) if self.mixes == "after" else y) ** 2

    def forward(self, x):
        self.passes.append(len(x))
        return self.after(self.site(self.before(x)))


def whole_batches(model, stdev, rows=ROWS):
    """The same samples, one of the whole batch after the other."""
    path = RandomLine((X,), (rows,), (stdev,), tuple(draw_seeds(6, None, 5)))
    found = []
    for k in range(6):
        (end,), (start,), positions = path.ends(k, torch.arange(3))
        with torch.no_grad():
            end, start = model.before(end), model.before(start.expand_as(end))
        at = positions[:1].expand(3) if model.mixes == "after" else positions
        point = (start + at[:, None] * (end - start)).requires_grad_()
        (g,) = torch.autograd.grad(model.after(point)[:, 1].sum(), point)
        found.append(g * (end - start))
    return torch.stack(found).mean(0)


@pytest.mark.parametrize("mixes", MIXING)
@pytest.mark.parametrize("cap", CAPS)
@pytest.mark.parametrize("stdev", [0.0, 0.3])
def test_gradient_shap_of_models_that_mix_rows(mixes, cap, stdev):
    model = seeded(1, lambda: Mixing(mixes))
    with pellucid.recording(quiet=True) as report:
        found = LayerGradientShap(model, model.site).attribute(
            X, ROWS, n_samples=6, stdevs=stdev, target=1, seed=5, internal_batch_size=cap
        )
    assert torch.allclose(found, whole_batches(model, stdev), atol=1e-12, rtol=0)
    warned = any(notice.category == "ExpansionWarning" for notice in report.notices)
    assert warned == (mixes != "nowhere" and cap not in {3, 5})  # which leave one sample of the batch to a pass


@pytest.mark.parametrize("mixes", MIXING)
@pytest.mark.parametrize("cap", CAPS)
def test_deep_lift_shap_of_models_that_mix_rows(mixes, cap):
    model = seeded(1, lambda: Mixing(mixes))
    with pellucid.recording(quiet=True) as report:
        found = LayerDeepLiftShap(model, model.site).attribute(X, ROWS, target=1, internal_batch_size=cap)
    with torch.no_grad():
        z = model.before(X)
        references = [model.before(row.expand_as(X)) for row in ROWS]
        outputs = [model(row.expand_as(X))[:, 1] for row in ROWS]
        difference = model(X)[:, 1] - torch.stack(outputs).mean(0)
    expected = [DeepLift(model.after).attribute(z, reference, 1) for reference in references]
    assert torch.allclose(found, torch.stack(expected).mean(0), atol=1e-12, rtol=0)
    assert torch.allclose((found.sum(1) + report.bypass).sum(), difference.sum(), atol=1e-12, rtol=0)


@pytest.mark.parametrize("mixes", MIXING)
@pytest.mark.parametrize("count", [1, 2])
def test_samples_that_begin_alike_are_carried_once(mixes, count):
    model = seeded(1, lambda: Mixing(mixes))
    with pellucid.recording(quiet=True):
        found = LayerGradientShap(model, model.site).attribute(X, ROWS[:count], n_samples=6, target=1, seed=5)
    assert torch.allclose(found, whole_batches(model, 0.0, ROWS[:count]), atol=1e-12, rtol=0)
    if count == 1:
        assert model.passes[:2] == [3, 3]
        assert mixes != "nowhere" or model.passes[2:] == [18 + 3, 3]


@pytest.mark.filterwarnings("ignore::pellucid.errors.SamplingWarning")
def test_samples_share_passes():
    """The plain pass, one that carries all baselines beside the check's, and one with all points and the inputs.

    After each of the two, one row for each example is run again by itself.
    """
    model = seeded(1, lambda: Mixing("nowhere"))
    LayerGradientShap(model, model.site).attribute(X, ROWS, n_samples=6, target=1, seed=5)
    assert model.passes == [3, 18 + 6, 3, 18 + 3, 3]
    model.passes.clear()
    LayerDeepLiftShap(model, model.site).attribute(X, ROWS, target=1)
    assert model.passes[:3] == [3, 15 + 6, 3]


@pytest.mark.filterwarnings("ignore::pellucid.errors.SamplingWarning")
def test_passes_are_bounded():
    """A user's limit holds for the passes that carry too, beside the rows of the check in the first of them."""
    model = seeded(1, lambda: Mixing("nowhere"))
    LayerGradientShap(model, model.site).attribute(X, ROWS, n_samples=40, target=1, seed=5, internal_batch_size=9)
    assert max(model.passes) <= 9 + 6
    assert sorted(model.passes)[-2] <= 12


class Pair(nn.Module):
    """Gives a large tensor and a small one, which mixes rows."""

    def forward(self, x):
        small = torch.sin(x) * 1e-12
        return x * 1e3, small - small.mean(0)


def test_mixing_in_a_small_tensor_is_noticed():
    site = Pair()

    def model(x):
        large, small = site(x)
        return (large * 1e-3 + torch.tanh(small * 1e12)).square().sum(1)

    with pellucid.recording(quiet=True) as report:
        _, found = LayerGradientShap(model, site).attribute(X, ROWS, n_samples=6, seed=5)
        path = RandomLine((X,), (ROWS,), (0.0,), tuple(draw_seeds(6, None, 5)))
    assert any(notice.category == "ExpansionWarning" for notice in report.notices)
    expected = []
    for k in range(6):
        _, (start,), positions = path.ends(k, torch.arange(3))
        ends, starts = site(X), site(start)
        at = [(s + positions[:, None] * (e - s)).requires_grad_() for e, s in zip(ends, starts, strict=True)]
        score = (at[0] * 1e-3 + torch.tanh(at[1] * 1e12)).square().sum()
        expected.append(torch.autograd.grad(score, at)[1] * (ends[1] - starts[1]))
    assert torch.allclose(found, torch.stack(expected).mean(0), atol=1e-12, rtol=0)


def test_another_course_is_refused_in_every_chunk():
    """The layer's width depends on the values there, so the baselines have nothing to compare with."""
    site = nn.Identity()

    def model(x):
        return site(x if bool((x > -3).all()) else x[:, :2]).square().sum(1)

    for cap in (None, 3):
        with pytest.raises(UnsupportedModelError, match="takes another course"), pellucid.recording(quiet=True):
            LayerGradientShap(model, site).attribute(
                torch.zeros(3, 4, dtype=DOUBLE), -4.0, n_samples=6, internal_batch_size=cap
            )
