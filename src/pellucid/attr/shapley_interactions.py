"""Shapley interactions: what two features do together beyond what each does alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pellucid._core import report
from pellucid._core.door import accept_question
from pellucid._core.interaction import interaction_matrix
from pellucid._core.paired import PairValues, check_size
from pellucid._core.pairs import default_budget
from pellucid._core.random import draw_seeds
from pellucid._core.regression import Estimate, shapley_regression
from pellucid.attr._games import accept_game
from pellucid.attr._pairwise import (
    TOLERANCE,
    accept_budget,
    accept_state,
    alone,
    per_feature,
    sample_pairs,
    warn_if_unsure,
)
from pellucid.attr.attribution import PerturbationAttribution
from pellucid.docstrings import documented
from pellucid.typing import BaselineLike, MaskLike, TargetLike, Tensors

EXACT = 12
"""Features up to which all coalitions are evaluated by default."""
PER_TERM = 8
"""Coalitions per pair of features that are evaluated by default beyond that."""


class ShapleyInteractions(PerturbationAttribution):
    """What pairs of features do together, and each feature alone, as a matrix whose rows sum to Shapley values.

    With ``v(S)`` the output when the features outside S have their baseline's values, the interaction of i and j is

    ``I_ij = sum over T without i, j of t! (n - t - 2)! / (n - 1)! (v(T+i+j) - v(T+i) - v(T+j) + v(T))``

    (the Shapley interaction index). The matrix holds ``I_ij / 2`` for i and j, and on its diagonal the Shapley value
    less half of the feature's interactions: the 2-SII, with each interaction shared by its two entries. Laws: it is
    symmetric, row i sums to the Shapley value of i, so the matrix sums to ``F(x) - F(x')``; without interactions of
    two features (an additive model) it is diagonal; a feature without influence has a row of zeros.

    Up to 12 features all coalitions are evaluated, and the result is exact. Beyond, pairs of coalitions are sampled
    as in ``KernelShap``, a quadratic model is fitted and corrected by what it leaves over; it is exact on models in
    which no more than two features interact. Standard errors are computed with every call (``pellucid.recording``).

    Example:
        >>> import torch
        >>> from pellucid.attr import ShapleyInteractions
        >>> model = lambda x: x[:, 0] * x[:, 1] + x[:, 2]
        >>> ShapleyInteractions(model).attribute(torch.tensor([[2.0, 3.0, 5.0]])).abs()  # all 6 are an interaction
        tensor([[[0., 3., 0.],
                 [3., 0., 0.],
                 [0., 0., 5.]]])

    References:
        Grabisch and Roubens (1999), An axiomatic approach to the concept of interaction among players in cooperative
        games, International Journal of Game Theory 28; Lundberg, Erion and Lee (2018), the matrix, arXiv:1802.03888;
        Bordt and von Luxburg (2023), From Shapley Values to Generalized Additive Models and back, arXiv:2209.04012.
    """

    @documented(
        n_samples="Coalitions to evaluate, in pairs: an odd last one is left out. None takes all of them up to 12"
        " features, and beyond 8 per pair of features.",
        tolerance=TOLERANCE,
    )
    def attribute(
        self,
        inputs: Tensors,
        baselines: BaselineLike = None,
        target: TargetLike = None,
        additional_forward_args: Any = None,
        feature_mask: MaskLike = None,
        n_samples: int | None = None,
        perturbations_per_eval: int | None = None,
        show_progress: bool = False,
        *,
        share_ids: bool = True,
        tolerance: float | None = None,
        max_evals: int | None = None,
        start_from: PairValues | None = None,
        generator: torch.Generator | None = None,
        seed: int | None = None,
    ) -> Tensor:
        """Compute or estimate the matrix of interactions.

        {arguments}

        Returns:
            Tensor of shape (N, features, features), or (N, C, features, features) where an example has several
            outputs and there is no target; features in the order of their ids.

        Raises:
            InvalidTypeError: for arguments of a wrong type.
            InvalidValueError: for arguments that do not fit together, or too many features.
        """
        question = accept_question(self.forward_func, inputs, target, additional_forward_args, any_values=True)
        setup = accept_game(question, baselines, feature_mask, share_ids, perturbations_per_eval)
        players = setup.features.count
        samples = _default(players) if n_samples is None else n_samples
        begin = accept_state(start_from, PairValues, (generator, seed))
        budget = accept_budget(players, samples, tolerance, max_evals, begin)
        if budget.first < 2**players:
            check_size(players * (players - 1) // 2, budget.first // 2)
        origin = begin or draw_seeds(1, generator, seed)[0]
        with setup.play(self.get_name(), show_progress, None if tolerance else budget.first - 1) as game:
            if players == 1:
                estimate = alone(game)
                estimate = Estimate(estimate.values[None], estimate.errors[None])
            else:
                found, estimate = sample_pairs(game, budget, _matrix, origin)
                report.check(samples=len(found), state=found)
                warn_if_unsure(self.get_name(), estimate, len(found))
            values, errors = (per_feature(game, per_feature(game, part)) for part in estimate)
            report.check(standard_error=(errors,))
        return values


def _default(players: int) -> int:
    if players <= EXACT:
        return 1 << players
    return max(default_budget(players), PER_TERM * (1 + players * (players - 1) // 2))


def _matrix(found: PairValues) -> Estimate:
    shapley = shapley_regression(found.pairs, found.odd, found.full - found.empty)
    return interaction_matrix(found.pairs, found.even, (found.full + found.empty) / 2, shapley)
