"""What other values of the inputs become at a layer: many of them in each pass, checked as all expanded passes are.

The values at the layer are evaluated as the explained values of a function of their own, so that a model which mixes
its rows before the layer gets passes over the batch as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from pellucid._core.batching import RowLimit
from pellucid._core.expansion import NotExpandableError
from pellucid._core.forward import ForwardEvaluator, Given
from pellucid._core.layer_site import LayerSite
from pellucid._core.layout import Caught
from pellucid._core.output import Target, output_tensor
from pellucid._core.progress import Silent
from pellucid._core.site import InputSite, Question
from pellucid._core.taps import tapped


class Carrier:
    """Carries values of the inputs to a layer; lives as long as one call."""

    def __init__(self, site: LayerSite, cap: int | None = None, outputs: bool = False) -> None:
        """Prepare; nothing is evaluated yet.

        Args:
            site: the layer.
            cap: rows per pass at most, chosen by the library if ``None``.
            outputs: whether the model's outputs are wanted too, as the last of the values.
        """
        self._site = site
        self._cap = cap
        self._wants_outputs = outputs
        self._known = (*site.values, site.output) if outputs else site.values
        self._factors = [_factor(value) if len(self._known) > 1 else 1.0 for value in self._known]
        self._evaluator: ForwardEvaluator | None = None

    def __call__(self, values: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Carry some values.

        Args:
            values: for each input, shape (samples, N, ...).

        Returns:
            Values at the layer and, if wanted, outputs, each of shape (samples, ...) with what follows shaped as at
            the inputs.
        """
        if self._evaluator is None:
            self._evaluator = self._begin(tuple(v[0] for v in values))
        found = self._evaluator.evaluate(Given(values)).reshape(len(values[0]), *self._flat(self._known).shape)
        widths = [each.shape[-1] for each in self._parts(self._known)]
        return tuple(
            (part / factor).reshape(-1, *known.shape).to(known.device, known.dtype)
            for part, known, factor in zip(torch.split(found, widths, -1), self._known, self._factors, strict=True)
        )

    def _begin(self, others: tuple[Tensor, ...]) -> ForwardEvaluator:
        inside = self._site.inside
        question = Question(InputSite(self._run, inside.values, inside.arguments, inside.template), (Target(),))
        evaluator = ForwardEvaluator(question, None, others, Silent(), self._flat(self._known))
        if self._cap is not None:
            evaluator.limit = RowLimit.of(inside.values, self._cap)
        evaluator.limit.whole = not self._expandable()
        return evaluator

    def _expandable(self) -> bool:
        """Tell whether all values have a row for each example, and can be compared at one precision."""
        rows = self._site.inside.examples
        return (
            self._site.divisible
            and len({v.dtype for v in self._known}) == 1
            and all(v.dim() and len(v) == rows for v in self._known)
        )

    def _run(self, *args: Any) -> Tensor:
        """Run the model and give back what flows at the layer, one row of numbers per row of the pass."""
        site, rows = self._site, len(args[0])
        caught = Caught(site.wanted.place, lambda tensor: tensor.detach().clone())
        with tapped(site.wanted.place, lambda layer, value: _unchanged(caught.catch(layer, value))):
            output = site.inside.forward(*args)
        calls, natural = caught.collected()
        if rows == site.inside.examples:
            site.require_course(calls, natural)
        elif calls != site.calls or not all(map(self._grown(rows), natural, site.natural)):
            raise NotExpandableError("other tensors flow at the layer in a larger batch")
        return self._flat((*natural, output_tensor(output).detach()) if self._wants_outputs else natural, rows)

    def _grown(self, rows: int) -> Callable[[Tensor, Tensor], bool]:
        """Tell whether a tensor is one of the layer's with other rows."""
        examples = self._site.inside.examples
        return lambda t, known: t.shape[1:] == known.shape[1:] and len(t) * examples == len(known) * rows

    def _parts(self, values: Sequence[Tensor], rows: int | None = None) -> list[Tensor]:
        """Flatten values to rows, as many as there are examples, or to one where they do not belong to examples."""
        count = self._site.inside.examples if rows is None else rows
        return [v.reshape(count if self._expandable() else 1, -1) for v in values]

    def _flat(self, values: Sequence[Tensor], rows: int | None = None) -> Tensor:
        """Put values side by side, each scaled by a power of two to a like size, so that none escapes a comparison."""
        parts = self._parts(values, rows)
        return torch.cat([(p * f).to(parts[0].device) for p, f in zip(parts, self._factors, strict=True)], 1)


def _factor(values: Tensor) -> float:
    """Give the power of two that brings values to a size of about one; half precision is left as it is."""
    largest = float(values.detach().abs().amax()) if values.numel() else 0.0
    if values.dtype == torch.float16 or not 0 < largest < math.inf:
        return 1.0
    return 2.0 ** -max(-100, min(100, math.frexp(largest)[1]))


def _unchanged(_: object) -> None:
    return None
