"""Feature ablation: what the output loses when one feature is replaced by its baseline."""

from __future__ import annotations

from typing import Any

from torch.futures import Future

from pellucid._core.door import accept_question
from pellucid._core.estimators import LeaveOneOut
from pellucid._core.renaming import renamed
from pellucid.attr._futures import completed
from pellucid.attr._games import accept_game
from pellucid.attr.attribution import PerturbationAttribution
from pellucid.docstrings import documented
from pellucid.typing import BaselineLike, MaskLike, TargetLike, Tensors


class FeatureAblation(PerturbationAttribution):
    """What the output loses when one feature is replaced by its baseline.

    For feature i, with ``x without i`` the input in which the values of i are those of the baseline:

    ``F(x) - F(x without i)``

    Each value of a feature gets the attribution of the feature. Law: on an additive model the attributions are
    those of every complete method; features that act together can each get all of it, or nothing.

    Example:
        >>> import torch
        >>> from pellucid.attr import FeatureAblation
        >>> product = lambda x: x[:, 0] * x[:, 1]
        >>> x = torch.tensor([[2.0, 3.0]])
        >>> FeatureAblation(product).attribute(x)  # without one factor all is lost
        tensor([[6., 6.]])
        >>> FeatureAblation(product).attribute(x, feature_mask=torch.tensor([0, 0]), baselines=1.0)
        tensor([[5., 5.]])

    References:
        Zeiler and Fergus (2014), Visualizing and Understanding Convolutional Networks, arXiv:1311.2901.
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
        """Replace each feature in turn.

        {arguments}

        Returns:
            Attributions in the structure of the inputs. Without a target each output of each example has a row of
            its own: shape (N * C, ...) for outputs of shape (N, C), output after output of the first example first;
            one row if the function returns one value per batch.

        Raises:
            InvalidTypeError: for arguments of a wrong type.
            InvalidValueError: for arguments that do not fit together.
        """
        question = accept_question(self.forward_func, inputs, target, additional_forward_args, any_values=True)
        setup = accept_game(question, baselines, feature_mask, share_ids, perturbations_per_eval)
        with setup.play(self.get_name(), show_progress, setup.features.count) as game:
            estimator = LeaveOneOut(game.players, game.full)
            for numbers in estimator.missing():
                estimator.add(game.begin_without(numbers)[1]())
            return game.attributions(estimator.result, flat=True)

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
        """Replace each feature in turn, with a function that returns futures.

        All forward passes but the first two are begun before one of them is waited for.

        {arguments}

        Returns:
            A future of what ``attribute`` returns.

        Raises:
            InvalidTypeError: if the function returns no ``torch.futures.Future``.
        """
        question = accept_question(self.forward_func, inputs, target, additional_forward_args, any_values=True)
        setup = accept_game(question, baselines, feature_mask, share_ids, perturbations_per_eval)
        with setup.play(self.get_name(), show_progress, setup.features.count) as game:
            estimator = LeaveOneOut(game.players, game.full)
            begun = (game.begin_without(numbers) for numbers in estimator.missing())
            return completed(
                game.evaluator, begun, estimator.add, lambda: game.attributions(estimator.result, flat=True)
            )
