"""Sanity checks: an explanation that does not change with the model, or with the class, explains neither."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pellucid._core.checks import accept_choice, accept_function
from pellucid._core.door import accept_inputs, accept_question
from pellucid._core.gradient import evaluating
from pellucid._core.model import with_gradients
from pellucid._core.output import accept_target
from pellucid._core.progress import progress
from pellucid._core.random import draw_seeds, generator_of
from pellucid._core.structure import wide
from pellucid.docstrings import documented
from pellucid.errors import invalid_type, invalid_value
from pellucid.metrics._asked import accept_maps
from pellucid.metrics._randomised import accept_layers, randomised, twin
from pellucid.metrics._similarity import similarity_named
from pellucid.typing import ForwardFunction, Tensors

ORDERS = ("cascading", "independent")
_SHARED = {
    "similarity": "spearman (of the ranks), pearson or cosine.",
    "absolute": "Whether magnitudes are compared instead of signed attributions.",
}


@dataclass(frozen=True)
class Randomisation:
    """How much explanations of models with random parameters resemble those of the model itself.

    Attributes:
        score: mean similarity over the layers, shape (N,).
        layers: names of the layers in the order in which they were randomised.
        similarities: one per example and layer, shape (N, layers).
    """

    score: Tensor
    layers: tuple[str, ...]
    similarities: Tensor


@with_gradients
@documented(
    **_SHARED,
    explanation_func="Explains a model: called with a copy of it, the inputs and kwargs, it returns attributions; for"
    " example ``lambda m, x, **kw: Saliency(m).attribute(x, **kw)``.",
    order="cascading (from the last layer down, each staying random) or independent (one layer at a time).",
    layers="Names of the layers, in the order in which they are randomised; None takes all that have parameters, the"
    " last defined first.",
    kwargs="Arguments of explanation_func, such as target.",
)
def parameter_randomisation(
    model: nn.Module,
    explanation_func: Callable[..., Any],
    inputs: Tensors,
    *,
    order: str = "cascading",
    layers: Sequence[str] | None = None,
    similarity: str = "spearman",
    absolute: bool = False,
    generator: torch.Generator | None = None,
    seed: int | None = None,
    show_progress: bool = False,
    **kwargs: Any,
) -> Randomisation:
    """Compare explanations with those of the same model after its parameters were replaced by random ones.

    Parameters are drawn from normal distributions with the mean and spread that they had, on a copy of the model;
    the model itself is not touched. Range of a similarity: -1 to 1; lower
    is better: an explanation of similarity 1 does not depend on what was learnt.

    Example:
        >>> import torch
        >>> from pellucid.metrics import parameter_randomisation
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
        >>> edges = lambda model, x: x.diff(dim=1)  # never looks at the model
        >>> found = parameter_randomisation(model, edges, torch.rand(1, 4, dtype=torch.float64))
        >>> found.layers, bool((found.score - 1).abs() < 1e-12)
        (('2', '0'), True)

    {arguments}

    Returns:
        The similarities by layer and their mean.

    Raises:
        InvalidTypeError: for arguments of a wrong type, or a model that is no module.
        InvalidValueError: for unknown layers or names.
        UnsupportedModelError: if the model cannot be copied.

    References:
        Adebayo, Gilmer, Muelly, Goodfellow, Hardt and Kim (2018), Sanity Checks for Saliency Maps,
        arXiv:1810.03292.
    """
    chosen = accept_layers(model, layers)
    accept_function("explanation_func", explanation_func)
    examples = len(accept_inputs(inputs)[0])
    compare = similarity_named(similarity)
    accept_choice("order", order, ORDERS, "there is no such order")
    seeds = draw_seeds(len(chosen), generator, seed)
    inner = twin(model)
    own = _values(explanation_func(model, inputs, **kwargs), absolute, examples)
    found = []
    with progress(show_progress, "Parameter randomisation", len(chosen), unit="layer") as bar:
        for changed in randomised(inner, chosen, seeds, cascading=order == "cascading"):
            found.append(compare(own, _values(explanation_func(changed, inputs, **kwargs), absolute, examples)))
            bar.update(1)
    similarities = torch.stack(found, dim=1)
    return Randomisation(similarities.nanmean(1), chosen, similarities)


@with_gradients
@documented(
    **_SHARED,
    explanation_func="Explains inputs: a method's attribute, or any function of the inputs, target and kwargs.",
    target="Index of the explained class, or one per example as a tensor (N,) or a list.",
    kwargs="Further arguments of explanation_func.",
)
def random_logit(
    model: ForwardFunction,
    explanation_func: Callable[..., Any],
    inputs: Tensors,
    target: int | list[int] | Tensor,
    additional_forward_args: Any = None,
    *,
    similarity: str = "spearman",
    absolute: bool = False,
    generator: torch.Generator | None = None,
    seed: int | None = None,
    **kwargs: Any,
) -> Tensor:
    """Compare the explanation of a class with that of another one, drawn at random for each example.

    Range: -1 to 1; lower is better: an explanation of similarity 1 is the same whatever is explained.

    Example:
        >>> import torch
        >>> from pellucid.metrics import random_logit
        >>> model = torch.nn.Linear(4, 3)
        >>> edges = lambda x, target: x.diff(dim=1)  # never looks at the class
        >>> bool((random_logit(model, edges, torch.rand(2, 4), target=0) - 1).abs().max() < 1e-12)
        True

    {arguments}

    Returns:
        Scores, shape (N,).

    Raises:
        InvalidTypeError: for arguments of a wrong type.
        InvalidValueError: for arguments that do not fit together, or a model without classes.

    References:
        Sixt, Granz and Landgraf (2020), When Explanations Lie: Why Many Modified BP Attributions Fail,
        arXiv:1912.09818.
    """
    question = accept_question(model, inputs, target, additional_forward_args)
    accept_function("explanation_func", explanation_func)
    compare = similarity_named(similarity)
    examples = len(question.inputs[0])
    classes = _classes(target, examples)
    (drawn,) = draw_seeds(1, generator, seed)
    with evaluating(question) as evaluator:
        outputs, _ = evaluator.outputs(), evaluator.scores()[0]
    if outputs.dim() != 2 or outputs.shape[1] < 2:
        given = f"a function whose output has shape {tuple(outputs.shape)}"
        raise invalid_value("model", given, "another class is needed", "a model that returns scores (N, C), C > 1")
    steps = torch.randint(1, outputs.shape[1], (examples,), generator=generator_of(drawn))
    others = (classes % outputs.shape[1] + steps) % outputs.shape[1]
    if additional_forward_args is not None:
        kwargs["additional_forward_args"] = additional_forward_args
    first = _values(explanation_func(inputs, target=classes.to(outputs.device), **kwargs), absolute, examples)
    second = _values(explanation_func(inputs, target=others.to(outputs.device), **kwargs), absolute, examples)
    return compare(first, second)


def _classes(target: Any, examples: int) -> Tensor:
    """The explained class of each example, shape (N,)."""
    accepted = accept_target(target, examples)
    if accepted.each is not None and accepted.each.shape[1] == 1:
        return accepted.each[:, 0].cpu()
    if accepted.common is not None and len(accepted.common) == 1 and isinstance(accepted.common[0], int):
        return torch.full((examples,), accepted.common[0])
    raise invalid_type("target", f"a {type(target).__name__}", "a class is replaced by another", "class indices")


def _values(explanation: Any, absolute: bool, examples: int) -> Tensor:
    """All values of each example side by side, shape (N, values)."""
    parts = accept_maps(explanation, "the explanation")
    if len(parts[0]) != examples:
        raise invalid_value(
            "explanation_func", f"a function that returns {len(parts[0])} rows for {examples} examples",
            "each example has its own explanation", "one that returns attributions of shape (N, ...)",
        )  # fmt: skip
    flat = [p.to(wide(p.dtype)).reshape(len(p), -1) for p in parts]
    joined = torch.cat([f.to(flat[0].device) for f in flat], dim=1)
    return joined.abs() if absolute else joined
