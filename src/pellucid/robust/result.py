"""What an evaluation of robustness found, as data and as text."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np
from torch import Tensor

from pellucid._core.checks import accept_number
from pellucid._core.door import accept_count
from pellucid.errors import invalid_value
from pellucid.typing import Tensors


@dataclass(frozen=True)
class AttackOutcome:
    """What one attack of a sequence did.

    Attributes:
        name: of the attack.
        tried: examples that were still standing before it.
        broken: examples whose prediction it turned, each verified on the returned point.
        rows: examples that went through the model for it, counted once per pass.
    """

    name: str
    tried: int
    broken: int
    rows: int


@dataclass(frozen=True)
class RobustnessFlag:
    """A reason to distrust a robust accuracy.

    Attributes:
        name: random_output, zero_gradient, saturated_loss, flat_loss, restarts_matter or black_box_wins.
        message: what was seen, and what it means.
    """

    name: str
    message: str


@dataclass(frozen=True)
class RobustnessResult:
    """Robust accuracy: the share of examples whose prediction is right and that no attack could turn.

    It is an upper bound of the true one: a stronger attack can only lower it.

    Attributes:
        norm: of the balls.
        radius: of the balls.
        correct: which predictions are right without an attack, shape (N,).
        standing: which of them no attack turned, shape (N,).
        broken_by: of each example the attack that turned it; None where none did or the prediction was wrong already.
        perturbed: in the structure of the inputs, points that turn the predictions; the inputs themselves where
            nothing was turned.
        distances: norms of the changes, shape (N,), float64; 0 where nothing was turned.
        attacks: what each attack did, in their order.
        flags: reasons to distrust the figure.
        confidence: of the interval.
    """

    norm: str
    radius: float
    correct: Tensor = field(repr=False)
    standing: Tensor = field(repr=False)
    broken_by: tuple[str | None, ...] = field(repr=False)
    perturbed: Tensors = field(repr=False)
    distances: Tensor = field(repr=False)
    attacks: tuple[AttackOutcome, ...]
    flags: tuple[RobustnessFlag, ...]
    confidence: float = 0.95

    @property
    def examples(self) -> int:
        """Number of examples N."""
        return len(self.correct)

    @property
    def accuracy(self) -> float:
        """Share of right predictions without an attack."""
        return float(self.correct.double().mean())

    @property
    def robust_accuracy(self) -> float:
        """Share of right predictions that no attack turned."""
        return float(self.standing.double().mean())

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's score interval of the robust accuracy, the examples taken as a random sample."""
        return wilson_interval(int(self.standing.sum()), self.examples, self.confidence)

    def __str__(self) -> str:
        """Give the figures, attack by attack, and the flags."""
        low, high = self.interval
        lines = [
            f"Robust accuracy {self.robust_accuracy:.1%} ({self.confidence:.0%} interval {low:.1%} to {high:.1%})"
            f" within {self.norm} {self.radius:g}; accuracy without an attack {self.accuracy:.1%};"
            f" {self.examples} examples.",
            *(f"  {a.name}: turned {a.broken} of {a.tried}" for a in self.attacks),
            *(f"  ! {f.name}: {f.message}" for f in self.flags),
        ]
        if not self.flags:
            lines.append("  no flags")
        return "\n".join(lines)


def _count(name: str, value: Any, least: int) -> int:
    """Check a count, which may be one of NumPy's."""
    return accept_count(name, int(value) if isinstance(value, np.integer) else value, least)


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share.

    The p with ``|p^ - p| <= z sqrt(p (1 - p) / n)``, z the normal quantile of the confidence.

    Example:
        >>> from pellucid.robust import wilson_interval
        >>> [round(v, 4) for v in wilson_interval(8, 10)]
        [0.4902, 0.9433]

    Args:
        successes: number of successes.
        trials: number of trials, at least 1.
        confidence: probability that such intervals hold the true share.

    Returns:
        Lower and upper end.

    Raises:
        InvalidTypeError: for what are no counts and no number.
        InvalidValueError: for more successes than trials, or a confidence that is not between 0 and 1.
    """
    successes, trials = _count("successes", successes, 0), _count("trials", trials, 1)
    if successes > trials:
        raise invalid_value("successes", str(successes), f"there are {trials} trials", "at most as many")
    if not 0 < accept_number("confidence", confidence, "a number between 0 and 1", 0, 1) < 1:
        raise invalid_value("confidence", str(confidence), "it is a probability", "a number between 0 and 1")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, spread = successes / trials, z * z / trials
    middle = (share + spread / 2) / (1 + spread)
    half = math.sqrt(spread * (share * (1 - share) + spread / 4)) / (1 + spread)
    return (0.0 if successes == 0 else middle - half), (1.0 if successes == trials else middle + half)
