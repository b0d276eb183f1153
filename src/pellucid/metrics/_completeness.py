"""Completeness: do the attributions add up to what they claim to divide?"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pellucid._core.combine import total
from pellucid._core.door import accept_question
from pellucid._core.model import with_gradients
from pellucid.docstrings import documented
from pellucid.metrics._asked import accept
from pellucid.typing import BaselineLike, ForwardFunction, TargetLike, Tensors


@with_gradients
@documented()
def completeness(
    model: ForwardFunction,
    inputs: Tensors,
    attributions: Tensors,
    target: TargetLike = None,
    baselines: BaselineLike = None,
    additional_forward_args: Any = None,
) -> Tensor:
    """Measure by how much the attributions fail to sum to the difference of outputs.

    ``|sum(A) - (F(x) - F(baseline))|``. Range: 0 to infinity, in the unit of the output; lower is better. Only methods
    that promise a sum can be judged by it, and a right sum says nothing about its parts.

    Example:
        >>> import torch
        >>> from pellucid.metrics import completeness
        >>> x = torch.tensor([[3.0, 1.0]])
        >>> completeness(lambda x: x.prod(1), x, torch.tensor([[1.5, 1.0]]))  # 2.5 of 3
        tensor([0.5000])

    {arguments}

    Returns:
        Scores, shape (N,).

    {raises}

    References:
        Sundararajan, Taly and Yan (2017), arXiv:1703.01365.
    """
    question = accept_question(model, inputs, target, additional_forward_args)
    asked = accept(question, attributions, baselines, None, None)
    start = tuple(b.expand_as(x) for b, x in zip(asked.baselines, question.inputs, strict=True))
    difference = asked.scoring.reference() - asked.scoring.at(start)
    return (total(asked.attributions).to(difference) - difference).abs()
