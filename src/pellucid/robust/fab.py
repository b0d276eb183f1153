"""The fast adaptive boundary attack: the smallest change that turns a prediction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pellucid._core import report
from pellucid._core.door import accept_count, accept_samples
from pellucid._core.random import draw_seeds
from pellucid.docstrings import documented
from pellucid.errors import AttackWarning
from pellucid.robust._boundary import Nearest, nearest_points
from pellucid.robust._classifier import ClassifierAttack
from pellucid.robust._problem import Problem
from pellucid.robust._texts import CLASSES
from pellucid.typing import TargetLike, Tensors


@dataclass(frozen=True)
class MinimalPerturbation:
    """The nearest points found that turn the predictions of a batch.

    Attributes:
        perturbed: the points, in the structure of the inputs; the input itself where none was found or its
            prediction is wrong already.
        distances: norms of the changes, shape (N,), float64; 0 for inputs that are wrong already, infinite where no
            point was found.
        norm: Linf, L2 or L1.
    """

    perturbed: Tensors = field(repr=False)
    distances: Tensor
    norm: str


class FAB(ClassifierAttack):
    """The smallest perturbation that turns a prediction, in the sense of a norm.

    The boundary between the label y and another class t is linearised at the current point, with w the gradient of
    ``z_t - z_y``; with P(v) the point of the linearised boundary within the bounds that is nearest to v:

    ``x_(k+1) = (1 - a) (x_k + 1.05 (P(x_k) - x_k)) + a (x + 1.05 (P(x) - x))``

    where a, at most 0.1, is the share of ``|P(x_k) - x_k|`` in both distances. From a point that fools the model the
    walk goes on at 0.9 of its displacement. At the end the segment to the input is halved until the boundary is met,
    and x is projected onto the boundary's tangent there. Each of the most likely other classes is aimed at. Law: for a
    linear model the distance is the exact one, within the bounds too.

    Example:
        >>> import torch
        >>> from pellucid.robust import FAB
        >>> logits = lambda x: torch.stack([3 * x[:, 0] + 4 * x[:, 1], 0 * x[:, 0]], 1)
        >>> x = torch.tensor([[1.0, 1.0]], dtype=torch.float64)
        >>> [round(FAB(logits).search(x, 0, norm=n).distances.item(), 4) for n in ("Linf", "L2", "L1")]  # 7 / |w|
        [1.0, 1.4, 1.75]

    References:
        Croce and Hein (2020), Minimally Distorted Adversarial Examples with a Fast Adaptive Boundary Attack,
        arXiv:1907.02044.
    """

    @documented(target=CLASSES, n_restarts="Number of walks to each class, all but the first from random points.")
    def perturb(
        self,
        inputs: Tensors,
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
        """Give the nearest points that turn the predictions; a warning counts examples for which none was found.

        {arguments}

        Returns:
            Perturbed inputs, in the structure of the inputs.

        Raises:
            InvalidTypeError: for arguments of a wrong type.
            InvalidValueError: for arguments that do not fit together, or a model that mixes examples.
        """
        settings = {"n_iter": n_iter, "n_restarts": n_restarts, "n_classes": n_classes}
        found = self.search(
            inputs, target, additional_forward_args, norm, mask, **settings, generator=generator, seed=seed
        )
        missed = int(torch.isinf(found.distances).sum())
        if missed:
            report.notify(
                AttackWarning,
                f"FAB found no point with another prediction for {missed} of {len(found.distances)} examples; they come"
                " back unchanged, which does not mean that there is none.",
            )
        return found.perturbed

    @documented(target=CLASSES, n_restarts="Number of walks to each class, all but the first from random points.")
    def search(
        self,
        inputs: Tensors,
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
    ) -> MinimalPerturbation:
        """Find the nearest points that turn the predictions, with their distances.

        {arguments}

        Returns:
            Points and distances.

        Raises:
            InvalidTypeError: for arguments of a wrong type.
            InvalidValueError: for arguments that do not fit together, or a model that mixes examples.
        """
        steps, runs = accept_count("n_iter", n_iter), accept_samples("n_restarts", n_restarts)
        aims = accept_count("n_classes", n_classes)
        seeds = draw_seeds(runs - 1, generator, seed) if runs > 1 else []
        with self._posing(inputs, target, additional_forward_args, norm, mask) as problem:
            right = ~problem.fooled(problem.scores(problem.inputs, problem.all), problem.all)
            standing = right.nonzero()[:, 0].cpu()
            found = nearest_points(problem, standing, aims, steps, seeds)
            points, distances = problem.inputs.clone(), torch.zeros(len(right), dtype=torch.float64)
            points[standing] = found.points
            distances[standing] = _as_returned(problem, standing, found).cpu()
            return MinimalPerturbation(problem.answer(points), distances, norm)


def _as_returned(problem: Problem, standing: Tensor, found: Nearest) -> Tensor:
    """Distances of the points in the dtype in which they are returned."""
    if problem.rows.own == problem.rows.wide:
        return found.distances
    rounded = found.points.to(problem.rows.own).to(problem.rows.wide)
    return torch.where(torch.isinf(found.distances), torch.inf, problem.distances(rounded, standing))
