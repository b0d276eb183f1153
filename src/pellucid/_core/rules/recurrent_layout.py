"""The arguments of torch's fused recurrent kernels, read into one form: padded, time first, per direction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights of one layer in one direction; ``project`` only with ``proj_size``."""

    from_input: Tensor
    from_hidden: Tensor
    input_bias: Tensor | None
    hidden_bias: Tensor | None
    project: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Layout:
    """One call of a fused recurrent kernel.

    Args:
        sequence: Inputs, (T, B, F).
        present: Where a packed sequence holds values, (T, B), or None where all do.
        states: Initial states, each (layers * directions, B, H).
        weights: Per layer and direction.
        directions: 1 or 2.
        dropout: Probability of dropout between layers; 0 outside training.
        batch_first: Whether the kernel takes and returns (B, T, F).
    """

    sequence: Tensor
    present: Tensor | None
    states: tuple[Tensor, ...]
    weights: tuple[Weights, ...]
    directions: int
    dropout: float
    batch_first: bool

    def beside(self, other: Layout) -> Layout:
        """Return both calls as one, side by side in the batch."""
        present = None if self.present is None else torch.cat([self.present, self.present], 1)
        states = tuple(torch.cat(pair, 1) for pair in zip(self.states, other.states, strict=True))
        return replace(self, sequence=torch.cat([self.sequence, other.sequence], 1), present=present, states=states)

    def pack(self, outputs: Tensor) -> Tensor:
        """Return outputs (T, B, H) in the form of the kernel."""
        if self.present is not None:
            return outputs[self.present]
        return outputs.transpose(0, 1) if self.batch_first else outputs

    def unpack(self, outputs: Tensor) -> Tensor:
        """Return what has the kernel's form as (T, B, H); absent places hold zeros."""
        if self.present is not None:
            return outputs.new_zeros(*self.present.shape, outputs.shape[-1]).index_put((self.present,), outputs)
        return outputs.transpose(0, 1) if self.batch_first else outputs


def read(name: str, args: Sequence[Any]) -> Layout:
    """Read the positional arguments of ``torch.lstm``, ``gru``, ``rnn_tanh`` or ``rnn_relu``."""
    packed = isinstance(args[1], Tensor) and not args[1].is_floating_point()
    sequence = args[0]
    present = None
    if packed:
        sizes = args[1].to(sequence.device)
        present = torch.arange(int(sizes[0]), device=sequence.device).unsqueeze(0) < sizes.unsqueeze(1)
        hidden, params, biases, layers, dropout, train, two_ways = args[2:9]
        batch_first = False
        filled = sequence.new_zeros(*present.shape, sequence.shape[-1])
        sequence = filled.index_put((present,), sequence)
    else:
        hidden, params, biases, layers, dropout, train, two_ways, batch_first = args[1:9]
        sequence = sequence.transpose(0, 1) if batch_first else sequence
    directions = 2 if two_ways else 1
    return Layout(
        sequence,
        present,
        tuple(hidden) if name == "lstm" else (hidden,),
        _weights(params, biases, layers * directions),
        directions,
        float(dropout) if train and layers > 1 else 0.0,
        batch_first,
    )


def _weights(params: Sequence[Tensor], biases: bool, count: int) -> tuple[Weights, ...]:
    size = len(params) // count
    groups = [list(params[start : start + size]) for start in range(0, len(params), size)]
    none: list[Tensor | None] = [None, None]
    return tuple(Weights(*g[:2], *(g[2:4] if biases else none), *g[4 if biases else 2 :]) for g in groups)
