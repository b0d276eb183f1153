"""Conductance finds a layer's speed in the cheapest way that a model allows, and it is the same speed in each."""

import pytest
import torch
from torch import nn

import pellucid
from pellucid._core.batching import CPU_BUDGET, FEW_ROWS, WORKING_SHARE
from pellucid.attr import LayerConductance
from pellucid.errors import InvalidValueError
from tests.layers.models import DOUBLE, draw, seeded


class Skipping(nn.Module):
    """A layer between two linear ones, with a connection around it; how the part before it is run is varied."""

    def __init__(self):
        super().__init__()
        self.first, self.site, self.last = nn.Linear(4, 4), nn.Softplus(), nn.Linear(4, 3)

    def before(self, x):
        return self.first(torch.cos(x))

    def forward(self, x):
        h = self.before(x)
        return torch.tanh(self.last(self.site(h) * h.sin()))


class Straddling(Skipping):
    """Switches gradients on around the layer, and ends that before the output."""

    def forward(self, x):
        with torch.enable_grad():
            h = self.before(x)
            z = self.site(h)
        return torch.tanh(self.last(z * h.sin()))


class Switching(Skipping):
    """Switches gradients off and on again before the layer."""

    def before(self, x):
        with torch.no_grad():
            waves = torch.cos(x)
        torch.set_grad_enabled(True)
        return self.first(waves)


class Forces(Skipping):
    """Differentiates inside itself before the layer."""

    def before(self, x):
        with torch.enable_grad():
            x = x if x.requires_grad else x.requires_grad_()
            (cosines,) = torch.autograd.grad(x.sin().sum(), x, create_graph=True)
        return self.first(cosines)


class _Cosine(torch.autograd.Function):
    """Has a second derivative and no forward-mode one."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.cos()

    @staticmethod
    def backward(ctx, g):
        return -g * ctx.saved_tensors[0].sin()


class Custom(Skipping):
    """Calls a function without a forward-mode derivative."""

    def before(self, x):
        return self.first(_Cosine.apply(x))


def conducted(model, n_steps=12, **given):
    x, base = draw(3, 4, seed=1), draw(1, 4, seed=2)
    with pellucid.recording() as report:
        found, delta = LayerConductance(model, model.site).attribute(
            x, base, target=1, n_steps=n_steps, return_convergence_delta=True, **given
        )
    return found, delta, report.bypass


@pytest.mark.parametrize("build", [Straddling, Switching, Forces, Custom])
@pytest.mark.parametrize("given", [{}, {"internal_batch_size": 5}])
def test_every_way_gives_the_same(build, given):
    for found, expected in zip(conducted(seeded(1, build), **given), conducted(seeded(1, Skipping)), strict=True):
        assert torch.allclose(found, expected, atol=1e-12, rtol=0)


def test_the_parts_make_up_the_difference():
    model = seeded(1, Skipping)
    found, delta, bypass = conducted(model)
    with torch.no_grad():
        difference = (model(draw(3, 4, seed=1)) - model(draw(1, 4, seed=2)))[:, 1]
    assert torch.allclose(found.sum(1) + bypass, difference, atol=1e-9)
    assert torch.allclose(found.sum(1) + bypass - difference, delta, atol=1e-12)
    assert bypass.abs().min() > 1e-3


def test_no_graph_is_built_before_the_layer():
    seen = []

    class Looking(Skipping):
        def forward(self, x):
            h = self.before(x)
            z = self.site(h)
            if torch.is_grad_enabled():
                seen.append((h.requires_grad, z.requires_grad))
            return torch.tanh(self.last(z * h.sin()))

    conducted(seeded(1, Looking))
    assert seen == [(False, True)]


def test_the_models_own_switches_hold():
    """Also where they reach beyond the layer."""
    seen = []

    class Switched(Skipping):
        def forward(self, x):
            seen.append(torch.is_grad_enabled())
            with torch.no_grad():
                h = self.before(x)
                seen.append(torch.is_grad_enabled())
                h = h + self.site(h) - self.site(h.detach())
                seen.append(torch.is_grad_enabled())
            seen.append(torch.is_grad_enabled())
            return torch.tanh(self.last(h))

    model = seeded(1, Switched)
    with pellucid.recording(quiet=True), pytest.raises(InvalidValueError, match="no_grad"):
        LayerConductance(model, model.first).attribute(draw(3, 4, seed=1), target=1, n_steps=5)
    passes = [seen[at : at + 4] for at in range(0, len(seen), 4)]
    assert [True, False, False, True] in passes
    assert all(each in ([True, False, False, True], [False] * 4) for each in passes)


@pytest.mark.parametrize(("build", "failed"), [(Forces, 1), (Custom, 2)])
def test_a_way_that_failed_is_not_tried_in_every_pass(build, failed):
    """The failures and the way that works, and then that way alone, one pass for each of three points."""
    passes = []

    class Counting(build):
        def before(self, x):
            if torch.is_grad_enabled():
                passes.append(len(x))
            return super().before(x)

    conducted(seeded(1, Counting), internal_batch_size=12)
    assert passes == [12] * (3 + failed)


def test_what_moves_before_the_layer_bounds_the_chunks():
    """Nothing of it is kept for a backward pass, but it takes memory while it is there."""
    width, rows = 30_000, []

    class Wide(Skipping):
        def __init__(self):
            super().__init__()
            self.out, self.back = nn.Linear(4, width), nn.Linear(width, 4)

        def before(self, x):
            rows.append(len(x))
            return self.back(torch.cos(self.out(x)))

    conducted(seeded(1, Wide), n_steps=40)
    beside, alone, first, *learned = rows[2:]
    assert (beside, alone, first, sum(learned)) == (6, 3, 63, 57)
    size = width * torch.finfo(DOUBLE).bits // 8
    assert max(learned) <= max(FEW_ROWS, CPU_BUDGET / (WORKING_SHARE * size))
