"""Recurrent layers: unrolled into single operations, or DeepLIFT's multipliers through all steps at once.

`unrolled` is an expansion for any table: each operation in it gets the table's own rule.
`RECURRENT` is the same for DeepLIFT in closed form: the kernel stays fused in the forward pass, input
and reference are then traced side by side, and slopes are computed for all time steps together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid._core.rules.call import Call, Slot
from pellucid._core.rules.carry import Gradients, Pullback
from pellucid._core.rules.precision import at_least_single
from pellucid._core.rules.recurrent_cells import CELLS, Cell, States
from pellucid._core.rules.recurrent_layout import Layout, Weights, read
from pellucid._core.rules.table import Occurrence, Rule


@dataclass(frozen=True, eq=False)
class _Direction:
    """What one direction of one layer did: its parts per step, and the order of the steps."""

    parts: list[tuple[Tensor, ...]]
    order: Sequence[int]
    weights: Weights


def _run_direction(
    sequence: Tensor, present: Tensor | None, states: States, weights: Weights, cell: Cell, backwards: bool
) -> tuple[list[Tensor], States, _Direction]:
    bias = weights.input_bias
    if cell.shares_bias and bias is not None and weights.hidden_bias is not None:
        bias = bias + weights.hidden_bias
    projected = F.linear(sequence, weights.from_input, bias).unbind(0)
    steps = len(projected)
    order = range(steps - 1, -1, -1) if backwards else range(steps)
    outputs: list[Any] = [None] * steps
    parts: list[Any] = [None] * steps
    for t in order:
        new, parts[t] = cell.step(projected[t], states, weights)
        if present is not None:
            here = present[t].unsqueeze(-1)
            new = tuple(torch.where(here, a, b) for a, b in zip(new, states, strict=True))
        states = new
        outputs[t] = new[0]
    return outputs, states, _Direction(parts, order, weights)


def run(layout: Layout, cell: Cell) -> tuple[Tensor, list[Tensor], list[list[_Direction]]]:
    """Run all layers step by step: outputs (T, B, H), final states, and what each direction did."""
    sequence = layout.sequence
    finals: list[States] = []
    trace: list[list[_Direction]] = []
    for layer in range(0, len(layout.weights), layout.directions):
        if layer and layout.dropout:
            sequence = F.dropout(sequence, layout.dropout, True)
        results = [
            _run_direction(
                sequence,
                layout.present,
                tuple(state[layer + way] for state in layout.states),
                layout.weights[layer + way],
                cell,
                way == 1,
            )
            for way in range(layout.directions)
        ]
        sequence = torch.cat([torch.stack(outputs) for outputs, _, _ in results], -1)
        finals += [states for _, states, _ in results]
        trace.append([direction for _, _, direction in results])
    return sequence, [torch.stack(states) for states in zip(*finals, strict=True)], trace


def unrolled(name: str) -> Callable[..., Any]:
    """Return the expansion of a fused recurrent kernel into single operations."""

    def expand(*args: Any) -> Any:
        layout = read(name, args)
        outputs, finals, _ = run(layout, CELLS[name])
        return (layout.pack(outputs), *finals)

    return expand


def unrolled_when_random(name: str) -> Callable[..., Any]:
    """Return the expansion that declines unless the kernel draws dropout masks or has active weights."""
    expand = unrolled(name)

    def choose(*args: Any) -> Any:
        packed = isinstance(args[1], Tensor) and not args[1].is_floating_point()
        params = args[3 if packed else 2]
        if read(name, args).dropout or any(weight.requires_grad for weight in params):
            return expand(*args)
        return NotImplemented

    return choose


def cell_step(name: str) -> Callable[..., Any]:
    """Return the expansion of one step of a cell, such as ``torch.lstm_cell``."""
    cell = CELLS[name]

    def expand(value: Tensor, hidden: Any, w_ih: Tensor, w_hh: Tensor, b_ih: Any = None, b_hh: Any = None) -> Any:
        bias = b_ih + b_hh if cell.shares_bias and b_ih is not None else b_ih
        states = tuple(hidden) if isinstance(hidden, tuple | list) else (hidden,)
        new, _ = cell.step(F.linear(value, w_ih, bias), states, Weights(w_ih, w_hh, b_ih, b_hh))
        return new if len(new) > 1 else new[0]

    return expand


@dataclass(frozen=True, eq=False)
class _Prepared:
    """What pulling multipliers back through one direction needs: its values of each step."""

    values: tuple[tuple[Tensor, ...], ...]
    order: Sequence[int]
    weights: Weights


def _prepare(cell: Cell, direction: _Direction) -> _Prepared:
    stacked = [torch.stack(values).chunk(2, 1) for values in zip(*direction.parts, strict=True)]
    prepared = cell.prepare([(pair[0], pair[1]) for pair in stacked])
    per_step = tuple(zip(*(values.unbind(0) for values in prepared), strict=True))
    return _Prepared(per_step, direction.order, direction.weights)


def _recurrent(occurrence: Occurrence) -> Pullback:
    call, reference = occurrence.pair
    cell = CELLS[call.name]
    here, there = (_read_call(one) for one in (call, reference))
    with torch.no_grad(), torch.autocast(here.sequence.device.type, enabled=False):
        _, _, trace = run(here.beside(there), cell)
        prepared = [[_prepare(cell, direction) for direction in layer] for layer in trace]
    slots = _operand_slots(call)

    def pull(gradients: Gradients) -> Sequence[Tensor | None]:
        m_outputs = gradients[0]
        shape = (*here.sequence.shape[:2], here.states[0].shape[-1] * here.directions)
        m_sequence = here.sequence.new_zeros(shape) if m_outputs is None else here.unpack(at_least_single(m_outputs))
        m_finals = [
            torch.zeros_like(state) if g is None else at_least_single(g)
            for state, g in zip(here.states, gradients[1:], strict=True)
        ]
        m_sequence, m_states = _pull_layers(here, cell, prepared, m_sequence, m_finals)
        found = (here.pack(m_sequence), *m_states)
        return [found[position] for position in slots]

    return pull


def _read_call(call: Call) -> Layout:
    """Read a recorded call in single precision or better."""
    return read(call.name, _widened(call.filled_args(call.operands)))


def _widened(value: Any) -> Any:
    if isinstance(value, Tensor):
        return at_least_single(value)
    return type(value)([_widened(part) for part in value]) if isinstance(value, list | tuple) else value


def _operand_slots(call: Call) -> list[int]:
    """Return, per active operand, its place among the sequence (0) and the initial states (1, 2)."""
    packed = isinstance(call.args[1], Tensor) and not call.args[1].is_floating_point()
    hidden = call.args[2 if packed else 1]
    values = [call.args[0], *(hidden if isinstance(hidden, list | tuple) else [hidden])]
    places = {value.number: place for place, value in enumerate(values) if isinstance(value, Slot)}
    return [places[number] for number in range(len(call.operands))]


def _pull_layers(
    layout: Layout,
    cell: Cell,
    prepared: list[list[_Prepared]],
    m_sequence: Tensor,
    m_finals: Sequence[Tensor],
) -> tuple[Tensor, list[Tensor]]:
    m_initial: list[tuple[Tensor, ...]] = []
    for layer in range(len(prepared) - 1, -1, -1):
        below: list[Tensor] = []
        initial: list[tuple[Tensor, ...]] = []
        parts = m_sequence.chunk(layout.directions, -1)
        for way, direction in enumerate(prepared[layer]):
            finals = tuple(final[layer * layout.directions + way] for final in m_finals)
            m_below, m_states = _pull_direction(layout, cell, direction, parts[way], finals)
            below.append(m_below)
            initial.append(m_states)
        m_sequence = torch.stack(below).sum(0)
        m_initial = initial + m_initial
    return m_sequence, [torch.stack(states) for states in zip(*m_initial, strict=True)]


def _pull_direction(
    layout: Layout, cell: Cell, direction: _Prepared, m_outputs: Tensor, m_states: tuple[Tensor, ...]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    weights = direction.weights
    per_step = m_outputs.unbind(0)
    collected: list[Any] = [None] * len(per_step)
    for t in reversed(direction.order):
        m_states = (m_states[0] + per_step[t], *m_states[1:])
        kept: tuple[Tensor | None, ...] = (None,) * len(m_states)
        if layout.present is not None:
            absent = ~layout.present[t].unsqueeze(-1)
            kept = tuple(m * absent for m in m_states)
            m_states = tuple(m.masked_fill(absent, 0) for m in m_states)
        if weights.project is not None:
            m_states = (m_states[0] @ weights.project, *m_states[1:])
        pulled = cell.pull(m_states, direction.values[t])
        collected[t] = pulled.from_input
        through = (pulled.from_hidden @ weights.from_hidden, *(None for _ in m_states[1:]))
        m_states = tuple(_sum_of(terms) for terms in zip(through, pulled.states, kept, strict=True))
    return torch.stack(collected) @ weights.from_input, m_states


def _sum_of(terms: Sequence[Tensor | None]) -> Tensor:
    present = [term for term in terms if term is not None]
    total = present[0]
    for term in present[1:]:
        total = total + term
    return total


RECURRENT = Rule("recurrent layer, closed form", _recurrent)
