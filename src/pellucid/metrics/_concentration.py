"""Complexity: on how few values does an explanation concentrate? It says nothing about whether they are right."""

from __future__ import annotations

import torch
from torch import Tensor

from pellucid._core import report
from pellucid._core.structure import wide
from pellucid.docstrings import documented
from pellucid.errors import NonFiniteWarning
from pellucid.metrics._asked import accept_maps
from pellucid.typing import Tensors


@documented()
def sparseness(attributions: Tensors) -> Tensor:
    """Measure how unequal the magnitudes of the attributions are: their Gini index.

    With magnitudes in rising order, ``a_1 <= ... <= a_d``: ``1 - 2 sum_k a_k / sum(a) (d - k + 1/2) / d``. Range: 0
    (all equal) to 1 - 1/d (all in one value); higher is sparser. NaN, with a notice, where all are zero.

    Example:
        >>> import torch
        >>> from pellucid.metrics import sparseness
        >>> sparseness(torch.tensor([[0.0, 0.0, 0.0, 2.0], [1.0, -1.0, 1.0, 1.0]]))
        tensor([0.7500, 0.0000])

    {arguments}

    Returns:
        Scores, shape (N,).

    {raises}

    References:
        Chalasani, Chen, Chowdhury, Jha and Wu (2020), Concise Explanations of Neural Networks using Adversarial
        Training, arXiv:1810.06583.
    """
    shares = _shares(attributions).sort(dim=1).values
    count = shares.shape[1]
    places = torch.arange(1, count + 1, dtype=shares.dtype, device=shares.device)
    return 1 - 2 * (shares * (count - places + 0.5) / count).sum(1)


@documented()
def complexity(attributions: Tensors) -> Tensor:
    """Measure over how many values the attributions are spread: the entropy of their shares.

    With ``p_i = |a_i| / sum |a|``: ``- sum_i p_i log p_i``. Range: 0 (all in one value) to log d (all equal), in nats;
    lower is simpler. NaN, with a notice, where all are zero.

    Example:
        >>> import torch
        >>> from pellucid.metrics import complexity
        >>> complexity(torch.tensor([[0.0, 0.0, 0.0, 2.0], [1.0, -1.0, 1.0, 1.0]]))  # 0 and log 4
        tensor([0.0000, 1.3863])

    {arguments}

    Returns:
        Scores, shape (N,).

    {raises}

    References:
        Bhatt, Weller and Moura (2020), arXiv:2005.00631.
    """
    shares = _shares(attributions)
    entropy: Tensor = torch.special.entr(shares).sum(1)
    return entropy


def _shares(attributions: Tensors) -> Tensor:
    """Shares of each value in the sum of magnitudes, shape (N, values)."""
    flat = [a.to(wide(a.dtype)).reshape(len(a), -1).abs() for a in accept_maps(attributions)]
    values = torch.cat([f.to(flat[0].device) for f in flat], dim=1)
    total = values.sum(1, keepdim=True)
    zero = int((total == 0).sum())
    if zero:
        report.notify(NonFiniteWarning, f"{zero} of {len(total)} explanations are zero everywhere: their score is NaN.")
    shares: Tensor = values / torch.where(total > 0, total, torch.nan)
    return shares
