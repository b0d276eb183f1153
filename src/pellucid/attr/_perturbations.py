"""Samples of any kind: drawn, represented and compared by functions of the user's, and evaluated in batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from pellucid._core import report
from pellucid._core.expansion import run_plain
from pellucid._core.forward import ForwardEvaluator, Given, explained, perturbing
from pellucid._core.output import any_output
from pellucid._core.progress import Progress
from pellucid._core.site import Question
from pellucid.attr._local import checked_weights, draws, nothing_to_fit, weight_from
from pellucid.errors import invalid_type, invalid_value

_AT_ONCE = 64
"""Perturbed inputs that are held at a time."""


@dataclass(frozen=True)
class Perturbations:
    """How inputs are perturbed, represented and compared.

    Attributes:
        similarity: weight of a sample.
        perturb: draws samples.
        interpretable: whether samples are representations; else they are inputs.
        transform: gives the other of the two.
    """

    similarity: Callable[..., Any]
    perturb: Callable[..., Any]
    interpretable: bool
    transform: Callable[..., Any]

    @classmethod
    def accept(
        cls,
        similarity: Any,
        perturb: Any,
        interpretable: bool,
        from_interpretable: Any,
        to_interpretable: Any,
    ) -> Perturbations:
        """Check the functions; the transform that is needed depends on what samples are."""
        name = "from_interp_rep_transform" if interpretable else "to_interp_rep_transform"
        transform = from_interpretable if interpretable else to_interpretable
        for argument, value in (("similarity_func", similarity), ("perturb_func", perturb), (name, transform)):
            if not callable(value):
                raise invalid_type(argument, f"a {type(value).__name__}", "it is called for each sample", "a function")
        return cls(similarity, perturb, bool(interpretable), transform)

    def evaluate(
        self, question: Question, count: int, cap: int | None, keywords: Mapping[str, Any], bar: Progress
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw samples and evaluate the function at them.

        Args:
            question: what is asked; it has one value.
            count: number of samples.
            cap: samples per forward pass at most.
            keywords: what the functions are given.
            bar: counts rows.

        Returns:
            Representations, shape (samples, features), weights and values, shape (samples,), on the CPU.
        """
        inputs, rows = question.inputs, []
        original = inputs if isinstance(question.template, tuple) else inputs[0]
        source = islice(draws(self.perturb, original, keywords), count)
        values: list[Tensor] = []
        with perturbing(question, cap, tuple(map(torch.zeros_like, inputs)), bar) as evaluator:
            if evaluator.score().numel() != 1:
                raise invalid_value(
                    "inputs",
                    f"with {evaluator.score().numel()} values to explain",
                    "this class fits one model to one value",
                    "one example, or a function that returns one value for the batch",
                )
            while part := list(islice(source, _AT_ONCE)):
                pairs = [self._both(sample, original, keywords) for sample in part]
                for perturbed, representation in pairs:
                    weight = weight_from(self.similarity, original, perturbed, representation, keywords)
                    rows.append((representation.detach().cpu().reshape(-1), weight))
                values.append(_values(evaluator, [_checked(perturbed, inputs) for perturbed, _ in pairs]))
        if not rows:
            raise nothing_to_fit()
        weights = checked_weights(torch.tensor([[weight] for _, weight in rows], dtype=torch.float64))
        return torch.stack([r for r, _ in rows]), weights[:, 0], torch.cat(values)

    def _both(self, sample: Any, original: Any, keywords: Mapping[str, Any]) -> tuple[Any, Tensor]:
        """Perturbed input and representation of a sample."""
        other = self.transform(sample, original, **keywords)
        perturbed, representation = (other, sample) if self.interpretable else (sample, other)
        return perturbed, torch.as_tensor(representation)


def _checked(perturbed: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Perturbed inputs as a tuple, of the inputs' dtypes and on their devices."""
    parts = perturbed if isinstance(perturbed, tuple) else (perturbed,)
    if len(parts) != len(inputs) or not all(isinstance(p, Tensor) for p in parts):
        raise invalid_type(
            "perturb_func",
            f"one that leads to a {type(perturbed).__name__} of {len(parts)}",
            f"there are {len(inputs)} inputs",
            "one that leads to a tensor for each input",
        )
    return tuple(p.detach().to(x.device, x.dtype) for p, x in zip(parts, inputs, strict=True))


def _values(evaluator: ForwardEvaluator, perturbed: list[tuple[Tensor, ...]]) -> Tensor:
    """Explained values at perturbed inputs: in batches where they have the inputs' shape, else one by one."""
    question = evaluator.question
    shapes = [x.shape for x in question.inputs]
    if all([p.shape for p in parts] == shapes for parts in perturbed):
        stacked = tuple(torch.stack(part) for part in zip(*perturbed, strict=True))
        return evaluator.evaluate(Given(stacked)).reshape(-1).cpu()
    found = []
    for parts in perturbed:
        report.count(question.site.examples)
        output = any_output(run_plain(question.site.run_whole, parts))
        found.append(explained(output, question.target).reshape(-1).cpu())
    return torch.cat(found)
