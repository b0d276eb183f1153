"""Losses inside a model, clamping to bounds that depend on the inputs, and gates: as if written out."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pellucid.attr import LRP
from tests.models import DOUBLE

from .asking import incompleteness, lifted

X = torch.randn(4, 6, dtype=DOUBLE, generator=torch.Generator().manual_seed(3))
GOAL = torch.linspace(-1.0, 1.4, 6, dtype=DOUBLE)
SHARE = torch.linspace(0.1, 0.9, 6, dtype=DOUBLE)
HEAVY = torch.linspace(0.5, 2.0, 6, dtype=DOUBLE)


def rows(loss):
    """One value of a loss per example and value."""
    return lambda v: loss(v, GOAL.expand_as(v), "none")


def smooth(v, beta):
    size = (v - GOAL).abs()
    return torch.where(size < beta, 0.5 * size**2 / beta, size - 0.5 * beta)


def huber(v, delta):
    size = (v - GOAL).abs()
    return torch.where(size <= delta, 0.5 * size**2, delta * (size - 0.5 * delta))


def entropy(p, weight=1.0):
    return -weight * (SHARE * torch.log(p) + (1 - SHARE) * torch.log(1 - p))


def entropy_of_logits(v, positive):
    return -(positive * SHARE * F.logsigmoid(v) + (1 - SHARE) * F.logsigmoid(-v))


def unit(v):
    return v / (v**2).sum(1, keepdim=True).sqrt()


LEVELS = torch.tensor([0.0, 0.5, 0.73], dtype=DOUBLE)


def ordered(v, how):
    """Quantiles of six values each, from their order."""
    place = 5 * LEVELS
    low, high = place.floor().long(), place.ceil().long()
    share = {"linear": place - low, "midpoint": 0.5, "lower": 0.0, "higher": 1.0, "nearest": place.round() - low}[how]
    values = v.sort(1).values
    return values[:, low] * (1 - share) + values[:, high] * share


def standardised(v, eps, centred=True):
    v = v - v.mean(-1, keepdim=True) if centred else v
    return v / ((v**2).mean(-1, keepdim=True) + eps).sqrt()


def doubled(v):
    """Weights that depend on the inputs: those of the first example, which all others share."""
    return v[0, 3:] + 2


FIXED = torch.randn(4, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(9))
NORMS = {
    "layer, all": (
        lambda v: F.layer_norm(v[:, :3], (3,), doubled(v), v[0, 3:], 1e-3),
        lambda v: standardised(v[:, :3], 1e-3) * doubled(v) + v[0, 3:],
    ),
    "layer, weight": (
        lambda v: F.layer_norm(FIXED, (3,), doubled(v)),
        lambda v: standardised(FIXED, 1e-5) * doubled(v),
    ),
    "layer, bias": (
        lambda v: F.layer_norm(FIXED, (3,), None, v[0, 3:].exp()),
        lambda v: standardised(FIXED, 1e-5) + v[0, 3:].exp(),
    ),
    "group, all": (
        lambda v: F.group_norm(v.reshape(-1, 2, 3), 2, v[0, :2].exp(), v[0, 2:4], 1e-3).flatten(1),
        lambda v: (standardised(v.reshape(-1, 2, 3), 1e-3) * v[0, :2, None].exp() + v[0, 2:4, None]).flatten(1),
    ),
    "group, weight": (
        lambda v: F.group_norm(FIXED.T.reshape(1, 3, 4).expand(4, 3, 4), 3, doubled(v)).flatten(1),
        lambda v: (standardised(FIXED.T, 1e-5) * doubled(v)[:, None]).expand(4, 3, 4).flatten(1),
    ),
    "root mean square, all": (
        lambda v: F.rms_norm(v[:, :3], (3,), doubled(v), 1e-3),
        lambda v: standardised(v[:, :3], 1e-3, centred=False) * doubled(v),
    ),
    "root mean square, weight": (
        lambda v: F.rms_norm(FIXED, (3,), doubled(v), 1e-3),
        lambda v: standardised(FIXED, 1e-3, centred=False) * doubled(v),
    ),
    "batch, all": (
        lambda v: F.batch_norm(v[:, :3], FIXED[0], FIXED[1].exp(), doubled(v).sin(), v[0, 3:], eps=1e-3),
        lambda v: (v[:, :3] - FIXED[0]) / (FIXED[1].exp() + 1e-3).sqrt() * doubled(v).sin() + v[0, 3:],
    ),
    "batch, weight": (
        lambda v: F.batch_norm(FIXED, FIXED[0], FIXED[1].exp(), doubled(v)),
        lambda v: (FIXED - FIXED[0]) / (FIXED[1].exp() + 1e-5).sqrt() * doubled(v),
    ),
}


@pytest.mark.parametrize("name", NORMS)
def test_normalisations_with_weights_that_depend_on_the_inputs(name):
    """They are complete, the same as written out where they are linear, and no rule breaks on them."""
    short, written = NORMS[name]
    assert torch.allclose(short(X), written(X), atol=1e-12)
    _, found = lifted(short, X)
    _, expected = lifted(written, X)
    assert torch.allclose(found.outputs, expected.outputs, atol=1e-12)
    assert incompleteness(short, X, total=True) < 1e-10
    if "all" not in name:
        assert torch.allclose(found.multipliers[0], expected.multipliers[0], atol=1e-12)
    relevance = LRP(lambda v: short(v)[:, 0]).attribute(X)
    assert relevance.isfinite().all()


PAIRS = {
    "mse": (rows(lambda v, t, r: F.mse_loss(v, t, reduction=r)), lambda v: (v - GOAL) ** 2),
    "l1": (rows(lambda v, t, r: F.l1_loss(v, t, reduction=r)), lambda v: (v - GOAL).abs()),
    "smooth": (rows(lambda v, t, r: F.smooth_l1_loss(v, t, reduction=r, beta=0.7)), lambda v: smooth(v, 0.7)),
    "huber": (rows(lambda v, t, r: F.huber_loss(v, t, reduction=r, delta=0.6)), lambda v: huber(v, 0.6)),
    "entropy": (
        lambda v: F.binary_cross_entropy(torch.sigmoid(v), SHARE.expand_as(v), HEAVY, reduction="none"),
        lambda v: entropy(torch.sigmoid(v), HEAVY),
    ),
    "logits": (
        lambda v: F.binary_cross_entropy_with_logits(v, SHARE.expand_as(v), pos_weight=HEAVY, reduction="none"),
        lambda v: entropy_of_logits(v, HEAVY),
    ),
    "classes": (
        lambda v: F.cross_entropy(v, torch.tensor([0, 5, 2, 2])[: len(v)], HEAVY, reduction="none"),
        lambda v: -HEAVY[[0, 5, 2, 2]] * torch.log_softmax(v, 1)[torch.arange(4), [0, 5, 2, 2]],
    ),
    "high": (
        lambda v: torch.clamp(v[:, :3], max=torch.tanh(v[:, 3:])),
        lambda v: torch.minimum(v[:, :3], v[:, 3:].tanh()),
    ),
    "low": (
        lambda v: torch.clamp(v[:, :3], min=torch.tanh(v[:, 3:])),
        lambda v: torch.maximum(v[:, :3], v[:, 3:].tanh()),
    ),
    "low by place": (
        lambda v: torch.clamp(v[:, :3], torch.tanh(v[:, 3:])),
        lambda v: torch.maximum(v[:, :3], v[:, 3:].tanh()),
    ),
    "between": (
        lambda v: torch.clamp(v[:, :2], v[:, 2:4] - 1, v[:, 4:] + 1),
        lambda v: torch.minimum(torch.maximum(v[:, :2], v[:, 2:4] - 1), v[:, 4:] + 1),
    ),
    "default gate": (
        lambda v: F.glu(v.reshape(-1, 3, 2)),
        lambda v: v.reshape(-1, 3, 2)[:, :, :1] * torch.sigmoid(v.reshape(-1, 3, 2)[:, :, 1:]),
    ),
    "quotient added": (
        lambda v: torch.addcdiv(v[:, :2], v[:, 2:4], 2 + v[:, 4:].cos()),
        lambda v: v[:, :2] + v[:, 2:4] / (2 + v[:, 4:].cos()),
    ),
    "distance": (
        lambda v: F.pairwise_distance(v[:, :3], v[:, 3:]),
        lambda v: ((v[:, :3] - v[:, 3:] + 1e-6) ** 2).sum(1).sqrt(),
    ),
    "distance of each of three": (
        lambda v: F.pairwise_distance(v.reshape(-1, 3, 2), v.cos().reshape(-1, 3, 2)),
        lambda v: ((v - v.cos() + 1e-6) ** 2).reshape(-1, 3, 2).sum(2).sqrt(),
    ),
    "sum of distances": (
        lambda v: F.pairwise_distance(v[:, :3], v[:, 3:], p=1.0, keepdim=True),
        lambda v: torch.linalg.vector_norm(v[:, :3] - v[:, 3:] + 1e-6, 1, 1, True),
    ),
    "all distances": (
        lambda v: torch.cdist(v.reshape(-1, 3, 2)[:, :2], v.reshape(-1, 3, 2)[:, 2:]),
        lambda v: ((v.reshape(-1, 3, 2)[:, :2] - v.reshape(-1, 3, 2)[:, 2:]) ** 2).sum(2, keepdim=True).sqrt(),
    ),
    "cosine": (lambda v: F.cosine_similarity(v[:, :3], v[:, 3:]), lambda v: (unit(v[:, :3]) * unit(v[:, 3:])).sum(1)),
    **{
        f"{how} quantiles": (
            lambda v, how=how: torch.quantile(v, LEVELS, dim=1, interpolation=how).T,
            lambda v, how=how: ordered(v, how),
        )
        for how in ("linear", "midpoint", "lower", "higher", "nearest")
    },
    "quantiles of the middle": (
        lambda v: torch.quantile(v.reshape(-1, 3, 2), 0.25, dim=1, keepdim=True),
        lambda v: v.reshape(-1, 3, 2).sort(1).values[:, :2].mean(1, keepdim=True),
    ),
    "quantile of all": (
        lambda v: torch.stack([torch.quantile(row.reshape(2, 3), 0.2, keepdim=True).flatten() for row in v]),
        lambda v: v.sort(1).values[:, 1:2],
    ),
    "gate": (lambda v: F.glu(v, 1), lambda v: v[:, :3] * torch.sigmoid(v[:, 3:])),
}


@pytest.mark.parametrize("name", PAIRS)
def test_written_out(name):
    """Values, multipliers and their sum are those of the formula in single operations."""
    short, written = PAIRS[name]
    assert torch.allclose(short(X), written(X), atol=1e-12)
    _, found = lifted(short, X)
    _, expected = lifted(written, X)
    assert torch.allclose(found.outputs, expected.outputs, atol=1e-12)
    assert torch.allclose(found.multipliers[0], expected.multipliers[0], atol=1e-10)
    assert incompleteness(short, X) < 1e-10


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("loss", [F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss])
def test_reductions(loss, reduction):
    def each(v):
        return torch.stack([loss(row, GOAL, reduction=reduction) for row in v])

    def spread(v):
        return getattr(loss(v, GOAL.expand_as(v), reduction="none"), reduction)(1)

    select = lambda output: output  # noqa: E731
    _, found = lifted(each, X, select=select)
    _, expected = lifted(spread, X, select=select)
    assert torch.allclose(found.multipliers[0], expected.multipliers[0], atol=1e-10)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_steps_without_any_change(kind):
    """Where input and baseline agree, and both are zero, the slope is a derivative and no quotient of zeros."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        layer = kind(3, 4, batch_first=True, bias=False).double()
    x = torch.randn(2, 5, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(1))
    base = 0.3 * torch.ones_like(x)
    x[:, :2], base[:, :2] = 0.0, 0.0
    x[1, 2], base[1, 2] = 0.4, 0.4
    _, found = lifted(lambda v: layer(v)[0], x, baselines=(base,))
    assert found.multipliers[0].isfinite().all()
    assert incompleteness(lambda v: layer(v)[0], x, baselines=(base,)) < 1e-10


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_bags_of_a_table_that_is_the_input(mode):
    """The largest vector of a bag is a choice between rows; sums and means are linear."""
    ids = torch.tensor([[0, 2], [3, 1], [3, 4]])
    table = X[:2].reshape(1, 6, 2)[:, :5]
    gather = {"sum": lambda v: v.sum(1), "mean": lambda v: v.mean(1), "max": lambda v: v.amax(1)}[mode]
    _, found = lifted(lambda v: F.embedding_bag(ids, v[0], mode=mode).reshape(1, -1), table)
    _, expected = lifted(lambda v: gather(v[0][ids]).reshape(1, -1), table)
    assert torch.allclose(found.outputs, expected.outputs, atol=1e-12)
    if mode == "max":  # an integral here, a choice of elements there
        assert incompleteness(lambda v: F.embedding_bag(ids, v[0], mode=mode).reshape(1, -1), table) < 1e-2
        assert torch.allclose(found.multipliers[0], expected.multipliers[0], atol=2e-2)
    else:
        assert torch.allclose(found.multipliers[0], expected.multipliers[0], atol=1e-10)
