"""The smallest parameter of a perturbation that turns a prediction."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pellucid._core.checks import accept_choice, accept_dense, accept_keywords, is_finite, is_number, shown
from pellucid._core.door import accept_count, accept_forward
from pellucid._core.structure import like
from pellucid.docstrings import accept_flag, documented
from pellucid.errors import invalid_type, invalid_value
from pellucid.robust._asking import class_labels
from pellucid.robust._trials import Trials
from pellucid.typing import ForwardFunction, TargetLike


@dataclass(frozen=True)
class MinParamPerturbation:
    """The smallest value of one argument of a perturbation for which a prediction turns.

    The least ``p`` among ``arg_min, arg_min + arg_step, ...`` below arg_max, for which
    ``forward_func(attack(inputs, arg_name=p))`` is not correct in one of num_attempts attempts. A linear search tries
    all p in order; a binary one takes it that what turns a prediction at p does so above p. Law: where that is so,
    both find the same p.

    Attributes:
        forward_func: the model: called with what preproc_fn returns (the inputs without one; a tuple is spread over
            its arguments) and the additional arguments.
        attack: a Perturbation, or any function of inputs that returns perturbed inputs and has an argument arg_name.
        arg_name: name of the argument that is searched.
        arg_min: its smallest value.
        arg_max: values stay below this.
        arg_step: distance of neighbouring values.
        mode: linear or binary.
        num_attempts: how often the perturbation is repeated with each value; more than 1 only makes sense if it draws
            random numbers.
        preproc_fn: turns inputs into what the model takes.
        apply_before_preproc: whether the perturbation gets the inputs as given, or what preproc_fn makes of them.
        correct_fn: tells from ``(model output, target=..., **correct_fn_kwargs)`` whether a prediction is correct: one
            truth value for the batch, or one per example. Without it the largest score must be the target's.

    Example:
        >>> import torch
        >>> from pellucid.robust import FGSM, MinParamPerturbation
        >>> logits = lambda x: torch.stack([x.sum(1), -x.sum(1)], 1)
        >>> search = MinParamPerturbation(logits, FGSM(logits), "epsilon", 0.0, 2.0, 0.25, mode="binary")
        >>> x = torch.tensor([[1.0, 1.0]])  # turns as soon as both values are below 0
        >>> search.evaluate(x, target=0, attack_kwargs={"target": 0})
        (tensor([[-0.2500, -0.2500]]), 1.25)
    """

    forward_func: ForwardFunction
    attack: Callable[..., Any]
    arg_name: str
    arg_min: float
    arg_max: float
    arg_step: float
    mode: str = "linear"
    num_attempts: int = 1
    preproc_fn: Callable[..., Any] | None = None
    apply_before_preproc: bool = False
    correct_fn: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        """Check the arguments."""
        accept_forward(self.forward_func)
        for name in ("attack", "preproc_fn", "correct_fn"):
            value = getattr(self, name)
            if not callable(value) and (value is not None or name == "attack"):
                raise invalid_type(name, f"a {type(value).__name__}", "it cannot be called", "a function")
        if not isinstance(self.arg_name, str):
            raise invalid_type("arg_name", f"a {type(self.arg_name).__name__}", "it names an argument", "a str")
        for name in ("arg_min", "arg_max", "arg_step"):
            value = getattr(self, name)
            if not is_number(value):
                raise invalid_type(name, f"a {type(value).__name__}", "values are numbers", "an int or a float")
            if not is_finite(value):
                raise invalid_value(name, shown(value), "there would be no end", "a finite number")
        if self.arg_step <= 0:
            raise invalid_value("arg_step", str(self.arg_step), "values go upwards", "a number > 0")
        if self.arg_max <= self.arg_min:
            raise invalid_value("arg_max", str(self.arg_max), f"arg_min is {self.arg_min}", "a larger number")
        try:
            finite = math.isfinite((self.arg_max - self.arg_min) / self.arg_step)
        except OverflowError:
            finite = False
        if not finite:
            why = f"from {self.arg_min} to {self.arg_max} there are too many steps to count"
            raise invalid_value("arg_step", str(self.arg_step), why, "a larger step, or a smaller range")
        mode = self.mode.lower() if isinstance(self.mode, str) else self.mode
        accept_choice("mode", mode, ("linear", "binary"), "there is no such search")
        accept_count("num_attempts", self.num_attempts)
        accept_flag("apply_before_preproc", self.apply_before_preproc)

    @property
    def values(self) -> list[float]:
        """The values that are tried, in order."""
        return [self.value(i) for i in range(self.count)]

    @property
    def count(self) -> int:
        """How many values there are."""
        return math.ceil((self.arg_max - self.arg_min) / self.arg_step * (1 - 1e-12))

    def value(self, number: int) -> float:
        """One of the values, from 0 on."""
        return self.arg_min + number * self.arg_step

    @documented(
        inputs="A batch in any form that preproc_fn and the perturbation take.",
        target="The correct class of each example, an int, a tensor (N,) or a list; for correct_fn anything it takes.",
        perturbations_per_eval="Perturbed batches per forward pass at most; more than 1 needs tensors.",
        attack_kwargs="Further arguments of the perturbation, such as its own target.",
        correct_fn_kwargs="Further arguments of correct_fn.",
        per_example="Whether each example gets a value of its own. Otherwise a batch counts as turned as soon as one"
        " of its predictions is.",
    )
    def evaluate(
        self,
        inputs: Any,
        additional_forward_args: Any = None,
        target: TargetLike = None,
        perturbations_per_eval: int = 1,
        attack_kwargs: dict[str, Any] | None = None,
        correct_fn_kwargs: dict[str, Any] | None = None,
        *,
        per_example: bool = False,
    ) -> tuple[Any, Any]:
        """Search the smallest value.

        {arguments}

        Returns:
            What the perturbation returned and the value, or (None, None) if no value turns the prediction. With
            ``per_example``, a batch with each example as its own value perturbs it, and a float64 tensor (N,) of the
            values; examples that no value turns stay as they were, with NaN.

        Raises:
            InvalidTypeError: if examples cannot be told apart although that is asked for.
            InvalidValueError: if there is no target and no correct_fn, or the output is no table of scores.
        """
        if self.correct_fn is None and target is None:
            raise invalid_value(
                "target", "None", "nothing says what is correct", "the correct classes, or a correct_fn"
            )
        own = accept_keywords("correct_fn_kwargs", correct_fn_kwargs)
        if self.correct_fn is None and own:
            raise invalid_value(
                "correct_fn_kwargs", repr(own), "there is no correct_fn to take them", "a correct_fn too"
            )
        more = accept_keywords("attack_kwargs", attack_kwargs)
        if self.arg_name in more:
            given, why = f"a dict with {self.arg_name!r}", "this argument is searched for"
            raise invalid_value("attack_kwargs", given, why, "the perturbation's other arguments")
        accept_flag("per_example", per_example)
        settings = {**({} if target is None else {"target": target}), **own}
        trials = Trials(
            self.forward_func, additional_forward_args, accept_count("perturbations_per_eval", perturbations_per_eval)
        )
        prepared = inputs if self.preproc_fn is None else self.preproc_fn(inputs)
        source = inputs if self.apply_before_preproc else prepared
        search = _Search(self, trials, source, more, settings, per_example)
        if str(self.mode).lower() == "linear":
            search.linear()
        else:
            search.binary()
        return search.answer()


class _Search:
    """One search: which units (the batch, or its examples) turn at which of the values."""

    def __init__(
        self,
        plan: MinParamPerturbation,
        trials: Trials,
        source: Any,
        attack_kwargs: Mapping[str, Any],
        correct_kwargs: Mapping[str, Any],
        per_example: bool,
    ) -> None:
        self.plan = plan
        self.trials = trials
        self.source = source
        self.attack_kwargs = attack_kwargs
        self.correct_kwargs = correct_kwargs
        self.count = plan.count  # a search by halves may have more values than memory holds
        self.rows: int | None = len(_parts(source)[0]) if per_example else None
        self.best = [self.count] * (self.rows or 1)  # number of the smallest value known to turn each unit
        self.found: list[Any] = [None] * len(self.best)

    def linear(self) -> None:
        """Try values in order, some per pass, until every unit has turned."""
        total = self.count * self.plan.num_attempts
        for start in itertools.count(0, self.trials.together):
            numbers = [i // self.plan.num_attempts for i in range(start, min(start + self.trials.together, total))]
            if not numbers:
                return
            self._try(numbers)
            if max(self.best) < self.count:
                return

    def binary(self) -> None:
        """Halve the range of the first unit that is still open; what is learned narrows the others' too."""
        low = [0] * len(self.best)
        while True:
            unit = next((u for u in range(len(low)) if low[u] < self.best[u]), None)
            if unit is None:
                return
            middle = (low[unit] + self.best[unit]) // 2
            attempts = [middle] * self.plan.num_attempts
            turned = [False] * len(low)
            for start in range(0, len(attempts), self.trials.together):
                now = self._try(attempts[start : start + self.trials.together])
                turned = [a or b for a, b in zip(turned, now, strict=True)]
                if all(turned):
                    break
            low = [at if yes else max(at, middle + 1) for at, yes in zip(low, turned, strict=True)]

    def _try(self, numbers: list[int]) -> list[bool]:
        """Perturb with the values of these numbers, and note which units turn."""
        changed = [
            self.plan.attack(self.source, **self.attack_kwargs, **{self.plan.arg_name: self.plan.value(i)})
            for i in numbers
        ]
        before = self.plan.apply_before_preproc and self.plan.preproc_fn is not None
        versions = [self.plan.preproc_fn(c) for c in changed] if before and self.plan.preproc_fn else changed
        turned = [False] * len(self.best)
        for i, version, output in zip(numbers, changed, self.trials.outputs(versions), strict=True):
            for unit in self._wrong(output):
                turned[unit] = True
                if i < self.best[unit]:
                    self.best[unit], self.found[unit] = i, self._unit(version, unit)
        return turned

    def _wrong(self, output: Any) -> Iterator[int]:
        """Numbers of the units whose prediction is not correct."""
        correct = self._correct(output)
        if isinstance(correct, Tensor):
            accept_dense("the result of correct_fn", correct)
        given = f"a function that returned a {type(correct).__name__}"
        if self.rows is None:
            if not isinstance(correct, bool | int | float | np.bool_ | Tensor):
                raise invalid_type("correct_fn", given, "it tells whether a prediction is correct", "a truth value")
            return iter([] if bool(correct.all() if isinstance(correct, Tensor) else correct) else [0])
        if not isinstance(correct, Tensor) or correct.shape != (self.rows,):
            why, instead = (
                "per_example asks about each example",
                f"one that returns a tensor of {self.rows} truth values",
            )
            raise invalid_type("correct_fn", given, why, instead)
        return iter((~correct.bool()).nonzero()[:, 0].tolist())

    def _correct(self, output: Any) -> Any:
        if self.plan.correct_fn is not None:
            return self.plan.correct_fn(output, **self.correct_kwargs)
        if not isinstance(output, Tensor) or output.dim() != 2:
            given = f"of shape {tuple(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
            raise invalid_value(
                "correct_fn", f"None with an output {given}", "only a table of scores has a largest one", "a function"
            )
        if accept_dense("the output of forward_func", output).is_complex() or output.dtype == torch.bool:
            given = f"a function whose output has dtype {output.dtype}"
            raise invalid_type("forward_func", given, "scores are compared", "a function that returns real scores")
        labels = class_labels(self.correct_kwargs["target"], len(output), output.shape[1])
        return output.argmax(1) == labels.to(output.device)

    def _unit(self, version: Any, unit: int) -> Any:
        if self.rows is None:
            return version
        return tuple(part[unit].detach() for part in _parts(version))

    def answer(self) -> tuple[Any, Any]:
        """The perturbed inputs and the values."""
        if self.rows is None:
            return (None, None) if self.found[0] is None else (self.found[0], self.plan.value(self.best[0]))
        originals = _parts(self.source)
        rows = [found or tuple(part[u].detach() for part in originals) for u, found in enumerate(self.found)]
        joined = [torch.stack(parts) for parts in zip(*rows, strict=True)]
        values = [self.plan.value(b) if b < self.count else math.nan for b in self.best]
        return like(self.source, joined), torch.tensor(values, dtype=torch.float64)


def _parts(batch: Any) -> tuple[Tensor, ...]:
    parts = batch if isinstance(batch, tuple) else (batch,)
    if not parts:
        raise invalid_value("inputs", "an empty tuple", "per_example takes batches apart", "at least one tensor")
    for part in parts:
        if not isinstance(part, Tensor) or part.dim() == 0:
            raise invalid_type(
                "inputs", f"a {type(part).__name__}", "per_example takes batches apart", "a tensor, or a tuple of these"
            )
    return parts
