"""Judge the planned methods by metrics, part by part, and put the scores together."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from tqdm import tqdm

import pellucid
from pellucid import Comparison, MethodInfo
from pellucid.cli._failures import users_code
from pellucid.cli._running import Batches, PerExample, rows_of
from pellucid.comparison import join
from pellucid.errors import PellucidWarning


def judge(
    batches: Batches,
    plans: Sequence[tuple[MethodInfo, dict[str, Any]]],
    metrics: Sequence[str],
    common: dict[str, Any],
    *,
    progress: bool | None = None,
) -> Comparison:
    """Compare methods on all examples.

    Args:
        batches: The model with its examples in parts.
        plans: The methods that are judged.
        metrics: Names of metrics; none for the default ones.
        common: ``target``, ``baseline``, ``seed`` and the ``kind`` of the examples.
        progress: As for ``run``.

    Returns:
        The comparison.

    Raises:
        Refusal: An argument or a metric cannot be used.
        ModelFailure: The model raised.
    """
    shown = sys.stderr.isatty() if progress is None else progress
    parts = []
    start = 0
    for inputs, others, baseline in tqdm(
        batches.parts, unit="part", desc="metrics", disable=not shown, file=sys.stderr
    ):
        rows = slice(start, start + len(inputs))
        methods = {}
        for info, arguments in plans:
            own = rows_of(arguments, rows)
            if baseline is not None and info.takes("baselines"):
                own = {"baselines": baseline, **own}
            methods[info.name] = (info.name, own)
        target = common["target"]
        with users_code("the model"), warnings.catch_warnings():
            warnings.simplefilter("ignore", PellucidWarning)  # they come back as data, for the page
            part = pellucid.compare(
                batches.module,
                inputs,
                methods,
                tuple(metrics) or None,
                target[rows] if isinstance(target, Tensor) else target,
                baselines=_removed(common["baseline"], baseline, rows),
                feature_mask=groups(common["kind"], inputs),
                seed=(common["seed"] or 0) + start,
                **others,
            )
        parts.append(part)
        start += len(inputs)
    with users_code("the methods"):
        return join(parts)


def _removed(given: Any, own: Tensor | None, rows: slice) -> Any:
    """What removed features become: the baseline that was typed, or else that of the text."""
    if given is None:
        return own
    return given.rows[rows] if isinstance(given, PerExample) else given


def groups(kind: Literal["image", "table", "text"], inputs: Tensor) -> Tensor | None:
    """Say which values are removed together: the channels of a pixel, the embedding of a token.

    Example:
        >>> groups("image", torch.zeros(1, 3, 2, 2)).tolist()
        [[[[0, 1], [2, 3]]]]
    """
    if kind == "image" and inputs.ndim == 4 and inputs.shape[1] > 1:
        height, width = inputs.shape[2:]
        return torch.arange(height * width).reshape(1, 1, height, width)
    if kind == "text" and inputs.ndim == 3:
        return torch.arange(inputs.shape[1]).reshape(1, -1, 1)
    return None
