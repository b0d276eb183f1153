"""RevealCancel: the published example, its definition, and completeness."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pellucid._core.rules import vocabulary

from .asking import incompleteness, lifted


def minimum(x):
    return x[:, 0] - torch.relu(x[:, 0] - x[:, 1])


def test_published_example():
    x = torch.rand(6, 2) + 0.1
    zero = (torch.zeros(6, 2),)
    _, revealed = lifted(minimum, x, baselines=zero, select=lambda y: y, rule="reveal_cancel")
    expected = (x.min(1).values / 2).unsqueeze(1).expand(6, 2)
    torch.testing.assert_close(revealed.multipliers[0] * x, expected)
    _, rescaled = lifted(minimum, x, baselines=zero, select=lambda y: y)
    assert float((rescaled.multipliers[0] * x - expected).abs().max()) > 0.05


def test_definition_on_one_neuron():
    weights, bias = torch.randn(5), 0.3
    x, start = torch.randn(4, 5), torch.randn(4, 5)
    _, result = lifted(
        lambda z: torch.tanh(z @ weights.unsqueeze(1) + bias),
        x,
        baselines=(start,),
        select=lambda y: y[:, 0],
        rule="reveal_cancel",
    )
    parts = weights * (x - start)
    up, down, z = parts.clamp_min(0).sum(1), parts.clamp_max(0).sum(1), start @ weights + bias
    f = torch.tanh
    positive = (f(z + up) - f(z) + f(z + up + down) - f(z + down)) / 2 / up
    negative = (f(z + down) - f(z) + f(z + up + down) - f(z + up)) / 2 / down
    expected = weights * torch.where(parts > 0, positive.unsqueeze(1), negative.unsqueeze(1))
    torch.testing.assert_close(result.multipliers[0], expected)


def silu_of_sum(x):
    h = x - x.exp()
    return h * torch.sigmoid(h)


MODELS = {
    "mlp": (nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 6), nn.Tanh(), nn.Linear(6, 3)), (3, 5)),
    "conv": (
        nn.Sequential(
            nn.Conv2d(2, 3, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.ConvTranspose2d(3, 2, 3), nn.GELU()
        ),
        (3, 2, 6, 6),
    ),
    "sums": (lambda x: torch.tanh(x + 2 - 3 * x.sin().flip(1) + x[:, :1]), (3, 5)),
    "by_hand": (silu_of_sum, (3, 5)),
}


@pytest.mark.parametrize("name", MODELS)
def test_complete(name):
    model, shape = MODELS[name]
    model = model.double() if isinstance(model, nn.Module) else model
    assert incompleteness(model, torch.randn(shape), rule="reveal_cancel") < 1e-12


def test_one_summand_equals_rescale():
    x, start = torch.randn(3, 5), torch.randn(3, 5)
    both = [
        lifted(torch.tanh, x, baselines=(start,), rule=rule)[1].multipliers[0] for rule in ("rescale", "reveal_cancel")
    ]
    torch.testing.assert_close(*both)


def written(x):
    """Sums that are formed in place, and summands that are written once their sum is formed."""
    s = x.sin()
    h = s @ torch.full((5, 5), 0.3).triu()
    s += x
    s -= 3 * x.flip(1)
    k = s + x
    s.mul_(2)
    return torch.tanh(h) + torch.tanh(s) + torch.tanh(k)


def unwritten(x):
    s = x.sin()
    h = s @ torch.full((5, 5), 0.3).triu()
    s = s + x - 3 * x.flip(1)
    return torch.tanh(h) + torch.tanh(s * 2) + torch.tanh(s + x)


def test_sums_in_place():
    x, start = torch.randn(3, 5), (torch.randn(3, 5),)
    results = [lifted(f, x, baselines=start, rule="reveal_cancel")[1] for f in (written, unwritten)]
    torch.testing.assert_close(results[0].outputs, results[1].outputs)
    torch.testing.assert_close(results[0].multipliers, results[1].multipliers, rtol=1e-12, atol=1e-14)
    assert incompleteness(written, x, rule="reveal_cancel") < 1e-12


MOVED = {
    "view": lambda h: h.view(-1, 2, 3).tanh().flatten(1),
    "transposed": lambda h: h.t().tanh().t(),
    "parts": lambda h: torch.cat([part.tanh() for part in h.chunk(2, 1)], 1),
    "items": lambda h: torch.cat([h[:, :2].tanh(), h[:, 2:].tanh()], 1),
    "unbound": lambda h: torch.stack([part.tanh() for part in h.unbind(1)], 1),
    "expanded": lambda h: h[:, None].expand(-1, 2, -1).tanh().mean(1),
    "copied": lambda h: h.clone().contiguous().tanh(),
    "flipped": lambda h: h.flip(1).tanh().flip(1),
    "moved and added": lambda h: (h.view(-1, 2, 3) - 0.5 + h.new_full((2, 3), 0.5)).tanh().flatten(1),
    "in place": lambda h: h.t_().tanh().t(),
}


@pytest.mark.parametrize("name", MOVED)
def test_a_sum_may_stand_elsewhere(name):
    x, start, weight = torch.randn(3, 5), (torch.randn(3, 5),), torch.randn(5, 6)
    both = [
        lifted(lambda z, f=f: f(z @ weight), x, baselines=start, rule="reveal_cancel")[1]
        for f in (torch.tanh, MOVED[name])
    ]
    torch.testing.assert_close(both[0].outputs, both[1].outputs)
    torch.testing.assert_close(both[0].multipliers, both[1].multipliers, rtol=1e-12, atol=1e-14)


def test_moves_are_linear():
    assert vocabulary.MOVES <= vocabulary.LINEAR


def weight(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


LINEAR = {
    "conv1d": (lambda x: F.conv1d(x, weight(3, 2, 2)), (2, 4)),
    "conv2d": (lambda x: F.conv2d(x, weight(3, 2, 2, 2), stride=2), (2, 4, 4)),
    "conv3d": (lambda x: F.conv3d(x, weight(2, 1, 2, 2, 2)), (1, 3, 3, 2)),
    "transposed1d": (lambda x: F.conv_transpose1d(x, weight(2, 3, 2)), (2, 4)),
    "transposed2d": (lambda x: F.conv_transpose2d(x, weight(2, 3, 2, 2), stride=2), (2, 2, 3)),
    "transposed3d": (lambda x: F.conv_transpose3d(x, weight(1, 2, 2, 2, 2)), (1, 2, 2, 2)),
    "matmul": (lambda x: torch.matmul(x, weight(4, 3)), (2, 4)),
    "matmul from the left": (lambda x: torch.matmul(weight(3, 2), x), (2, 4)),
    "operator": (lambda x: x @ weight(4, 3), (4,)),
    "mm": (lambda x: torch.mm(x, weight(4, 3)), (4,)),
    "bmm": (lambda x: torch.bmm(x, weight(1, 4, 3).expand(len(x), 4, 3)), (2, 4)),
    "addmm": (lambda x: torch.addmm(torch.zeros(3), x, weight(4, 3)), (4,)),
}


@pytest.mark.parametrize("name", LINEAR)
def test_every_linear_operation_is_a_sum_of_its_inputs(name):
    """What cancels is told apart as in a dense layer of the same matrix, whichever operation forms the sum."""
    operation, shape = LINEAR[name]
    x, start = torch.randn(3, *shape), torch.randn(3, *shape)
    units = torch.eye(x[0].numel()).reshape(-1, *shape)
    matrix = operation(units).flatten(1).T
    how = {"rule": "reveal_cancel"}
    _, found = lifted(lambda v: torch.tanh(operation(v)).flatten(1), x, baselines=(start,), **how)
    _, dense = lifted(lambda v: torch.tanh(F.linear(v.flatten(1), matrix)), x, baselines=(start,), **how)
    torch.testing.assert_close(found.multipliers[0], dense.multipliers[0], rtol=1e-4, atol=1e-4)
    _, rescaled = lifted(lambda v: torch.tanh(operation(v)).flatten(1), x, baselines=(start,))
    assert float((found.multipliers[0] - rescaled.multipliers[0]).abs().max()) > 1e-3
