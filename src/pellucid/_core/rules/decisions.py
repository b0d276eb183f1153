"""Operations whose kind depends on their arguments: division is linear unless the divisor is active.

Each entry reads the arguments of one call, in which exactly the active tensors require gradients, and
returns the kind. `Kind.UNKNOWN` sends the call to its expansion, or else to the generic rule.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from pellucid._core.rules.vocabulary import Kind

Arguments = tuple[Any, ...]
Keywords = dict[str, Any]


def argument(args: Arguments, kwargs: Keywords, position: int, name: str, default: Any = None) -> Any:
    """Read one argument, given by position or by name."""
    return args[position] if len(args) > position else kwargs.get(name, default)


def is_active(value: object) -> bool:
    """Tell whether a value depends on an attributed one."""
    return isinstance(value, Tensor) and value.requires_grad


def _division(args: Arguments, kwargs: Keywords) -> Kind:
    divisor_is_active = is_active(argument(args, kwargs, 1, "other"))
    if kwargs.get("rounding_mode") is None:
        return Kind.UNKNOWN if divisor_is_active else Kind.LINEAR
    return Kind.UNKNOWN if divisor_is_active and is_active(args[0]) else Kind.UNARY


def _power(args: Arguments, kwargs: Keywords) -> Kind:
    both = is_active(args[0]) and is_active(argument(args, kwargs, 1, "exponent"))
    return Kind.UNKNOWN if both else Kind.UNARY


def _norm_by(own_statistics: str) -> Callable[[Arguments, Keywords], Kind]:
    """Make the decision for a norm that is a constant factor unless it takes its own statistics."""

    def decide(args: Arguments, kwargs: Keywords) -> Kind:
        fixed = not argument(args, kwargs, 5, own_statistics) and not is_active(argument(args, kwargs, 1, "weight"))
        return Kind.LINEAR if fixed else Kind.UNKNOWN

    return decide


def _grid_sample(args: Arguments, kwargs: Keywords) -> Kind:
    return Kind.UNKNOWN if is_active(argument(args, kwargs, 1, "grid")) else Kind.LINEAR


def _embedding_bag(args: Arguments, kwargs: Keywords) -> Kind:
    if argument(args, kwargs, 4, "mode", 0) == 2:
        return Kind.CONVEX
    return Kind.PRODUCT if is_active(argument(args, kwargs, 6, "per_sample_weights")) else Kind.LINEAR


def _scatter_reduce(args: Arguments, kwargs: Keywords) -> Kind:
    how = argument(args, kwargs, 4, "reduce")
    return {"sum": Kind.LINEAR, "mean": Kind.LINEAR, "amax": Kind.CONVEX, "amin": Kind.CONVEX}.get(how, Kind.UNKNOWN)


def _norm(position: int, name: str) -> Callable[[Arguments, Keywords], Kind]:
    def decide(args: Arguments, kwargs: Keywords) -> Kind:
        order = argument(args, kwargs, position, name)
        if order is None or order in {"fro", "nuc"}:
            return Kind.CONVEX
        return Kind.CONVEX if order >= 1 else Kind.UNKNOWN

    return decide


def _clamp(args: Arguments, kwargs: Keywords) -> Kind:
    bounds = (*args[1:], *kwargs.values())
    return Kind.UNKNOWN if any(is_active(bound) for bound in bounds) else Kind.UNARY


def _only_first(kind: Kind) -> Callable[[Arguments, Keywords], Kind]:
    """Make the decision for operations that are of a kind in their first operand only."""

    def decide(args: Arguments, kwargs: Keywords) -> Kind:
        others = (*args[1:], *kwargs.values())
        return Kind.UNKNOWN if any(is_active(other) for other in others) else kind

    return decide


DECISIONS: dict[str, Callable[[Arguments, Keywords], Kind]] = {
    **dict.fromkeys(("div", "divide", "true_divide", "__truediv__"), _division),
    **dict.fromkeys(("pow", "__pow__", "float_power"), _power),
    **dict.fromkeys(("clamp", "clip"), _clamp),
    **dict.fromkeys(("grid_sampler", "grid_sampler_2d", "grid_sampler_3d"), _grid_sample),
    **dict.fromkeys(("scatter_reduce", "index_reduce"), _scatter_reduce),
    **dict.fromkeys(("norm", "linalg_vector_norm"), _norm(1, "p")),
    **dict.fromkeys(("cdist", "dist", "pairwise_distance"), _norm(2, "p")),
    **dict.fromkeys(("embedding", "nll_loss", "nll_loss_nd", "nll_loss2d"), _only_first(Kind.LINEAR)),
    "linalg_norm": _norm(1, "ord"),
    "pdist": _norm(1, "p"),
    "batch_norm": _norm_by("training"),
    "instance_norm": _norm_by("use_input_stats"),
    "embedding_bag": _embedding_bag,
}
