"""Recurrent layers: the closed form equals the layer unrolled into single operations, in every layout."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from pellucid._core.rules import api
from pellucid._core.rules.deeplift_tables import RESCALE_TABLE
from pellucid._core.rules.recurrent import unrolled
from pellucid._core.rules.recurrent_cells import CELLS

from .asking import gradient, incompleteness, lifted

KINDS = {
    "lstm": nn.LSTM,
    "gru": nn.GRU,
    "rnn_tanh": nn.RNN,
    "rnn_relu": lambda *a, **k: nn.RNN(*a, nonlinearity="relu", **k),
}
LAYOUTS = {
    "plain": {},
    "time_first": {"batch_first": False},
    "stacked": {"num_layers": 2},
    "bidirectional": {"num_layers": 2, "bidirectional": True},
    "no_bias": {"bias": False},
    "packed": {"num_layers": 2, "bidirectional": True, "packed": True},
    "projected": {"num_layers": 2, "bidirectional": True, "proj_size": 3},
    "projected_no_bias": {"num_layers": 2, "bias": False, "proj_size": 3},
}


class Everything(nn.Module):
    """All results of a recurrent layer, so that each of them counts."""

    def __init__(self, kind, packed=False, batch_first=True, **options):
        super().__init__()
        self.layer, self.packed = KINDS[kind](4, 5, batch_first=batch_first, **options), packed
        for weight in self.layer.parameters():
            nn.init.normal_(weight, std=0.7)

    def forward(self, x):
        sequence = x if self.layer.batch_first else x.transpose(0, 1)
        if self.packed:
            sequence = pack_padded_sequence(sequence, torch.tensor([6, 2, 4]), True, enforce_sorted=False)
        output, state = self.layer(sequence)
        if self.packed:
            output, _ = pad_packed_sequence(output, True)
        output = output if self.layer.batch_first else output.transpose(0, 1)
        states = state if isinstance(state, tuple) else (state,)
        return torch.cat([output.flatten(1), *(s.transpose(0, 1).flatten(1) for s in states)], 1)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN:UserWarning")
@pytest.mark.parametrize(
    ("kind", "layout"), [(k, n) for k in KINDS for n in LAYOUTS if "projected" not in n or k == "lstm"]
)
def test_closed_form_equals_unrolled(kind, layout, monkeypatch):
    model, x = Everything(kind, **LAYOUTS[layout]), torch.randn(3, 6, 4)
    _, closed = lifted(model, x)
    assert incompleteness(model, x) < 1e-12
    assert closed.certificate.count("recurrent layer, closed form") == 1
    assert closed.certificate.unknown == ()
    names = {name: rule for name, rule in RESCALE_TABLE.names.items() if name not in CELLS}
    steps = {**RESCALE_TABLE.expansions, **{name: unrolled(name) for name in CELLS}}
    table = replace(RESCALE_TABLE, names=names, expansions=steps)
    monkeypatch.setattr(api, "deep_lift_table", lambda rule, strict: table)
    _, opened = lifted(model, x)
    torch.testing.assert_close(closed.outputs, opened.outputs)
    torch.testing.assert_close(closed.multipliers[0], opened.multipliers[0], rtol=1e-9, atol=1e-11)


def test_initial_states_are_attributed():
    model = nn.LSTM(4, 5, batch_first=True)
    h, c = torch.randn(3, 5), torch.randn(3, 5)
    assert incompleteness(lambda x, a, b: model(x, (a[None], b[None]))[0], torch.randn(3, 6, 4), h, c) < 1e-13


def test_dropout_between_layers():
    model = nn.GRU(4, 5, 2, dropout=0.5, batch_first=True)
    assert incompleteness(lambda x: model(x)[0], torch.randn(3, 6, 4)) < 1e-13


@pytest.mark.parametrize("cell", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_cells(cell):
    model = cell(4, 4)

    def run(x):
        state = None
        for t in range(x.shape[1]):
            state = model(x[:, t], state)
        return state[1] * state[0] if isinstance(state, tuple) else state

    assert incompleteness(run, torch.randn(3, 6, 4)) < 1e-13


def test_hypernetwork_weights_are_attributed():
    def run(x, w):
        weights = [w[0, :, :4], w[0, :, 4:], torch.zeros(20), torch.zeros(20)]
        state = (torch.zeros(1, 3, 5), torch.zeros(1, 3, 5))
        return torch.lstm(x, state, weights, True, 1, 0.0, False, False, True)[0].sum((0, 1)).reshape(1, -1)

    x, w = torch.randn(3, 6, 4), torch.randn(1, 20, 9)
    start = (torch.randn(3, 6, 4), torch.randn(1, 20, 9))
    _, result = lifted(run, x, w, baselines=start)
    attributed = sum((m * (a - b)).sum() for m, a, b in zip(result.multipliers, (x, w), start, strict=True))
    torch.testing.assert_close(attributed, (result.outputs - result.reference_outputs).sum(), rtol=1e-12, atol=0)


def test_a_rectifier_at_rest_passes_nothing():
    """Where the value is zero in both passes, the rule is the gradient, which is zero as torch's."""
    net = KINDS["rnn_relu"](2, 3, bias=False, batch_first=True)
    zero = torch.zeros(1, 2, 2)
    _, found = lifted(lambda v: net(v)[0] + v.sum(2, keepdim=True), zero, baselines=(zero,))
    _, expected = lifted(lambda v: v.sum(2, keepdim=True) * torch.ones(3), zero, baselines=(zero,))
    assert torch.equal(found.multipliers[0], expected.multipliers[0])


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn_tanh"])
def test_between_neighbours_the_slope_is_that_of_the_middle(kind):
    """A quotient of differences would have lost half of its digits."""
    model = Everything(kind)
    for weight in model.layer.parameters():  # gates stay open, so that steps are small beside their inputs
        weight.data.mul_(0.1).add_(1.0 if weight.dim() == 1 else 0.0)
    middle, step = torch.randn(3, 6, 4), 1e-10 * torch.randn(3, 6, 4)
    _, found = lifted(model, middle + step, baselines=(middle - step,))
    torch.testing.assert_close(found.multipliers[0], gradient(model, middle), rtol=1e-12, atol=1e-13)
