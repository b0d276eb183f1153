"""Shapley values: each feature's contribution, averaged over all orders in which features can join, or over some."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.futures import Future

from pellucid._core import report
from pellucid._core.anytime import accept_effort, check_same_game, cost_of_pair, sample_orders
from pellucid._core.door import accept_count, accept_optional_count, accept_question
from pellucid._core.estimators import EXACT_LIMIT, AllSubsets, OrderMoments, SampledOrders, solve
from pellucid._core.game import Game
from pellucid._core.masks import Features
from pellucid._core.random import draw_seeds, generator_of
from pellucid._core.renaming import renamed
from pellucid._core.sampling import warn_if_noisy
from pellucid.attr._futures import solved_later
from pellucid.attr._games import accept_game
from pellucid.attr.attribution import PerturbationAttribution
from pellucid.docstrings import documented
from pellucid.errors import invalid_type, invalid_value
from pellucid.typing import BaselineLike, MaskLike, TargetLike, Tensors


class ShapleyValues(PerturbationAttribution):
    """How the change from a baseline to the input splits into features: each one's mean contribution in all orders.

    For n features, where ``F(S)`` is the output when the features in S are those of the input and the others those
    of the baseline:

    ``sum over S without i of |S|! (n - |S| - 1)! / n! * (F(S with i) - F(S))``

    Every value of a feature gets the attribution of the feature. Laws: the features' attributions sum to
    ``F(x) - F(baseline)``; features that can be exchanged get the same; one without influence gets zero; the
    attributions of a sum of models are the sums of theirs. All 2^n subsets are evaluated once, for n up to 20.

    Example:
        >>> import torch
        >>> from pellucid.attr import ShapleyValues
        >>> product = lambda x: x[:, 0] * x[:, 1] + x[:, 2]
        >>> ShapleyValues(product).attribute(torch.tensor([[2.0, 3.0, 1.0]]))  # each factor gets half of 2 * 3
        tensor([[3., 3., 1.]])

    References:
        Shapley (1953), A Value for n-Person Games; Lundberg and Lee (2017), A Unified Approach to Interpreting Model
        Predictions, arXiv:1705.07874.
    """

    @renamed(ablations_per_eval="perturbations_per_eval")
    @documented()
    def attribute(
        self,
        inputs: Tensors,
        baselines: BaselineLike = None,
        target: TargetLike = None,
        additional_forward_args: Any = None,
        feature_mask: MaskLike = None,
        perturbations_per_eval: int | None = None,
        show_progress: bool = False,
        *,
        share_ids: bool = True,
    ) -> Tensors:
        """Evaluate all subsets of the features.

        {arguments}

        Returns:
            Attributions in the structure of the inputs. Without a target, outputs of shape (N, C, ...) give
            attributions of shape ``(N, C, ..., *features)``; one row if the function returns one value per batch.

        Raises:
            InvalidTypeError: for arguments of a wrong type.
            InvalidValueError: for more than 20 features, or arguments that do not fit together.
        """
        question = accept_question(self.forward_func, inputs, target, additional_forward_args, any_values=True)
        setup = accept_game(question, baselines, feature_mask, share_ids, perturbations_per_eval)
        require_few(setup.features)
        with setup.play(self.get_name(), show_progress, 2**setup.features.count) as game:
            estimator = AllSubsets(game.players, game.full)
            solve(lambda coalitions: game.values(coalitions, repeats=False), estimator)
            return game.attributions(estimator.result)

    @renamed(ablations_per_eval="perturbations_per_eval")
    @documented()
    def attribute_future(
        self,
        inputs: Tensors,
        baselines: BaselineLike = None,
        target: TargetLike = None,
        additional_forward_args: Any = None,
        feature_mask: MaskLike = None,
        perturbations_per_eval: int | None = None,
        show_progress: bool = False,
        *,
        share_ids: bool = True,
    ) -> Future[Tensors]:
        """Evaluate all subsets of the features with a function that returns futures.

        {arguments}

        Returns:
            A future of attributions.

        Raises:
            InvalidTypeError: without any future.
        """
        question = accept_question(self.forward_func, inputs, target, additional_forward_args, any_values=True)
        setup = accept_game(question, baselines, feature_mask, share_ids, perturbations_per_eval)
        require_few(setup.features)
        with setup.play(self.get_name(), show_progress, 2**setup.features.count) as game:
            estimator = AllSubsets(game.players, game.full)
            return solved_later(game, estimator, lambda: game.attributions(estimator.result))


def require_few(features: Features) -> None:
    """Refuse more features than all of whose subsets can be evaluated."""
    if features.count > EXACT_LIMIT:
        raise invalid_value(
            "inputs",
            f"with {features.count} features",
            f"they have 2^{features.count} subsets",
            f"a feature_mask with at most {EXACT_LIMIT} features, or use ShapleyValueSampling",
        )


class ShapleyValueSampling(PerturbationAttribution):
    """Shapley values estimated from random orders: each feature's mean contribution when it joins those before it.

    The mean over random orders of ``F(those before i, and i) - F(those before i)``, see ``ShapleyValues``. Each
    order is taken together with its reverse, so an odd number is rounded up; where all subsets cost no more, they
    are evaluated instead, and the result is exact. Law: the attributions sum to ``F(x) - F(baseline)`` with
    every number of orders.

    The standard error over the pairs of orders is computed with every call (``pellucid.recording``,
    ``Explanation``); an interval takes the t quantile with one degree of freedom less than pairs. A call can go on
    until it is below a ``tolerance``, and be continued::

        with pellucid.recording() as report:
            first = method.attribute(x, target=0)
        better = method.attribute(x, target=0, n_samples=100, start_from=report.state)  # 126 orders in all

    Example:
        >>> import torch
        >>> from pellucid.attr import ShapleyValueSampling
        >>> product = lambda x: x[:, 0] * x[:, 1] + x[:, 2]
        >>> ShapleyValueSampling(product).attribute(torch.tensor([[2.0, 3.0, 1.0]]), seed=0)
        tensor([[3., 3., 1.]])

    References:
        Castro, Gomez and Tejada (2009), Polynomial Calculation of the Shapley Value Based on Sampling, Computers and
        Operations Research 36; Strumbelj and Kononenko (2010), An Efficient Explanation of Individual
        Classifications using Game Theory, JMLR 11; Mitchell, Cooper, Frank and Holmes (2022), Sampling Permutations
        for Shapley Value Estimation, JMLR 23 (pairs).
    """

    @renamed(ablations_per_eval="perturbations_per_eval")
    @documented(
        n_samples="Number of random orders, rounded up to an even one.",
        tolerance="Largest standard error wanted, in the units of the output: after n_samples orders more are drawn"
        " until all are below it, or max_evals is reached. None stops after n_samples.",
    )
    def attribute(
        self,
        inputs: Tensors,
        baselines: BaselineLike = None,
        target: TargetLike = None,
        additional_forward_args: Any = None,
        feature_mask: MaskLike = None,
        n_samples: int = 25,
        perturbations_per_eval: int | None = None,
        show_progress: bool = False,
        *,
        tolerance: float | None = None,
        max_evals: int | None = None,
        start_from: OrderMoments | None = None,
        share_ids: bool = True,
        generator: torch.Generator | None = None,
        seed: int | None = None,
    ) -> Tensors:
        """Draw orders and average contributions.

        {arguments}

        Returns:
            Attributions in the structure of the inputs. Without a target, outputs of shape (N, C, ...) give
            attributions of shape ``(N, C, ..., *features)``; one row if the function returns one value per batch.

        Raises:
            InvalidTypeError: for arguments of a wrong type.
            InvalidValueError: for arguments that do not fit together, or ``max_evals`` below the cost of two orders.
        """
        question = accept_question(self.forward_func, inputs, target, additional_forward_args, any_values=True)
        setup = accept_game(question, baselines, feature_mask, share_ids, perturbations_per_eval)
        effort = accept_effort(
            accept_count("n_samples", n_samples), tolerance, accept_optional_count("max_evals", max_evals)
        )
        begin = start_from if start_from is not None else generator_of(draw_seeds(1, generator, seed)[0])
        _check_begin(begin, generator, seed)
        known = None if tolerance is not None else math.ceil(n_samples / 2) * cost_of_pair(setup.features.count)
        with setup.play(self.get_name(), show_progress, known) as game:
            if isinstance(begin, OrderMoments):
                check_same_game(begin, game.players, game.full, game.empty)
            found = sample_orders(game.values, game.players, game.full, effort, begin)
            return self._answer(game, found)

    @renamed(ablations_per_eval="perturbations_per_eval")
    @documented(n_samples="Number of random orders, rounded up to an even one.")
    def attribute_future(
        self,
        inputs: Tensors,
        baselines: BaselineLike = None,
        target: TargetLike = None,
        additional_forward_args: Any = None,
        feature_mask: MaskLike = None,
        n_samples: int = 25,
        perturbations_per_eval: int | None = None,
        show_progress: bool = False,
        *,
        share_ids: bool = True,
        generator: torch.Generator | None = None,
        seed: int | None = None,
    ) -> Future[Tensors]:
        """Draw orders and average contributions, with a function that returns futures.

        All forward passes but the first two are begun before one of them is waited for, so there is no
        ``tolerance`` here; orders are drawn also where all subsets would cost less.

        {arguments}

        Returns:
            A future of attributions as ``attribute`` returns them.

        Raises:
            InvalidTypeError: without any future.
        """
        question = accept_question(self.forward_func, inputs, target, additional_forward_args, any_values=True)
        setup = accept_game(question, baselines, feature_mask, share_ids, perturbations_per_eval)
        pairs = math.ceil(accept_count("n_samples", n_samples) / 2)
        source = generator_of(draw_seeds(1, generator, seed)[0])
        with setup.play(self.get_name(), show_progress, pairs * cost_of_pair(setup.features.count)) as game:
            estimator = SampledOrders(game.full, pairs, source, game.players)
            return solved_later(game, estimator, lambda: self._answer(game, estimator.moments()))

    def _answer(self, game: Game, found: OrderMoments) -> Tensors:
        error = found.standard_error
        orders = 2 * found.pairs
        report.check(samples=orders, state=found)
        if error is not None:
            report.check(standard_error=game.spread(error))
            warn_if_noisy(self.get_name(), (found.mean,), (error,), orders)
        return game.attributions(found.mean)


def _check_begin(begin: object, generator: torch.Generator | None, seed: int | None) -> None:
    if isinstance(begin, torch.Generator):
        return
    if not isinstance(begin, OrderMoments):
        raise invalid_type(
            "start_from", f"a {type(begin).__name__}", "nothing can be continued with it", "report.state of a call"
        )
    if generator is not None or seed is not None:
        raise invalid_value(
            "start_from", "given with a seed or generator", "it goes on with its own draws", "only one of them"
        )
