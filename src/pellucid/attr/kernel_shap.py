"""KernelSHAP: Shapley values as the solution of a regression on a sample of coalitions."""

from __future__ import annotations

from typing import Any

import torch

from pellucid._core import report
from pellucid._core.door import accept_question
from pellucid._core.game import Game
from pellucid._core.paired import PairValues
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


class KernelShap(PerturbationAttribution):
    """Shapley values by regression: the additive model of which features are there that is nearest to the output.

    With ``v(S)`` the output when the features outside S have their baseline's values, the Shapley values phi minimise

    ``sum over S of (n - 1) / (C(n, s) s (n - s)) (v(S) - v(none) - sum of phi_i over i in S)^2``

    among those that sum to ``v(all) - v(none)``. Coalitions are drawn in pairs of complements, size by size and none
    twice; interactions of three features serve as a control. Law: the attributions of an example sum to
    ``F(x) - F(x')`` always, are exact on a model that is additive in the features, and exact on any model where the
    number of coalitions covers all 2^n. The standard error is computed with every call (``pellucid.recording``,
    ``Explanation``).

    Example:
        >>> import torch
        >>> from pellucid.attr import KernelShap
        >>> model = lambda x: x[:, 0] * x[:, 1] + x[:, 2]
        >>> KernelShap(model).attribute(torch.tensor([[2.0, 3.0, 5.0]]))  # each factor gets half of 2 * 3
        tensor([[3., 3., 5.]])

    References:
        Lundberg and Lee (2017), A Unified Approach to Interpreting Model Predictions, arXiv:1705.07874; Covert and
        Lee (2021), pairs and standard errors, arXiv:2012.01536; Musco and Witter (2025), which sizes to draw,
        arXiv:2410.01917.
    """

    @documented(
        n_samples="Coalitions to evaluate, in pairs: an odd last one is left out. None takes 20 per feature, at least"
        " 256, and all of them if there are no more.",
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
        return_input_shape: bool = True,
        show_progress: bool = False,
        *,
        share_ids: bool = True,
        tolerance: float | None = None,
        max_evals: int | None = None,
        start_from: PairValues | None = None,
        generator: torch.Generator | None = None,
        seed: int | None = None,
    ) -> Tensors:
        """Estimate Shapley values from a sample of coalitions.

        {arguments}

        Returns:
            Attributions in the structure of the inputs, behind the outputs of an example where there are several
            and no target: (N, ...) or (N, C, ...). Without ``return_input_shape`` one value per feature instead:
            (N, features) or (N, C, features).

        Raises:
            InvalidTypeError: for arguments of a wrong type.
            InvalidValueError: for arguments that do not fit together, or too many features for a regression.
        """
        question = accept_question(self.forward_func, inputs, target, additional_forward_args, any_values=True)
        setup = accept_game(question, baselines, feature_mask, share_ids, perturbations_per_eval)
        players = setup.features.count
        samples = default_budget(players) if n_samples is None else n_samples
        begin = accept_state(start_from, PairValues, (generator, seed))
        budget = accept_budget(players, samples, tolerance, max_evals, begin)
        origin = begin or draw_seeds(1, generator, seed)[0]
        with setup.play(self.get_name(), show_progress, None if tolerance else budget.first - 1) as game:
            if players == 1:
                return _shaped(game, alone(game), return_input_shape)
            found, estimate = sample_pairs(game, budget, _shapley, origin)
            report.check(samples=len(found), state=found)
            warn_if_unsure(self.get_name(), estimate, len(found))
            return _shaped(game, estimate, return_input_shape)


def _shapley(found: PairValues) -> Estimate:
    return shapley_regression(found.pairs, found.odd, found.full - found.empty)


def _shaped(game: Game, estimate: Estimate, like_inputs: bool) -> Tensors:
    report.check(standard_error=game.spread(estimate.errors))
    return game.attributions(estimate.values) if like_inputs else per_feature(game, estimate.values)
