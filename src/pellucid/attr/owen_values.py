"""Owen values: Shapley values that respect a hierarchy of features."""

from __future__ import annotations

from typing import Any

import torch

from pellucid._core import report
from pellucid._core.anytime import accept_effort, check_same_game, cost_of_pair, sample_orders
from pellucid._core.door import accept_count, accept_optional_count, accept_question
from pellucid._core.estimators import OrderMoments
from pellucid._core.game import Game
from pellucid._core.owen import (
    Hierarchy,
    accept_hierarchy,
    admissible_order,
    exact_owen_values,
    owen_cost,
    quad_tree,
)
from pellucid._core.random import draw_seeds, generator_of
from pellucid._core.sampling import warn_if_noisy
from pellucid._core.site import Question
from pellucid._core.structure import like
from pellucid.attr._games import accept_game
from pellucid.attr._pairwise import accept_state, per_feature
from pellucid.attr.attribution import PerturbationAttribution
from pellucid.docstrings import documented
from pellucid.errors import invalid_value
from pellucid.typing import BaselineLike, MaskLike, TargetLike, Tensors

EXACT = 4096
"""Coalitions up to which the exact values are computed by default."""
ORDERS = 25
"""Orders that are drawn by default beyond that."""


class OwenValues(PerturbationAttribution):
    """How the change from the baselines to the input splits into features that join group by group.

    Features form groups, groups form larger ones, and so on: a hierarchy. The Owen value of a feature is its mean
    contribution ``F(those before i, and i) - F(those before i)`` over all orders in which each group joins without
    any feature of another one in between (for hierarchies of more than one level also called Winter value). Laws:
    the values sum to ``F(x) - F(x')``; the values of a group sum to its Owen value as a single feature; features that
    are alike within a group get the same; a hierarchy of one level, or one in which each group has one member, gives
    Shapley values.

    Contexts of a feature are few where groups are: 16 features in a tree with four branches take 466 coalitions
    instead of 65,536. The exact values are computed where they take no more than 4096; else random orders are drawn,
    each with its reverse, and the standard error is computed (``pellucid.recording``, ``Explanation``). For images
    of shape (N, C, H, W) the default hierarchy is a quad-tree of 8 x 8 regions.

    Example:
        >>> import torch
        >>> from pellucid.attr import OwenValues
        >>> model = lambda x: x[:, 0] * x[:, 1] * x[:, 2]
        >>> OwenValues(model).attribute(torch.tensor([[1.0, 2.0, 6.0]]), hierarchy=(0, (1, 2)))  # half for each group
        tensor([[6., 3., 3.]])

    References:
        Owen (1977), Values of Games with a Priori Unions; Winter (1989), A Value for Cooperative Games with Levels
        Structure of Cooperation, International Journal of Game Theory 18.
    """

    @documented(
        hierarchy="Nested tuples of feature numbers, for example ((0, 1), (2, (3, 4))): the ids of feature_mask counted"
        " from 0 in their order, or the values of an example. None is for images without feature_mask: quad_tree(H,"
        " W).",
        n_samples="Number of random orders, rounded up to an even one. None computes the exact values where these take"
        " at most 4096 coalitions, and draws 25 orders where not.",
        tolerance="Largest standard error wanted, in the units of the output: more orders are drawn until all are below"
        " it, or max_evals is reached.",
    )
    def attribute(
        self,
        inputs: Tensors,
        baselines: BaselineLike = None,
        target: TargetLike = None,
        additional_forward_args: Any = None,
        feature_mask: MaskLike = None,
        hierarchy: Any = None,
        n_samples: int | None = None,
        perturbations_per_eval: int | None = None,
        return_input_shape: bool = True,
        show_progress: bool = False,
        *,
        share_ids: bool = True,
        tolerance: float | None = None,
        max_evals: int | None = None,
        start_from: OrderMoments | None = None,
        generator: torch.Generator | None = None,
        seed: int | None = None,
    ) -> Tensors:
        """Compute or estimate Owen values.

        {arguments}

        Returns:
            Attributions as ``KernelShap`` shapes them: like the inputs, or one value per feature.

        Raises:
            InvalidTypeError: for arguments of a wrong type.
            InvalidValueError: for arguments that do not fit together, or a hierarchy that does not hold each feature
                once.
        """
        question = accept_question(self.forward_func, inputs, target, additional_forward_args, any_values=True)
        if hierarchy is None:
            feature_mask, hierarchy = _default_hierarchy(question, feature_mask)
        setup = accept_game(question, baselines, feature_mask, share_ids, perturbations_per_eval)
        tree = accept_hierarchy(hierarchy, setup.features.count)
        orders = accept_count("n_samples", ORDERS if n_samples is None else n_samples)
        effort = accept_effort(orders, tolerance, accept_optional_count("max_evals", max_evals))
        begin = accept_state(start_from, OrderMoments, (generator, seed))
        cost = owen_cost(tree)
        exact = begin is None and n_samples is None and cost <= min(EXACT, max_evals or EXACT)
        origin = begin or (None if exact else generator_of(draw_seeds(1, generator, seed)[0]))
        known = cost + 1 if exact else (orders + 1) // 2 * cost_of_pair(setup.features.count)
        with setup.play(self.get_name(), show_progress, None if tolerance else known) as game:
            if isinstance(origin, OrderMoments):
                check_same_game(origin, game.players, game.full, game.empty)
            if origin is None:
                found = _exact(game, tree)
            else:
                found = sample_orders(
                    game.values, game.players, game.full, effort, origin, lambda source: admissible_order(tree, source)
                )
            return self._answer(game, found, return_input_shape)

    def _answer(self, game: Game, found: OrderMoments, like_inputs: bool) -> Tensors:
        error, orders = found.standard_error, 2 * found.pairs
        report.check(samples=orders, state=found)
        if error is not None:
            report.check(standard_error=game.spread(error))
            warn_if_noisy(self.get_name(), (found.mean,), (error,), orders)
        return game.attributions(found.mean) if like_inputs else per_feature(game, found.mean)


def _exact(game: Game, tree: Hierarchy) -> OrderMoments:
    values = exact_owen_values(lambda coalitions: game.values(coalitions, repeats=False), tree)
    empty = game.full - values.sum(0)
    state = torch.Generator().get_state()
    return OrderMoments(0, values, torch.zeros_like(values), game.full, empty, state, exact=True)


def _default_hierarchy(question: Question, feature_mask: Any) -> tuple[Any, Hierarchy]:
    shapes = [tuple(x.shape) for x in question.inputs]
    if feature_mask is not None or len(shapes) != 1 or len(shapes[0]) != 4:
        given = "together with a feature_mask" if feature_mask is not None else f"for inputs of shape {shapes[0]}"
        raise invalid_value(
            "hierarchy",
            f"None {given}",
            "only an image of shape (N, C, H, W) has a hierarchy by itself",
            "nested tuples of feature numbers such as ((0, 1), (2, 3))",
        )
    mask, tree = quad_tree(*shapes[0][2:])
    return like(question.template, [mask]), tree
