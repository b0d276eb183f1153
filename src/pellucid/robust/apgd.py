"""Auto-PGD as an attack of its own."""

from __future__ import annotations

from typing import Any

import torch

from pellucid._core.checks import accept_choice
from pellucid._core.door import accept_count, accept_samples
from pellucid._core.random import draw_seeds
from pellucid.docstrings import documented
from pellucid.robust._ascent import searches
from pellucid.robust._asking import Bound, accept_size
from pellucid.robust._classifier import ClassifierAttack
from pellucid.robust._losses import UNTARGETED, dlr_to
from pellucid.robust._texts import CLASSES
from pellucid.typing import ForwardFunction, TargetLike, Tensors

TARGETED = "targeted_dlr"


class APGD(ClassifierAttack):
    """Projected gradient ascent that chooses its steps itself.

    ``z = project(x_k + s d(dL/dx))``, ``x_(k+1) = project(x_k + 0.75 (z - x_k) + 0.25 (x_k - x_(k-1)))``, where s
    starts at twice the radius and is halved, going back to the best point, when fewer than 3 of 4 steps raised L or
    nothing improved at an unchanged s. For L1 the steps are signs of the largest gradients only, their number follows
    the sparsity of the best point, and the search begins in balls of 3 and 2 times the radius; its projection is the
    exact one onto ball and bounds together.

    Losses of scores z and label y: cross_entropy, ``log sum exp(z_i) over i != y, - z_y`` (an increasing function of
    cross-entropy that does not flatten out); dlr, ``max(z_i, i != y) - z_y`` over the largest minus the third
    largest score; targeted_dlr, ``z_t - z_y`` over the largest minus the mean of third and fourth, for the most
    likely classes t one after the other; margin, ``max(z_i, i != y) - z_y``, which also stands in for dlr with fewer
    than 3 classes, as ``z_t - z_y`` does for targeted_dlr with fewer than 4. Law: the result lies in ball and bounds.

    Example:
        >>> import torch
        >>> from pellucid.robust import APGD
        >>> logits = lambda x: torch.stack([x.sum(1), -x.sum(1)], 1)
        >>> x = torch.tensor([[1.0, 2.0]])  # 3 / 2 from the boundary in the largest entry
        >>> [logits(APGD(logits).perturb(x, r, target=0, seed=0)).argmax(1).item() for r in (1.49, 1.51)]
        [0, 1]

    References:
        Croce and Hein (2020), Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse
        Parameter-Free Attacks, arXiv:2003.01690; for L1: Croce and Hein (2021), Mind the Box, arXiv:2103.01208.
    """

    @documented(loss="cross_entropy, dlr, targeted_dlr or margin.")
    def __init__(
        self,
        forward_func: ForwardFunction,
        loss: str = "cross_entropy",
        lower_bound: Bound = float("-inf"),
        upper_bound: Bound = float("inf"),
    ) -> None:
        """Attack a classifier with one of four losses.

        {arguments}
        """
        ClassifierAttack.__init__(self, forward_func, lower_bound, upper_bound)
        self.loss = accept_choice("loss", loss, (*UNTARGETED, TARGETED), "there is no such loss")

    @documented(target=CLASSES, n_restarts="Number of searches, each from another random point.")
    def perturb(
        self,
        inputs: Tensors,
        radius: float,
        target: TargetLike,
        additional_forward_args: Any = None,
        norm: str = "Linf",
        mask: Tensors | None = None,
        *,
        n_iter: int = 100,
        n_restarts: int = 1,
        n_classes: int = 9,
        generator: torch.Generator | None = None,
        seed: int | None = None,
    ) -> Tensors:
        """Search the balls around the inputs for points with another prediction.

        {arguments}

        Returns:
            Perturbed inputs, in the structure of the inputs: where the model was fooled a point that does so, else the
            point with the highest loss.

        Raises:
            InvalidTypeError: for arguments of a wrong type.
            InvalidValueError: for arguments that do not fit together, or a model that mixes examples.
        """
        reach = accept_size("radius", radius)
        steps, starts = accept_count("n_iter", n_iter), accept_samples("n_restarts", n_restarts)
        aims = accept_count("n_classes", n_classes)
        seeds = draw_seeds(starts, generator, seed)
        with self._posing(inputs, target, additional_forward_args, norm, mask) as problem:
            if self.loss == TARGETED:
                losses = [problem.towards(dlr_to, wanted) for wanted in problem.runners_up(aims).unbind(1)]
            else:
                losses = [problem.against(UNTARGETED[self.loss])]
            tries = [(loss, seed) for loss in losses for seed in seeds]
            *_, best = searches(problem, problem.all, tries, reach, steps)
            return problem.answer(problem.settle(best.points, problem.all, reach))
