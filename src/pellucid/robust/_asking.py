"""The arguments of attacks, checked and in one form before the model runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pellucid._core.arguments import Arguments
from pellucid._core.checks import accept_dense, is_finite, is_number, shown
from pellucid._core.door import accept_forward, accept_inputs
from pellucid._core.output import accept_target
from pellucid._core.site import InputSite
from pellucid._core.structure import names_of
from pellucid.errors import invalid_type, invalid_value
from pellucid.robust._balls import BALLS, Ball

Bound = float | Tensor | tuple[float | Tensor, ...]
"""A bound of the inputs: a number, a tensor that broadcasts to the inputs, or one of these per input."""

_NONE = (-math.inf, math.inf)


@dataclass(frozen=True)
class Asked:
    """Inputs with what may be done to them.

    Attributes:
        site: the function with its inputs and additional arguments.
        template: the inputs as given.
        bounds: lowest and highest allowed values as given.
        mask: per input where it may change, or ``None`` for everywhere.
    """

    site: InputSite
    template: Any
    bounds: tuple[Any, Any]
    mask: tuple[Tensor, ...] | None

    @classmethod
    def accept(cls, forward: Any, inputs: Any, arguments: Any, bounds: tuple[Any, Any], mask: Any) -> Asked:
        """Check everything that attacks have in common."""
        tensors = accept_inputs(inputs)
        site = InputSite(accept_forward(forward), tensors, Arguments.accept(arguments, tensors[0].shape[0]), inputs)
        asked = cls(site, inputs, bounds, None if mask is None else _accept_mask(mask, tensors, inputs))
        for below, above in zip(asked.low, asked.high, strict=True) if not asked.free else ():
            if bool((below > above).any()):
                raise invalid_value(
                    "lower_bound", "above upper_bound", "no value is allowed then", "a lower bound below the upper one"
                )
        return asked

    @cached_property
    def free(self) -> bool:
        """Whether no value is too low or too high."""
        return all(isinstance(bound, float) for bound in self.bounds) and self.bounds == _NONE

    @cached_property
    def low(self) -> tuple[Tensor, ...]:
        """Lowest allowed value, per input a tensor that broadcasts to it."""
        return _spread("lower_bound", self.bounds[0], self.site.values)

    @cached_property
    def high(self) -> tuple[Tensor, ...]:
        """Highest allowed value, likewise."""
        return _spread("upper_bound", self.bounds[1], self.site.values)

    def outside(self) -> int:
        """Number of input values outside the bounds."""
        if self.free:
            return 0
        triples = zip(self.site.values, self.low, self.high, strict=True)
        return sum(int(((x < low) | (x > high)).sum()) for x, low, high in triples)


def accept_bound(name: str, value: Any) -> Any:
    """Check a bound as far as that is possible without inputs."""
    for part_name, part in zip(names_of(name, value), value if isinstance(value, tuple) else (value,), strict=True):
        if not is_number(part) and not (isinstance(part, Tensor) and not part.is_complex()):
            raise invalid_type(part_name, f"a {type(part).__name__}", "it bounds numbers", "a number or a tensor")
        if isinstance(part, Tensor):
            accept_dense(part_name, part)
        if isinstance(part, int) and not is_finite(part):
            raise invalid_value(part_name, shown(part), "no tensor holds it", "a number or an infinity")
        values, barring = torch.as_tensor(_plain(part)), -math.inf if name == "upper_bound" else math.inf
        if bool(torch.isnan(values).any()):
            raise invalid_value(part_name, "NaN", "nothing can be compared with it", "a number or an infinity")
        if bool((values == barring).any()):
            instead = f"a number, or {-barring} for no bound"
            raise invalid_value(part_name, shown(barring), "no value is allowed then", instead)
    return value


def _plain(bound: float | Tensor) -> float | Tensor:
    return bound if isinstance(bound, Tensor) else float(bound)


def _spread(name: str, bound: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    values = bound if isinstance(bound, tuple) else (bound,) * len(inputs)
    if len(values) != len(inputs):
        raise invalid_value(name, f"a tuple of {len(values)}", f"there are {len(inputs)} inputs", "one per input")
    names = names_of(name, bound) if isinstance(bound, tuple) else [name] * len(inputs)
    spread = []
    for part_name, value, x in zip(names, values, inputs, strict=True):
        tensor = torch.as_tensor(_plain(value), dtype=x.dtype, device=x.device)
        if isinstance(value, Tensor):
            tensor = tensor.detach()
            _check_broadcast(part_name, tensor, x)
        spread.append(tensor)
    return tuple(spread)


def _check_broadcast(name: str, value: Tensor, x: Tensor) -> None:
    try:
        fits = value.expand(x.shape).shape == x.shape
    except RuntimeError:
        fits = False
    if not fits:
        raise invalid_value(
            name,
            f"a tensor of shape {tuple(value.shape)}",
            f"it does not broadcast to the input's shape {tuple(x.shape)}",
            "a tensor of the input's shape, or one whose dimensions are 1 where it is the same for all",
        )


def _accept_mask(mask: Any, inputs: tuple[Tensor, ...], template: Any) -> tuple[Tensor, ...]:
    values = mask if isinstance(mask, tuple) else (mask,)
    if len(values) != len(inputs):
        given = f"a tuple of {len(values)}" if isinstance(mask, tuple) else f"a {type(mask).__name__}"
        raise invalid_value("mask", given, f"there are {len(inputs)} inputs", "one mask per input")
    del template
    accepted = []
    for name, value, x in zip(names_of("mask", mask), values, inputs, strict=True):
        if not isinstance(value, Tensor):
            raise invalid_type(name, f"a {type(value).__name__}", "it marks values", "a tensor of zeros and ones")
        accept_dense(name, value)
        if not bool(((value == 0) | (value == 1)).all()):
            raise invalid_value(name, "a tensor with other values", "a value may change or not", "zeros and ones")
        _check_broadcast(name, value, x)
        accepted.append(value.detach().to(x.device, x.dtype))
    return tuple(accepted)


def accept_size(name: str, value: Any) -> float:
    """Check a radius or a step: a finite number, not negative."""
    if not is_number(value):
        raise invalid_type(name, f"a {type(value).__name__}", "it is a distance", "a number")
    if not is_finite(value) or value < 0:
        raise invalid_value(name, shown(value), "a distance is finite and not negative", "a number >= 0")
    return float(value)


def accept_labels(target: Any, rows: int) -> Tensor:
    """Turn a target into the class of each row, shape (rows,), before it is known how many classes there are."""
    accepted = accept_target(target, rows)
    width = accepted.each.shape[1] if accepted.each is not None else len(accepted.common or ())
    common = accepted.common[0] if accepted.common else None
    if width != 1 or isinstance(common, slice):
        raise invalid_value(
            "target", repr(target), "the correct class of each example is needed", "an int, a tensor (N,) or a list"
        )
    return torch.full((rows,), int(common or 0)) if accepted.each is None else accepted.each[:, 0]


def class_labels(target: Any, rows: int, classes: int) -> Tensor:
    """Turn a target into the class of each row, from 0 to classes - 1."""
    labels = accept_labels(target, rows)
    wrong = (labels < -classes) | (labels >= classes)
    if bool(wrong.any()):
        raise invalid_value(
            "target", str(int(labels[wrong][0])), f"there are {classes} classes", f"classes from 0 to {classes - 1}"
        )
    return labels % classes


def accept_norm(norm: Any) -> Ball:
    """Find the ball of a norm's name."""
    if not isinstance(norm, str) or norm not in BALLS:
        raise invalid_value("norm", repr(norm), "there is no such norm", f"one of {', '.join(BALLS)}")
    return BALLS[norm]
