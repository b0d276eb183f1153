"""Outputs at inputs that any function has perturbed: tensors, tuples of tensors, or raw data before a preprocessing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from pellucid._core import report
from pellucid._core.arguments import Arguments
from pellucid._core.expansion import SHAPE_ERRORS, agree
from pellucid._core.model import borrowed
from pellucid._core.structure import tensors_in
from pellucid.errors import ExpansionWarning, PellucidError, invalid_type
from pellucid.robust._oracle import without_graph


class Trials:
    """Runs one model on several perturbed versions of the same batch, some of them in one pass."""

    def __init__(self, forward: Any, arguments: Any, together: int) -> None:
        """Prepare; nothing is evaluated yet.

        Args:
            forward: the model; a tuple of inputs is spread over its arguments.
            arguments: additional arguments; tensors with one row per example are repeated.
            together: versions per pass at most.
        """
        self.forward = forward
        self.given = arguments
        self.together = together
        self._compared = 0

    def outputs(self, versions: list[Any]) -> list[Any]:
        """The model's output for each version."""
        if self.together == 1 or len(versions) == 1:
            return [self._alone(v) for v in versions]
        return [out for start in range(0, len(versions), self.together) for out in self._joined(versions, start)]

    def _alone(self, version: Any) -> Any:
        inputs = version if isinstance(version, tuple) else (version,)
        rows = _rows(version)
        arguments = Arguments.accept(self.given, rows)
        return self._pass(inputs, arguments.whole(), rows)

    def _joined(self, versions: list[Any], start: int) -> Iterator[Any]:
        part = versions[start : start + self.together]
        counts = {_rows(v) for v in part}
        if len(part) == 1 or len(counts) > 1 or self.together == 1 or len({_form(v) for v in part}) > 1:
            return iter([self._alone(v) for v in part])
        rows = counts.pop()
        stacked = tuple(torch.cat(values) for values in zip(*(_tensors(v) for v in part), strict=True))
        arguments = Arguments.accept(self.given, rows).rows(torch.arange(rows), len(part))
        output = None
        try:
            output = self._pass(stacked, arguments, rows * len(part))
        except torch.OutOfMemoryError:
            self.together = max(1, len(part) // 2)
            return iter(self.outputs(part))
        except PellucidError:
            raise
        except SHAPE_ERRORS:  # what fails for another reason than the size fails again, alone
            pass
        if isinstance(output, Tensor) and output.dim() > 0 and len(output) == rows * len(part):
            split = list(torch.split(output, rows))
            ends = ((part[0], split[0]), (part[-1], split[-1]))  # the larger one may not notice the smaller
            if len(output) <= self._compared or all(self._agrees(*end) for end in ends):
                self._compared = max(self._compared, len(output))
                return iter(split)
        self.together = 1
        report.notify(
            ExpansionWarning,
            "Several perturbed batches in one pass do not give what each gives alone, so each takes a pass of its own.",
        )
        return iter([self._alone(v) for v in part])

    def _agrees(self, version: Any, found: Tensor) -> bool:
        expected = self._alone(version)
        return isinstance(expected, Tensor) and agree(found, expected)

    def _pass(self, inputs: tuple[Any, ...], arguments: tuple[Any, ...], rows: int) -> Any:
        report.count(rows)
        device = next((t.device for t in tensors_in(inputs)), torch.device("cpu"))
        with borrowed(self.forward, device):
            return without_graph(lambda: self.forward(*_lent(inputs), *arguments))


def _lent(inputs: tuple[Any, ...]) -> Iterator[Any]:
    """Copies of tensors: the model may write into them."""
    return (value.detach().clone() if isinstance(value, Tensor) else value for value in inputs)


def _rows(version: Any) -> int:
    return next((len(t) for t in tensors_in(version) if t.dim()), 1)


def _form(version: Any) -> Any:
    """What versions must have in common to be joined; one that cannot be joined has a form of its own."""
    values = version if isinstance(version, tuple) else (version,)
    if any(isinstance(v, Tensor) and (v.dim() == 0 or v.layout != torch.strided or v.is_meta) for v in values):
        return object()
    return tuple((v.shape[1:], v.dtype, v.device) for v in values if isinstance(v, Tensor))


def _tensors(version: Any) -> tuple[Tensor, ...]:
    values = version if isinstance(version, tuple) else (version,)
    for value in values:
        if not isinstance(value, Tensor):
            raise invalid_type(
                "perturbations_per_eval",
                f"more than 1 with inputs of type {type(value).__name__}",
                "only tensors can be joined into one batch",
                "1, or a preproc_fn that returns tensors",
            )
    return values
