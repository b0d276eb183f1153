r"""DeepLIFT's rule for normalisations in closed form: layer, group, instance, batch and root mean square.

A normalisation is y = z s with z = x - mean(x) (or x itself) and s = (mean(z^2) + eps)^(-1/2). The
product gives its factors their midpoints; the secant of s over v = mean(z^2) + eps is

.. math:: \frac{s - s'}{v - v'} = -\frac{(s s')^2}{s + s'}

which has no singularity. It equals what the same norm gets when written by hand in single operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pellucid._core.rules.call import Call, Slot
from pellucid._core.rules.carry import Gradients, Pullback
from pellucid._core.rules.path import integrate
from pellucid._core.rules.precision import at_least_single
from pellucid._core.rules.table import Occurrence, Rule


@dataclass(frozen=True)
class Plan:
    """How a norm sees its operand.

    Args:
        view: The shape in which ``dims`` are normalised over.
        dims: The dimensions whose statistics are shared.
        eps: Added to the variance.
        centred: Whether the mean is subtracted.
        weight: Factor after the normalisation, in a shape that broadcasts with the operand, or None.
    """

    view: tuple[int, ...]
    dims: tuple[int, ...]
    eps: float
    centred: bool
    weight: Tensor | None


def has_constant_weights(call: Call) -> bool:
    """Tell whether only what is normalised depends on the model's inputs, and neither weights nor biases do."""
    return len(call.operands) == 1 and isinstance(call.argument(0, "input"), Slot)


def _rule(plan_of: Callable[[Call], Plan], compute: Callable[[Call], Tensor | None] | None = None) -> Rule:
    def linearise(occurrence: Occurrence) -> Pullback:
        call, reference = occurrence.pair
        if not has_constant_weights(call):
            return integrate(occurrence)
        plan = plan_of(call)
        if call.kept is not None and reference.kept is not None:
            return _by_kernel(occurrence, plan)
        (z, s), (z_start, s_start) = statistics(call, plan), statistics(reference, plan)
        centre, scale = (z + z_start) / 2, (s + s_start) / 2
        slope = -((s * s_start) ** 2) / (s + s_start)
        return _pullback(plan, centre, scale, slope)

    return Rule("normalisation", linearise, compute=compute)


def _layer_norm_keeping_statistics(call: Call) -> Tensor | None:
    """Run a layer norm in the form that also returns the mean and the factor that normalises."""
    x, shape = call.operands[0], call.argument(1, "normalized_shape")
    constants = [call.argument(2, "weight"), call.argument(3, "bias")]
    if not has_constant_weights(call) or call.autocast is not None:
        return None
    dtypes = {x.dtype, *(one.dtype for one in constants if one is not None)}
    if dtypes not in ({torch.float32}, {torch.float64}):
        return None
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    weight, bias = constants
    y, *call.kept = torch.native_layer_norm(x, shape, weight, bias, call.argument(4, "eps", 1e-5))
    return y


def _by_kernel(occurrence: Occurrence, plan: Plan) -> Pullback:
    r"""Pull back by the gradient's kernel, at a point where the gradient is the rule.

    The rule and the gradient differ in the factor of the term that is quadratic in the operand only, 2 slope
    against -scale^3, which a centre multiplied by :math:`s s' / \mathrm{scale}^2` makes equal.
    """
    call, reference = occurrence.pair
    (mean, s), (first_mean, s_start) = call.kept, reference.kept
    scale = (s + s_start) / 2
    factor = (s * s_start).div_(scale.square()).div_(2)
    middle, mean = (call.operands[0] + reference.operands[0]).mul_(factor), (mean + first_mean).mul_(factor)
    shape = plan.view[plan.dims[0] :]

    def pull(gradients: Gradients) -> Sequence[Tensor | None]:
        if gradients[0] is None:
            return (None,)
        found: Tensor = torch.ops.aten.native_layer_norm_backward(
            gradients[0], middle, shape, mean, scale, plan.weight, None, [True, False, False]
        )[0]
        return (found,)

    return pull


def statistics(call: Call, plan: Plan) -> tuple[Tensor, Tensor]:
    """Return the centred operand and the factor that normalises it."""
    x = at_least_single(call.operands[0]).reshape(plan.view)
    z = x - x.mean(plan.dims, keepdim=True) if plan.centred else x
    return z, torch.rsqrt((z * z).mean(plan.dims, keepdim=True) + plan.eps)


def _pullback(plan: Plan, centre: Tensor, scale: Tensor, slope: Tensor) -> Pullback:
    count = math.prod(centre.shape[dim] for dim in plan.dims)

    def pull(gradients: Gradients) -> Sequence[Tensor | None]:
        if gradients[0] is None:
            return (None,)
        g = at_least_single(gradients[0])
        shape = g.shape
        if plan.weight is not None:
            g = g * plan.weight
        g = g.reshape(plan.view)
        m = g * scale + centre * (slope * (2 / count) * (g * centre).sum(plan.dims, keepdim=True))
        if plan.centred:
            m = m - m.mean(plan.dims, keepdim=True)
        return (m.reshape(shape),)

    return pull


def _trailing(call: Call, *, eps: float, centred: bool, weight: Any) -> Plan:
    shape = call.argument(1, "normalized_shape")
    count = 1 if isinstance(shape, int) else len(shape)
    return Plan(tuple(call.operands[0].shape), tuple(range(-count, 0)), eps, centred, weight)


def _layer_norm(call: Call) -> Plan:
    return _trailing(call, eps=call.argument(4, "eps", 1e-5), centred=True, weight=call.argument(2, "weight"))


def _rms_norm(call: Call) -> Plan:
    eps = call.argument(3, "eps")
    if eps is None:
        eps = torch.finfo(call.operands[0].dtype).eps
    return _trailing(call, eps=eps, centred=False, weight=call.argument(2, "weight"))


def _per_channel(weight: Tensor | None, dims: int) -> Tensor | None:
    return None if weight is None else weight.reshape(1, -1, *(1,) * (dims - 2))


def _group_norm(call: Call) -> Plan:
    x = call.operands[0]
    weight = _per_channel(call.argument(2, "weight"), x.dim())
    return Plan((x.shape[0], call.argument(1, "num_groups"), -1), (2,), call.argument(4, "eps", 1e-5), True, weight)


def _instance_norm(call: Call) -> Plan:
    x = call.operands[0]
    weight = _per_channel(call.argument(1, "weight"), x.dim())
    return Plan(tuple(x.shape), tuple(range(2, x.dim())), call.argument(7, "eps", 1e-5), True, weight)


def _batch_norm(call: Call) -> Plan:
    x = call.operands[0]
    weight = _per_channel(call.argument(1, "weight"), x.dim())
    dims = (0, *range(2, x.dim()))
    return Plan(tuple(x.shape), dims, call.argument(7, "eps", 1e-5), True, weight)


NORMALISATION_PLANS: dict[str, Callable[[Call], Plan]] = {
    "layer_norm": _layer_norm,
    "native_layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "group_norm": _group_norm,
    "instance_norm": _instance_norm,
    "batch_norm": _batch_norm,
}
NORMALISATIONS: dict[str, Rule] = {
    **{name: _rule(plan) for name, plan in NORMALISATION_PLANS.items()},
    "layer_norm": _rule(_layer_norm, _layer_norm_keeping_statistics),
}
