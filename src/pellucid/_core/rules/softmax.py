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


def logarithmic_mean(p: Tensor, q: Tensor, log_ratio: Tensor) -> Tensor:
    """Return (p - q) / (ln p - ln q), given ln p - ln q so that an underflowing side still counts.

    As max(p, q) (1 - exp(-d)) / d with d = |ln p - ln q|, which loses no digits where p and q are near. Writes
    into the logarithm of the ratio.

    Example:
        >>> import torch
        >>> p, q = torch.tensor([1.0, 0.5]), torch.tensor([0.25, 0.5])
        >>> logarithmic_mean(p, q, (p / q).log())
        tensor([0.5410, 0.5000])
    """
    distance = log_ratio.copysign_(-1.0).clamp_max_(-torch.finfo(log_ratio.dtype).tiny)  # -|ln p - ln q|, not 0
    return torch.expm1(distance).div_(distance).mul_(torch.maximum(p, q)).nan_to_num_(0.0, 0.0, 0.0)


def _dimension(call: Call) -> int | tuple[int, ...]:
    dim = call.argument(1, "dim")
    return tuple(dim) if isinstance(dim, list | tuple) else int(dim)


def _probabilities(call: Call, dim: int | tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Return the logits, their log-normaliser and the probabilities."""
    x, y = at_least_single(call.operands[0].to(call.results[0].dtype)), call.results[0]
    if call.name in {"softmax", "special_softmax"} and y.dtype == x.dtype and isinstance(dim, int):
        return x, x.amax(dim, keepdim=True) - y.amax(dim, keepdim=True).log(), y
    normaliser = x.logsumexp(dim, keepdim=True)
    return x, normaliser, (x - normaliser).exp_()


def _softmax(occurrence: Occurrence) -> Pullback:
    call, reference = occurrence.pair
    dim = _dimension(call)
    x, normaliser, p = _probabilities(call, dim)
    start, first, q = _probabilities(reference, dim)
    mean = logarithmic_mean(p, q, (x - start).sub_(normaliser - first))
    total = mean.sum(dim, keepdim=True).clamp_min(torch.finfo(mean.dtype).tiny)
    pull = _PULLS[call.name.removeprefix("special_")]

    def pullback(gradients: Gradients) -> Sequence[Tensor | None]:
        g = gradients[0]
        return (None if g is None else pull(at_least_single(g), mean, total, dim),)

    return pullback


def _pull_softmax(g: Tensor, mean: Tensor, total: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    weighted = mean * g
    return weighted.sub_(mean * (weighted.sum(dim, keepdim=True) / total))


def _pull_log_softmax(g: Tensor, mean: Tensor, total: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    return g - mean * (g.sum(dim, keepdim=True) / total)


def _pull_logsumexp(g: Tensor, mean: Tensor, total: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    if g.dim() != mean.dim():
        dims = (dim,) if isinstance(dim, int) else dim
        for axis in sorted(d % mean.dim() for d in dims):
            g = g.unsqueeze(axis)
    return mean * (g / total)


_PULLS = {"softmax": _pull_softmax, "log_softmax": _pull_log_softmax, "logsumexp": _pull_logsumexp}

SOFTMAX = Rule("softmax, by logarithmic means", _softmax)
