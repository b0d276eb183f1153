"""The Square attack: random local changes, without gradients."""

from __future__ import annotations

from typing import Any

import torch

from pellucid._core.door import accept_count
from pellucid._core.random import draw_seeds, generator_of
from pellucid.docstrings import documented
from pellucid.robust._asking import accept_size
from pellucid.robust._classifier import ClassifierAttack
from pellucid.robust._random_search import random_search
from pellucid.robust._texts import CLASSES
from pellucid.typing import TargetLike, Tensors


class Square(ClassifierAttack):
    """Random search with local changes; it asks for scores only, so it sees through masked gradients.

    A change is kept if it raises ``max(z_i, i != y) - z_y``. For Linf it sets one window of the displacement to plus
    or minus the radius, one sign per channel; for L2 and L1 it moves the displacement's norm from two windows, and
    whatever the ball has left, into one of them. Windows are squares in inputs of shape (N, C, H, W) and random
    subsets of values in others; their share of the values falls from 0.8 by halves. Law: the result lies in ball and
    bounds, and its margin is never below that of the first point.

    Example:
        >>> import torch
        >>> from pellucid.robust import Square
        >>> steps = lambda x: torch.stack([(x.sum(1) > 0).float(), (x.sum(1) <= 0).float()], 1)  # no gradient at all
        >>> x = torch.tensor([[0.5, 0.5]])
        >>> steps(Square(steps).perturb(x, 0.6, target=0, n_queries=20, seed=0)).argmax(1)
        tensor([1])

    References:
        Andriushchenko, Croce, Flammarion and Hein (2020), Square Attack: a Query-Efficient Black-Box Adversarial
        Attack via Random Search, arXiv:1912.00049; for L1: Croce and Hein (2021), Mind the Box, arXiv:2103.01208.
    """

    @documented(target=CLASSES, n_queries="Evaluations of each example.")
    def perturb(
        self,
        inputs: Tensors,
        radius: float,
        target: TargetLike,
        additional_forward_args: Any = None,
        norm: str = "Linf",
        mask: Tensors | None = None,
        *,
        n_queries: int = 5000,
        generator: torch.Generator | None = None,
        seed: int | None = None,
    ) -> Tensors:
        """Search the balls around the inputs for points with another prediction.

        {arguments}

        Returns:
            Perturbed inputs, in the structure of the inputs: where the model was fooled a point that does so, else the
            point where the label's score is nearest to another's.

        Raises:
            InvalidTypeError: for arguments of a wrong type.
            InvalidValueError: for arguments that do not fit together, or a model that mixes examples.
        """
        reach, queries = accept_size("radius", radius), accept_count("n_queries", n_queries)
        (start,) = draw_seeds(1, generator, seed)
        with self._posing(inputs, target, additional_forward_args, norm, mask) as problem:
            found = random_search(problem, problem.all, reach, queries, generator_of(start))
            return problem.answer(problem.settle(found.points, problem.all, reach))
