"""Operations rewritten in simpler ones, which then get their own rules.

An expansion is called with the arguments of the operation, under the engine, so each call in it is
seen. It may return ``NotImplemented`` to decline. Values follow the kernels: statistics and softmax of
half-precision tensors are computed in single precision.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pellucid._core.rules.losses import LOSSES
from pellucid._core.rules.precision import at_least_single

Dims = int | Sequence[int] | None


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Scaled dot-product attention: softmax(q k^T scale + mask) v, heads of k and v shared if grouped."""
    if enable_gqa and key.shape[-3] != query.shape[-3]:
        groups = query.shape[-3] // key.shape[-3]
        key, value = key.repeat_interleave(groups, -3), value.repeat_interleave(groups, -3)
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = (query * factor) @ key.transpose(-2, -1)
    if is_causal:
        shape = (query.shape[-2], key.shape[-2])
        scores = scores.masked_fill(torch.ones(shape, dtype=torch.bool, device=query.device).triu(1), -math.inf)
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, -math.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    weights = torch.softmax(scores, -1)
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        nothing_to_see = ~attn_mask.any(-1, keepdim=True)
        if bool(nothing_to_see.any()):
            weights = weights.masked_fill(nothing_to_see, 0.0)
    if dropout_p:
        weights = F.dropout(weights, dropout_p)
    return weights.to(value.dtype) @ value


def divide(numerator: Any, denominator: Any = None, *, other: Any = None, rounding_mode: str | None = None) -> Any:
    """Division by an active value: the numerator times the reciprocal."""
    denominator = other if denominator is None else denominator
    if rounding_mode is not None:
        return NotImplemented
    return torch.reciprocal(denominator) * numerator


def power(base: Any, exponent: Any) -> Any:
    """A power with active base and exponent: exp(exponent * log(base))."""
    if not (isinstance(exponent, Tensor) and exponent.requires_grad):
        return NotImplemented
    if not (isinstance(base, Tensor) and base.requires_grad):
        return NotImplemented
    return torch.exp(exponent * torch.log(base))


def clamp(value: Tensor, min: Any = None, max: Any = None) -> Any:  # noqa: A002 # torch's argument names
    """Clamping to bounds of which one is active: maximum, then minimum."""
    if not any(isinstance(bound, Tensor) and bound.requires_grad for bound in (min, max)):
        return NotImplemented
    if min is not None:
        value = torch.maximum(value, torch.as_tensor(min, dtype=value.dtype, device=value.device))
    if max is not None:
        value = torch.minimum(value, torch.as_tensor(max, dtype=value.dtype, device=value.device))
    return value


def glu(value: Tensor, dim: int = -1) -> Tensor:
    """Gated linear unit: one half times the sigmoid of the other."""
    first, second = value.chunk(2, dim)
    return first * torch.sigmoid(second)


def _deviations(value: Tensor, dim: Dims, correction: float) -> tuple[Tensor, Tensor, tuple[int, ...], float]:
    dims = tuple(range(value.dim())) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    dims = dims or tuple(range(value.dim()))
    mean = value.mean(dims, keepdim=True)
    count = math.prod(value.shape[axis] for axis in dims)
    return value - mean, mean, dims, max(count - correction, 0)


def _moments_arguments(dim: Any, unbiased: Any, correction: Any) -> tuple[Dims, float]:
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased is None or unbiased else 0
    return dim, correction


def variance(
    value: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
) -> Tensor:
    """Variance: the mean of squared deviations."""
    dim, correction = _moments_arguments(dim, unbiased, correction)
    deviation, _, dims, count = _deviations(value, dim, correction)
    return torch.square(deviation).sum(dims, keepdim=keepdim) / count


def standard_deviation(*args: Any, **kwargs: Any) -> Tensor:
    """Standard deviation: the root of the variance."""
    return torch.sqrt(torch.var(*args, **kwargs))


def variance_and_mean(
    value: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
) -> tuple[Tensor, Tensor]:
    """Variance and mean together."""
    dim, correction = _moments_arguments(dim, unbiased, correction)
    deviation, mean, dims, count = _deviations(value, dim, correction)
    spread = torch.square(deviation).sum(dims, keepdim=keepdim) / count
    return spread, mean if keepdim else mean.reshape(spread.shape)


def deviation_and_mean(*args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
    """Standard deviation and mean together."""
    spread, mean = variance_and_mean(*args, **kwargs)
    return torch.sqrt(spread), mean


def product_of_elements(
    value: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: torch.dtype | None = None
) -> Tensor:
    """Product along a dimension, as a tree of pairwise products."""
    value = value if dtype is None else value.to(dtype)
    if dim is None:
        value, dim, keepdim = value.flatten(), 0, False
    while value.shape[dim] > 1:
        half = value.shape[dim] // 2
        rest = value.narrow(dim, 2 * half, value.shape[dim] - 2 * half)
        pairs = value.narrow(dim, 0, half) * value.narrow(dim, half, half)
        value = torch.cat([pairs, rest], dim) if rest.shape[dim] else pairs
    return value if keepdim else value.squeeze(dim)


def cumulative_product(value: Tensor, dim: int, *, dtype: torch.dtype | None = None) -> Tensor:
    """Running product along a dimension, one product after the other."""
    parts = list((value if dtype is None else value.to(dtype)).unbind(dim))
    for position in range(1, len(parts)):
        parts[position] = parts[position] * parts[position - 1]
    return torch.stack(parts, dim)


def add_quotient(addend: Tensor, numerator: Tensor, denominator: Tensor, *, value: float = 1.0) -> Tensor:
    """addcdiv: a value plus a scaled quotient."""
    return addend + value * (numerator / denominator)


def cosine_similarity(one: Tensor, other: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Cosine of the angle between vectors: the inner product of normalised vectors."""
    return (_unit(one, dim, eps) * _unit(other, dim, eps)).sum(dim)


def deep_copy(value: Tensor, memo: Any = None) -> Tensor:
    """A deep copy, which torch allows for leaves only: a clone."""
    del memo
    return value.clone()


def _unit(value: Tensor, dim: int, eps: float) -> Tensor:
    return value / torch.sqrt(torch.square(value).sum(dim, keepdim=True)).clamp_min(eps)


def distances(one: Tensor, other: Tensor, p: float = 2.0, *_: Any, **__: Any) -> Tensor:
    """Pairwise distances between two sets of vectors: norms of all differences."""
    norms: Tensor = torch.linalg.vector_norm(one.unsqueeze(-2) - other.unsqueeze(-3), p, -1)
    return norms


def distance(one: Tensor, other: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """Distance between corresponding vectors: the norm of their difference."""
    norms: Tensor = torch.linalg.vector_norm(one - other + eps, p, -1, keepdim)
    return norms


def _standardised(value: Tensor, dims: tuple[int, ...], eps: float, centred: bool = True) -> Tensor:
    wide = at_least_single(value)
    if centred:
        wide = wide - wide.mean(dims, keepdim=True)
    return (wide * torch.rsqrt(torch.square(wide).mean(dims, keepdim=True) + eps)).to(value.dtype)


def _affine(value: Tensor, weight: Tensor | None, bias: Tensor | None, shape: tuple[int, ...] | None = None) -> Tensor:
    if weight is not None:
        value = value * (weight if shape is None else weight.reshape(shape))
    if bias is not None:
        value = value + (bias if shape is None else bias.reshape(shape))
    return value


def layer_norm(
    value: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *_: Any,
) -> Tensor:
    """Layer norm, in single operations."""
    return _affine(_standardised(value, tuple(range(-len(normalized_shape), 0)), eps), weight, bias)


def rms_norm(
    value: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """Root-mean-square norm, in single operations."""
    eps = torch.finfo(value.dtype).eps if eps is None else eps
    return _affine(_standardised(value, tuple(range(-len(normalized_shape), 0)), eps, False), weight, None)


def group_norm(
    value: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *_: Any,
) -> Tensor:
    """Group norm, in single operations."""
    grouped = _standardised(value.reshape(value.shape[0], num_groups, -1), (-1,), eps).reshape(value.shape)
    return _affine(grouped, weight, bias, (1, -1, *(1,) * (value.dim() - 2)))


def quantile(
    value: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Any:
    """Quantiles: an interpolation between neighbouring order statistics."""
    if interpolation not in {"linear", "midpoint", "lower", "higher", "nearest"}:
        return NotImplemented
    shape = [1] * value.dim() if dim is None else list(value.shape)
    flat, axis = (value.flatten(), 0) if dim is None else (value, dim)
    levels = torch.as_tensor(q, dtype=value.dtype, device=value.device)
    place = levels.reshape(-1) * (flat.shape[axis] - 1)
    low, high = place.floor().long(), place.ceil().long()
    share = {
        "linear": place - low,
        "midpoint": (high - low) / 2,
        "lower": torch.zeros_like(place),
        "higher": (high - low) * 1.0,
    }.get(interpolation, place.round() - low)
    ordered = flat.sort(axis)[0].movedim(axis, -1)
    found = ordered[..., low] * (1 - share) + ordered[..., high] * share
    found = found.movedim(-1, 0)
    if keepdim:
        shape[axis] = 1
        found = found.reshape(-1, *shape)
    return found if levels.dim() else found[0]


ARITHMETIC: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("div", "divide", "true_divide", "__truediv__"), divide),
    **dict.fromkeys(("pow", "__pow__", "float_power"), power),
    **dict.fromkeys(("clamp", "clip"), clamp),
    "scaled_dot_product_attention": attention,
    "glu": glu,
    "var": variance,
    "std": standard_deviation,
    "var_mean": variance_and_mean,
    "std_mean": deviation_and_mean,
    "prod": product_of_elements,
    "cumprod": cumulative_product,
    "addcdiv": add_quotient,
    "cosine_similarity": cosine_similarity,
    "cdist": distances,
    "pairwise_distance": distance,
    "__deepcopy__": deep_copy,
    "quantile": quantile,
    **LOSSES,
}
"""Operations that every method which needs exact rules rewrites."""
