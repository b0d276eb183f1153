"""DeepLIFT SHAP: DeepLIFT averaged over a distribution of references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from pellucid._core.door import accept_distribution, accept_grad_kwargs, accept_optional_count, accept_question
from pellucid._core.layer_starts import report_bypass, starts_at
from pellucid._core.renaming import renamed
from pellucid._core.ruled import PairedRules
from pellucid._core.rules import NO_CHOICES, Choices
from pellucid._core.rules.environment import uncompiled
from pellucid.attr._pairs import Combine, attribute_pairs
from pellucid.attr.attribution import Attribution, GradientAttribution, LayerAttribution, NeuronAttribution
from pellucid.docstrings import documented
from pellucid.typing import DistributionLike, ForwardFunction, LayerTensors, NeuronSelector, TargetLike, Tensors

_REFERENCES = (
    "References: a tensor with any number of rows, a number, a tuple with one of these per input (row j of all belongs"
    " together), or a callable that returns them and takes nothing or the inputs."
)


class DeepLiftShap(GradientAttribution):
    """How the difference of outputs from the average over references splits into input values.

    The mean over all references b of DeepLIFT's attributions ``m (x - b)``, an approximation of SHAP values. Law:
    the attributions sum to ``F(x) - mean of F(b)``, up to rounding.

    Example:
        >>> import torch
        >>> from pellucid.attr import DeepLiftShap
        >>> linear = lambda x: x @ torch.tensor([3.0, -2.0])
        >>> DeepLiftShap(linear).attribute(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 0.0], [2.0, 0.0]]))
        tensor([[ 0., -4.]])

    References:
        Lundberg and Lee (2017), A Unified Approach to Interpreting Model Predictions, arXiv:1705.07874.
    """

    _completeness = True
    takes_distribution = True

    @documented()
    def __init__(self, model: ForwardFunction, multiply_by_inputs: bool = True) -> None:
        """Explain a function by DeepLIFT averaged over references.

        {arguments}
        """
        super().__init__(model)
        self._multiply_by_inputs = multiply_by_inputs

    @documented(
        baselines=_REFERENCES,
        return_convergence_delta="... Delta is that of completeness, whatever custom_attribution_func does.",
    )
    def attribute(
        self,
        inputs: Tensors,
        baselines: DistributionLike,
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
        """Compute DeepLIFT attributions against every reference and average them.

        {arguments}

        Returns:
            Attributions in the structure of the inputs; with ``return_convergence_delta`` also
            ``sum of m (x - b) - (F(x) - F(b))`` of each pair, shape (N * references,), the pairs of an example
            side by side; shape (references,) if the function returns one value per batch or mixes the examples.

        {raises}
        {rules_raise}
        """
        question = accept_question(uncompiled(self.forward_func), inputs, target, additional_forward_args, targets)
        rows = accept_distribution(baselines, question.inputs, inputs)
        cap = accept_optional_count("internal_batch_size", internal_batch_size)
        references = tuple(row.unsqueeze(1) for row in rows)
        combine = self._multiply_by_inputs, custom_attribution_func
        title = self.get_name() if show_progress else None
        found = attribute_pairs(question, references, PairedRules(rule, strict, choices), combine, cap, title)
        answer = question.answer(found.attributions)
        return (answer, question.stacked([e.reshape(-1) for e in found.errors])) if return_convergence_delta else answer


class LayerDeepLiftShap(LayerAttribution):
    """How the difference of outputs from several references splits into the values of a layer, on average.

    The mean over references b of ``LayerDeepLift``'s attributions. Law: the attributions sum to
    ``F(x) - mean of F(b)`` minus the share that bypasses the layer, which is reported.

    Example:
        >>> import torch
        >>> from pellucid.attr import LayerDeepLiftShap
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU(), torch.nn.Linear(2, 1))
        >>> x, references = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, 0.0], [1.0, 1.0]])
        >>> attributions = LayerDeepLiftShap(model, model[0]).attribute(x, references)
        >>> bool((attributions.sum() - (model(x) - model(references).mean()).sum()).abs() < 1e-6)
        True

    References:
        Lundberg and Lee (2017), arXiv:1705.07874; Shrikumar, Greenside and Kundaje (2017), arXiv:1704.02685.
    """

    _completeness = True
    takes_distribution = True

    @documented()
    def __init__(self, model: ForwardFunction, layer: nn.Module, multiply_by_inputs: bool = True) -> None:
        """Explain a function at one of its layers by DeepLIFT averaged over references.

        {arguments}
        """
        super().__init__(model, layer)
        self._multiply_by_inputs = multiply_by_inputs

    @documented(baselines=_REFERENCES)
    def attribute(
        self,
        inputs: Tensors,
        baselines: DistributionLike,
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
        internal_batch_size: int | None = None,
        show_progress: bool = False,
    ) -> LayerTensors | tuple[LayerTensors, Tensor]:
        """Compute DeepLIFT attributions of the layer's values against every reference and average them.

        {arguments}

        Returns:
            Attributions shaped as the layer's value; with ``return_convergence_delta`` also the completeness error of
            each pair, shape (N * references,), the pairs of an example side by side.

        {layer_raises}
        {rules_raise}
        """
        asked = accept_question(
            uncompiled(self.forward_func), inputs, target, additional_forward_args, targets, integers=True
        )
        rows = accept_distribution(baselines, asked.inputs, inputs)
        cap = accept_optional_count("internal_batch_size", internal_batch_size)
        options = accept_grad_kwargs(grad_kwargs, second_order=False)
        site, question = self._at_layer(asked, attribute_to_layer_input, calls)
        begins = starts_at(question, site, [tuple(row[j : j + 1] for row in rows) for j in range(len(rows[0]))])
        rules = PairedRules(rule, strict, choices, required=options.get("allow_unused") is False)
        combine = self._multiply_by_inputs, custom_attribution_func
        title = self.get_name() if show_progress else None
        found = attribute_pairs(question, begins.references, rules, combine, cap, title)
        report_bypass(question, begins, found.changes)
        answer = question.answer(found.attributions)
        return (answer, question.stacked([e.reshape(-1) for e in found.errors])) if return_convergence_delta else answer


class NeuronDeepLiftShap(NeuronAttribution):
    """How the difference of a neuron from several references splits into input values, on average.

    ``DeepLiftShap`` of the function that returns the neuron. Law: the attributions sum to
    ``n(x) - mean of n(b)``.

    Example:
        >>> import torch
        >>> from pellucid.attr import NeuronDeepLiftShap
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
        >>> x, references = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, 0.0], [1.0, 1.0]])
        >>> attributions = NeuronDeepLiftShap(model, model[1]).attribute(x, 2, references)
        >>> bool((attributions.sum() - (model[:2](x) - model[:2](references).mean(0))[0, 2]).abs() < 1e-6)
        True

    References:
        Lundberg and Lee (2017), arXiv:1705.07874; Shrikumar, Greenside and Kundaje (2017), arXiv:1704.02685.
    """

    _completeness = True
    takes_distribution = True

    @documented()
    def __init__(self, model: ForwardFunction, layer: nn.Module, multiply_by_inputs: bool = True) -> None:
        """Explain a neuron by DeepLIFT averaged over references.

        {arguments}
        """
        super().__init__(model, layer)
        self._multiply_by_inputs = multiply_by_inputs

    @renamed(neuron_index="neuron_selector")
    @documented(baselines=_REFERENCES)
    def attribute(
        self,
        inputs: Tensors,
        neuron_selector: NeuronSelector | None = None,
        baselines: DistributionLike | None = None,
        additional_forward_args: Any = None,
        attribute_to_neuron_input: bool = False,
        custom_attribution_func: Combine | None = None,
        *,
        rule: str = "rescale",
        strict: bool = False,
        choices: Choices = NO_CHOICES,
        neurons: Sequence[NeuronSelector] | None = None,
        internal_batch_size: int | None = None,
        show_progress: bool = False,
    ) -> Tensors:
        """Compute DeepLIFT attributions of a neuron against every reference and average them.

        {arguments}

        {like_inputs}

        {neuron_raises}
        {rules_raise}
        """
        function, targets = self._neurons(neuron_selector, neurons, attribute_to_neuron_input)
        method: Attribution = DeepLiftShap(function, self._multiply_by_inputs)
        attributions: Tensors = method.attribute(
            inputs,
            baselines,
            additional_forward_args=additional_forward_args,
            custom_attribution_func=custom_attribution_func,
            rule=rule,
            strict=strict,
            choices=choices,
            targets=targets,
            internal_batch_size=internal_batch_size,
            show_progress=show_progress,
        )
        return attributions
