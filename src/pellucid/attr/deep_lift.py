"""DeepLIFT: the difference of outputs from a reference, propagated through every operation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from pellucid._core.door import accept_baselines, accept_grad_kwargs, accept_optional_count, accept_question
from pellucid._core.layer_starts import report_bypass, starts_at
from pellucid._core.renaming import renamed
from pellucid._core.ruled import PairedRules
from pellucid._core.rules import NO_CHOICES, Choices
from pellucid._core.rules.environment import uncompiled
from pellucid.attr._pairs import Combine, attribute_pairs
from pellucid.attr.attribution import Attribution, GradientAttribution, LayerAttribution, NeuronAttribution
from pellucid.docstrings import documented
from pellucid.typing import BaselineLike, ForwardFunction, LayerTensors, NeuronSelector, TargetLike, Tensors


class DeepLift(GradientAttribution):
    """How the difference of outputs from a reference splits into input values, operation by operation.

    Every operation y = f(x) with reference (x', y') passes multipliers on such that
    ``sum m_x (x - x') = m_y (y - y')``; the attribution is ``m_x (x - x')`` at the inputs. Rules act on operations,
    not on module classes, so functional calls, reused and in-place modules, residual sums, attention, normalisation
    and recurrent layers are all right. Law (completeness): the attributions sum to ``F(x) - F(x')`` up to rounding;
    what cannot be attributed (decisions that differ between input and reference) is named in a warning and in the
    certificate (``pellucid.recording``, ``Explanation.certificate``), and models that cannot be followed are refused.

    Example:
        >>> import torch
        >>> from pellucid.attr import DeepLift
        >>> relu_of_sum = lambda x: torch.relu(x.sum(1) - 1)
        >>> x = torch.tensor([[2.0, 1.0]])
        >>> attributions, delta = DeepLift(relu_of_sum).attribute(x, return_convergence_delta=True)
        >>> attributions  # the output rises from 0 to 2, in proportion 2 : 1
        tensor([[1.3333, 0.6667]])
        >>> bool(delta.abs() < 1e-6)
        True

    References:
        Shrikumar, Greenside and Kundaje (2017), Learning Important Features Through Propagating Activation
        Differences, arXiv:1704.02685; Ancona, Ceolini, Oztireli and Gross (2018), arXiv:1711.06104.
    """

    _completeness = True

    @documented(eps="Has no effect: values closer to their reference than rounding get the gradient between both.")
    def __init__(self, model: ForwardFunction, multiply_by_inputs: bool = True, eps: float = 1e-10) -> None:
        """Explain a function by DeepLIFT.

        {arguments}
        """
        super().__init__(model)
        del eps
        self._multiply_by_inputs = multiply_by_inputs

    @documented(return_convergence_delta="... Delta is that of completeness, whatever custom_attribution_func does.")
    def attribute(
        self,
        inputs: Tensors,
        baselines: BaselineLike = None,
        target: TargetLike = None,
        additional_forward_args: Any = None,
        return_convergence_delta: bool = False,
        custom_attribution_func: Combine | None = None,
        *,
        rule: str = "rescale",
        strict: bool = False,
        choices: Choices = NO_CHOICES,
        targets: Sequence[TargetLike] | None = None,
        internal_batch_size: int | None = None,
        show_progress: bool = False,
    ) -> Tensors | tuple[Tensors, Tensor]:
        """Compute DeepLIFT attributions.

        {arguments}

        Returns:
            Attributions in the structure of the inputs; with ``return_convergence_delta`` also
            ``delta = sum of m (x - x') - (F(x) - F(x'))``, shape (N,), or (1,) for all examples together if
            the function returns one value per batch or mixes the examples.

        {raises}
        {rules_raise}
        """
        question = accept_question(uncompiled(self.forward_func), inputs, target, additional_forward_args, targets)
        starts = accept_baselines(baselines, question.inputs, inputs)
        cap = accept_optional_count("internal_batch_size", internal_batch_size)
        references = tuple(start.unsqueeze(0) for start in starts)
        combine = self._multiply_by_inputs, custom_attribution_func
        title = self.get_name() if show_progress else None
        found = attribute_pairs(question, references, PairedRules(rule, strict, choices), combine, cap, title)
        answer = question.answer(found.attributions)
        return (answer, question.stacked([e[:, 0] for e in found.errors])) if return_convergence_delta else answer


class LayerDeepLift(LayerAttribution):
    """How the difference of outputs from a reference splits into the values of a layer.

    ``DeepLift`` on the rest of the model: with z the layer's value at the inputs and z' that at the baselines, the
    attributions are ``m_z (z - z')``. What flows around the layer is held at the inputs. Law (completeness): they sum
    to ``F(x) - F(x')`` minus the share that bypasses the layer, which is reported (``pellucid.recording``) and zero
    where every path leads through it.

    Example:
        >>> import torch
        >>> from pellucid.attr import LayerDeepLift
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU(), torch.nn.Linear(2, 1))
        >>> x = torch.tensor([[1.0, -2.0]])
        >>> attributions = LayerDeepLift(model, model[0]).attribute(x)
        >>> bool((attributions.sum() - (model(x) - model(0 * x)).sum()).abs() < 1e-6)
        True

    References:
        Shrikumar, Greenside and Kundaje (2017), arXiv:1704.02685; Ancona, Ceolini, Oztireli and Gross (2018),
        arXiv:1711.06104.
    """

    _completeness = True

    @documented()
    def __init__(self, model: ForwardFunction, layer: nn.Module, multiply_by_inputs: bool = True) -> None:
        """Explain a function by DeepLIFT at one of its layers.

        {arguments}
        """
        super().__init__(model, layer)
        self._multiply_by_inputs = multiply_by_inputs

    @documented(return_convergence_delta="... Delta is that of completeness, whatever custom_attribution_func does.")
    def attribute(
        self,
        inputs: Tensors,
        baselines: BaselineLike = None,
        target: TargetLike = None,
        additional_forward_args: Any = None,
        return_convergence_delta: bool = False,
        attribute_to_layer_input: bool = False,
        custom_attribution_func: Combine | None = None,
        grad_kwargs: Mapping[str, Any] | None = None,
        *,
        rule: str = "rescale",
        strict: bool = False,
        choices: Choices = NO_CHOICES,
        calls: str = "sum",
        targets: Sequence[TargetLike] | None = None,
    ) -> LayerTensors | tuple[LayerTensors, Tensor]:
        """Compute DeepLIFT attributions of the layer's values.

        {arguments}

        Returns:
            Attributions shaped as the layer's value; with ``return_convergence_delta`` also
            ``delta = sum of m (z - z') - (F(x) - F(z', x))``, shape (N,), or (1,) for all examples together.

        {layer_raises}
        {rules_raise}
        """
        asked = accept_question(
            uncompiled(self.forward_func), inputs, target, additional_forward_args, targets, integers=True
        )
        starts = accept_baselines(baselines, asked.inputs, inputs)
        options = accept_grad_kwargs(grad_kwargs, second_order=False)
        site, question = self._at_layer(asked, attribute_to_layer_input, calls)
        begins = starts_at(question, site, [starts])
        rules = PairedRules(rule, strict, choices, required=options.get("allow_unused") is False)
        combine = self._multiply_by_inputs, custom_attribution_func
        found = attribute_pairs(question, begins.references, rules, combine, None, None)
        report_bypass(question, begins, found.changes)
        answer = question.answer(found.attributions)
        return (answer, question.stacked([e[:, 0] for e in found.errors])) if return_convergence_delta else answer


class NeuronDeepLift(NeuronAttribution):
    """How the difference of a neuron from its reference splits into input values.

    ``DeepLift`` of the function that returns the neuron. Law (completeness): the attributions sum to
    ``n(x) - n(x')``.

    Example:
        >>> import torch
        >>> from pellucid.attr import NeuronDeepLift
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
        >>> x = torch.tensor([[1.0, -2.0]])
        >>> attributions = NeuronDeepLift(model, model[1]).attribute(x, 2)
        >>> bool((attributions.sum() - (model[:2](x) - model[:2](0 * x))[0, 2]).abs() < 1e-6)
        True

    References:
        Shrikumar, Greenside and Kundaje (2017), arXiv:1704.02685.
    """

    _completeness = True

    @documented()
    def __init__(self, model: ForwardFunction, layer: nn.Module, multiply_by_inputs: bool = True) -> None:
        """Explain a neuron by DeepLIFT.

        {arguments}
        """
        super().__init__(model, layer)
        self._multiply_by_inputs = multiply_by_inputs

    @renamed(neuron_index="neuron_selector")
    @documented()
    def attribute(
        self,
        inputs: Tensors,
        neuron_selector: NeuronSelector | None = None,
        baselines: BaselineLike = None,
        additional_forward_args: Any = None,
        attribute_to_neuron_input: bool = False,
        custom_attribution_func: Combine | None = None,
        *,
        rule: str = "rescale",
        strict: bool = False,
        choices: Choices = NO_CHOICES,
        neurons: Sequence[NeuronSelector] | None = None,
    ) -> Tensors:
        """Compute DeepLIFT attributions of a neuron.

        {arguments}

        {like_inputs}

        {neuron_raises}
        {rules_raise}
        """
        function, targets = self._neurons(neuron_selector, neurons, attribute_to_neuron_input)
        method: Attribution = DeepLift(function, self._multiply_by_inputs)
        attributions: Tensors = method.attribute(
            inputs,
            baselines,
            additional_forward_args=additional_forward_args,
            custom_attribution_func=custom_attribution_func,
            rule=rule,
            strict=strict,
            choices=choices,
            targets=targets,
        )
        return attributions
