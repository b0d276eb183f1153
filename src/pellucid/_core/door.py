"""The door: whatever a user passes is checked and turned into one internal form, before any model call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from pellucid._core.arguments import Arguments
from pellucid._core.checks import LARGEST, accept_dense, accept_function, is_finite, is_number, shown
from pellucid._core.output import Target, accept_target
from pellucid._core.site import InputSite, Question
from pellucid._core.structure import all_finite, names_of
from pellucid.errors import invalid_type, invalid_value

SAMPLES = 10**7
"""Samples of one call at most, where each has a seed or a place on a path."""


def accept_question(
    forward: Any,
    inputs: Any,
    target: Any = None,
    arguments: Any = None,
    targets: Any = None,
    *,
    any_values: bool = False,
    integers: bool = False,
) -> Question:
    """Check what is asked: a function, its inputs, the explained output and the additional arguments.

    Args:
        forward: the function to explain.
        inputs: a floating-point tensor (N, ...) or a tuple of such.
        target: see ``pellucid.typing.TargetLike``.
        arguments: additional arguments of the function: nothing, one or a tuple.
        targets: a list of targets in the place of one.
        any_values: whether integers, truth values, NaN and infinite values are allowed, as they are where
            nothing is differentiated.
        integers: whether integers and truth values are allowed, as they are where nothing is differentiated by the
            inputs themselves.

    Returns:
        The question in its internal form.

    Raises:
        InvalidTypeError: for a wrong type or dtype.
        InvalidValueError: for an empty batch, batch sizes that differ, or NaN and infinite values.
    """
    tensors = accept_inputs(inputs, any_values, integers)
    examples = tensors[0].shape[0]
    site = InputSite(accept_forward(forward), tensors, Arguments.accept(arguments, examples), inputs)
    return Question(site, _accept_targets(target, targets, examples), targets is not None)


def _accept_targets(target: Any, targets: Any, examples: int) -> tuple[Target, ...]:
    if targets is None:
        return (_accept_own(target, examples, "target"),)
    if target is not None:
        raise invalid_value("target", repr(target), "targets is given too", "one of both")
    if not isinstance(targets, list | tuple) or not targets:
        given = "nothing" if isinstance(targets, list | tuple) else f"a {type(targets).__name__}"
        raise invalid_type(
            "targets", given, "each of its members is explained", "a list of targets; target= takes a single one"
        )
    return tuple(_accept_own(each, examples, f"targets[{i}]") for i, each in enumerate(targets))


def _accept_own(target: Any, examples: int, name: str) -> Target:
    if not isinstance(target, Tensor | list):
        return accept_target(target, examples, name)
    with torch.inference_mode(False):  # tensors of indices take part in backward passes
        return accept_target(_own(target) if isinstance(target, Tensor) else target, examples, name)


def accept_forward(forward: Any) -> Callable[..., Any]:
    """Check that there is something to call."""
    return accept_function("forward_func", forward, "a torch.nn.Module or a function")


def accept_inputs(inputs: Any, any_values: bool = False, integers: bool = False) -> tuple[Tensor, ...]:
    """Check the inputs and detach them; see ``accept_question`` for what is allowed."""
    if isinstance(inputs, list):
        raise invalid_type("inputs", "a list", "its meaning would be a guess", "a tensor, or a tuple of tensors")
    tensors = inputs if isinstance(inputs, tuple) else (inputs,)
    if not tensors:
        raise invalid_value("inputs", "an empty tuple", "there is nothing to explain", "at least one tensor")
    names = names_of("inputs", inputs)
    for name, value in zip(names, tensors, strict=True):
        _check_input(name, value, any_values or integers)
        if not any_values:
            check_finite(name, value)
    if len(tensors) > 1:
        _check_rows([value.shape[0] for value in tensors])
    return tuple([_own(value) for value in tensors])


def _check_rows(sizes: list[int]) -> None:
    if len(set(sizes)) != 1:
        raise invalid_value(
            "inputs",
            f"a tuple with {' and '.join(map(str, sizes))} rows",
            "row i of every tensor belongs to example i",
            "tensors with the same first dimension",
        )


def _check_input(name: str, value: Any, any_dtype: bool) -> None:
    if not isinstance(value, Tensor):
        raise invalid_type(name, f"a {type(value).__name__}", "only values of tensors are explained", "a torch.Tensor")
    if any_dtype and value.is_complex():
        raise invalid_type(name, f"a tensor of dtype {value.dtype}", "features are real", "torch.view_as_real(inputs)")
    if not any_dtype and not value.is_floating_point():
        raise invalid_type(
            name,
            f"a tensor of dtype {value.dtype}",
            "derivatives need real floating-point values",
            "inputs.float() if these are quantities; if they are ids (tokens, categories), call pellucid.explain, or"
            " pellucid.embed, which takes them to their embedding layer",
        )
    accept_dense(name, value)
    if value.dim() == 0:
        raise invalid_value(name, "a tensor without dimensions", "dimension 0 counts the examples", "x.reshape(1)")
    if value.shape[0] == 0:
        raise invalid_value(
            name,
            f"an empty batch of shape {tuple(value.shape)}",
            "there is nothing to explain",
            "at least one example",
        )


def check_finite(name: str, value: Tensor) -> None:
    """Refuse NaN and infinite values."""
    if all_finite(value):
        return
    finite = torch.isfinite(value)
    place = tuple(int(i) for i in (~finite).nonzero()[0])
    raise invalid_value(
        name,
        f"a tensor with {int((~finite).sum())} NaN or infinite values (the first at {place})",
        "every gradient and every sum over them would be NaN",
        "finite values, for example torch.nan_to_num(inputs), or move padding masks to additional_forward_args",
    )


def _own(value: Tensor) -> Tensor:
    value = value.detach()
    if value.is_inference():
        with torch.inference_mode(False):
            value = value.clone()
    return value


def accept_baselines(
    baselines: Any, inputs: tuple[Tensor, ...], template: Any, any_values: bool = False
) -> tuple[Tensor, ...]:
    """Turn baselines in any of their forms into tensors with 1 or N rows that broadcast to the inputs.

    Args:
        baselines: see ``pellucid.typing.BaselineLike``.
        inputs: the checked inputs.
        template: the inputs as given; a tuple wants a tuple of baselines.
        any_values: whether NaN and infinite values are allowed, as for ``accept_question``.

    Returns:
        One tensor per input.
    """
    checked = []
    for name, value, x in zip(*aligned("baselines", baselines, inputs, template), inputs, strict=True):
        base = _number_or_rows(name, value, x, any_values)
        if base.shape[0] not in {1, x.shape[0]}:
            raise invalid_value(
                name,
                f"a tensor of {base.shape[0]} rows",
                f"there are {x.shape[0]} examples",
                f"1 row for all, {x.shape[0]} rows, or a method that takes a distribution of baselines",
            )
        checked.append(base)
    return tuple(checked)


def accept_distribution(baselines: Any, inputs: tuple[Tensor, ...], template: Any) -> tuple[Tensor, ...]:
    """Turn a distribution of baselines into tensors with equally many rows; row j of all belongs together.

    Args:
        baselines: see ``pellucid.typing.DistributionLike``; a callable takes nothing, or the inputs as given.
        inputs: the checked inputs.
        template: the inputs as given.

    Returns:
        One tensor per input.
    """
    if callable(baselines):
        baselines = baselines(template) if _wants_inputs(baselines) else baselines()
    if baselines is None:
        raise invalid_value(
            "baselines",
            "None",
            "this method averages over a distribution of baselines",
            "a tensor of baseline rows",
        )
    names, values = aligned("baselines", baselines, inputs, template)
    checked = [_number_or_rows(n, v, x) for n, v, x in zip(names, values, inputs, strict=True)]
    rows = max(base.shape[0] for base in checked)
    for name, base in zip(names, checked, strict=True):
        if base.shape[0] not in {1, rows}:
            raise invalid_value(
                name,
                f"a tensor of {base.shape[0]} rows",
                f"another one has {rows}",
                "1 row or equally many rows",
            )
    return tuple(base.expand(rows, *base.shape[1:]) for base in checked)


def _wants_inputs(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return False
    return any(p.default is p.empty and p.kind not in {p.VAR_POSITIONAL, p.VAR_KEYWORD} for p in parameters)


def aligned(name: str, value: Any, inputs: tuple[Tensor, ...], template: Any) -> tuple[list[str], tuple[Any, ...]]:
    """One value per input: the argument spread over the inputs, with names for error messages."""
    if value is None:
        value = (0.0,) * len(inputs) if isinstance(template, tuple) else 0.0
    if isinstance(template, tuple) and not isinstance(value, tuple) and len(inputs) > 1:
        raise invalid_type(
            name,
            f"a {type(value).__name__}",
            f"inputs is a tuple of {len(inputs)}",
            f"a tuple of {len(inputs)}",
        )
    values = value if isinstance(value, tuple) else (value,)
    if len(values) != len(inputs):
        raise invalid_value(name, f"a tuple of {len(values)}", f"there are {len(inputs)} inputs", "one per input")
    return names_of(name, value), values


def _number_or_rows(name: str, value: Any, x: Tensor, any_values: bool = False) -> Tensor:
    if isinstance(value, int | float):
        if not is_finite(value) and not (any_values and isinstance(value, float)):
            raise invalid_value(name, shown(value), "it is not finite", "a finite number")
        if value == 0:  # the default: there is nothing more to check
            with torch.inference_mode(False):
                return torch.zeros((1,) * x.dim(), dtype=x.dtype, device=x.device)
        value = torch.tensor(value, dtype=torch.float64).reshape((1,) * x.dim()).to(x.device)
    elif not isinstance(value, Tensor):
        raise invalid_type(name, f"a {type(value).__name__}", "it is no baseline", "a number or a tensor")
    elif accept_dense(name, value).is_complex():
        raise invalid_type(name, f"a tensor of dtype {value.dtype}", "inputs are real", "real values")
    elif value.device != x.device:
        given = f"on {value.device}"
        raise invalid_value(name, given, f"the input is on {x.device}", f"baselines.to('{x.device}')")
    elif value.dim() != x.dim() or value.shape[1:] != x.shape[1:] or value.shape[0] == 0:
        advice = "baselines.unsqueeze(0)" if value.shape == x.shape[1:] else f"shape (1 or N, {_tail(x)})"
        raise invalid_value(
            name, f"a tensor of shape {tuple(value.shape)}", f"the input has shape {tuple(x.shape)}", advice
        )
    base = _own(value).to(x.dtype)
    if not any_values:
        check_finite(name, base)
    if not x.is_floating_point() and not torch.equal(base.to(value.dtype), value):
        raise invalid_value(name, "not of whole numbers", f"the input has dtype {x.dtype}", f"values of {x.dtype}")
    return base


def _tail(x: Tensor) -> str:
    return ", ".join(map(str, x.shape[1:]))


def accept_stdevs(stdevs: Any, inputs: tuple[Tensor, ...]) -> tuple[float, ...]:
    """Check standard deviations of noise: one number for all inputs, or a tuple with one per input."""
    values = stdevs if isinstance(stdevs, tuple) else (stdevs,) * len(inputs)
    if len(values) != len(inputs):
        raise invalid_value("stdevs", f"a tuple of {len(values)}", f"there are {len(inputs)} inputs", "one per input")
    for name, value in zip(names_of("stdevs", stdevs if isinstance(stdevs, tuple) else None), values, strict=False):
        if not is_number(value):
            raise invalid_type(name, f"a {type(value).__name__}", "it is no number", "a float, or one per input")
        if not is_finite(value) or value < 0:
            raise invalid_value(name, shown(value), "a standard deviation is finite and not negative", "a float >= 0")
    for name, value, x in zip(names_of("inputs", inputs), values, inputs, strict=True):
        if value and not x.is_floating_point():
            raise invalid_value("stdevs", str(value), f"{name} holds ids or truth values", "0.0, noise makes no id")
    return tuple(float(value) for value in values)


def accept_count(name: str, value: Any, least: int = 1) -> int:
    """Check a number of samples, steps or rows."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid_type(name, f"a {type(value).__name__}", "it counts something", "an int")
    if value < least:
        raise invalid_value(name, shown(value), f"at least {least} is needed", f"an int >= {least}")
    if value > LARGEST:
        raise invalid_value(name, shown(value), "nobody counts so far", f"an int from {least} on")
    return value


def accept_samples(name: str, value: Any, least: int = 1) -> int:
    """Check a number of samples, draws or steps, for each of which numbers are kept during the call."""
    count = accept_count(name, value, least)
    if count > SAMPLES:
        why = "memory for each is needed before the first pass"
        raise invalid_value(name, shown(count), why, f"an int from {least} to {SAMPLES}")
    return count


def accept_optional_count(name: str, value: Any) -> int | None:
    """Check a count that may be left to the library with ``None``."""
    return None if value is None else accept_count(name, value)


_GRAD_KWARGS = ("retain_graph", "create_graph", "allow_unused", "materialize_grads")


def accept_grad_kwargs(given: Any, second_order: bool = True) -> dict[str, Any]:
    """Check further arguments of ``torch.autograd.grad``.

    Args:
        given: a dictionary, or ``None``.
        second_order: whether attributions can be differentiated again.

    Returns:
        The arguments.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise invalid_type("grad_kwargs", f"a {type(given).__name__}", "it holds keyword arguments", "a dictionary")
    for name in given:
        if name not in _GRAD_KWARGS:
            raise invalid_type(
                "grad_kwargs",
                f"a dictionary with {name!r}",
                "the method sets it itself or it is not an argument of torch.autograd.grad",
                f"some of {', '.join(_GRAD_KWARGS)}",
            )
    if given.get("create_graph") and not second_order:
        raise invalid_value(
            "grad_kwargs",
            "{'create_graph': True}",
            "gradients under rules cannot be differentiated again",
            "no create_graph, or a method with plain gradients",
        )
    return dict(given)
