"""Localisation: does the relevance lie where a person knows the evidence to be?

Ground truth is a mask per example. A position's relevance is the sum of its attributions over the channels where
the mask has one channel for all. Everything is computed from the two maps; no model is asked.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid._core import report
from pellucid._core.checks import accept_dense
from pellucid._core.door import accept_count
from pellucid._core.structure import wide
from pellucid.docstrings import documented
from pellucid.errors import NonFiniteWarning, invalid_type, invalid_value
from pellucid.metrics._asked import accept_maps


@documented(
    tolerance="How many pixels beside the mask still count as a hit, in each direction (images only).",
)
def pointing_game(attributions: Tensor, ground_truth: Tensor, *, tolerance: int = 0) -> Tensor:
    """Tell whether the highest attribution lies inside the ground truth.

    1 for a hit and 0 for a miss; where several positions share the highest value, the share of them that hit. Range:
    0 to 1; higher is better. A random map scores the share of the mask.

    Example:
        >>> import torch
        >>> from pellucid.metrics import pointing_game
        >>> relevance = torch.tensor([[[[0.0, 3.0], [1.0, 0.0]]]])
        >>> pointing_game(relevance, torch.tensor([[[[False, True], [False, False]]]]))
        tensor([1.])

    {arguments}

    Returns:
        Scores, shape (N,).

    {raises}

    References:
        Zhang, Bargal, Lin, Brandt, Shen and Sclaroff (2018), Top-down Neural Attention by Excitation Backprop,
        arXiv:1608.00507.
    """
    reach = accept_count("tolerance", tolerance, 0)
    relevance, truth = _accept(attributions, ground_truth)
    if reach and truth.dim() != 4:
        given = f"{tolerance} for maps of shape {tuple(relevance.shape)}"
        raise invalid_value("tolerance", given, "only images have pixels beside others", "0")
    if reach:
        truth = F.max_pool2d(truth.float(), 2 * reach + 1, stride=1, padding=reach) > 0
    relevance, truth = relevance.flatten(1), truth.flatten(1)
    highest = relevance == relevance.amax(1, keepdim=True)
    return (highest & truth).sum(1).to(relevance) / highest.sum(1)


@documented()
def relevance_mass_accuracy(attributions: Tensor, ground_truth: Tensor) -> Tensor:
    """Measure which share of the positive relevance lies inside the ground truth.

    ``sum of max(R, 0) inside / sum of max(R, 0)``. Range: 0 to 1; higher is better. NaN, with a notice, where no
    relevance is positive. A random map scores the share of the mask.

    Example:
        >>> import torch
        >>> from pellucid.metrics import relevance_mass_accuracy
        >>> relevance_mass_accuracy(torch.tensor([[3.0, 1.0, -5.0]]), torch.tensor([[True, False, False]]))
        tensor([0.7500])

    {arguments}

    Returns:
        Scores, shape (N,).

    {raises}

    References:
        Arras, Osman and Samek (2022), CLEVR-XAI, arXiv:2003.07258.
    """
    relevance, truth = (value.flatten(1) for value in _accept(attributions, ground_truth))
    positive = relevance.clamp_min(0)
    whole = positive.sum(1)
    inside = (positive * truth).sum(1)
    if bool((whole == 0).any()):
        report.notify(
            NonFiniteWarning,
            f"{int((whole == 0).sum())} of {len(whole)} examples have no positive relevance, so its share is NaN.",
        )
    return torch.where(whole > 0, inside / torch.where(whole > 0, whole, 1.0), torch.nan)


@documented()
def relevance_rank_accuracy(attributions: Tensor, ground_truth: Tensor) -> Tensor:
    """Measure which share of the K highest relevances lies inside a ground truth of K positions.

    Range: 0 to 1; higher is better. Equal values at the border count with the share of them that are inside. A
    random map scores the share of the mask.

    Example:
        >>> import torch
        >>> from pellucid.metrics import relevance_rank_accuracy
        >>> truth = torch.tensor([[True, True, False, False]])
        >>> relevance_rank_accuracy(torch.tensor([[4.0, 1.0, 3.0, 2.0]]), truth)  # of the highest two, one
        tensor([0.5000])

    {arguments}

    Returns:
        Scores, shape (N,).

    {raises}

    References:
        Arras, Osman and Samek (2022), CLEVR-XAI: A Benchmark Dataset for the Ground Truth Evaluation of Neural
        Network Explanations, arXiv:2003.07258.
    """
    relevance, truth = (value.flatten(1) for value in _accept(attributions, ground_truth))
    size = truth.sum(1, keepdim=True)
    border = relevance.sort(dim=1, descending=True).values.gather(1, size - 1)
    above, equal = relevance > border, relevance == border
    left = size[:, 0] - above.sum(1)
    hits = (above & truth).sum(1) + left * (equal & truth).sum(1).to(relevance) / equal.sum(1)
    return hits / size[:, 0]


def _accept(attributions: Any, ground_truth: Any) -> tuple[Tensor, Tensor]:
    """Check both maps and give them the same shape: channels are summed where the mask has none of its own."""
    if isinstance(attributions, tuple) and len(attributions) != 1:
        given = f"a tuple of {len(attributions)}"
        raise invalid_value("attributions", given, "a mask belongs to one map", "the attributions of one input")
    (relevance,) = accept_maps(attributions)
    found = tuple(relevance.shape)
    if not isinstance(ground_truth, Tensor):
        raise invalid_type("ground_truth", f"a {type(ground_truth).__name__}", "it marks positions", "a bool tensor")
    accept_dense("ground_truth", ground_truth)
    if ground_truth.dtype != torch.bool and bool(((ground_truth != 0) & (ground_truth != 1)).any()):
        given = f"a tensor of dtype {ground_truth.dtype} with other values than 0 and 1"
        raise invalid_value("ground_truth", given, "a position is inside or not", "ground_truth > 0, for example")
    truth = ground_truth.to(relevance.device).bool()
    relevance = relevance.to(wide(relevance.dtype))
    if truth.dim() == relevance.dim() and truth.dim() > 2 and truth.shape[1] == 1 < relevance.shape[1]:
        relevance = relevance.sum(1, keepdim=True)
    if truth.shape != relevance.shape:
        shown = f"of shape {tuple(truth.shape)}"
        why = f"the attributions have shape {found}"
        raise invalid_value("ground_truth", shown, why, "the same shape, or one channel for all")
    empty = int((~truth.flatten(1).any(1)).sum())
    if empty:
        why = "nothing can lie inside"
        raise invalid_value("ground_truth", f"empty for {empty} examples", why, "examples whose evidence is marked")
    return relevance, truth
