"""From a model's output to classes and probabilities."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from pellucid._core.checks import accept_dense
from pellucid._core.output import output_tensor
from pellucid.errors import invalid_type, invalid_value
from pellucid.report import value_text

SHOWN = 10
"""Classes whose probabilities are told, the likeliest first."""


@dataclass(frozen=True)
class Score:
    """A model's answer to one example.

    Attributes:
        shares: a score for each class, usually probabilities; ``None`` without classes.
        value: the output in words.
    """

    shares: Tensor | None
    value: str

    @property
    def predicted(self) -> int | None:
        """The class with the highest score."""
        return None if self.shares is None else int(self.shares.argmax())

    @property
    def confidence(self) -> float | None:
        """The score of the predicted class."""
        return None if self.shares is None else float(self.shares.max())


class Scorer:
    """Turns the outputs of one model into scores, all in the same way.

    Args:
        score_func: from the model's output to scores (N, C). Without it, outputs (N, C) with C > 1 go through a
            softmax, unless all of the first that are seen lie between 0 and 1, as probabilities do.
    """

    def __init__(self, score_func: Callable[[Any], Tensor] | None) -> None:
        self._score_func = score_func
        self._lock = threading.Lock()
        self._are_probabilities: bool | None = None

    def __call__(self, output: Any) -> list[Score]:
        """Score each example of a batch."""
        found = output_tensor(output).detach().cpu().double()
        if self._score_func is not None:
            given = self._score_func(output)
            if isinstance(given, Tensor) and accept_dense("the result of score_func", given).is_complex():
                raise invalid_type(
                    "score_func", f"returning {given.dtype}", "scores are compared", "real scores (N, C)"
                )
            if not isinstance(given, Tensor) or given.dim() == 0 or len(given) != len(found):
                shape = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
                raise invalid_value(
                    "score_func", f"returning {shape}", f"there are {len(found)} examples", "scores (N, C)"
                )
            scores = given.detach().cpu().double()
        else:
            scores = self._probabilities(found)
        classes = scores.dim() == 2 and scores.shape[1] > 1
        return [Score(scores[i] if classes else None, value_text(found[i])) for i in range(len(found))]

    def _probabilities(self, outputs: Tensor) -> Tensor:
        if outputs.dim() != 2 or outputs.shape[1] < 2:
            return outputs
        with self._lock:
            if self._are_probabilities is None:
                self._are_probabilities = bool(((outputs >= 0) & (outputs <= 1 + 1e-6)).all())
        return outputs if self._are_probabilities else outputs.softmax(1)


def likeliest(shares: Tensor, label: int | None) -> list[int]:
    """Return the classes that are shown: the likeliest, and the true one.

    Example:
        >>> import torch
        >>> likeliest(torch.tensor([0.1, 0.7, 0.2]), None)
        [1, 2, 0]
    """
    order: list[int] = shares.argsort(descending=True, stable=True)[:SHOWN].tolist()
    if label is not None and 0 <= label < len(shares) and label not in order:
        order[-1] = label
    return order
