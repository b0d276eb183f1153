r"""DeepLIFT's rule for selections by rank (sort, topk, kthvalue, median): an exact path integral.

Along x(t) = x' + t (x - x') the k-th smallest value is piecewise linear in t: it follows one element
until another overtakes it. Its integral is therefore exact once the times of overtaking are known:

.. math:: m_i = \sum_k g_k \, |\{t : \text{element } i \text{ has rank } k \text{ at time } t\}|

Ranks are neither convex nor concave functions of x, so no mixture of the two end gradients would do.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pellucid._core.rules.call import Call
from pellucid._core.rules.carry import Gradients, Pullback
from pellucid._core.rules.path import integrate
from pellucid._core.rules.precision import at_least_single
from pellucid._core.rules.table import Occurrence, Rule

_LARGEST = 2048
_ELEMENTS_AT_ONCE = 1 << 24


def time_at_ranks(start: Tensor, end: Tensor) -> Tensor:
    """Return, per row, the share of the path that element i (of n) spends at rank k: (rows, n, n).

    Example:
        >>> import torch
        >>> time_at_ranks(torch.tensor([[0.0, 1.0]]), torch.tensor([[4.0, 1.0]]))
        tensor([[[0.2500, 0.7500],
                 [0.7500, 0.2500]]])
    """
    rows, count = start.shape
    speed = end - start
    gap = start.unsqueeze(1) - start.unsqueeze(2)  # [i, j]: how far j is above i at the start
    closing = speed.unsqueeze(2) - speed.unsqueeze(1)  # how fast i catches up with j
    index = torch.arange(count, device=start.device)
    tie = torch.where(closing == 0, (index.unsqueeze(0) < index.unsqueeze(1)).expand_as(gap), closing > 0)
    below = torch.where(gap == 0, tie, gap < 0)  # j is below i right after the start
    time = gap / closing  # not finite where they never meet
    meet = (time > 0) & (time < 1)
    time, step = torch.where(meet, time, 1.0), torch.where(meet, torch.where(below, -1, 1), 0)
    time, order = time.sort(dim=2)
    ranks = below.sum(2, keepdim=True) + torch.cat(
        [torch.zeros_like(step[..., :1]), step.gather(2, order).cumsum(2)], dim=2
    )
    bounds = torch.cat([torch.zeros_like(time[..., :1]), time, torch.ones_like(time[..., :1])], dim=2)
    spent = torch.zeros(rows, count, count, dtype=start.dtype, device=start.device)
    return spent.scatter_add_(2, ranks.clamp(0, count - 1), bounds.diff(dim=2))


def _selected_ranks(call: Call, count: int) -> Tensor:
    """Return the ranks, counted from the smallest, that the results of a call hold, in order."""
    device = call.operands[0].device
    ascending = torch.arange(count, device=device)
    if call.name == "sort":
        descending = bool(call.argument(2, "descending", False))
        return ascending.flip(0) if descending else ascending
    if call.name == "msort":
        return ascending
    if call.name == "median":
        return ascending[(count - 1) // 2 : (count - 1) // 2 + 1]
    k = int(call.argument(1, "k"))
    if call.name == "kthvalue":
        return ascending[k - 1 : k]
    return ascending.flip(0)[:k] if call.argument(3, "largest", True) else ascending[:k]


def _dimension(call: Call) -> int | None:
    if call.name == "msort":
        return 0
    if call.name == "median":
        dim = call.argument(1, "dim")
    elif call.name == "sort":
        dim = call.argument(1, "dim", -1)
    else:
        dim = call.argument(2, "dim", -1)
    return None if dim is None else int(dim)


def _order(occurrence: Occurrence) -> Pullback:
    call, reference = occurrence.pair
    x, start = at_least_single(call.operands[0]), at_least_single(reference.operands[0])
    dim = _dimension(call)
    x, start = (one.flatten() if dim is None else one.movedim(dim, -1) for one in (x, start))
    count = x.shape[-1] if x.dim() else 1
    if count > _LARGEST or call.argument(3, "sorted", True) is False or call.kwargs.get("sorted") is False:
        return integrate(occurrence)
    ranks = _selected_ranks(call, count)

    def pull(gradients: Gradients) -> Sequence[Tensor | None]:
        g = gradients[0]
        if g is None:
            return (None,)
        g = at_least_single(g)
        if g.dim() == call.operands[0].dim() and dim is not None:
            g = g.movedim(dim, -1)
        at_rank = torch.zeros(x.shape, dtype=g.dtype, device=g.device).reshape(-1, count)
        at_rank[:, ranks] = g.reshape(at_rank.shape[0], -1)
        pulled = _pull_rows(start.reshape(-1, count), x.reshape(-1, count), at_rank).reshape(x.shape)
        shape = call.operands[0].shape
        return ((pulled if dim is None else pulled.movedim(-1, dim)).reshape(shape),)

    return pull


def _pull_rows(start: Tensor, end: Tensor, at_rank: Tensor) -> Tensor:
    rows = max(1, _ELEMENTS_AT_ONCE // start.shape[1] ** 2)
    parts = [
        (time_at_ranks(a, b) @ g.unsqueeze(2)).squeeze(2)
        for a, b, g in zip(*(torch.split(one, rows) for one in (start, end, at_rank)), strict=True)
    ]
    return torch.cat(parts)


ORDER = Rule("order statistic, exact path integral", _order)
