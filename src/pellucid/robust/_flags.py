"""Signs that a robust accuracy is too good to be true."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from pellucid.errors import InvalidValueError
from pellucid.robust._losses import log_odds
from pellucid.robust._problem import Problem
from pellucid.robust.result import AttackOutcome, RobustnessFlag

WORTH_SAYING = 0.01
"""Share of the right predictions from which on it is a sign that only the random search turned them."""
LATE = 0.05
"""Share of the right predictions from which on it is a sign that only a later random start turned them."""


@dataclass
class Signs:
    """What was seen while the attacks ran.

    Attributes:
        wavers: the output changed from one pass to the next.
        highest: largest loss that APGD-CE reached, by number of a standing example.
        rounds: how many predictions APGD-CE had turned after each random start.
        still: examples whose loss has a gradient of exactly zero at the input.
        saturated: examples at which cross-entropy is flat to the last bit.
        flat: examples whose loss APGD-CE could not raise, although it has a gradient.
    """

    wavers: bool
    highest: dict[int, float] = field(default_factory=dict)
    rounds: list[int] = field(default_factory=list)
    still: int = 0
    saturated: int = 0
    flat: int = 0

    def note_ascent(self, examples: Tensor, losses: Tensor, fooled: Tensor, rounds: list[int]) -> None:
        """Note what APGD-CE reached."""
        left = ~fooled.cpu()
        self.highest = dict(zip(examples[left].tolist(), losses.cpu()[left].tolist(), strict=True))
        self.rounds = rounds


def look_at_gradients(problem: Problem, standing: Tensor, radius: float, signs: Signs) -> None:
    """See whether the examples that still stand have a loss to climb at all."""
    examples = standing.nonzero()[:, 0]
    if not len(examples):
        return
    try:
        seen = problem.slopes(problem.inputs[examples], examples, problem.against(log_odds))
    except InvalidValueError:  # nothing differentiable connects outputs and inputs
        signs.still = len(examples)
        return
    x, box, gradient = problem.inputs[examples], problem.box.rows(examples), seen.gradients
    signs.still = int((~(gradient * (box.high > box.low)).any(1)).sum())
    upwards = torch.where(gradient > 0, x < box.high, x > box.low) & (gradient != 0)
    eps = torch.finfo(problem.rows.own).eps
    signs.saturated = int((torch.sigmoid(seen.losses.double()) < eps).sum())
    reached = torch.tensor([signs.highest.get(i, torch.inf) for i in examples.tolist()], dtype=torch.float64)
    signs.flat = int((upwards.any(1).cpu() & (reached <= seen.losses.double().cpu())).sum()) if radius > 0 else 0


def flags_of(
    signs: Signs, correct: Tensor, standing: Tensor, outcomes: list[AttackOutcome], black_box: str
) -> tuple[RobustnessFlag, ...]:
    """Turn signs into flags."""
    left = int(standing.sum())
    late = signs.rounds[-1] - signs.rounds[0] if signs.rounds else 0
    unseen = sum(o.broken for o in outcomes if o.name == black_box)
    others = [o for o in outcomes if o.name != black_box]
    raised = [
        (
            "random_output",
            signs.wavers,
            "the output for the same inputs changes from pass to pass, so attacks climb noise and predictions turn by"
            " chance; average the output over the randomness in forward_func, or fix it",
        ),
        (
            "zero_gradient",
            signs.still > 0,
            f"the loss has a gradient of exactly zero at {signs.still} of {left} standing examples (saturated"
            " probabilities, rounding, step functions), so attacks by gradients could not begin there; pass logits, or"
            " a smooth stand-in for the step that hides the gradient",
        ),
        (
            "saturated_loss",
            signs.saturated > 0,
            f"at {signs.saturated} of {left} standing examples the model is so confident that cross-entropy is flat to"
            " the last bit; the losses used here are not, but attacks that follow cross-entropy itself stand still",
        ),
        (
            "flat_loss",
            signs.flat > 0,
            f"APGD-CE could not raise the loss above its value at the input for {signs.flat} of {left} standing"
            " examples although it has a gradient there, which then misleads",
        ),
        (
            "restarts_matter",
            left > 0 and late > LATE * int(correct.sum()),
            f"{late} predictions were turned only from a later random start: more of n_restarts may turn more",
        ),
        (
            "black_box_wins",
            left > 0 and bool(others) and unseen > WORTH_SAYING * int(correct.sum()),
            f"{black_box}, which sees no gradients, turned {unseen} predictions that attacks by gradients could not:"
            " gradients are masked, or these attacks need more of n_iter and n_restarts",
        ),
    ]
    return tuple(RobustnessFlag(name, text) for name, seen, text in raised if seen)
