"""Conductance and internal influence: gradients at a layer along a path of the inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from pellucid._core import report
from pellucid._core.combine import times_difference, total
from pellucid._core.door import (
    accept_baselines,
    accept_grad_kwargs,
    accept_optional_count,
    accept_question,
    accept_samples,
)
from pellucid._core.gradient import evaluating
from pellucid._core.integral import complete_ends, ends_of, warn_if_incomplete
from pellucid._core.layer_gradients import AtLayer, Conducted, ThroughNeuron
from pellucid._core.path import Line
from pellucid._core.progress import progress
from pellucid._core.quadrature import quadrature
from pellucid._core.reducers import FoundSum, WeightedSum
from pellucid._core.renaming import renamed
from pellucid._core.site import stacked
from pellucid.attr.attribution import LayerAttribution, NeuronAttribution
from pellucid.docstrings import documented
from pellucid.typing import BaselineLike, ForwardFunction, LayerTensors, NeuronSelector, TargetLike, Tensors


class LayerConductance(LayerAttribution):
    """How much of the change from a baseline to the input flows through each value of a layer.

    With the layer's value z(a) at ``x' + a (x - x')``, the conductance of its j-th entry is

    ``integral over a from 0 to 1 of dF/dz_j * dz_j/da``

    where ``dz/da = (dz/dx) (x - x')`` is differentiated, not approximated by differences. Law (completeness): the
    conductances sum to ``F(x) - F(x')`` minus the share that bypasses the layer, which is integrated with them and
    reported (``pellucid.recording``); it is zero where every path leads through the layer.

    Example:
        >>> import torch
        >>> from pellucid.attr import LayerConductance
        >>> square = torch.nn.Identity()
        >>> model = lambda x: square(x**2).sum(1)
        >>> LayerConductance(model, square).attribute(torch.tensor([[2.0, 3.0]])).round(decimals=4)
        tensor([[4., 9.]])

    References:
        Dhamdhere, Sundararajan and Yan (2018), How Important Is a Neuron?, arXiv:1805.12233; Shrikumar, Su and Kundaje
        (2018), Computationally Efficient Measures of Internal Neuron Importance, arXiv:1807.09946.
    """

    _completeness = True
    _multiply_by_inputs = True
    takes_integers = False

    @documented()
    def attribute(
        self,
        inputs: Tensors,
        baselines: BaselineLike = None,
        target: TargetLike = None,
        additional_forward_args: Any = None,
        n_steps: int = 50,
        method: str = "gausslegendre",
        internal_batch_size: int | None = None,
        return_convergence_delta: bool = False,
        attribute_to_layer_input: bool = False,
        grad_kwargs: Mapping[str, Any] | None = None,
        *,
        calls: str = "sum",
        targets: Sequence[TargetLike] | None = None,
        show_progress: bool = False,
    ) -> LayerTensors | tuple[LayerTensors, Tensor]:
        """Compute conductance.

        {arguments}

        Returns:
            Conductances shaped as the layer's value; with ``return_convergence_delta`` also
            ``delta = sum(conductances) + bypass - (F(x) - F(x'))``, shape (N,), or (1,) for all examples together.

        {layer_raises}
            UnsupportedModelError: if an operation before the layer cannot be differentiated along the path.
        """
        asked = accept_question(self.forward_func, inputs, target, additional_forward_args, targets)
        starts = accept_baselines(baselines, asked.inputs, inputs)
        rule = quadrature(method, accept_samples("n_steps", n_steps))
        cap = accept_optional_count("internal_batch_size", internal_batch_size)
        options = accept_grad_kwargs(grad_kwargs)
        site, _ = self._at_layer(asked, attribute_to_layer_input, calls)
        asked = replace(asked, site=replace(site.inside, output=site.output))
        examples = asked.site.examples
        conducted = Conducted(site.wanted, examples, options, repeated=len(site.calls) > 1, names=tuple(site.names))
        sums = [FoundSum(examples) for _ in asked.targets]
        title = self.get_name() if show_progress else ""
        with (
            evaluating(asked, cap, conducted) as evaluator,
            progress(show_progress, title, n_steps * examples) as bar,
        ):
            ends = ends_of(evaluator, starts)
            evaluator.accumulate(sums, Line(asked.inputs, starts, *rule, displaced=True), bar)
            ends = [complete_ends(evaluator, both) for both in ends]
        results, deltas, beside = [], [], []
        for found, both in zip(sums, ends, strict=True):
            *conductances, bypass = found.sums
            bypass = both.gather(bypass)
            delta = both.gather(total(tuple(conductances))) + bypass - both.difference
            warn_if_incomplete(delta, both, n_steps)
            results.append(site.answered(conductances))
            deltas.append(delta)
            beside.append(bypass)
        delta = asked.stacked(deltas)
        report.check(delta=delta, bypass=asked.stacked(beside), n_steps=n_steps)
        answer = asked.stacked(results)
        return (answer, delta) if return_convergence_delta else answer


class InternalInfluence(LayerAttribution):
    """How strongly the output reacts to a layer's values, averaged along the path from a baseline to the input.

    With the layer's value z at a point of the path: ``integral over a from 0 to 1 of dF/dz at x' + a (x - x')``. Law:
    with the input itself as baseline it is the gradient at the layer.

    Example:
        >>> import torch
        >>> from pellucid.attr import InternalInfluence
        >>> layer = torch.nn.Identity()
        >>> model = lambda x: layer(x).square().sum(1)  # the gradient 2 x is x on average
        >>> InternalInfluence(model, layer).attribute(torch.tensor([[2.0, 3.0]])).round(decimals=4)
        tensor([[2., 3.]])

    References:
        Leino, Sen, Datta, Fredrikson and Li (2018), Influence-Directed Explanations for Deep Convolutional Networks,
        arXiv:1802.03788.
    """

    takes_integers = False

    @documented()
    def attribute(
        self,
        inputs: Tensors,
        baselines: BaselineLike = None,
        target: TargetLike = None,
        additional_forward_args: Any = None,
        n_steps: int = 50,
        method: str = "gausslegendre",
        internal_batch_size: int | None = None,
        attribute_to_layer_input: bool = False,
        grad_kwargs: Mapping[str, Any] | None = None,
        *,
        calls: str = "sum",
        targets: Sequence[TargetLike] | None = None,
        show_progress: bool = False,
    ) -> LayerTensors:
        """Compute internal influence.

        {arguments}

        Returns:
            Mean gradients shaped as the layer's value.

        {layer_raises}
        """
        asked = accept_question(self.forward_func, inputs, target, additional_forward_args, targets)
        starts = accept_baselines(baselines, asked.inputs, inputs)
        rule = quadrature(method, accept_samples("n_steps", n_steps))
        cap = accept_optional_count("internal_batch_size", internal_batch_size)
        examples = asked.site.examples
        at_layer = AtLayer(self._wanted(attribute_to_layer_input, calls), examples, accept_grad_kwargs(grad_kwargs))
        sums = [FoundSum(examples) for _ in asked.targets]
        title = self.get_name() if show_progress else ""
        with (
            evaluating(asked, cap, at_layer) as evaluator,
            progress(show_progress, title, n_steps * examples) as bar,
        ):
            evaluator.accumulate(sums, Line(asked.inputs, starts, *rule), bar)
        return asked.stacked([at_layer.answered(found.sums) for found in sums])


class NeuronConductance(NeuronAttribution):
    """How much of the change from a baseline to the input flows from each input value through a neuron.

    For a neuron n of a layer with values z, with ``s_j = dn/dz_j`` (one for the neurons it selects, else zero):

    ``(x_i - x'_i) * integral over a of the sum over j of s_j * dF/dz_j * dz_j/dx_i``

    Law: summed over the input values it is the layer conductance of the neuron; a slice is the sum of its neurons.

    Example:
        >>> import torch
        >>> from pellucid.attr import NeuronConductance
        >>> square = torch.nn.Identity()
        >>> model = lambda x: square(x**2).sum(1)
        >>> NeuronConductance(model, square).attribute(torch.tensor([[2.0, 3.0]]), 1).round(decimals=4)
        tensor([[0., 9.]])

    References:
        Dhamdhere, Sundararajan and Yan (2018), How Important Is a Neuron?, arXiv:1805.12233.
    """

    @documented()
    def __init__(
        self,
        forward_func: ForwardFunction,
        layer: nn.Module,
        device_ids: list[int] | None = None,
        multiply_by_inputs: bool = True,
    ) -> None:
        """Explain what a neuron conducts.

        {arguments}
        """
        super().__init__(forward_func, layer, device_ids)
        self._multiply_by_inputs = multiply_by_inputs

    @renamed(neuron_index="neuron_selector")
    @documented()
    def attribute(
        self,
        inputs: Tensors,
        neuron_selector: NeuronSelector | None = None,
        baselines: BaselineLike = None,
        target: TargetLike = None,
        additional_forward_args: Any = None,
        n_steps: int = 50,
        method: str = "gausslegendre",
        internal_batch_size: int | None = None,
        attribute_to_neuron_input: bool = False,
        grad_kwargs: Mapping[str, Any] | None = None,
        *,
        neurons: Sequence[NeuronSelector] | None = None,
        show_progress: bool = False,
    ) -> Tensors:
        """Compute the conductance of a neuron.

        {arguments}

        Returns:
            Conductances in the structure of the inputs.

        {neuron_raises}
        """
        function, _ = self._neurons(neuron_selector, neurons, attribute_to_neuron_input)
        asked = accept_question(self.forward_func, inputs, target, additional_forward_args)
        starts = accept_baselines(baselines, asked.inputs, inputs)
        rule = quadrature(method, accept_samples("n_steps", n_steps))
        cap = accept_optional_count("internal_batch_size", internal_batch_size)
        through = ThroughNeuron(function.place, function.neurons, accept_grad_kwargs(grad_kwargs))
        sums = [WeightedSum(asked.inputs) for _ in function.neurons]
        title = self.get_name() if show_progress else ""
        rows = n_steps * asked.site.examples
        with evaluating(asked, cap, through) as evaluator, progress(show_progress, title, rows) as bar:
            evaluator.accumulate(sums, Line(asked.inputs, starts, *rule), bar)
        found = [s.sums for s in sums]
        if self._multiply_by_inputs:
            found = [times_difference(integral, asked.inputs, starts) for integral in found]
        results = [asked.answer([each]) for each in found]
        answer: Tensors = stacked(results) if function.several else results[0]
        return answer
