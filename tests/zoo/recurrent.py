"""Recurrent nets: fused layers, packed sequences, cells in a loop."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from .entry import ZooModel, entry

FAMILY = "recurrent"
STEPS, FEATURES, WIDTH = 6, 5, 12


class Reader(nn.Module):
    """A recurrent layer and a head on its outputs and its final state."""

    def __init__(self, layer: nn.RNNBase, batch_first: bool = True):
        super().__init__()
        self.layer, self.batch_first = layer, batch_first
        self.head = nn.LazyLinear(3)
        self(torch.zeros(1, STEPS, FEATURES))

    def forward(self, x: Tensor) -> Tensor:
        output, state = self.layer(x if self.batch_first else x.transpose(0, 1))
        pooled = output.mean(1 if self.batch_first else 0)
        final = state[0] if isinstance(state, tuple) else state
        return self.head(torch.cat([pooled, final.transpose(0, 1).flatten(1)], 1))


class WithState(nn.Module):
    """The initial state is an attributed input as well."""

    def __init__(self):
        super().__init__()
        self.layer, self.head = nn.GRU(FEATURES, WIDTH, batch_first=True), nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        output, _ = self.layer(x, torch.tanh(state)[None])
        return self.head(output[:, -1])


class PackedReader(nn.Module):
    """Sequences of different lengths, packed and padded again; the lengths do not depend on the input."""

    def __init__(self, layer: nn.RNNBase, enforce_sorted: bool):
        super().__init__()
        self.layer, self.enforce_sorted = layer, enforce_sorted
        self.head = nn.Linear(WIDTH * (2 if layer.bidirectional else 1), 3)

    def forward(self, x: Tensor) -> Tensor:
        lengths = torch.tensor([6, 4, 3] if self.enforce_sorted else [3, 6, 4])
        mask = (torch.arange(STEPS) < lengths[:, None])[..., None]
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=self.enforce_sorted)
        output, _ = pad_packed_sequence(self.layer(packed)[0], batch_first=True)
        return self.head((output * mask).sum(1) / lengths[:, None])


class CellLoop(nn.Module):
    def __init__(self, cell: nn.RNNCellBase):
        super().__init__()
        self.cell, self.head = cell, nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        state = None
        for step in x.unbind(1):
            state = self.cell(step, state)
        return self.head(state[0] if isinstance(state, tuple) else state)


class HandLstm(nn.Module):
    """The equations as a textbook writes them, with ``chunk`` and in-place updates."""

    def __init__(self):
        super().__init__()
        self.gates, self.head = nn.Linear(FEATURES + WIDTH, 4 * WIDTH), nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = cell = x.new_zeros(x.shape[0], WIDTH)
        for t in range(x.shape[1]):
            i, f, g, o = self.gates(torch.cat([x[:, t], hidden], 1)).chunk(4, 1)
            cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
            hidden = torch.sigmoid(o) * torch.tanh(cell)
        return self.head(hidden)


class Attentive(nn.Module):
    """An encoder and a decoder of recurrent cells with additive attention."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.GRU(FEATURES, WIDTH, batch_first=True, bidirectional=True)
        self.cell = nn.GRUCell(2 * WIDTH, WIDTH)
        self.key, self.query, self.score = (
            nn.Linear(2 * WIDTH, 8),
            nn.Linear(WIDTH, 8, bias=False),
            nn.Linear(8, 1),
        )
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        memory, final = self.encoder(x)
        state = final[0]
        for _ in range(3):
            score = self.score(torch.tanh(self.key(memory) + self.query(state)[:, None]))
            state = self.cell((score.softmax(1) * memory).sum(1), state)
        return self.head(state)


class ConvLstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.gates, self.head = nn.Conv2d(2 + 4, 16, 3, padding=1), nn.Conv2d(4, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = cell = x.new_zeros(x.shape[0], 4, *x.shape[-2:])
        for frame in x.unbind(1):
            i, f, g, o = torch.split(self.gates(torch.cat([frame, hidden], 1)), 4, dim=1)
            cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
            hidden = o.sigmoid() * cell.tanh()
        return self.head(hidden)


def _reader(make: Callable[..., nn.RNNBase], batch_first: bool = True, **options) -> Callable[[], nn.Module]:
    return lambda: Reader(make(FEATURES, WIDTH, batch_first=batch_first, **options), batch_first)


def _packed(make: Callable[..., nn.RNNBase], enforce_sorted: bool, **options) -> Callable[[], nn.Module]:
    return lambda: PackedReader(make(FEATURES, WIDTH, batch_first=True, **options), enforce_sorted)


def _entries() -> tuple[ZooModel, ...]:
    makers = {
        "rnn_tanh": _reader(nn.RNN),
        "rnn_relu_stacked": _reader(nn.RNN, nonlinearity="relu", num_layers=2),
        "lstm": _reader(nn.LSTM),
        "lstm_stacked_time_first": _reader(nn.LSTM, batch_first=False, num_layers=2),
        "lstm_stacked_bidirectional": _reader(nn.LSTM, num_layers=2, bidirectional=True),
        "lstm_projected": _reader(nn.LSTM, proj_size=7, num_layers=2),
        "lstm_packed": _packed(nn.LSTM, True),
        "lstm_packed_unsorted_bidirectional": _packed(nn.LSTM, False, bidirectional=True),
        "lstm_no_bias": _reader(nn.LSTM, bias=False),
        "gru": _reader(nn.GRU),
        "gru_stacked_bidirectional": _reader(nn.GRU, num_layers=2, bidirectional=True),
        "gru_packed_bidirectional": _packed(nn.GRU, True, bidirectional=True),
        "rnn_packed": _packed(nn.RNN, False),
        "rnn_cells": lambda: CellLoop(nn.RNNCell(FEATURES, WIDTH, nonlinearity="relu")),
        "lstm_cells": lambda: CellLoop(nn.LSTMCell(FEATURES, WIDTH)),
        "gru_cells": lambda: CellLoop(nn.GRUCell(FEATURES, WIDTH)),
        "lstm_by_hand": HandLstm,
        "gru_attention": Attentive,
    }
    return (
        *(entry(k, FAMILY, v, (STEPS, FEATURES), gain=1.8, coupled="packed" in k) for k, v in makers.items()),
        entry("gru_with_state", FAMILY, WithState, (STEPS, FEATURES), (WIDTH,), gain=1.8),
        entry("conv_lstm", FAMILY, ConvLstm, (3, 2, 6, 6), gain=1.8),
    )


ENTRIES = _entries()
