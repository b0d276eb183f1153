r"""DeepLIFT's rule for softmax, its logarithm and the logarithm of its normaliser, in closed form.

With p and q the probabilities for input and reference, :math:`\Delta p_j = M_j (\Delta x_j - \Delta L)`
where :math:`M_j = (p_j - q_j) / (\ln p_j - \ln q_j)` is their logarithmic mean and L the log-normaliser.
Since the probabilities sum to one in both passes, :math:`\Delta L = \sum_j w_j \Delta x_j` with
:math:`w = M / \sum M`. This is softmax's own derivative with p replaced by a mean of p and q: exactly
complete, and the gradient in the limit.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pellucid._core.rules.call import Call
from pellucid._core.rules.carry import Gradients, Pullback
from pellucid._core.rules.precision import at_least_single
from pellucid._core.rules.table import Occurrence, Rule


def logarithmic_mean(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Return (p - q) / (ln p - ln q), from logarithms so that an underflowing side still counts.

    Example:
        >>> import torch
        >>> logarithmic_mean(torch.tensor([0.0, -2.0]), torch.tensor([-1.0, -2.0]))
        tensor([0.6321, 0.1353])
    """
    p, q = log_p.exp(), log_q.exp()
    total, difference = p + q, p - q
    ratio = difference / total.clamp_min(torch.finfo(p.dtype).tiny)
    near = ratio.abs() < 1e-2
    square = ratio * ratio
    series = total / 2 / (1 + square * (1 / 3 + square * (1 / 5 + square / 7)))  # ratio / artanh(ratio)
    quotient = difference / (log_p - log_q).masked_fill(near, 1)
    return torch.where(near, series, quotient).nan_to_num(0.0, 0.0, 0.0)


def _dimension(call: Call) -> int | tuple[int, ...]:
    dim = call.argument(1, "dim")
    return tuple(dim) if isinstance(dim, list | tuple) else int(dim)


def _log_probabilities(call: Call, dim: int | tuple[int, ...]) -> Tensor:
    x = call.operands[0].to(call.results[0].dtype)
    x = at_least_single(x)
    return x - x.logsumexp(dim, keepdim=True)


def _softmax(occurrence: Occurrence) -> Pullback:
    call, reference = occurrence.pair
    dim = _dimension(call)
    mean = logarithmic_mean(_log_probabilities(call, dim), _log_probabilities(reference, dim))
    share = mean / mean.sum(dim, keepdim=True).clamp_min(torch.finfo(mean.dtype).tiny)
    pull = _PULLS[call.name.removeprefix("special_")]

    def pullback(gradients: Gradients) -> Sequence[Tensor | None]:
        g = gradients[0]
        return (None if g is None else pull(at_least_single(g), mean, share, dim),)

    return pullback


def _pull_softmax(g: Tensor, mean: Tensor, share: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    weighted = mean * g
    return weighted - share * weighted.sum(dim, keepdim=True)


def _pull_log_softmax(g: Tensor, mean: Tensor, share: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    del mean
    return g - share * g.sum(dim, keepdim=True)


def _pull_logsumexp(g: Tensor, mean: Tensor, share: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    del mean
    if g.dim() == share.dim():
        return share * g
    dims = (dim,) if isinstance(dim, int) else dim
    for axis in sorted(d % share.dim() for d in dims):
        g = g.unsqueeze(axis)
    return share * g


_PULLS = {"softmax": _pull_softmax, "log_softmax": _pull_log_softmax, "logsumexp": _pull_logsumexp}

SOFTMAX = Rule("softmax, by logarithmic means", _softmax)
