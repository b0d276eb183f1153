"""Integrated gradients: the gradient averaged along the line from a baseline to the input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from torch import Tensor, nn

from pellucid._core.differentiation import PlainGradients
from pellucid._core.door import accept_baselines, accept_grad_kwargs, accept_optional_count, accept_question
from pellucid._core.integral import accept_steps, line_integrals
from pellucid._core.layer_starts import report_bypass, starts_at
from pellucid._core.renaming import renamed
from pellucid.attr.attribution import Attribution, GradientAttribution, LayerAttribution, NeuronAttribution
from pellucid.docstrings import documented
from pellucid.typing import BaselineLike, ForwardFunction, LayerTensors, NeuronSelector, TargetLike, Tensors


class IntegratedGradients(GradientAttribution):
    """How the change from a baseline to the input splits into its values, by gradients along the line between.

    For a baseline x' and an input x:

    ``(x - x') * integral over a from 0 to 1 of dF/dx at x' + a (x - x')``

    Law (completeness): the attributions of an example sum to ``F(x) - F(x')``. The difference, delta, is
    computed with every call; it is returned if asked for, and warned about if it is large.

    Example:
        >>> import torch
        >>> from pellucid.attr import IntegratedGradients
        >>> product = lambda x: x[:, 0] * x[:, 1]
        >>> x = torch.tensor([[2.0, 3.0]], dtype=torch.float64)
        >>> attributions, delta = IntegratedGradients(product).attribute(x, return_convergence_delta=True)
        >>> torch.allclose(attributions, torch.full_like(x, 3.0))  # each factor gets half of 2 * 3
        True
        >>> bool(delta.abs() < 1e-12)
        True

    References:
        Sundararajan, Taly and Yan (2017), Axiomatic Attribution for Deep Networks, arXiv:1703.01365.
    """

    _completeness = True

    @documented()
    def __init__(self, forward_func: ForwardFunction, multiply_by_inputs: bool = True) -> None:
        """Explain a function by integrated gradients.

        {arguments}
        """
        super().__init__(forward_func)
        self._multiply_by_inputs = multiply_by_inputs

    @documented(
        n_steps="... 'auto' adds points, reusing those before, until for each example delta and the change of the"
        " attributions are below tolerance; how many were needed is reported (pellucid.recording, Explanation).",
        method="... With n_steps='auto' the rule is a nested one, and this is left at its default.",
    )
    def attribute(
        self,
        inputs: Tensors,
        baselines: BaselineLike = None,
        target: TargetLike = None,
        additional_forward_args: Any = None,
        n_steps: int | Literal["auto"] = 50,
        method: str = "gausslegendre",
        internal_batch_size: int | None = None,
        return_convergence_delta: bool = False,
        *,
        tolerance: float = 1e-3,
        targets: Sequence[TargetLike] | None = None,
        show_progress: bool = False,
    ) -> Tensors | tuple[Tensors, Tensor]:
        """Compute integrated gradients.

        {arguments}

        Returns:
            Attributions in the structure of the inputs; with ``return_convergence_delta`` also
            ``delta = sum(attributions) - (F(x) - F(x'))``, shape (N,), or (1,) for all examples together if
            the function returns one value per batch or mixes the examples.

        Raises:
            InvalidTypeError: for arguments of a wrong type.
            InvalidValueError: for arguments that do not fit together, or an unknown quadrature.
        """
        question = accept_question(self.forward_func, inputs, target, additional_forward_args, targets)
        starts = accept_baselines(baselines, question.inputs, inputs)
        cap = accept_optional_count("internal_batch_size", internal_batch_size)
        steps = accept_steps(n_steps, method, tolerance)
        found = line_integrals(question, starts, steps, cap, self.get_name() if show_progress else None)
        answer = question.answer([f.attributions if self._multiply_by_inputs else f.integral for f in found])
        return (answer, question.stacked([f.delta for f in found])) if return_convergence_delta else answer


class LayerIntegratedGradients(LayerAttribution):
    """How the change from a baseline to the input splits into the values of a layer.

    ``IntegratedGradients`` on the rest of the model: with z the layer's value at the input and z' that at the baseline,

    ``(z - z') * integral over a from 0 to 1 of dF/dz at z' + a (z - z')``

    where all that flows around the layer is held at the input. Only the part after the layer is evaluated at each step,
    where it can be told apart. Law (completeness): the attributions sum to ``F(x) - F(x')`` minus the share that
    bypasses the layer, which is reported (``pellucid.recording``) and zero where every path leads through it. Several
    layers are moved along their lines together.

    Example:
        >>> import torch
        >>> from pellucid.attr import LayerIntegratedGradients
        >>> embed = torch.nn.Embedding(5, 3).double()
        >>> model = lambda ids: embed(ids.long()).prod(1).sum(1)
        >>> ids, reference = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 0.0]])
        >>> attributions = LayerIntegratedGradients(model, embed).attribute(ids, reference)
        >>> attributions.shape  # one value per token and channel
        torch.Size([1, 2, 3])
        >>> bool((attributions.sum() - (model(ids) - model(reference))).abs() < 1e-12)
        True

    References:
        Sundararajan, Taly and Yan (2017), Axiomatic Attribution for Deep Networks, arXiv:1703.01365.
    """

    _completeness = True
    _takes_lists = True

    @documented()
    def __init__(
        self,
        forward_func: ForwardFunction,
        layer: nn.Module | list[nn.Module],
        device_ids: list[int] | None = None,
        multiply_by_inputs: bool = True,
    ) -> None:
        """Explain a function at one of its layers, or several, by integrated gradients.

        {arguments}
        """
        super().__init__(forward_func, layer, device_ids)
        self._multiply_by_inputs = multiply_by_inputs

    @documented(
        layer="A module of the model, or a list of modules.",
        n_steps="... 'auto' adds points until for each example delta and the change of the attributions are below"
        " tolerance.",
    )
    def attribute(
        self,
        inputs: Tensors,
        baselines: BaselineLike = None,
        target: TargetLike = None,
        additional_forward_args: Any = None,
        n_steps: int | Literal["auto"] = 50,
        method: str = "gausslegendre",
        internal_batch_size: int | None = None,
        return_convergence_delta: bool = False,
        attribute_to_layer_input: bool = False,
        grad_kwargs: Mapping[str, Any] | None = None,
        *,
        calls: str = "sum",
        tolerance: float = 1e-3,
        targets: Sequence[TargetLike] | None = None,
        show_progress: bool = False,
    ) -> LayerTensors | tuple[LayerTensors, Tensor]:
        """Compute integrated gradients of the layer's values.

        {arguments}

        Returns:
            Attributions shaped as the layer's value, in a list for a list of layers; with ``return_convergence_delta``
            also ``delta = sum(attributions) - (F(x) - F(z', x))``, shape (N,), or (1,) for all examples together if the
            function returns one value per batch or mixes the examples.

        {layer_raises}
        """
        asked = accept_question(self.forward_func, inputs, target, additional_forward_args, targets, integers=True)
        starts = accept_baselines(baselines, asked.inputs, inputs)
        cap = accept_optional_count("internal_batch_size", internal_batch_size)
        steps = accept_steps(n_steps, method, tolerance)
        gradients = PlainGradients(required=False, grad_kwargs=accept_grad_kwargs(grad_kwargs))
        site, question = self._at_layer(asked, attribute_to_layer_input, calls, replay=True)
        begins = starts_at(question, site, [starts])
        title = self.get_name() if show_progress else None
        found = line_integrals(question, tuple(r[0] for r in begins.references), steps, cap, title, gradients)
        report_bypass(question, begins, [f.ends.difference[:, None] for f in found])
        answer = question.answer([f.attributions if self._multiply_by_inputs else f.integral for f in found])
        return (answer, question.stacked([f.delta for f in found])) if return_convergence_delta else answer


class NeuronIntegratedGradients(NeuronAttribution):
    """How the change of a neuron from a baseline to the input splits into input values.

    ``IntegratedGradients`` of the function n that returns the neuron. Law (completeness): the attributions sum to
    ``n(x) - n(x')``.

    Example:
        >>> import torch
        >>> from pellucid.attr import NeuronIntegratedGradients
        >>> square = torch.nn.Identity()
        >>> model = lambda x: square(x**2).sum(1)
        >>> NeuronIntegratedGradients(model, square).attribute(torch.tensor([[2.0, 3.0]]), 1).round(decimals=4)
        tensor([[0., 9.]])

    References:
        Sundararajan, Taly and Yan (2017), Axiomatic Attribution for Deep Networks, arXiv:1703.01365.
    """

    _completeness = True

    @documented()
    def __init__(
        self,
        forward_func: ForwardFunction,
        layer: nn.Module,
        device_ids: list[int] | None = None,
        multiply_by_inputs: bool = True,
    ) -> None:
        """Explain a neuron by integrated gradients.

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
        additional_forward_args: Any = None,
        n_steps: int | Literal["auto"] = 50,
        method: str = "gausslegendre",
        internal_batch_size: int | None = None,
        attribute_to_neuron_input: bool = False,
        *,
        neurons: Sequence[NeuronSelector] | None = None,
        tolerance: float = 1e-3,
        show_progress: bool = False,
    ) -> Tensors:
        """Compute integrated gradients of a neuron.

        {arguments}

        {like_inputs}

        {neuron_raises}
        """
        function, targets = self._neurons(neuron_selector, neurons, attribute_to_neuron_input)
        explained: Attribution = IntegratedGradients(function, self._multiply_by_inputs)
        attributions: Tensors = explained.attribute(
            inputs,
            baselines,
            None,
            additional_forward_args,
            n_steps,
            method,
            internal_batch_size,
            tolerance=tolerance,
            targets=targets,
            show_progress=show_progress,
        )
        return attributions
