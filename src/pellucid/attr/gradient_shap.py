"""GradientSHAP: expected gradients between random baselines and noisy inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pellucid._core import report
from pellucid._core.carrying import Carrier
from pellucid._core.differentiation import Differentiation, PlainGradients, plain_gradients
from pellucid._core.door import (
    accept_distribution,
    accept_grad_kwargs,
    accept_optional_count,
    accept_question,
    accept_samples,
    accept_stdevs,
)
from pellucid._core.gradient import Evaluator, evaluating
from pellucid._core.path import MappedLine, RandomLine
from pellucid._core.progress import progress
from pellucid._core.random import draw_seeds
from pellucid._core.reducers import Evaluated, Moments, PerSample
from pellucid._core.renaming import renamed
from pellucid._core.sampling import warn_if_noisy
from pellucid._core.site import Question
from pellucid.attr.attribution import Attribution, GradientAttribution, LayerAttribution, NeuronAttribution
from pellucid.docstrings import documented
from pellucid.typing import DistributionLike, ForwardFunction, LayerTensors, NeuronSelector, TargetLike, Tensors

_ROWS = (
    "Rows to draw baselines from: a tensor with any number of rows, a number, a tuple with one of these per input (row"
    " j of all belongs together), or a callable that returns them and takes nothing or the inputs."
)


class GradientShap(GradientAttribution):
    """How the change from a distribution of baselines splits into input values, by gradients at random points.

    The mean of ``(x + e - b) * dF/dx at b + a (x + e - b)`` over random b, e and a: for each sample b is a row of
    the baselines, e ~ N(0, stdevs^2) noise and a ~ U(0, 1); tensors of one example share row and a. Law: without
    noise, the expectation of the attributions sums to ``F(x) - E[F(b)]``. The standard error of the mean is computed
    with every call (``pellucid.recording``, ``Explanation``), and a large one is warned about.

    Example:
        >>> import torch
        >>> from pellucid.attr import GradientShap
        >>> linear = lambda x: x @ torch.tensor([3.0, -2.0])
        >>> GradientShap(linear).attribute(torch.tensor([[1.0, 2.0]]), baselines=torch.zeros(1, 2))
        tensor([[ 3., -4.]])

    References:
        Lundberg and Lee (2017), A Unified Approach to Interpreting Model Predictions, arXiv:1705.07874; Erion,
        Janizek, Sturmfels, Lundberg and Lee (2021), expected gradients, arXiv:1906.10670.
    """

    _completeness = True
    takes_distribution = True

    @documented()
    def __init__(self, forward_func: ForwardFunction, multiply_by_inputs: bool = True) -> None:
        """Explain a function by expected gradients.

        {arguments}
        """
        super().__init__(forward_func)
        self._multiply_by_inputs = multiply_by_inputs

    @documented(baselines=_ROWS)
    def attribute(
        self,
        inputs: Tensors,
        baselines: DistributionLike,
        n_samples: int = 5,
        stdevs: float | tuple[float, ...] = 0.0,
        target: TargetLike = None,
        additional_forward_args: Any = None,
        return_convergence_delta: bool = False,
        *,
        targets: Sequence[TargetLike] | None = None,
        internal_batch_size: int | None = None,
        generator: torch.Generator | None = None,
        seed: int | None = None,
        show_progress: bool = False,
    ) -> Tensors | tuple[Tensors, Tensor]:
        """Estimate expected gradients from random samples.

        {arguments}

        Returns:
            Attributions in the structure of the inputs; with ``return_convergence_delta`` also
            ``sum(attributions) - (F(x + e) - F(b))`` of each sample, shape (N * n_samples,), the samples of an
            example side by side; shape (n_samples,) if the function returns one value per batch or mixes the
            examples.

        {raises}
        """
        question = accept_question(self.forward_func, inputs, target, additional_forward_args, targets)
        rows = accept_distribution(baselines, question.inputs, inputs)
        noise = accept_stdevs(stdevs, question.inputs)
        cap = accept_optional_count("internal_batch_size", internal_batch_size)
        seeds = draw_seeds(accept_samples("n_samples", n_samples), generator, seed)
        path = RandomLine(question.inputs, rows, noise, tuple(seeds))
        sampling = _Sampling(
            self.get_name(), path.samples, self._multiply_by_inputs, return_convergence_delta, show_progress
        )
        answer: Tensors | tuple[Tensors, Tensor] = sampling.answer(question, lambda _: path, cap)
        return answer


class LayerGradientShap(LayerAttribution):
    """How the change from a distribution of baselines splits into the values of a layer, by gradients at random points.

    ``GradientShap`` on the rest of the model: with z the layer's value at the noisy input and z' that at a random
    baseline row, the mean of ``(z - z') * dF/dz at z' + a (z - z')``. What flows around the layer is held at the
    inputs. Law: where every path leads through the layer, and without noise, the expectation of the attributions sums
    to ``F(x) - E[F(b)]``.

    Example:
        >>> import torch
        >>> from pellucid.attr import LayerGradientShap
        >>> double = torch.nn.Linear(1, 1, bias=False)
        >>> _ = torch.nn.init.constant_(double.weight, 2.0)
        >>> LayerGradientShap(lambda x: 3 * double(x), double).attribute(torch.ones(1, 1), torch.zeros(1, 1))
        tensor([[6.]])

    References:
        Lundberg and Lee (2017), arXiv:1705.07874; Erion, Janizek, Sturmfels, Lundberg and Lee (2021), expected
        gradients, arXiv:1906.10670.
    """

    _completeness = True
    takes_distribution = True

    @documented()
    def __init__(
        self,
        forward_func: ForwardFunction,
        layer: nn.Module,
        device_ids: list[int] | None = None,
        multiply_by_inputs: bool = True,
    ) -> None:
        """Explain a function at one of its layers by expected gradients.

        {arguments}
        """
        super().__init__(forward_func, layer, device_ids)
        self._multiply_by_inputs = multiply_by_inputs

    @documented(baselines=_ROWS)
    def attribute(
        self,
        inputs: Tensors,
        baselines: DistributionLike,
        n_samples: int = 5,
        stdevs: float | tuple[float, ...] = 0.0,
        target: TargetLike = None,
        additional_forward_args: Any = None,
        return_convergence_delta: bool = False,
        attribute_to_layer_input: bool = False,
        grad_kwargs: Mapping[str, Any] | None = None,
        *,
        calls: str = "sum",
        targets: Sequence[TargetLike] | None = None,
        internal_batch_size: int | None = None,
        generator: torch.Generator | None = None,
        seed: int | None = None,
        show_progress: bool = False,
    ) -> LayerTensors | tuple[LayerTensors, Tensor]:
        """Estimate expected gradients of the layer's values from random samples.

        {arguments}

        Returns:
            Attributions shaped as the layer's value; with ``return_convergence_delta`` also
            ``sum(attributions) - (F(z, x) - F(z', x))`` of each sample, shape (N * n_samples,), the samples of an
            example side by side.

        {layer_raises}
        """
        asked = accept_question(self.forward_func, inputs, target, additional_forward_args, targets, integers=True)
        rows = accept_distribution(baselines, asked.inputs, inputs)
        noise = accept_stdevs(stdevs, asked.inputs)
        cap = accept_optional_count("internal_batch_size", internal_batch_size)
        options = accept_grad_kwargs(grad_kwargs)
        seeds = draw_seeds(accept_samples("n_samples", n_samples), generator, seed)
        site, question = self._at_layer(asked, attribute_to_layer_input, calls, replay=True)
        line = RandomLine(asked.inputs, rows, noise, tuple(seeds))

        def path(evaluator: Evaluator) -> MappedLine:
            known = not site.divisible or evaluator.checks_first(line.samples)
            apart = known or evaluator.stands_beside(tuple(z / 2 for z in question.inputs), evaluator.all)
            return MappedLine(line, Carrier(site, cap), question.inputs, lambda: evaluator.mixes or not apart)

        sampling = _Sampling(
            self.get_name(), line.samples, self._multiply_by_inputs, return_convergence_delta, show_progress
        )
        return sampling.answer(question, path, cap, PlainGradients(required=False, grad_kwargs=options))


class NeuronGradientShap(NeuronAttribution):
    """How the change of a neuron from a distribution of baselines splits into input values.

    ``GradientShap`` of the function that returns the neuron. Law: without noise, the expectation of the attributions
    sums to ``n(x) - E[n(b)]``.

    Example:
        >>> import torch
        >>> from pellucid.attr import NeuronGradientShap
        >>> layer = torch.nn.Linear(2, 2, bias=False)
        >>> _ = layer.weight.data.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        >>> NeuronGradientShap(layer, layer).attribute(torch.ones(1, 2), 1, torch.zeros(1, 2))
        tensor([[3., 4.]])

    References:
        Lundberg and Lee (2017), arXiv:1705.07874.
    """

    _completeness = True
    takes_distribution = True

    @documented()
    def __init__(
        self,
        forward_func: ForwardFunction,
        layer: nn.Module,
        device_ids: list[int] | None = None,
        multiply_by_inputs: bool = True,
    ) -> None:
        """Explain a neuron by expected gradients.

        {arguments}
        """
        super().__init__(forward_func, layer, device_ids)
        self._multiply_by_inputs = multiply_by_inputs

    @renamed(neuron_index="neuron_selector")
    @documented(baselines=_ROWS)
    def attribute(
        self,
        inputs: Tensors,
        neuron_selector: NeuronSelector | None = None,
        baselines: DistributionLike | None = None,
        n_samples: int = 5,
        stdevs: float | tuple[float, ...] = 0.0,
        additional_forward_args: Any = None,
        attribute_to_neuron_input: bool = False,
        *,
        neurons: Sequence[NeuronSelector] | None = None,
        internal_batch_size: int | None = None,
        generator: torch.Generator | None = None,
        seed: int | None = None,
        show_progress: bool = False,
    ) -> Tensors:
        """Estimate expected gradients of a neuron from random samples.

        {arguments}

        {like_inputs}

        {neuron_raises}
        """
        function, targets = self._neurons(neuron_selector, neurons, attribute_to_neuron_input)
        method: Attribution = GradientShap(function, self._multiply_by_inputs)
        attributions: Tensors = method.attribute(
            inputs,
            baselines,
            n_samples,
            stdevs,
            additional_forward_args=additional_forward_args,
            targets=targets,
            internal_batch_size=internal_batch_size,
            generator=generator,
            seed=seed,
            show_progress=show_progress,
        )
        return attributions


@dataclass(frozen=True)
class _Sampling:
    """How samples of a random line become an answer."""

    name: str
    samples: int
    multiply: bool
    with_delta: bool
    show_progress: bool

    def answer(
        self,
        question: Question,
        path_for: Callable[[Evaluator], RandomLine | MappedLine],
        cap: int | None,
        differentiate: Differentiation = plain_gradients,
    ) -> Any:
        """Take the gradients at all samples; report the standard errors."""
        samples = [_Samples(question.inputs, self.multiply, self.samples, self.with_delta) for _ in question.targets]
        with (
            evaluating(question, cap, differentiate) as evaluator,
            progress(self.show_progress, self.name, self.samples * question.site.examples) as bar,
        ):
            path = path_for(evaluator)
            evaluator.accumulate(samples, path, bar)
            if self.with_delta:
                every = slice(0, path.samples)
                for found, changes in zip(samples, _differences(evaluator, path), strict=True):
                    found.totals.expect(changes, every, evaluator.all)
            mixes = evaluator.mixes
        errors = [found.standard_errors() for found in samples]
        for found, error in zip(samples, errors, strict=True):
            warn_if_noisy(self.name, found.means, error, self.samples)
        if errors[0] is not None:
            by_input = zip(*(error or () for error in errors), strict=True)
            report.check(standard_error=tuple(question.stacked(parts) for parts in by_input))
        answer = question.answer([found.means for found in samples])
        if not self.with_delta:
            return answer
        return answer, question.stacked([found.totals.errors(mixes).reshape(-1) for found in samples])


class _Samples(Moments):
    """Moments, and if wanted what each single sample was attributed in all."""

    def __init__(self, inputs: tuple[Tensor, ...], multiply: bool, samples: int, each: bool) -> None:
        super().__init__(inputs, multiply)
        self.totals = PerSample(len(inputs[0]), samples, inputs[0])
        self._each = each

    def add(self, weights: Tensor, evaluated: Evaluated, examples: Tensor) -> None:
        """Take in a block."""
        super().add(weights, evaluated, examples)
        if self._each:
            self.totals.add(evaluated.products, evaluated.changes, examples)


def _differences(evaluator: Evaluator, path: RandomLine | MappedLine) -> list[Tensor]:
    """F(x + e) - F(b) of every sample for each target, shape (N, samples), each on the batch as it is."""
    columns: list[list[Tensor]] = [[] for _ in evaluator.question.targets]
    dtypes = [x.dtype for x in evaluator.question.inputs]
    for sample in range(path.samples):
        ends, starts, _ = path.ends(sample, evaluator.all)
        at_end = evaluator.scores_at(tuple(e.to(d) for e, d in zip(ends, dtypes, strict=True)))
        begins = tuple(s.expand_as(e).to(d) for s, e, d in zip(starts, ends, dtypes, strict=True))
        for column, end, start in zip(columns, at_end, evaluator.scores_at(begins), strict=True):
            column.append(end - start)
    return [torch.stack(column, dim=1) for column in columns]
