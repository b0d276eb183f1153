"""Layer-wise relevance propagation: the output, handed back through every operation."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pellucid._core import report
from pellucid._core.combine import total
from pellucid._core.door import accept_optional_count, accept_question
from pellucid._core.gradient import evaluating
from pellucid._core.path import Line
from pellucid._core.progress import progress
from pellucid._core.reducers import Evaluated, WeightedSum
from pellucid._core.ruled import Propagation, whole_audit, whole_certificate
from pellucid._core.rules import NO_CHOICES, Choices, Composite, ModuleRules, PropagationRule
from pellucid._core.rules.environment import uncompiled
from pellucid._core.site import Question
from pellucid._core.structure import wide
from pellucid.attr.attribution import Attribution, LayerAttribution
from pellucid.docstrings import documented
from pellucid.lrp import EPSILON
from pellucid.typing import ForwardFunction, LayerTensors, TargetLike, Tensors

_TEXTS = {
    "return_convergence_delta": "Whether ``F(x) - sum of relevance`` is returned beside the relevance.",
    "verbose": "Whether the rule that each operation got is printed.",
    "composite": "Rules by kind of operation and by layer (pellucid.lrp); None is the epsilon rule with 1e-9.",
    "rules": "Rules by module, module name or module type; they precede the composite, as do rules set as"
    " ``module.rule = rule`` on modules of the model, which stay there for the next call.",
    "audit": "Whether books are kept of what each operation absorbs (pellucid.recording).",
}


class LRP(Attribution):
    """How the explained output splits into input values, handed back through the network layer by layer.

    A layer with contributions ``z_ij = x_i w_ij`` hands the relevance of its results on to its inputs, in the epsilon
    rule as ``R_i = sum_j z_ij / (z_j + eps sign z_j) R_j``; sums and views split by contributions, activations pass
    relevance on, products of k signals give each 1/k, and normalisations scale by a constant. Rules act on operations,
    so functional calls, residual sums and attention are covered. Law (conservation): without biases, and with CP-LRP
    where there is attention, relevance sums to the output; the rest is delta, and ``audit=True`` says which operation
    absorbed it (``pellucid.recording``). ``pellucid.lrp`` holds rules and composites.

    Example:
        >>> import torch
        >>> from pellucid.attr import LRP
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2, bias=False), torch.nn.ReLU())
        >>> _ = model[0].weight.data.copy_(torch.tensor([[1.0, 2.0], [1.0, -1.0]]))
        >>> relevance, delta = LRP(model).attribute(torch.tensor([[3.0, 1.0]]), target=0, return_convergence_delta=True)
        >>> relevance  # the contributions 1 * 3 and 2 * 1 to an output of 5
        tensor([[3., 2.]])
        >>> bool(delta.abs() < 1e-5)
        True

    References:
        Bach, Binder, Montavon, Klauschen, Mueller and Samek (2015), On Pixel-Wise Explanations for Non-Linear
        Classifier Decisions, PLOS ONE 10(7); Montavon, Binder, Lapuschkin, Samek and Mueller (2019), Layer-Wise
        Relevance Propagation: An Overview; Achtibat et al. (2024), AttnLRP, arXiv:2402.05602; Ali et al. (2022),
        XAI for Transformers (CP-LRP), arXiv:2202.07304.
    """

    _completeness = True

    @documented()
    def __init__(self, model: ForwardFunction) -> None:
        """Explain a function by relevance propagation.

        {arguments}
        """
        super().__init__(model)

    _multiply_by_inputs = True

    @documented(**_TEXTS)
    def attribute(
        self,
        inputs: Tensors,
        target: TargetLike = None,
        additional_forward_args: Any = None,
        return_convergence_delta: bool = False,
        verbose: bool = False,
        *,
        composite: Composite | None = None,
        rules: Mapping[nn.Module | str | type, PropagationRule] | None = None,
        choices: Choices = NO_CHOICES,
        audit: bool = False,
        targets: Sequence[TargetLike] | None = None,
        internal_batch_size: int | None = None,
    ) -> Tensors | tuple[Tensors, Tensor]:
        """Compute relevance.

        {arguments}

        Returns:
            Relevance in the structure of the inputs; with ``return_convergence_delta`` also
            ``F(x) - sum of relevance``, shape (N,), or (1,) for all examples together if the function returns one
            value per batch or mixes the examples.

        Raises:
            InvalidTypeError: for arguments of a wrong type, or a rule that is none of this library.
            InvalidValueError: for arguments that do not fit together, or a rule for a layer that does not run.
            UnsupportedModelError: for a model that the rules cannot follow; the message names operation and line.
        """
        question = accept_question(uncompiled(self.forward_func), inputs, target, additional_forward_args, targets)
        cap = accept_optional_count("internal_batch_size", internal_batch_size)
        found, deltas = propagated(question, Propagation(*_chosen(composite, rules), choices, audit), cap, verbose)
        answer = question.answer(found)
        return (answer, question.stacked(deltas)) if return_convergence_delta else answer

    @staticmethod
    @documented(output="Explained output of each example, shape (N,).")
    def compute_convergence_delta(attributions: Tensors, output: Tensor) -> Tensor:
        """Compute what relevance misses of the output: ``output - sum(attributions)``.

        Example:
            >>> import torch
            >>> from pellucid.attr import LRP
            >>> LRP.compute_convergence_delta(torch.tensor([[1.0, 2.0]]), torch.tensor([3.5]))
            tensor([0.5000])

        {arguments}

        Returns:
            Tensor of shape (N,).
        """
        parts = attributions if isinstance(attributions, tuple) else (attributions,)
        return output.detach().flatten() - total(tuple(part.detach() for part in parts))


class LayerLRP(LayerAttribution):
    """How the explained output splits into the values of a layer, handed back through the network to there.

    ``LRP`` on the rest of the model, so the relevance that arrives at the layer. Law (conservation): without biases
    after the layer, and where every path leads through it, relevance sums to the output; the rest is delta.

    Example:
        >>> import torch
        >>> from pellucid.attr import LayerLRP
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU(), torch.nn.Linear(2, 1, bias=False))
        >>> x = torch.tensor([[3.0, 1.0]])
        >>> bool((LayerLRP(model, model[1]).attribute(x).sum() - model(x).sum()).abs() < 1e-5)
        True

    References:
        Bach, Binder, Montavon, Klauschen, Mueller and Samek (2015), PLOS ONE 10(7).
    """

    _completeness = True
    _takes_lists = True
    _multiply_by_inputs = True

    @documented(layer="A module of the model, or a list of modules, each of which is explained on its own.")
    def __init__(self, model: ForwardFunction, layer: nn.Module | list[nn.Module]) -> None:
        """Explain a function at one of its layers, or several, by relevance propagation.

        {arguments}
        """
        super().__init__(model, layer)

    compute_convergence_delta = staticmethod(LRP.compute_convergence_delta)  # type: ignore[assignment]  # it has no start

    @documented(**_TEXTS)
    def attribute(
        self,
        inputs: Tensors,
        target: TargetLike = None,
        additional_forward_args: Any = None,
        return_convergence_delta: bool = False,
        attribute_to_layer_input: bool = False,
        verbose: bool = False,
        *,
        composite: Composite | None = None,
        rules: Mapping[nn.Module | str | type, PropagationRule] | None = None,
        choices: Choices = NO_CHOICES,
        audit: bool = False,
        calls: str = "sum",
        targets: Sequence[TargetLike] | None = None,
    ) -> LayerTensors | tuple[LayerTensors, Tensor | list[Tensor]]:
        """Compute the relevance of the layer's values.

        {arguments}

        Returns:
            Relevance shaped as the layer's value; with ``return_convergence_delta`` also ``F(x) - sum of relevance``,
            shape (N,), or (1,) for all examples together. For a list of layers, lists of both.

        {layer_raises}
        {rules_raise}
        """
        if isinstance(self.layer, list | tuple):
            passed = [inputs, target, additional_forward_args, True, attribute_to_layer_input, verbose]
            rest = {"composite": composite, "rules": rules, "choices": choices, "audit": audit, "calls": calls}
            methods: list[Attribution] = [LayerLRP(self.forward_func, layer) for layer in self.layer]
            results = [method.attribute(*passed, targets=targets, **rest) for method in methods]
            relevance, deltas = [r for r, _ in results], [d for _, d in results]
            return (relevance, deltas) if return_convergence_delta else relevance
        asked = accept_question(
            uncompiled(self.forward_func), inputs, target, additional_forward_args, targets, integers=True
        )
        _, question = self._at_layer(asked, attribute_to_layer_input, calls)
        propagation = Propagation(*_chosen(composite, rules), choices, audit, partial=True)
        found, missed = propagated(question, propagation, None, verbose)
        answer = question.answer(found)
        return (answer, question.stacked(missed)) if return_convergence_delta else answer


def _chosen(composite: Composite | None, rules: ModuleRules | None) -> tuple[Composite, ModuleRules]:
    return EPSILON if composite is None else composite, {} if rules is None else rules


def propagated(
    question: Question, propagation: Propagation, cap: int | None, verbose: bool
) -> tuple[list[tuple[Tensor, ...]], list[Tensor]]:
    """Propagate relevance for each target; report delta, certificate and audit.

    Args:
        question: what is asked.
        propagation: the rules.
        cap: rows per pass at most.
        verbose: whether the certificate is printed.

    Returns:
        For each target the relevance and what it misses of the output.
    """
    found = [_Propagated(question) for _ in question.targets]
    here = Line.at(question.inputs)
    with evaluating(question, cap, propagation) as evaluator, progress(False, "", None) as bar:
        evaluator.point_gradients(found, here, bar)
        deltas = [each.absorbed(evaluator.mixes) for each in found]
    certificate = whole_certificate(propagation.certificates)
    delta = question.stacked([-d for d in deltas])
    report.check(delta=delta, certificate=certificate, audit=whole_audit(propagation.audits))
    if verbose:
        sys.stdout.write(f"{certificate}\n")
    return [each.relevance.sums for each in found], deltas


class _Propagated:
    """Relevance of the inputs, and the explained outputs."""

    def __init__(self, question: Question) -> None:
        self.relevance = WeightedSum(question.inputs)
        x = question.inputs[0]
        with torch.inference_mode(False):
            self._outputs = torch.zeros(len(x), dtype=wide(x.dtype), device=x.device)
        self._together = False

    def add(self, weights: Tensor, evaluated: Evaluated, examples: Tensor) -> None:
        """Take in a block of one sample of some examples."""
        self.relevance.add(weights, evaluated, examples)
        output = evaluated.changes[0][0].to(self._outputs)
        self._together |= len(output) != len(examples)
        if self._together:
            self._outputs[0] += output.sum()
        else:
            self._outputs[examples] = output

    def absorbed(self, together: bool) -> Tensor:
        """Outputs minus relevance, per example or of all together."""
        delta = self._outputs - total(self.relevance.sums)
        return delta.sum(0, keepdim=True) if together or self._together else delta
