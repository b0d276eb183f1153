r"""DeepLIFT's rule for scaled dot-product attention as a whole, in closed form.

It is the composition of the rules of its pieces, :math:`P = \mathrm{softmax}(f Q K^T + \\mathrm{mask})` and
:math:`P V`: products by midpoints, softmax by logarithmic means (softmax.py). As one rule it keeps less, computes
nothing twice, and shares the heads of grouped keys and values instead of repeating them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pellucid._core.rules.call import Call
from pellucid._core.rules.carry import Gradients, Pullback
from pellucid._core.rules.decisions import argument
from pellucid._core.rules.deeplift import contiguous_sum
from pellucid._core.rules.softmax import logarithmic_mean
from pellucid._core.rules.table import ClosedForm, Occurrence, Rule

_NAMES = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")


class _Layout(NamedTuple):
    """How heads and queries are folded: a group of query heads that share a key head is one longer head."""

    query: tuple[int, ...]
    key: tuple[int, ...]
    value: tuple[int, ...]
    scores: tuple[int, ...]
    factor: float


def _applies(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    query, key, value, mask, dropout, causal = (
        argument(args, kwargs, place, name) for place, name in enumerate(_NAMES)
    )
    tensors = (query, key, value)
    if not all(isinstance(one, Tensor) and one.requires_grad and one.dim() >= 3 for one in tensors):
        return False
    if dropout or (causal and mask is not None) or (mask is not None and mask.requires_grad):
        return False
    if {one.dtype for one in tensors} not in ({torch.float32}, {torch.float64}) or _autocast(query):
        return False
    asking, asked, seen = query.shape[:-2], key.shape[:-2], value.shape[:-2]
    shared = bool(kwargs.get("enable_gqa")) and asking[:-1] == asked[:-1]
    if asked != seen or not (asking == asked or shared) or 0 in (*query.shape, *key.shape):
        return False
    return mask is None or _covers(mask, query, (*query.shape[:-1], key.shape[-2]))


def _covers(mask: Tensor, query: Tensor, scores: tuple[int, ...]) -> bool:
    """Tell whether a mask can be written into the scores, and leaves each query something to see."""
    missing = len(scores) - mask.dim()
    if missing < 0 or not all(a in (1, b) for a, b in zip(mask.shape, scores[missing:], strict=True)):
        return False
    return bool(mask.any(-1).all()) if mask.dtype == torch.bool else mask.dtype == query.dtype


def _autocast(tensor: Tensor) -> bool:
    return torch.is_autocast_enabled(tensor.device.type)


def _layout(call: Call) -> _Layout:
    query, key, value = call.operands
    count = math.prod(key.shape[:-2])
    scale = call.kwargs.get("scale")
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    return _Layout(
        (count, -1, query.shape[-1]),
        (count, *key.shape[-2:]),
        (count, *value.shape[-2:]),
        (*query.shape[:-1], key.shape[-2]),
        factor,
    )


def _scaled_product(one: Tensor, other: Tensor, factor: float) -> Tensor:
    return torch.baddbmm(one.new_empty(()), one, other, beta=0, alpha=factor)


def _masked(scores: Tensor, call: Call) -> Tensor:
    mask = call.argument(3, "attn_mask")
    if call.argument(5, "is_causal"):
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is None:
        return scores
    return scores.masked_fill_(~mask, -math.inf) if mask.dtype == torch.bool else scores.add_(mask)


def _compute(call: Call) -> Tensor:
    """Return the values, and keep the probabilities and their logarithms."""
    layout = _layout(call)
    query, key, value = (x.reshape(shape) for x, shape in zip(call.operands, layout[:3], strict=True))
    scores = _masked(_scaled_product(query, key.mT, layout.factor).view(layout.scores), call)
    logs = torch.log_softmax(scores, -1).view(layout.query[0], -1, layout.key[1])
    weights = torch.exp(logs, out=scores.view(logs.shape))
    call.kept = logs, weights
    return torch.bmm(weights, value).view(*layout.scores[:-1], layout.value[-1])


def _linearise(occurrence: Occurrence) -> Pullback:
    call, reference = occurrence.pair
    layout = _layout(call)
    (logs, weights), (first_logs, first_weights) = call.kept, reference.kept
    call.kept = reference.kept = None  # what they kept is written into
    query, key, value = (
        contiguous_sum(x, start).view(shape)
        for x, start, shape in zip(call.operands, reference.operands, layout[:3], strict=True)
    )
    mean = logarithmic_mean(weights, first_weights, logs.sub_(first_logs))
    total = mean.sum(-1, keepdim=True).clamp_min_(torch.finfo(mean.dtype).tiny)
    mean.div_(total)
    weights.add_(first_weights)

    def pull(gradients: Gradients) -> Sequence[Tensor | None]:
        if gradients[0] is None:
            return None, None, None
        g = gradients[0].reshape(layout.query[0], -1, layout.value[-1])
        for_value = _scaled_product(weights.mT, g, 0.5)
        change = torch.bmm(g * total.div(2), value.mT)
        change = torch.ops.aten._softmax_backward_data(change, mean, -1, change.dtype)  # noqa: SLF001 # no public name
        for_query = _scaled_product(change, key, layout.factor / 2)
        for_key = _scaled_product(change.mT, query, layout.factor / 2)
        return [m.view(x.shape) for m, x in zip((for_query, for_key, for_value), call.operands, strict=True)]

    return pull


ATTENTION = ClosedForm(_applies, Rule("attention, in closed form", _linearise, compute=_compute))
