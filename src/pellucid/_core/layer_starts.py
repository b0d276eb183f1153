"""Baselines at a layer: what flows there when the model runs on baselines, and the share that bypasses it.

With z and z' the layer's values at the inputs x and at baselines x', a method on the rest of the model
explains ``F(x) - F(z', x)``, where all else is held at x. The share that bypasses the layer,
``F(z', x) - F(x')``, completes it to ``F(x) - F(x')``; where every path leads through the layer it is zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid._core import report
from pellucid._core.batching import rows_without_graph
from pellucid._core.carrying import Carrier
from pellucid._core.layer_site import LayerSite
from pellucid._core.model import borrowed
from pellucid._core.output import select
from pellucid._core.site import Question


@dataclass(frozen=True)
class Starts:
    """The layer at one or several baselines of the inputs.

    Attributes:
        references: per tensor of the layer, shape (baselines, N, ...).
        outputs: the model's output at each baseline.
    """

    references: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def starts_at(question: Question, site: LayerSite, baselines: Sequence[tuple[Tensor, ...]]) -> Starts:
    """Run the model on baselines, as many in a pass as its rows and memory allow, and look at the layer.

    Args:
        question: about the layer.
        site: the layer.
        baselines: each with 1 or N rows per input.

    Returns:
        The layer's values and the outputs.
    """
    inputs = site.inside.values
    with borrowed(question.site.forward, inputs[0].device):
        if len(baselines) == 1:
            values, output = site.at(tuple(b.expand_as(x) for b, x in zip(baselines[0], inputs, strict=True)))
            return Starts(tuple(v.unsqueeze(0) for v in values), (output,))
        carry, found = Carrier(site, outputs=True), []
        together = max(1, rows_without_graph(inputs) // len(inputs[0]))
        for first in range(0, len(baselines), together):
            some = zip(*baselines[first : first + together], strict=True)
            found.append(
                carry(tuple(torch.stack([b.expand_as(x) for b in s]) for s, x in zip(some, inputs, strict=True)))
            )
    *references, outputs = (torch.cat(parts) for parts in zip(*found, strict=True))
    return Starts(tuple(references), tuple(outputs))


def report_bypass(question: Question, starts: Starts, changes: Sequence[Tensor]) -> None:
    """Report the share of the difference of outputs that bypasses the layer, averaged over the baselines.

    Args:
        question: about the layer.
        starts: the layer at the baselines.
        changes: per target ``F(x) - F(z', x)``, shape (N, baselines), or (1, baselines) for all examples together.
    """
    shares = []
    for target, change in zip(question.targets, changes, strict=True):
        here = select(question.site.output, target).to(change)
        there = torch.stack([select(output, target).to(change) for output in starts.outputs], dim=1)
        difference = here[:, None] - there
        if len(difference) != len(change):
            difference = difference.sum(0, keepdim=True)
        shares.append((difference - change).mean(1))
    report.check(bypass=question.stacked(shares))
