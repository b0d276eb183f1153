"""Feature ablation: what the output loses when one feature is replaced by its baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.futures import Future

from pellucid._core.door import accept_question
from pellucid._core.estimators import LeaveOneOut
from pellucid._core.renaming import renamed
from pellucid.attr._futures import completed
from pellucid.attr._games import GameSetup, accept_game
from pellucid.attr.attribution import LayerAttribution, NeuronAttribution, PerturbationAttribution
from pellucid.docstrings import documented
from pellucid.typing import BaselineLike, LayerTensors, MaskLike, NeuronSelector, TargetLike, Tensors


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

        {raises}
        """
        question = accept_question(self.forward_func, inputs, target, additional_forward_args, any_values=True)
        setup = accept_game(question, baselines, feature_mask, share_ids, perturbations_per_eval)
        answer: Tensors = _ablated(setup, self.get_name(), show_progress)
        return answer

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
            A future of attributions.

        Raises:
            InvalidTypeError: without any future.
        """
        question = accept_question(self.forward_func, inputs, target, additional_forward_args, any_values=True)
        setup = accept_game(question, baselines, feature_mask, share_ids, perturbations_per_eval)
        with setup.play(self.get_name(), show_progress, setup.features.count) as game:
            estimator = LeaveOneOut(game.players, game.full)
            begun = (game.begin_without(numbers) for numbers in estimator.missing())
            return completed(
                game.evaluator, begun, estimator.add, lambda: game.attributions(estimator.result, flat=True)
            )


class LayerFeatureAblation(LayerAttribution):
    """What the output loses when part of a layer's value is replaced by its baseline.

    ``FeatureAblation`` on the rest of the model: ``F(x) - F(z without i, x)`` with z the layer's value; what flows
    around the layer is held at the inputs. Only the part after the layer is evaluated for each feature, where it can be
    told apart. Law: on a rest that is additive the attributions sum to the difference from the layer's baseline.

    Example:
        >>> import torch
        >>> from pellucid.attr import LayerFeatureAblation
        >>> double = torch.nn.Linear(2, 2, bias=False)
        >>> _ = double.weight.data.copy_(2 * torch.eye(2))
        >>> LayerFeatureAblation(lambda x: double(x).prod(1), double).attribute(torch.tensor([[1.0, 3.0]]))
        tensor([[12., 12.]])

    References:
        Zeiler and Fergus (2014), Visualizing and Understanding Convolutional Networks, arXiv:1311.2901.
    """

    _multiply_by_inputs = True

    @renamed(ablations_per_eval="perturbations_per_eval")
    @documented(
        layer_baselines="Values put in the place of the layer's, in its units: None (zeros), a number, a tensor with 1"
        " or N rows, or a tuple with one of these per tensor of the layer.",
        layer_mask="As feature_mask, for the layer's value.",
    )
    def attribute(
        self,
        inputs: Tensors,
        layer_baselines: BaselineLike = None,
        target: TargetLike = None,
        additional_forward_args: Any = None,
        layer_mask: MaskLike = None,
        attribute_to_layer_input: bool = False,
        perturbations_per_eval: int | None = None,
        *,
        share_ids: bool = True,
        calls: str = "sum",
        show_progress: bool = False,
    ) -> LayerTensors:
        """Replace each feature of the layer in turn.

        {arguments}

        Returns:
            Attributions shaped as the layer's value, with rows as for ``FeatureAblation``.

        {layer_raises}
        """
        asked = accept_question(self.forward_func, inputs, target, additional_forward_args, any_values=True)
        _, question = self._at_layer(asked, attribute_to_layer_input, calls, replay=True)
        setup = accept_game(question, layer_baselines, layer_mask, share_ids, perturbations_per_eval)
        return _ablated(setup, self.get_name(), show_progress)


class NeuronFeatureAblation(NeuronAttribution):
    """What a neuron loses when one feature of the input is replaced by its baseline.

    ``FeatureAblation`` of the function that returns the neuron: ``n(x) - n(x without i)``.

    Example:
        >>> import torch
        >>> from pellucid.attr import NeuronFeatureAblation
        >>> layer = torch.nn.Identity()
        >>> model = lambda x: layer(torch.stack([x.sum(1), x.prod(1)], 1)).sum(1)
        >>> NeuronFeatureAblation(model, layer).attribute(torch.tensor([[2.0, 3.0]]), 1)
        tensor([[6., 6.]])

    References:
        Zeiler and Fergus (2014), Visualizing and Understanding Convolutional Networks, arXiv:1311.2901.
    """

    _multiply_by_inputs = True

    @renamed(neuron_index="neuron_selector", ablations_per_eval="perturbations_per_eval")
    @documented()
    def attribute(
        self,
        inputs: Tensors,
        neuron_selector: NeuronSelector | None = None,
        baselines: BaselineLike = None,
        additional_forward_args: Any = None,
        feature_mask: MaskLike = None,
        attribute_to_neuron_input: bool = False,
        perturbations_per_eval: int | None = None,
        *,
        neurons: Sequence[NeuronSelector] | None = None,
        share_ids: bool = True,
        show_progress: bool = False,
    ) -> Tensors:
        """Replace each feature in turn and look at the neuron.

        {arguments}

        {like_inputs}

        {neuron_raises}
        """
        function, _ = self._neurons(neuron_selector, neurons, attribute_to_neuron_input)
        question = accept_question(function, inputs, None, additional_forward_args, any_values=True)
        setup = accept_game(question, baselines, feature_mask, share_ids, perturbations_per_eval)
        found: Tensors = _ablated(setup, self.get_name(), show_progress)
        return _neurons_first(found, len(function.neurons)) if function.several else found


def _neurons_first(rows: Tensors, count: int) -> Tensors:
    """From one row per example and neuron, the neurons of an example side by side, to a leading axis of neurons."""
    if isinstance(rows, tuple):
        return tuple(_first_axis(part, count) for part in rows)
    return _first_axis(rows, count)


def _first_axis(rows: Tensor, count: int) -> Tensor:
    return rows.reshape(len(rows) // count, count, *rows.shape[1:]).transpose(0, 1)


def _ablated(setup: GameSetup, name: str, show_progress: bool) -> Any:
    """Attribute to each feature what the value loses without it."""
    with setup.play(name, show_progress, setup.features.count) as game:
        estimator = LeaveOneOut(game.players, game.full)
        for numbers in estimator.missing():
            estimator.add(game.begin_without(numbers)[1]())
        return game.attributions(estimator.result, flat=True)
