"""Noise tunnel: any method averaged over noisy copies of the input (SmoothGrad, SmoothGrad-squared, VarGrad)."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from pellucid._core import report
from pellucid._core.arguments import repeat_keyword
from pellucid._core.batching import rows_per_call
from pellucid._core.checks import accept_choice
from pellucid._core.door import (
    accept_distribution,
    accept_optional_count,
    accept_question,
    accept_samples,
    accept_stdevs,
)
from pellucid._core.expansion import SHAPE_ERRORS
from pellucid._core.gradient import copies_stand_alone
from pellucid._core.path import Points
from pellucid._core.progress import progress
from pellucid._core.random import draw_seeds, generator_of
from pellucid._core.reducers import Evaluated, Moments
from pellucid._core.sampling import warn_if_noisy
from pellucid._core.site import Question
from pellucid._core.structure import like, wide
from pellucid.attr.attribution import Attribution
from pellucid.docstrings import documented
from pellucid.errors import invalid_type, invalid_value
from pellucid.typing import Tensors

_STATISTICS: dict[str, Callable[[Moments], tuple[Tensor, ...]]] = {
    "smoothgrad": lambda m: m.means,
    "smoothgrad_sq": lambda m: tuple(v + a.square() for v, a in zip(m.variances(), m.means, strict=True)),
    "vargrad": lambda m: m.variances(),
}


class NoiseTunnel(Attribution):
    """Statistics of a method's attributions over inputs with Gaussian noise.

    With attributions ``A_k = A(x + e_k)``, ``e_k ~ N(0, stdevs^2)``: their mean (``smoothgrad``), the mean of
    their squares (``smoothgrad_sq``) or their variance ``mean((A_k - mean)^2)`` (``vargrad``). Law: without
    noise the mean is the method itself, and the variance zero.

    Example:
        >>> import torch
        >>> from pellucid.attr import NoiseTunnel, Saliency
        >>> tunnel = NoiseTunnel(Saliency(lambda x: x @ torch.tensor([3.0, -2.0])))
        >>> tunnel.attribute(torch.zeros(1, 2), nt_type="smoothgrad", abs=False)  # a linear model is smooth
        tensor([[ 3., -2.]])

    References:
        Smilkov, Thorat, Kim, Viegas and Wattenberg (2017), SmoothGrad, arXiv:1706.03825; Adebayo, Gilmer,
        Goodfellow and Kim (2018), arXiv:1810.03307 (VarGrad).
    """

    @documented(attribution_method="The method to run on noisy inputs.")
    def __init__(self, attribution_method: Attribution) -> None:
        """Wrap a method.

        {arguments}
        """
        if not hasattr(attribution_method, "attribute") or not hasattr(attribution_method, "forward_func"):
            raise invalid_type(
                "attribution_method",
                f"a {type(attribution_method).__name__}",
                "it has no attribute() and forward_func",
                "a method such as Saliency(model)",
            )
        super().__init__(attribution_method.forward_func)
        self.attribution_method = attribution_method

    @property
    def multiplies_by_inputs(self) -> bool:
        """Whether the wrapped method does."""
        return self.attribution_method.multiplies_by_inputs

    def has_convergence_delta(self) -> bool:
        """Tell whether the wrapped method has a completeness error."""
        return self.attribution_method.has_convergence_delta()

    @documented(
        nt_type="smoothgrad, smoothgrad_sq or vargrad.",
        nt_samples="Number of noisy copies of each example.",
        nt_samples_batch_size="Noisy copies per call of the wrapped method at most; None leaves it to the library.",
        draw_baseline_from_distrib="Whether each noisy copy takes a random row of baselines as its baseline.",
        kwargs="Arguments of the wrapped method. target, baselines, additional_forward_args and feature_mask with"
        " one row per example follow the noisy copies.",
    )
    def attribute(
        self,
        inputs: Tensors,
        nt_type: str = "smoothgrad",
        nt_samples: int = 5,
        nt_samples_batch_size: int | None = None,
        stdevs: float | tuple[float, ...] = 1.0,
        draw_baseline_from_distrib: bool = False,
        *,
        generator: torch.Generator | None = None,
        seed: int | None = None,
        show_progress: bool = False,
        **kwargs: Any,
    ) -> Tensors | tuple[Tensors, Tensor]:
        """Run the wrapped method on noisy inputs.

        {arguments}

        Returns:
            The statistic, in the structure of the wrapped method's attributions; with
            ``return_convergence_delta=True`` also the wrapped method's delta for each copy, the copies of an
            example side by side.

        Raises:
            InvalidTypeError: for a keyword that the wrapped method does not have.
            InvalidValueError: for an unknown ``nt_type`` or arguments that do not fit together.
        """
        known = _arguments_of(self.attribution_method.attribute)
        kwargs, nt_samples = self._renamed(kwargs, nt_samples, known)
        self._check_keywords(kwargs, draw_baseline_from_distrib, known)
        accept_choice("nt_type", nt_type, _STATISTICS, "there is no such statistic")
        arguments = kwargs.get("additional_forward_args")
        question = accept_question(self.forward_func, inputs, kwargs.get("target"), arguments)
        noise = accept_stdevs(stdevs, question.inputs)
        count = accept_samples("nt_samples", nt_samples)
        cap = accept_optional_count("nt_samples_batch_size", nt_samples_batch_size)
        rows = accept_distribution(kwargs["baselines"], question.inputs, inputs) if draw_baseline_from_distrib else None
        random = "generator" in known
        seeds = draw_seeds(2 * count, generator, seed)
        copies = _Copies(question, noise, seeds[:count], rows, kwargs)
        together = cap or max(1, rows_per_call(question.inputs) // question.site.examples)

        moments: Moments | None = None
        deltas = []
        template: Any = inputs
        with progress(show_progress, self.get_name(), count, unit="copy") as bar:
            for chosen, given in self._explained(copies, seeds[count:] if random else [], 1 if random else together):
                found = given
                if kwargs.get("return_convergence_delta"):
                    found, delta = given
                    deltas.append(delta.reshape(len(chosen), -1, delta.numel() // (len(chosen) * copies.examples)))
                template, parts = found, found if isinstance(found, tuple) else (found,)
                grid = tuple(p.reshape(len(chosen), len(p) // len(chosen), *p.shape[1:]) for p in parts)
                moments = Moments(tuple(g[0] for g in grid), multiply=False) if moments is None else moments
                moments.add(torch.ones(len(chosen)), Evaluated(Points(()), grid), torch.arange(len(grid[0][0])))
                bar.update(len(chosen))
        return self._finished(nt_type, moments, template, deltas, count)

    def _explained(self, copies: _Copies, seeds: list[int], together: int) -> Iterator[tuple[range, Any]]:
        """Explain the copies, so many per call as long as copies in one call do not influence each other.

        Args:
            copies: the noisy copies.
            seeds: one per copy for a method that draws at random, which explains one copy per call.
            together: copies per call at most.

        Yields:
            Numbers of copies, and what the wrapped method returned for them.
        """
        start, compared = 0, False
        while start < copies.count:
            chosen = range(start, min(start + together, copies.count))
            if seeds:
                copies.kwargs["generator"] = generator_of(seeds[start])
            if compared or len(chosen) == 1:
                with report.recording():
                    found = self.attribution_method.attribute(copies.inputs(chosen), **copies.keywords(chosen))
            else:
                found, compared = self._explained_together(copies, chosen), True
                if found is None:
                    together = 1
                    continue
            yield chosen, found
            start = chosen.stop

    def _explained_together(self, copies: _Copies, chosen: range) -> Any:
        """Explain several copies in one call; ``None`` if that fails, or copies do not give there what they give alone.

        What fails for another reason fails again when the copies are explained one by one.
        """
        noisy = copies.noisy(chosen)
        try:
            with report.recording() as inner:
                found = self.attribution_method.attribute(
                    like(copies.question.template, noisy), **copies.keywords(chosen)
                )
        except SHAPE_ERRORS:
            return None
        return found if copies_stand_alone(copies.question, noisy, inner.outputs) else None

    def _finished(
        self, nt_type: str, moments: Moments | None, template: Any, deltas: list[Tensor], count: int
    ) -> Tensors | tuple[Tensors, Tensor]:
        if moments is None:  # not reached: there is at least one copy
            raise invalid_value("nt_samples", str(count), "there is no copy", "an int >= 1")
        if nt_type == "smoothgrad":
            errors = moments.standard_errors()
            report.check(standard_error=errors)
            warn_if_noisy(self.get_name(), moments.means, errors, count)
        parts = template if isinstance(template, tuple) else (template,)
        values = [v.to(p.dtype) for v, p in zip(_STATISTICS[nt_type](moments), parts, strict=True)]
        answer = like(template, values)
        return (answer, torch.cat(deltas).transpose(0, 1).reshape(-1)) if deltas else answer

    @staticmethod
    def _renamed(kwargs: dict[str, Any], nt_samples: int, known: frozenset[str]) -> tuple[dict[str, Any], int]:
        """Accept the older name of ``nt_samples``, unless the wrapped method has one of that name."""
        if "n_samples" not in kwargs or "n_samples" in known:
            return kwargs, nt_samples
        message = "NoiseTunnel's n_samples is now called nt_samples"
        warnings.warn(message, DeprecationWarning, stacklevel=4)
        return {k: v for k, v in kwargs.items() if k != "n_samples"}, kwargs["n_samples"]

    def _check_keywords(self, kwargs: dict[str, Any], draw_baselines: bool, known: frozenset[str]) -> None:
        name = type(self.attribution_method).__name__
        unknown = sorted(set(kwargs) - known)
        if unknown:
            raise invalid_type(unknown[0], "given", f"{name} has no such argument", f"one of {sorted(known)}")
        if draw_baselines and kwargs.get("baselines") is None:
            raise invalid_value(
                "draw_baseline_from_distrib",
                "True",
                "there are no baselines to draw from",
                "baselines as well",
            )


_arguments: WeakKeyDictionary[Callable[..., Any], frozenset[str]] = WeakKeyDictionary()


def _arguments_of(method: Callable[..., Any]) -> frozenset[str]:
    """Names of a method's arguments; reading a signature takes as long as a pass of a small model."""
    function = getattr(method, "__func__", method)
    if function not in _arguments:
        _arguments[function] = frozenset(inspect.signature(function).parameters) - {"self"}
    return _arguments[function]


class _Copies:
    """Noisy copies of inputs, with the arguments of the wrapped method that follow them."""

    def __init__(
        self,
        question: Question,
        stdevs: tuple[float, ...],
        seeds: list[int],
        distribution: tuple[Tensor, ...] | None,
        kwargs: dict[str, Any],
    ) -> None:
        self.question = question
        self.examples = question.site.examples
        self.stdevs = stdevs
        self.seeds = seeds
        self.count = len(seeds)
        self.distribution = distribution
        self.kwargs = dict(kwargs)

    def inputs(self, chosen: range) -> Tensors:
        """Noisy inputs of the chosen copies, copy after copy."""
        return like(self.question.template, self.noisy(chosen))

    def noisy(self, chosen: range) -> tuple[Tensor, ...]:
        """Noisy copies of the batch, copy after copy: one generator each, which draws for input after input."""
        inputs = self.question.inputs
        noises = [torch.empty(len(chosen), *x.shape, dtype=wide(x.dtype), device="cpu") for x in inputs]
        generator = torch.Generator()
        for k, *rows in zip(chosen, *[noise.unbind() for noise in noises], strict=True):
            generator_of(self.seeds[k], generator)
            for row, stdev in zip(rows, self.stdevs, strict=True):
                if stdev:
                    row.normal_(generator=generator)
        return tuple(
            noise.mul_(stdev).to(x.device).add_(x).to(x.dtype).flatten(0, 1)
            if stdev
            else x.repeat(len(chosen), *[1] * (x.dim() - 1))
            for x, noise, stdev in zip(inputs, noises, self.stdevs, strict=True)
        )

    def keywords(self, chosen: range) -> dict[str, Any]:
        """Arguments of the wrapped method for the chosen copies."""
        repeated = {n: repeat_keyword(n, v, self.examples, len(chosen)) for n, v in self.kwargs.items()}
        if self.distribution is not None:
            repeated["baselines"] = like(self.question.template, self._drawn(chosen, self.distribution))
        return repeated

    def _drawn(self, chosen: range, distribution: tuple[Tensor, ...]) -> list[Tensor]:
        """A random row of the distribution per copy and example; row j of all tensors belongs together."""
        rows = []
        for k in chosen:
            generator = generator_of(self.seeds[k] ^ 1)
            rows.append(torch.randint(distribution[0].shape[0], (self.examples,), generator=generator))
        index = torch.cat(rows)
        return [base[index.to(base.device)] for base in distribution]
