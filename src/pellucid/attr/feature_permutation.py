"""Permutation importance: what the output loses when a feature has the values of other examples."""

from __future__ import annotations

from typing import Any

import torch
from torch.futures import Future

from pellucid._core import report
from pellucid._core.door import accept_question, accept_samples
from pellucid._core.game import Game
from pellucid._core.permuting import PermutationLoss, PermuteFunction
from pellucid._core.random import draw_seeds, generator_of
from pellucid._core.renaming import renamed
from pellucid._core.sampling import warn_if_noisy
from pellucid.attr._futures import completed
from pellucid.attr._games import GameSetup, accept_game
from pellucid.attr.attribution import LayerAttribution, PerturbationAttribution
from pellucid.docstrings import documented
from pellucid.errors import invalid_type, invalid_value
from pellucid.typing import ForwardFunction, LayerTensors, MaskLike, TargetLike, Tensors

_REPEATS = "Permutations of each feature; with two or more there is a standard error."


class FeaturePermutation(PerturbationAttribution):
    """What the output loses when a feature has the values of other examples of the batch.

    For feature i and random permutations p of the batch that leave not all examples in their place, the mean of

    ``F(x) - F(x with the values of i of example p(n))``

    All values of a feature come from the same example, also in several inputs. Law: what a model does not read
    gets zero; a feature that is the same in all examples gets zero. The standard error over the repeats is
    computed with every call (``pellucid.recording``, ``Explanation``).

    Example:
        >>> import torch
        >>> from pellucid.attr import FeaturePermutation
        >>> first = lambda x: x[:, 0]
        >>> x = torch.tensor([[1.0, 5.0], [2.0, 7.0]])
        >>> FeaturePermutation(first).attribute(x)  # of two examples each can only get the other's value
        tensor([[-1.,  0.],
                [ 1.,  0.]])

    References:
        Breiman (2001), Random Forests, Machine Learning 45; Fisher, Rudin and Dominici (2019), All Models are
        Wrong, but Many are Useful, arXiv:1801.01489.
    """

    @documented(
        perm_func="Permutes a feature: a function of an input and a mask, True where the feature is, that returns the"
        " input permuted there. It may draw from torch's default generator. None permutes with seed and generator.",
    )
    def __init__(self, forward_func: ForwardFunction, perm_func: PermuteFunction | None = None) -> None:
        """Explain a function by permutations.

        {arguments}
        """
        super().__init__(forward_func)
        if perm_func is not None and not callable(perm_func):
            raise invalid_type("perm_func", repr(perm_func), "it permutes nothing", "a function, or None")
        self.perm_func = perm_func

    @renamed(ablations_per_eval="perturbations_per_eval")
    @documented(n_repeats=_REPEATS)
    def attribute(
        self,
        inputs: Tensors,
        target: TargetLike = None,
        additional_forward_args: Any = None,
        feature_mask: MaskLike = None,
        perturbations_per_eval: int | None = None,
        show_progress: bool = False,
        *,
        n_repeats: int = 5,
        share_ids: bool = True,
        generator: torch.Generator | None = None,
        seed: int | None = None,
    ) -> Tensors:
        """Permute each feature in turn.

        {arguments}

        Returns:
            Attributions in the structure of the inputs; without a target with a row for each output of each example,
            as for ``FeatureAblation``.

        Raises:
            InvalidTypeError: for arguments of a wrong type.
            InvalidValueError: for a batch of one example, or arguments that do not fit together.
        """
        question = accept_question(self.forward_func, inputs, target, additional_forward_args, any_values=True)
        setup = accept_game(question, None, feature_mask, share_ids, perturbations_per_eval)
        loss = _loss(setup, n_repeats, draw_seeds(1, generator, seed)[0], self.perm_func)
        answer: Tensors = _permuted(setup, loss, self.get_name(), show_progress)
        return answer

    @renamed(ablations_per_eval="perturbations_per_eval")
    @documented(n_repeats=_REPEATS)
    def attribute_future(
        self,
        inputs: Tensors,
        target: TargetLike = None,
        additional_forward_args: Any = None,
        feature_mask: MaskLike = None,
        perturbations_per_eval: int | None = None,
        show_progress: bool = False,
        *,
        n_repeats: int = 5,
        share_ids: bool = True,
        generator: torch.Generator | None = None,
        seed: int | None = None,
    ) -> Future[Tensors]:
        """Permute each feature in turn, with a function that returns futures.

        {arguments}

        Returns:
            A future of attributions.

        Raises:
            InvalidTypeError: without any future.
        """
        question = accept_question(self.forward_func, inputs, target, additional_forward_args, any_values=True)
        setup = accept_game(question, None, feature_mask, share_ids, perturbations_per_eval)
        loss = _loss(setup, n_repeats, draw_seeds(1, generator, seed)[0], self.perm_func)
        with setup.play(self.get_name(), show_progress, setup.features.count * n_repeats) as game:
            full = game.full
            begun = (game.evaluator.begin(perturbed) for perturbed in loss.perturbed())
            return completed(
                game.evaluator,
                begun,
                lambda values: loss.add(full - values),
                lambda: _answer(game, loss, self.get_name()),
            )


class LayerFeaturePermutation(LayerAttribution):
    """What the output loses when part of a layer's value is that of other examples of the batch.

    ``FeaturePermutation`` on the rest of the model; what flows around the layer is held at the inputs.

    Example:
        >>> import torch
        >>> from pellucid.attr import LayerFeaturePermutation
        >>> layer = torch.nn.Identity()
        >>> model = lambda x: layer(2 * x)[:, 0]
        >>> LayerFeaturePermutation(model, layer).attribute(torch.tensor([[1.0, 5.0], [2.0, 7.0]]))
        tensor([[-2.,  0.],
                [ 2.,  0.]])

    References:
        Breiman (2001), Random Forests, Machine Learning 45.
    """

    _multiply_by_inputs = True

    @renamed(ablations_per_eval="perturbations_per_eval")
    @documented(layer_mask="As feature_mask, for the layer's value.", n_repeats=_REPEATS)
    def attribute(
        self,
        inputs: Tensors,
        target: TargetLike = None,
        additional_forward_args: Any = None,
        layer_mask: MaskLike = None,
        perturbations_per_eval: int | None = None,
        *,
        attribute_to_layer_input: bool = False,
        n_repeats: int = 5,
        share_ids: bool = True,
        generator: torch.Generator | None = None,
        seed: int | None = None,
        calls: str = "sum",
        show_progress: bool = False,
    ) -> LayerTensors:
        """Permute each feature of the layer in turn.

        {arguments}

        Returns:
            Attributions shaped as the layer's value, with rows as for ``FeatureAblation``.

        {layer_raises}
        """
        asked = accept_question(self.forward_func, inputs, target, additional_forward_args, any_values=True)
        seeds = draw_seeds(1, generator, seed)
        _, question = self._at_layer(asked, attribute_to_layer_input, calls, replay=True)
        setup = accept_game(question, None, layer_mask, share_ids, perturbations_per_eval)
        return _permuted(setup, _loss(setup, n_repeats, seeds[0], None), self.get_name(), show_progress)


def _loss(setup: GameSetup, n_repeats: int, seed: int, perm_func: PermuteFunction | None) -> PermutationLoss:
    repeats = accept_samples("n_repeats", n_repeats)
    inputs = setup.question.inputs
    if len(inputs[0]) < 2 and perm_func is None:
        raise invalid_value(
            "inputs",
            "a batch of one example",
            "there is no other example whose values it could get",
            "two or more examples, or use FeatureAblation",
        )
    return PermutationLoss(setup.features, inputs, repeats, generator_of(seed), perm_func)


def _permuted(setup: GameSetup, loss: PermutationLoss, name: str, show_progress: bool) -> Any:
    with setup.play(name, show_progress, setup.features.count * loss.repeats) as game:
        full = game.full
        for perturbed in loss.perturbed():
            loss.add(full - game.evaluator.evaluate(perturbed))
        return _answer(game, loss, name)


def _answer(game: Game, loss: PermutationLoss, name: str) -> Any:
    mean, error = loss.mean, loss.standard_error
    if error is not None:
        report.check(standard_error=game.spread(error, flat=True), samples=loss.repeats)
        warn_if_noisy(name, (mean,), (error,), loss.repeats)
    return game.attributions(mean, flat=True)
