"""A metric of a model under several attacks and transforms, batch by batch."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pellucid._core.checks import accept_dense, accept_function, accept_keywords, shown
from pellucid._core.door import accept_count, accept_forward
from pellucid.docstrings import documented
from pellucid.errors import invalid_type, invalid_value
from pellucid.robust._trials import Trials
from pellucid.typing import ForwardFunction

ORIGINAL = "Original"
"""Name under which results without a perturbation stand."""


@dataclass(frozen=True)
class AttackInfo:
    """A perturbation with the way it is called.

    Attributes:
        attack: a function of inputs that returns perturbed inputs.
        name: under which its results stand.
        num_attempts: how often it is repeated.
        apply_before_preproc: whether it gets the inputs as given, or what preproc_fn makes of them.
        attack_kwargs: arguments of every call.
        additional_attack_arg_names: arguments that come from those of evaluate.
    """

    attack: Callable[..., Any]
    name: str
    num_attempts: int = 1
    apply_before_preproc: bool = True
    attack_kwargs: Mapping[str, Any] = field(default_factory=dict)
    additional_attack_arg_names: tuple[str, ...] = ()


class AttackComparator:
    """How a metric of a model holds up under attacks and transforms, compared side by side.

    For each attack, the metric of ``forward_func(preproc_fn(attack(inputs)))``, with mean, minimum and maximum over
    its attempts; ``summary`` gives the means over all batches since the last ``reset``. Law: a metric that gives one
    value per example is averaged over examples, so the summary does not depend on how they were cut into batches.

    Example:
        >>> import torch
        >>> from pellucid.robust import AttackComparator, FGSM
        >>> logits = lambda x: torch.stack([x.sum(1), -x.sum(1)], 1)
        >>> accuracy = lambda out, target: (out.argmax(1) == target).float()
        >>> compared = AttackComparator(logits, accuracy)
        >>> compared.add_attack(
        ...     FGSM(logits), "FGSM 0.5", attack_kwargs={"epsilon": 0.5}, additional_attack_arg_names=["target"]
        ... )
        >>> compared.add_attack(lambda x: x * 2, "twice")
        >>> x, y = torch.tensor([[0.25, 0.25], [1.0, 1.0]]), torch.tensor([0, 0])
        >>> _ = compared.evaluate(x, target=y)
        >>> {name: value["mean"].item() for name, value in compared.summary().items()}
        {'Original': 1.0, 'FGSM 0.5': 0.5, 'twice': 1.0}
    """

    @documented(
        forward_func="The model: called with what preproc_fn returns (the inputs without one; a tuple is spread over"
        " its arguments) and the additional arguments.",
        metric="A function of ``(model output, **arguments of evaluate)`` that returns a number, a tensor with one"
        " value per example (or one row for the batch), or a tuple or named tuple of these.",
        preproc_fn="Turns inputs into what the model takes.",
    )
    def __init__(
        self,
        forward_func: ForwardFunction,
        metric: Callable[..., Any],
        preproc_fn: Callable[..., Any] | None = None,
    ) -> None:
        """Compare attacks on a model.

        {arguments}
        """
        self.forward_func = accept_forward(forward_func)
        self.metric = accept_function("metric", metric)
        self.preproc_fn = None if preproc_fn is None else accept_function("preproc_fn", preproc_fn)
        self.attacks: dict[str, AttackInfo] = {}
        self._totals: dict[str, _Running] = {}

    @documented(
        attack="A Perturbation, or any function of inputs that returns perturbed inputs.",
        name="Under which its results stand, each only once; the name of its class or function if left.",
        num_attempts="How often it is repeated; more than 1 only makes sense if it draws random numbers.",
        apply_before_preproc="Whether it gets the inputs as given, or what preproc_fn makes of them.",
        attack_kwargs="Arguments of every call of the attack.",
        additional_attack_arg_names="Arguments of evaluate that are passed on to the attack, such as target.",
    )
    def add_attack(
        self,
        attack: Callable[..., Any],
        name: str | None = None,
        num_attempts: int = 1,
        apply_before_preproc: bool = True,
        attack_kwargs: dict[str, Any] | None = None,
        additional_attack_arg_names: Sequence[str] | None = None,
    ) -> None:
        """Add an attack to those that evaluate compares.

        {arguments}

        Raises:
            InvalidTypeError: if the attack cannot be called.
            InvalidValueError: if the name is taken.
        """
        accept_function("attack", attack)
        if name is not None and not isinstance(name, str):
            raise invalid_type("name", f"a {type(name).__name__}", "results stand under it", "a str")
        for given in _accept_names(additional_attack_arg_names):
            if given in accept_keywords("attack_kwargs", attack_kwargs):
                why = "it would come from evaluate and from attack_kwargs"
                raise invalid_value("additional_attack_arg_names", f"with {given!r}", why, "it in one of the two")
        name = name or str(getattr(attack, "__name__", type(attack).__name__))
        if name in self.attacks or name == ORIGINAL:
            raise invalid_value("name", repr(name), "results of another attack stand under it", "another name")
        self.attacks[name] = AttackInfo(
            attack,
            name,
            accept_count("num_attempts", num_attempts),
            apply_before_preproc,
            accept_keywords("attack_kwargs", attack_kwargs),
            _accept_names(additional_attack_arg_names),
        )

    @documented(
        inputs="A batch in any form that preproc_fn and the attacks take.",
        perturbations_per_eval="Perturbed batches per forward pass at most; more than 1 needs tensors. If the model"
        " mixes the examples of a batch, each takes a pass of its own, with a warning.",
        kwargs="Further arguments of the metric, and of the attacks that name them.",
    )
    def evaluate(
        self, inputs: Any, additional_forward_args: Any = None, perturbations_per_eval: int = 1, **kwargs: Any
    ) -> dict[str, Any]:
        """Evaluate the metric on one batch, without a perturbation and under each attack.

        {arguments}

        Returns:
            The metric under 'Original', and for each attack a dict with its 'mean' over the attempts and, if there are
            several, 'min' and 'max'.

        Raises:
            InvalidValueError: if an argument that an attack names is missing.
        """
        together = accept_count("perturbations_per_eval", perturbations_per_eval)
        for info in self.attacks.values():
            for wanted in info.additional_attack_arg_names:
                if wanted not in kwargs:
                    raise invalid_value(
                        "additional_attack_arg_names",
                        f"{wanted!r} for {info.name}",
                        "evaluate was called without it",
                        f"evaluate(..., {wanted}=...)",
                    )
        trials = Trials(self.forward_func, additional_forward_args, together)
        found: dict[str, list[Any]] = {ORIGINAL: [], **{name: [] for name in self.attacks}}
        waiting: list[tuple[str, Any]] = []
        for version in self._versions(inputs, kwargs):
            waiting.append(version)
            if len(waiting) == together:
                self._measure(trials, waiting, kwargs, found)
                waiting = []
        self._measure(trials, waiting, kwargs, found)
        return self._results(found)

    def _versions(self, inputs: Any, kwargs: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        """Make the batch as the model gets it: unperturbed, then under each attempt of each attack.

        Yields:
            Names with versions.
        """
        prepared = self._prepared(inputs)
        yield ORIGINAL, prepared
        for info in self.attacks.values():
            more = {name: kwargs[name] for name in info.additional_attack_arg_names}
            for _ in range(info.num_attempts):
                if info.apply_before_preproc:
                    yield info.name, self._prepared(info.attack(inputs, **more, **info.attack_kwargs))
                else:
                    yield info.name, info.attack(prepared, **more, **info.attack_kwargs)

    def _prepared(self, inputs: Any) -> Any:
        return inputs if self.preproc_fn is None else self.preproc_fn(inputs)

    def _measure(
        self, trials: Trials, versions: list[tuple[str, Any]], kwargs: dict[str, Any], found: dict[str, list[Any]]
    ) -> None:
        for (name, _), output in zip(versions, trials.outputs([v for _, v in versions]), strict=True):
            value = self.metric(output, **kwargs)
            for part in value if isinstance(value, tuple) else (value,):
                _check_part(part)
            if found[name] and _form(found[name][0]) != _form(value):
                raise _changed(found[name][0], value)
            found[name].append(value)

    def _results(self, found: dict[str, list[Any]]) -> dict[str, Any]:
        results: dict[str, Any] = {ORIGINAL: found[ORIGINAL][0]}
        self._add(ORIGINAL, found[ORIGINAL][0])
        for name, info in self.attacks.items():
            statistics = _STATISTICS if info.num_attempts > 1 else {"mean": _STATISTICS["mean"]}
            results[name] = {key: _combine(found[name], of) for key, of in statistics.items()}
            for key, value in results[name].items():
                self._add(f"{name} {key.title()} Attempt" if info.num_attempts > 1 else name, value)
        return results

    def _add(self, name: str, value: Any) -> None:
        self._totals.setdefault(name, _Running()).add(value)

    def summary(self) -> dict[str, dict[str, Any]]:
        """Give the means over all batches evaluated since the start or the last reset.

        Returns:
            For 'Original' and each attack a dict with its 'mean'; attacks with several attempts stand there three
            times, as 'NAME Mean Attempt', 'NAME Min Attempt' and 'NAME Max Attempt'.
        """
        return {name: {"mean": total.mean()} for name, total in self._totals.items()}

    def reset(self) -> None:
        """Forget the batches evaluated so far; the attacks stay."""
        self._totals = {}


def _accept_names(names: Any) -> tuple[str, ...]:
    if names is None:
        return ()
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        given = f"a {type(names).__name__}"
        raise invalid_type("additional_attack_arg_names", given, "it lists arguments of evaluate", "a list of names")
    return tuple(names)


def _check_part(part: Any) -> None:
    """Check what a metric returned, or a part of it: means are taken of it."""
    given, instead = f"a function that returned a {type(part).__name__}", "one that returns numbers or real tensors"
    if not isinstance(part, Tensor | numbers.Real):
        raise invalid_type("metric", given, "means are taken", instead)
    if isinstance(part, Tensor) and accept_dense("the result of metric", part).is_complex():
        raise invalid_type("metric", f"a function that returned {part.dtype}", "means are taken", instead)
    try:
        float(0 if isinstance(part, Tensor) else part)
    except OverflowError:
        given = f"a function that returned {shown(part)}"
        raise invalid_value("metric", given, "its mean is no float", instead) from None


def _form(value: Any, first: int = 0) -> Any:
    """What values must have in common so that means can be taken; between batches rows may differ in number."""
    if isinstance(value, tuple):
        return tuple(_form(part, first) for part in value)
    return list(value.shape)[first:] if isinstance(value, Tensor) else []


def _changed(before: Any, value: Any) -> Exception:
    given = f"a function that returned shape {_form(value)} after {_form(before)}"
    return invalid_value("metric", given, "means are taken", "one that returns values of one form")


def _mean(values: list[Any]) -> Any:
    return (
        torch.stack([_real(v) for v in values]).mean(0) if isinstance(values[0], Tensor) else sum(values) / len(values)
    )


def _extreme(pick: str) -> Callable[[list[Any]], Any]:
    def of(values: list[Any]) -> Any:
        if isinstance(values[0], Tensor):
            stacked = torch.stack([_real(v) for v in values])
            return stacked.amin(0) if pick == "min" else stacked.amax(0)
        return min(values) if pick == "min" else max(values)

    return of


_STATISTICS: dict[str, Callable[[list[Any]], Any]] = {"mean": _mean, "min": _extreme("min"), "max": _extreme("max")}


def _real(value: Tensor) -> Tensor:
    return value if value.is_floating_point() else value.to(torch.get_default_dtype())


def _combine(values: list[Any], of: Callable[[list[Any]], Any]) -> Any:
    """Apply a statistic to values, or to each part of tuples of values."""
    if not isinstance(values[0], tuple):
        return of(values)
    return _like(values[0], [of(list(parts)) for parts in zip(*values, strict=True)])


def _like(template: tuple[Any, ...], parts: list[Any]) -> Any:
    return type(template)(*parts) if hasattr(template, "_fields") else tuple(parts)


@dataclass
class _Running:
    """A mean over batches, each weighted with the rows of its metric."""

    sums: list[Any] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    template: Any = None

    def add(self, value: Any) -> None:
        if self.sums and _form(self.template, 1) != _form(value, 1):
            raise _changed(self.template, value)
        self.template = value
        parts = value if isinstance(value, tuple) else (value,)
        rows = [_real(p).sum(0) if isinstance(p, Tensor) and p.dim() else p for p in parts]
        counts = [len(p) if isinstance(p, Tensor) and p.dim() else 1 for p in parts]
        self.sums = [a + b for a, b in zip(self.sums, rows, strict=True)] if self.sums else rows
        self.counts = [a + b for a, b in zip(self.counts, counts, strict=True)] if self.counts else counts

    def mean(self) -> Any:
        means = [total / count for total, count in zip(self.sums, self.counts, strict=True)]
        return _like(self.template, means) if isinstance(self.template, tuple) else means[0]
