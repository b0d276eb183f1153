"""The contract: its properties by name, and the function that checks a method under those that it promises."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import torch

from pellucid.errors import ContractError, invalid_type, invalid_value
from pellucid.testing import _calls, _laws, _manners
from pellucid.testing._subject import Subject
from pellucid.typing import ForwardFunction


@dataclass(frozen=True)
class Property:
    """One property of attribution methods.

    Attributes:
        name: its name.
        check: raises ``ContractError`` where a subject breaks it.
        lacks: says why a subject does not promise it; empty where it does.
    """

    name: str
    check: Callable[[Subject], None]
    lacks: Callable[[Subject], str] = lambda _: ""

    @property
    def law(self) -> str:
        """The property in one sentence."""
        return (self.check.__doc__ or "").strip()


def _incomplete(subject: Subject) -> str:
    return "" if subject.complete else "no sum is promised"


def _without_baselines(subject: Subject) -> str:
    return "" if subject.baselines else "no baselines are taken"


def _whole(subject: Subject) -> str:
    return "" if subject.cap else "no argument caps the rows of a pass"


def _no_accelerator(_: Subject) -> str:
    return "" if _calls.accelerator() else "no accelerator is here"


PROPERTIES: Mapping[str, Property] = {
    item.name: item
    for item in (
        Property("structure", _calls.structure),
        Property("completeness", _laws.completeness, _incomplete),
        Property("missingness", _laws.missingness, _without_baselines),
        Property("symmetry", _laws.symmetry),
        Property("dummy", _laws.dummy),
        Property("permutation", _laws.permutation),
        Property("scale", _laws.scale),
        Property("form", _laws.form),
        Property("batch", _calls.batch),
        Property("chunks", _calls.chunks, _whole),
        Property("mixing", _calls.mixing, _whole),
        Property("sizes", _calls.sizes),
        Property("precision", _calls.precision),
        Property("devices", _calls.devices, _no_accelerator),
        Property("modes", _calls.modes),
        Property("outputs", _calls.outputs),
        Property("writes", _calls.writes),
        Property("generators", _manners.generators),
        Property("threads", _manners.threads),
        Property("residue", _manners.residue),
    )
}
"""By name, the properties that the library's own methods are tested for."""


@dataclass(frozen=True)
class ContractReport:
    """Which properties of a method were checked.

    Attributes:
        checked: names of properties that hold.
        skipped: for every other one, why it was not checked.
    """

    checked: tuple[str, ...]
    skipped: Mapping[str, str]

    def __str__(self) -> str:
        """One line for each property."""
        lines = [f"{name}: holds" for name in self.checked]
        return "\n".join([*lines, *(f"{name}: not checked, {why}" for name, why in self.skipped.items())])


def check_method(
    make: Callable[[ForwardFunction], Any],
    arguments: Mapping[str, Any] | None = None,
    *,
    complete: bool = False,
    tolerance: float = 1e-10,
    delta: bool = False,
    baselines: bool = False,
    samples: bool = False,
    cap: str | None = None,
    one_target: bool = False,
    rectifiers: bool = False,
    heals: bool = False,
    exempt: Mapping[str, str] | None = None,
    properties: Sequence[str] | None = None,
) -> ContractReport:
    """Check an attribution method, of this library or anybody's, under the properties of ``PROPERTIES``.

    The method is asked about small curved models in float64, with fixed seeds. It is called as
    ``make(model).attribute(inputs, target=..., additional_forward_args=..., ...)``, or without ``.attribute`` where it
    is a function. Warnings are not shown meanwhile, and torch's generators are put back.

    Example:
        >>> import torch
        >>> from pellucid.testing import check_method
        >>> def gradient(model):
        ...     def attribute(inputs, target, additional_forward_args=()):
        ...         x = inputs.detach().requires_grad_()
        ...         return torch.autograd.grad(model(x)[:, target].sum(), x)[0]
        ...     return attribute
        >>> check_method(gradient, properties=("symmetry", "dummy", "completeness")).skipped
        {'completeness': 'no sum is promised'}
        >>> check_method(gradient, complete=True, properties=("completeness",))
        Traceback (most recent call last):
            ...
        pellucid.errors.ContractError: completeness: on a dense network with tanh, the sum of attributions and the
        difference of outputs: the largest difference is 0.139, and 1e-10 passes.

    Args:
        make: from a model to the method. For methods at layers and neurons see ``at_layer`` and ``at_neuron``.
        arguments: what every call is given; a function among these is given the inputs and returns the argument.
        complete: whether attributions sum to F(x) - F(baseline).
        tolerance: what that sum may miss on a curved model, relative to the largest difference of outputs or one.
        delta: whether ``return_convergence_delta=True`` also returns what the sum misses.
        baselines: whether ``baselines`` is an argument, one reference for each example; zeros are meant without.
        samples: whether random numbers are drawn; ``seed`` and ``generator`` are arguments then.
        cap: name of the argument that caps the rows of a pass.
        one_target: whether all examples of a call have the same target.
        rectifiers: whether the model must have rectifiers.
        heals: whether a failing evaluation may be repeated in another way instead of being raised.
        exempt: by name of a property, why the method is not held to it.
        properties: names of those to check; None for all.

    Returns:
        What was checked, and why the rest was not.

    Raises:
        ContractError: at the first property that does not hold; it names the property, the model, the largest
            difference and the tolerance. What the method itself raises is its cause.
        InvalidValueError: for a property that there is not.
    """
    if properties is not None and not isinstance(properties, Mapping | Set | list | tuple):
        raise invalid_type("properties", f"a {type(properties).__name__}", "they are names", "a list of names")
    for name, given in (("arguments", arguments), ("exempt", exempt)):
        if given is not None and not isinstance(given, Mapping):
            raise invalid_type(name, f"a {type(given).__name__}", "it holds values by name", "a dict")
    chosen, excused = tuple(PROPERTIES if properties is None else properties), dict(exempt or {})
    _refuse_unknown("properties", chosen)
    _refuse_unknown("exempt", tuple(excused))
    subject = Subject(
        make,
        dict(arguments or {}),
        complete=complete,
        tolerance=tolerance,
        delta=delta,
        baselines=baselines,
        samples=samples,
        cap=cap,
        one_target=one_target,
        rectifiers=rectifiers,
        heals=heals,
        exempt=excused,
    )
    skipped = {name: why for name in chosen if (why := _reason_to_skip(subject, name))}
    checked = tuple(name for name in chosen if name not in skipped)
    with warnings.catch_warnings(), torch.random.fork_rng(range(torch.cuda.device_count())):
        warnings.simplefilter("ignore")
        for name in checked:
            _check(PROPERTIES[name], subject)
    return ContractReport(checked, skipped)


def _check(item: Property, subject: Subject) -> None:
    """Check a property; whatever else the method raises breaks it too."""
    try:
        item.check(subject)
    except ContractError:
        raise
    except Exception as error:
        raise ContractError(
            f"{item.name}: {type(error).__name__} is raised: {error}",
            property_name=item.name,
            model="",
            difference=None,
            tolerance=None,
        ) from error


def _reason_to_skip(subject: Subject, name: str) -> str:
    """Say why a property is not checked for a subject; empty where it is."""
    return subject.exempt.get(name, "") or PROPERTIES[name].lacks(subject)


def _refuse_unknown(argument: str, names: tuple[str, ...]) -> None:
    unknown = [name for name in names if name not in list(PROPERTIES)]  # also of what has no hash
    if unknown:
        raise invalid_value(argument, repr(unknown[0]), "there is no such property", f"one of {', '.join(PROPERTIES)}")
