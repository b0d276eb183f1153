"""Robust accuracy by an ensemble of attacks without parameters, run in sequence on the examples still standing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pellucid._core import report
from pellucid._core.door import accept_count, accept_forward, accept_samples
from pellucid._core.progress import progress
from pellucid._core.random import draw_seeds, generator_of
from pellucid.docstrings import documented
from pellucid.errors import AttackWarning, invalid_type, invalid_value
from pellucid.robust._ascent import searches
from pellucid.robust._asking import Asked, Bound, accept_bound, accept_norm, accept_size
from pellucid.robust._boundary import nearest_points
from pellucid.robust._flags import Signs, flags_of, look_at_gradients
from pellucid.robust._losses import dlr_to, log_odds
from pellucid.robust._problem import Problem, posing
from pellucid.robust._random_search import random_search
from pellucid.robust._texts import CLASSES
from pellucid.robust.result import AttackOutcome, RobustnessResult
from pellucid.typing import ForwardFunction, TargetLike, Tensors


@dataclass(frozen=True)
class _Settings:
    """How hard the attacks try."""

    radius: float
    n_iter: int
    n_restarts: int
    n_queries: int
    n_classes: int


Attack = Callable[[Problem, Tensor, _Settings, int, Signs], tuple[Tensor, Tensor]]
"""From examples to rows that may fool the model, and which of them seem to."""


def _ascent(problem: Problem, examples: Tensor, settings: _Settings, seed: int, signs: Signs) -> tuple[Tensor, Tensor]:
    seeds = draw_seeds(settings.n_restarts, None, seed)
    runs = [(problem.against(log_odds), s) for s in seeds]
    fooled = []
    for found in searches(problem, examples, runs, settings.radius, settings.n_iter):
        fooled.append(int(found.fooled.sum()))
    signs.note_ascent(examples, found.losses, found.fooled, fooled)
    return found.points, found.fooled


def _aimed_ascent(
    problem: Problem, examples: Tensor, settings: _Settings, seed: int, signs: Signs
) -> tuple[Tensor, Tensor]:
    del signs
    aims = problem.runners_up(settings.n_classes).unbind(1)
    seeds = draw_seeds(len(aims), None, seed)
    runs = [(problem.towards(dlr_to, wanted), s) for wanted, s in zip(aims, seeds, strict=True)]
    *_, found = searches(problem, examples, runs, settings.radius, settings.n_iter)
    return found.points, found.fooled


def _boundary(
    problem: Problem, examples: Tensor, settings: _Settings, seed: int, signs: Signs
) -> tuple[Tensor, Tensor]:
    del signs
    seeds = draw_seeds(settings.n_restarts - 1, None, seed) if settings.n_restarts > 1 else []
    found = nearest_points(problem, examples, settings.n_classes, settings.n_iter, seeds, settings.radius)
    return found.points, found.distances <= settings.radius


def _square(problem: Problem, examples: Tensor, settings: _Settings, seed: int, signs: Signs) -> tuple[Tensor, Tensor]:
    del signs
    found = random_search(problem, examples, settings.radius, settings.n_queries, generator_of(seed))
    return found.points, found.fooled


ATTACKS: dict[str, Attack] = {
    "APGD-CE": _ascent,
    "APGD-DLR targeted": _aimed_ascent,
    "FAB targeted": _boundary,
    "Square": _square,
}
"""The attacks by their names, in the order in which they run."""
BLACK_BOX = "Square"


@dataclass
class _State:
    """Who stands and who fell how, while the attacks run."""

    points: Tensor
    standing: Tensor
    broken_by: list[str | None]
    outcomes: list[AttackOutcome] = field(default_factory=list)


class RobustnessEvaluator:
    """Robust accuracy: the share of examples whose right prediction no attack in a ball can turn.

    Four attacks run one after the other, each on the examples that still stand, none with a step size to choose:
    APGD on cross-entropy, APGD on the targeted difference of logits ratio, FAB towards each of the most likely other
    classes, and Square, which needs no gradients. This is the ensemble known as AutoAttack, in its standard order,
    here for Linf, L2 and L1, with two random starts of the first. Every turned prediction is verified on the very
    point that is returned, in the inputs' dtype. Law: robust accuracy is at most accuracy, does not grow with the
    radius except by the attacks' weakness, and is an upper bound of the true one.

    The result carries Wilson's interval, which takes the examples as a random sample, and flags where the figure may
    be too good: gradients that vanish, losses that do not rise, outputs that change by themselves, restarts that
    matter, a random search that beats gradients.

    Example:
        >>> import torch
        >>> from pellucid.robust import RobustnessEvaluator
        >>> logits = lambda x: torch.stack([x.sum(1), -x.sum(1)], 1)
        >>> x = torch.tensor([[0.5, 0.5], [2.0, 1.0], [4.0, -3.0]], dtype=torch.float64)  # 1/2, 3/2 and 1/2 away
        >>> result = RobustnessEvaluator(logits).evaluate(x, 0, radius=1.0, seed=0, n_queries=200)
        >>> result.standing
        tensor([False,  True, False])
        >>> result.flags
        ()

    References:
        Croce and Hein (2020), Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse
        Parameter-Free Attacks, arXiv:2003.01690; Wilson (1927), Probable Inference, the Law of Succession, and
        Statistical Inference, Journal of the American Statistical Association 22.
    """

    @documented(attacks="Which attacks run: any of APGD-CE, APGD-DLR targeted, FAB targeted and Square; None for all.")
    def __init__(
        self,
        forward_func: ForwardFunction,
        lower_bound: Bound = float("-inf"),
        upper_bound: Bound = float("inf"),
        *,
        attacks: tuple[str, ...] | None = None,
    ) -> None:
        """Evaluate a classifier.

        {arguments}
        """
        self.forward_func = accept_forward(forward_func)
        self.lower_bound = accept_bound("lower_bound", lower_bound)
        self.upper_bound = accept_bound("upper_bound", upper_bound)
        self.attacks = _accept_attacks(attacks)

    @documented(
        target=CLASSES,
        n_restarts="Random starts of APGD-CE, and walks to each class of FAB.",
        n_queries="Evaluations of each example by Square.",
        confidence="Probability that such intervals hold the true robust accuracy.",
    )
    def evaluate(
        self,
        inputs: Tensors,
        target: TargetLike,
        radius: float,
        additional_forward_args: Any = None,
        norm: str = "Linf",
        mask: Tensors | None = None,
        *,
        n_iter: int = 100,
        n_restarts: int = 2,
        n_queries: int = 5000,
        n_classes: int = 9,
        confidence: float = 0.95,
        generator: torch.Generator | None = None,
        seed: int | None = None,
        show_progress: bool = False,
    ) -> RobustnessResult:
        """Attack all examples.

        {arguments}

        Returns:
            Robust accuracy with its interval, what each attack did, the perturbed inputs and the flags.

        Raises:
            InvalidTypeError: for arguments of a wrong type.
            InvalidValueError: for arguments that do not fit together, inputs outside the bounds, or a model that mixes
                the examples of a batch.
        """
        bounds = self.lower_bound, self.upper_bound
        asked = Asked.accept(self.forward_func, inputs, additional_forward_args, bounds, mask)
        settings = _Settings(
            accept_size("radius", radius),
            accept_count("n_iter", n_iter),
            accept_samples("n_restarts", n_restarts),
            accept_count("n_queries", n_queries),
            accept_count("n_classes", n_classes),
        )
        ball = accept_norm(norm)
        if not isinstance(confidence, float) or not 0 < confidence < 1:
            raise invalid_value("confidence", repr(confidence), "it is a probability", "a number such as 0.95")
        seeds = dict(zip(ATTACKS, draw_seeds(len(ATTACKS), generator, seed), strict=True))
        with (
            posing(asked, ball, target) as problem,
            progress(show_progress, "Attacks", len(self.attacks), "attack") as bar,
        ):
            correct = ~problem.fooled(problem.scores(problem.inputs, problem.all), problem.all).cpu()
            state = _State(problem.inputs.clone(), correct.clone(), [None] * len(correct))
            signs = Signs(problem.wavers)
            for name in self.attacks:
                _attack(name, problem, settings, seeds[name], signs, state)
                bar.update(1)
            look_at_gradients(problem, state.standing, settings.radius, signs)
            perturbed, distances = problem.answer(state.points), problem.distances(state.points, problem.all)
        flags = flags_of(signs, correct, state.standing, state.outcomes, BLACK_BOX)
        result = RobustnessResult(
            norm, settings.radius, correct, state.standing, tuple(state.broken_by), perturbed, distances.cpu(),
            tuple(state.outcomes), flags, confidence,
        )  # fmt: skip
        if flags:
            names = ", ".join(f.name for f in flags)
            report.notify(
                AttackWarning,
                f"Robust accuracy {result.robust_accuracy:.1%} may be too high ({names}); see the flags of the result.",
            )
        return result


def _attack(name: str, problem: Problem, settings: _Settings, seed: int, signs: Signs, state: _State) -> None:
    """Run one attack on who stands, and verify what it found on the points as they are returned."""
    examples = state.standing.nonzero()[:, 0]
    with report.recording() as cost:
        broken = examples[:0]
        if len(examples):
            points, fooled = ATTACKS[name](problem, examples, settings, seed, signs)
            broken, points = examples[fooled.cpu()], points[fooled]
        if len(broken):
            points = problem.settle(points, broken, settings.radius)
            verified = problem.fooled(problem.scores(points, broken), broken)
            broken, points = broken[verified.cpu()], points[verified]
            state.points[broken], state.standing[broken] = points, False
    for i in broken.tolist():
        state.broken_by[i] = name
    state.outcomes.append(AttackOutcome(name, len(examples), len(broken), cost.rows))


def _accept_attacks(attacks: Any) -> tuple[str, ...]:
    if attacks is None:
        return tuple(ATTACKS)
    if not isinstance(attacks, tuple | list):
        raise invalid_type("attacks", f"a {type(attacks).__name__}", "it lists attacks", "a tuple of names")
    unknown = [a for a in attacks if not isinstance(a, str) or a not in ATTACKS]
    if unknown or not attacks:
        raise invalid_value("attacks", repr(attacks), "not all are known", f"some of {', '.join(ATTACKS)}")
    return tuple(attacks)
