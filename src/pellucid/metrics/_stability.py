"""Stability: how much does an explanation change when the input hardly does?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeAlias

import torch
from torch import Tensor

from pellucid._core import report
from pellucid._core.arguments import repeat_keyword
from pellucid._core.batching import rows_per_call
from pellucid._core.checks import accept_function, is_finite, is_number
from pellucid._core.door import accept_inputs, accept_optional_count, accept_samples
from pellucid._core.expansion import SHAPE_ERRORS, agree
from pellucid._core.model import with_gradients
from pellucid._core.progress import progress
from pellucid._core.random import draw_seeds, generator_of
from pellucid._core.structure import like, wide
from pellucid.docstrings import documented
from pellucid.errors import ExpansionWarning, invalid_type, invalid_value
from pellucid.metrics._asked import accept_maps
from pellucid.metrics._drawing import accept_drawn, calls, grid, parameters_of, side_by_side
from pellucid.typing import Tensors


def default_perturb_func(
    inputs: Tensors, perturb_radius: float = 0.02, *, generator: torch.Generator | None = None
) -> Tensors:
    """Add noise that is uniform in the cube of values from -radius to radius around each input.

    Example:
        >>> import torch
        >>> from pellucid.metrics import default_perturb_func
        >>> bool((default_perturb_func(torch.zeros(2, 3), 0.1).abs() <= 0.1).all())
        True

    Args:
        inputs: a tensor or a tuple of tensors.
        perturb_radius: half the side of the cube, in the units of the inputs.
        generator: source of randomness, a CPU generator; torch's default one without.

    Returns:
        The perturbed inputs, in their structure.
    """
    values = inputs if isinstance(inputs, tuple) else (inputs,)
    noises = [torch.rand(x.shape, generator=generator, dtype=wide(x.dtype)) for x in values]
    return like(inputs, _shifted(values, noises, perturb_radius))


def _shifted(inputs: tuple[Tensor, ...], noises: Sequence[Tensor], radius: float) -> tuple[Tensor, ...]:
    """Move inputs by noise that is uniform from 0 to 1."""
    pairs = zip(inputs, noises, strict=True)
    return tuple((x + (2 * noise.to(x.device) - 1) * radius).to(x.dtype) for x, noise in pairs)


_SHARED = {
    "explanation_func": "Explains inputs: a method's attribute, for example Saliency(model).attribute, or any function"
    " of the inputs (in their structure) and of kwargs that returns attributions, a tensor or a tuple.",
    "perturb_radius": "How far a value may be moved, in the units of the inputs.",
    "n_perturb_samples": "Number of perturbed copies of each example.",
    "max_examples_per_batch": "Rows per call of explanation_func at most, but one copy of the batch at least; None"
    " leaves the choice to the library.",
    "kwargs": "Arguments of explanation_func. target, baselines, additional_forward_args and feature_mask with one row"
    " per example follow the copies.",
    "generator": "... It moves the inputs; a random explanation_func draws for itself.",
}


@with_gradients
@documented(
    **_SHARED,
    perturb_func="Perturbs inputs: called with them (each example repeated side by side; a tensor if there is one,"
    " else a tuple) and with perturb_radius if it takes a second argument; returns what is shaped like them.",
    norm_ord="Order of the norm: a positive number, inf, or fro for 2.",
)
def sensitivity_max(
    explanation_func: Callable[..., Any],
    inputs: Tensors,
    perturb_func: Callable[..., Any] = default_perturb_func,
    perturb_radius: float = 0.02,
    n_perturb_samples: int = 10,
    norm_ord: str | float = "fro",
    max_examples_per_batch: int | None = None,
    *,
    generator: torch.Generator | None = None,
    seed: int | None = None,
    show_progress: bool = False,
    **kwargs: Any,
) -> Tensor:
    """Measure the largest relative change of an explanation under small perturbations of the input.

    ``max over x_I of |A(x) - A(x_I)| / |A(x)|``, with 1 in place of a norm of 0. Range: 0 to infinity; lower
    is steadier. Law: 0 for gradients of a linear function. An explanation that draws random numbers has its own noise
    in the result.

    Example:
        >>> import torch
        >>> from pellucid.attr import InputXGradient
        >>> from pellucid.metrics import sensitivity_max
        >>> method = InputXGradient(lambda x: 3 * x.sum(1))
        >>> twice = lambda x: 1.5 * x
        >>> sensitivity_max(method.attribute, torch.tensor([[1.0, 2.0]]), perturb_func=twice)
        tensor([0.5000])

    {arguments}

    Returns:
        Scores, shape (N,).

    {raises}

    References:
        Yeh et al. (2019), On the (In)fidelity and Sensitivity of Explanations, arXiv:1901.09392.
    """
    order = _order(norm_ord)
    copies = _Copies(explanation_func, inputs, kwargs)
    drawing = (accept_samples("n_perturb_samples", n_perturb_samples), generator, seed)
    cap = accept_optional_count("max_examples_per_batch", max_examples_per_batch)
    draws = _draws(accept_function("perturb_func", perturb_func), perturb_radius, copies, drawing)
    copies.explain_inputs()
    expected = _joined(copies.explanation)
    size = torch.linalg.vector_norm(expected, order, dim=2)
    size = torch.where(size == 0, 1.0, size)
    largest = torch.zeros_like(size[0])
    with progress(show_progress, "Sensitivity", n_perturb_samples * copies.examples) as bar:
        for _, found in copies.explained(draws, n_perturb_samples, cap):
            change = torch.linalg.vector_norm(_joined(found) - expected, order, dim=2) / size
            largest = torch.maximum(largest, change.amax(0))
            bar.update(change.numel())
    return largest


@with_gradients
@documented(**_SHARED)
def local_lipschitz(
    explanation_func: Callable[..., Any],
    inputs: Tensors,
    *,
    perturb_radius: float = 0.02,
    n_perturb_samples: int = 10,
    max_examples_per_batch: int | None = None,
    generator: torch.Generator | None = None,
    seed: int | None = None,
    show_progress: bool = False,
    **kwargs: Any,
) -> Tensor:
    """Estimate how fast an explanation changes with the input: its local Lipschitz constant.

    ``max over x_I of |A(x) - A(x_I)|_2 / |x - x_I|_2`` over inputs drawn uniformly from the cube around x: a lower
    bound of the true constant. Range: 0 to infinity, in attributions per unit of input; lower is steadier.

    Example:
        >>> import torch
        >>> from pellucid.attr import InputXGradient
        >>> from pellucid.metrics import local_lipschitz
        >>> method = InputXGradient(lambda x: 3 * x.sum(1))  # A(x) = 3 x
        >>> local_lipschitz(method.attribute, torch.tensor([[1.0, 2.0]], dtype=torch.float64))
        tensor([3.0000], dtype=torch.float64)

    {arguments}

    Returns:
        Scores, shape (N,).

    {raises}

    References:
        Alvarez-Melis and Jaakkola (2018), On the Robustness of Interpretability Methods, arXiv:1806.08049.
    """
    copies = _Copies(explanation_func, inputs, kwargs)
    drawing = (accept_samples("n_perturb_samples", n_perturb_samples), generator, seed)
    cap = accept_optional_count("max_examples_per_batch", max_examples_per_batch)
    draws = _draws(default_perturb_func, perturb_radius, copies, drawing)
    copies.explain_inputs()
    expected, start = _joined(copies.explanation), _joined(tuple(x[None] for x in copies.inputs))
    largest = expected.new_zeros(copies.examples)
    with progress(show_progress, "Local Lipschitz", n_perturb_samples * copies.examples) as bar:
        for pending, found in copies.explained(draws, n_perturb_samples, cap):
            moved = torch.linalg.vector_norm(_joined(pending) - start, dim=2).to(expected)
            change = torch.linalg.vector_norm(_joined(found) - expected, dim=2)
            largest = torch.maximum(largest, torch.where(moved > 0, change / moved, 0.0).amax(0))
            bar.update(change.numel())
    return largest


Grid: TypeAlias = tuple[Tensor, ...]
"""Perturbed copies of the batch: per input a tensor of shape (copies, N, ...)."""
Draws: TypeAlias = Callable[[int], Grid]
"""Gives the next so many copies."""


def _draws(
    perturb_func: Callable[..., Any],
    radius: Any,
    copies: _Copies,
    drawing: tuple[int, torch.Generator | None, int | None],
) -> Draws:
    """Perturb the inputs, once per sample; arguments are checked before the first copy is asked for."""
    count, generator, seed = drawing
    inputs = copies.inputs
    if perturb_func is default_perturb_func:
        return _own_draws(inputs, iter(draw_seeds(count, generator, seed)), _radius(radius))
    for name, value in (("generator", generator), ("seed", seed)):
        if value is not None:
            raise invalid_value(name, "given", "perturb_func draws for itself", "a perturb_func that uses it")
    given = (radius,) if (parameters_of(perturb_func) or 1) > 1 else ()
    found = _users_draws(perturb_func, given, inputs, count)
    return lambda block: tuple(torch.stack(parts) for parts in zip(*islice(found, block), strict=True))


def _own_draws(inputs: tuple[Tensor, ...], seeds: Iterator[int], radius: float) -> Draws:
    """The default perturbation: one seed per copy, which draws for input after input."""

    def draw(block: int) -> Grid:
        noises = [torch.empty(block, *x.shape, dtype=wide(x.dtype), device="cpu") for x in inputs]
        generator = torch.Generator()
        for *rows, seed in zip(*[noise.unbind() for noise in noises], islice(seeds, block), strict=True):
            generator_of(seed, generator)
            for row in rows:
                row.uniform_(generator=generator)
        return _shifted(inputs, noises, radius)

    return draw


def _users_draws(
    perturb_func: Callable[..., Any], given: tuple[Any, ...], inputs: tuple[Tensor, ...], count: int
) -> Iterator[tuple[Tensor, ...]]:
    for block in calls(inputs, count):
        with torch.no_grad():
            drawn = perturb_func(side_by_side(inputs, block), *given)
        found = accept_drawn("perturbed inputs", drawn, inputs, block)
        grids = [grid(v, len(x), block).to(x.device, x.dtype) for v, x in zip(found, inputs, strict=True)]
        for copy in range(block):
            yield tuple(part[copy] for part in grids)


class _Copies:
    """Explains perturbed copies of inputs, as many per call as fit and as may share one."""

    def __init__(self, explanation_func: Callable[..., Any], inputs: Tensors, kwargs: dict[str, Any]) -> None:
        self.function = accept_function("explanation_func", explanation_func)
        if kwargs.get("return_convergence_delta"):
            why = "a completeness error is no attribution"
            raise invalid_value("return_convergence_delta", "True", why, "no such argument")
        self.template = inputs
        self.inputs = accept_inputs(inputs)
        self.examples = len(self.inputs[0])
        self.kwargs = kwargs
        self.explanation: tuple[Tensor, ...] = ()

    def explain_inputs(self) -> None:
        """Explain the inputs themselves, all else having been checked."""
        self.explanation = self._explained(tuple(x[None] for x in self.inputs))

    def explained(self, draws: Draws, count: int, cap: int | None) -> Iterator[tuple[Grid, Grid]]:
        """Explain several copies after the other.

        Yields:
            Copies and their explanations.
        """
        together = min(count, max(1, (cap or rows_per_call(self.inputs)) // self.examples))
        checked = together == 1
        done = 0
        while done < count:
            block = min(together, count - done)
            copies = draws(block)
            if checked or block == 1:
                found = self._explained(copies)
            else:
                found, checked = self._explained_together(copies), True
                if not found:
                    alone = [self._explained(tuple(v[k : k + 1] for v in copies)) for k in range(block)]
                    together, found = 1, tuple(torch.cat(parts) for parts in zip(*alone, strict=True))
                    _say_why_alone(count)
            yield copies, found
            done += block

    def _explained_together(self, copies: Grid) -> Grid:
        """Explain copies in one call beside the inputs; nothing if one comes out differently there, or not at all.

        The inputs must be explained as they are without copies, and a copy as it is without inputs. What fails for
        another reason fails again when the copies are explained one by one.
        """
        beside = tuple(torch.cat((v, x[None])) for v, x in zip(copies, self.inputs, strict=True))
        try:
            found, alone = self._explained(beside), self._explained(tuple(v[:1] for v in copies))
        except SHAPE_ERRORS:
            return ()
        known = [torch.cat(parts) for parts in zip(alone, self.explanation, strict=True)]
        same = all(agree(part[[0, -1]], both) for part, both in zip(found, known, strict=True))
        return tuple(part[:-1] for part in found) if same else ()

    def _explained(self, copies: Grid) -> Grid:
        """Explain several copies of the batch in one call."""
        rows = [v.flatten(0, 1) for v in copies]
        given = {n: repeat_keyword(n, v, self.examples, len(copies[0])) for n, v in self.kwargs.items()}
        found = _tuple(self.function(like(self.template, rows), **given))
        accept_maps(found, "the explanation")
        if len(found[0]) != len(rows[0]):
            raise invalid_value(
                "explanation_func", f"a function that returns {len(found[0])} rows for {len(rows[0])}",
                "each example has its own explanation", "one that returns attributions of shape (N, ...)",
            )  # fmt: skip
        return tuple(part.detach().reshape(len(copies[0]), self.examples, *part.shape[1:]) for part in found)


def _say_why_alone(count: int) -> None:
    report.notify(
        ExpansionWarning,
        "The inputs are explained differently among perturbed copies than alone: the explanation draws random numbers,"
        " whose noise is then part of the score, or its model mixes the rows of a batch or takes no other one. Each of"
        f" the {count} copies is explained by itself.",
    )


def _tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _joined(parts: tuple[Tensor, ...]) -> Tensor:
    """All values of each copy and example side by side, in float32 or wider."""
    flat = [p.to(wide(p.dtype)).reshape(*p.shape[:2], -1) for p in parts]
    return torch.cat([f.to(flat[0].device) for f in flat], dim=2) if len(flat) > 1 else flat[0]


def _order(norm_ord: Any) -> float:
    if norm_ord == "fro":
        return 2.0
    if not is_number(norm_ord):
        raise invalid_type("norm_ord", repr(norm_ord), "it is no order of a norm", "a positive number, inf or 'fro'")
    if not norm_ord > 0:
        raise invalid_value("norm_ord", str(norm_ord), "norms have a positive order", "a positive number or inf")
    return float(norm_ord) if is_finite(norm_ord) else math.inf


def _radius(value: Any) -> float:
    if not is_number(value):
        raise invalid_type("perturb_radius", f"a {type(value).__name__}", "it is a distance", "a number >= 0")
    if not (is_finite(value) and value >= 0):
        raise invalid_value("perturb_radius", str(value), "it is a distance", "a number >= 0")
    return float(value)
