r"""One step of a recurrent layer, and DeepLIFT's multipliers through it, for each kind of cell.

A step returns the new states and its *parts*, the values that its multipliers need. Multipliers through
a step follow from the rules of its operations: secant slopes S for the gates, midpoints (written with a
bar) for the products. For the LSTM, with c = f c_0 + i g and h = o tanh(c),

.. math:: m_c \mathrel{+}= m_h \bar o S_{\tanh c},\quad m_f = m_c \bar c_0,\quad m_i = m_c \bar g,\quad
          m_g = m_c \bar i,\quad m_o = m_h \overline{\tanh c},\quad m_{c_0} = m_c \bar f .
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid._core.rules.recurrent_layout import Weights

States = tuple[Tensor, ...]
Pair = tuple[Tensor, Tensor]
"""A value for the input and for the reference."""


@dataclass(frozen=True)
class Pulled:
    """Multipliers through one step.

    Args:
        from_input: Of the input projection.
        from_hidden: Of the hidden projection.
        states: Of each old state, besides its part in the hidden projection; None where there is none.
    """

    from_input: Tensor
    from_hidden: Tensor
    states: tuple[Tensor | None, ...]


@dataclass(frozen=True)
class Cell:
    """A kind of recurrent cell.

    Args:
        shares_bias: Whether the hidden projection may be added to the input projection at once.
        step: From the input projection, the states and the weights to new states and parts.
        prepare: From the parts of all steps, for input and reference, to what ``pull`` needs per step.
        pull: From multipliers of the new states and one step's prepared values to `Pulled`.
    """

    shares_bias: bool
    step: Callable[[Tensor, States, Weights], tuple[States, tuple[Tensor, ...]]]
    prepare: Callable[[Sequence[Pair]], tuple[Tensor, ...]]
    pull: Callable[[States, tuple[Tensor, ...]], Pulled]


def _middle(pair: Pair) -> Tensor:
    return (pair[0] + pair[1]) / 2


def _slope(x: Pair, y: Pair, derivative: Pair, smooth: bool = True) -> Tensor:
    change = x[0] - x[1]
    limit = torch.finfo(change.dtype).eps ** 0.5 * torch.maximum(x[0].abs(), x[1].abs()) if smooth else 0
    near = change.abs() <= limit
    return torch.where(near, _middle(derivative), (y[0] - y[1]) / change)


def _sigmoid_slope(x: Pair, y: Pair) -> Tensor:
    return _slope(x, y, (y[0] * (1 - y[0]), y[1] * (1 - y[1])))


def _tanh_slope(x: Pair, y: Pair) -> Tensor:
    return _slope(x, y, (1 - y[0] * y[0], 1 - y[1] * y[1]))


def _lstm_step(projected: Tensor, states: States, weights: Weights) -> tuple[States, tuple[Tensor, ...]]:
    hidden, cell = states
    gates = projected + F.linear(hidden, weights.from_hidden)
    size = cell.shape[-1]
    first, g_in, o_in = gates[..., : 2 * size], gates[..., 2 * size : 3 * size], gates[..., 3 * size :]
    i, f = torch.sigmoid(first).chunk(2, -1)
    g, o = torch.tanh(g_in), torch.sigmoid(o_in)
    new_cell = f * cell + i * g
    squashed = torch.tanh(new_cell)
    new_hidden = o * squashed
    if weights.project is not None:
        new_hidden = F.linear(new_hidden, weights.project)
    return (new_hidden, new_cell), (gates, i, f, g, o, cell, new_cell, squashed)


def _lstm_prepare(parts: Sequence[Pair]) -> tuple[Tensor, ...]:
    gates, i, f, g, o, cell, new_cell, squashed = parts
    by_gate = [gate.chunk(4, -1) for gate in gates]
    inputs = list(zip(*by_gate, strict=True))
    slopes = (
        _sigmoid_slope(inputs[0], i),
        _sigmoid_slope(inputs[1], f),
        _tanh_slope(inputs[2], g),
        _sigmoid_slope(inputs[3], o),
    )
    to_cell = torch.cat([_middle(g) * slopes[0], _middle(cell) * slopes[1], _middle(i) * slopes[2]], -1)
    return to_cell, _middle(squashed) * slopes[3], _middle(o) * _tanh_slope(new_cell, squashed), _middle(f)


def _lstm_pull(multipliers: States, prepared: tuple[Tensor, ...]) -> Pulled:
    m_hidden, m_cell = multipliers
    to_cell, to_output, through_tanh, forget = prepared
    m_cell = torch.addcmul(m_cell, m_hidden, through_tanh)
    m_gates = torch.cat([to_cell * m_cell.repeat(1, 3), m_hidden * to_output], -1)
    return Pulled(m_gates, m_gates, (None, m_cell * forget))


def _gru_step(projected: Tensor, states: States, weights: Weights) -> tuple[States, tuple[Tensor, ...]]:
    (hidden,) = states
    recurrent = F.linear(hidden, weights.from_hidden, weights.hidden_bias)
    size = hidden.shape[-1]
    gates = projected[..., : 2 * size] + recurrent[..., : 2 * size]
    reset, update = torch.sigmoid(gates).chunk(2, -1)
    offered = recurrent[..., 2 * size :]
    raw = projected[..., 2 * size :] + reset * offered
    new = torch.tanh(raw)
    return (new + update * (hidden - new),), (gates, reset, update, offered, raw, new, hidden)


def _gru_prepare(parts: Sequence[Pair]) -> tuple[Tensor, ...]:
    gates, reset, update, offered, raw, new, hidden = parts
    resets, updates = zip(*(gate.chunk(2, -1) for gate in gates), strict=True)
    difference = (hidden[0] - new[0], hidden[1] - new[1])
    to_update = _middle(difference) * _sigmoid_slope(updates, update)
    to_raw = (1 - _middle(update)) * _tanh_slope(raw, new)
    return (
        to_update,
        to_raw,
        _middle(offered) * _sigmoid_slope(resets, reset),
        _middle(reset),
        _middle(update),
    )


def _gru_pull(multipliers: States, prepared: tuple[Tensor, ...]) -> Pulled:
    (m_hidden,) = multipliers
    to_update, to_raw, to_reset, reset, update = prepared
    m_raw = m_hidden * to_raw
    m_gates = torch.cat([m_raw * to_reset, m_hidden * to_update], -1)
    return Pulled(torch.cat([m_gates, m_raw], -1), torch.cat([m_gates, m_raw * reset], -1), (m_hidden * update,))


def _simple_cell(function: Callable[[Tensor], Tensor], slope: Callable[[Pair, Pair], Tensor]) -> Cell:
    def step(projected: Tensor, states: States, weights: Weights) -> tuple[States, tuple[Tensor, ...]]:
        raw = projected + F.linear(states[0], weights.from_hidden)
        new = function(raw)
        return (new,), (raw, new)

    def prepare(parts: Sequence[Pair]) -> tuple[Tensor, ...]:
        raw, new = parts
        return (slope(raw, new),)

    def pull(multipliers: States, prepared: tuple[Tensor, ...]) -> Pulled:
        m_raw = multipliers[0] * prepared[0]
        return Pulled(m_raw, m_raw, (None,))

    return Cell(True, step, prepare, pull)


def _relu_slope(x: Pair, y: Pair) -> Tensor:
    return _slope(x, y, ((x[0] > 0).to(y[0].dtype), (x[1] > 0).to(y[1].dtype)), smooth=False)


CELLS = {
    "lstm": Cell(True, _lstm_step, _lstm_prepare, _lstm_pull),
    "gru": Cell(False, _gru_step, _gru_prepare, _gru_pull),
    "rnn_tanh": _simple_cell(torch.tanh, _tanh_slope),
    "rnn_relu": _simple_cell(torch.relu, _relu_slope),
}
