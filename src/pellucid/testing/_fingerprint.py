"""Everything that a call could leave behind, as values that can be compared."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.errors import invalid_type

Fingerprint = dict[str, Any]


def fingerprint(model: nn.Module, tensors: Iterable[Tensor]) -> Fingerprint:
    """Take down the state of a model, of tensors, of torch and of all generators.

    That is: parameters, buffers, their gradients and identities; modes, hooks and attributes of modules; values,
    gradients and versions of the tensors; torch's global switches, hooks, modes and functions (which one library
    replaces for good); the generators of torch, of Python and, where it is loaded, of NumPy.

    Example:
        >>> import torch
        >>> from pellucid.testing import changed, fingerprint
        >>> model = torch.nn.Linear(2, 1)
        >>> before = fingerprint(model, [])
        >>> model.weight.grad = torch.ones(1, 2)
        >>> changed(before, fingerprint(model, []))
        ['weight']

    Args:
        model: any module.
        tensors: the user's tensors.

    Returns:
        Values by the name of what has them.
    """
    if not isinstance(model, torch.nn.Module):
        raise invalid_type("model", f"a {type(model).__name__}", "it holds no modules", "a torch.nn.Module")
    given: list[Any]
    try:
        given = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    except TypeError:  # no list of anything
        given = [tensors]
    for tensor in given:
        if not isinstance(tensor, Tensor) or tensor.layout != torch.strided or tensor.is_meta:
            raise invalid_type(
                "tensors", f"with a {type(tensor).__name__}", "values are compared", "a list of dense tensors"
            )
    parts: Fingerprint = {}
    for name, p in [*model.named_parameters(), *model.named_buffers()]:
        grad = None if p.grad is None else p.grad.tolist()
        parts[name] = (p.tolist(), p.requires_grad, grad, id(p))
    for name, m in model.named_modules():
        hooks = [len(v) for k, v in vars(m).items() if k.endswith("_hooks")]
        attributes = sorted(k for k in vars(m) if k != "evaluations")
        parts[f"module {name}".strip()] = (m.training, hooks, attributes, type(m), type(m).forward)
    for i, t in enumerate(given):
        grad = t.grad.tolist() if t.is_leaf and t.grad is not None else None
        version = None if t.is_inference() else t._version
        parts[f"tensor {i}"] = (t.tolist(), t.requires_grad, grad, t.is_leaf, version)
    return {**parts, **_torch(), **_generators()}


def changed(before: Fingerprint, after: Fingerprint) -> list[str]:
    """Name what differs between two fingerprints.

    Args:
        before: the first one.
        after: the second one.

    Returns:
        Names of parts of the first that are others, or missing, in the second.
    """
    return [name for name in before if name not in after or before[name] != after[name]]


_SWITCHES = (
    torch.is_grad_enabled,
    torch.is_inference_mode_enabled,
    torch.get_default_dtype,
    torch.get_default_device,
    torch.get_num_threads,
    torch.are_deterministic_algorithms_enabled,
    torch.is_anomaly_enabled,
    torch.is_autocast_enabled,
    torch.get_float32_matmul_precision,
    torch.is_autocast_cache_enabled,
)
_PATCHED = (nn.functional, torch.Tensor, nn.Module, *(v for v in vars(nn).values() if isinstance(v, type)))
"""Where a library could put functions of its own for the whole process."""


def _torch() -> Fingerprint:
    module = vars(nn.modules.module)
    return {
        "torch's switches": [switch() for switch in _SWITCHES],
        "torch's global hooks": {
            k: len(v) for k, v in module.items() if k.endswith("_hooks") and hasattr(v, "__len__")
        },
        "torch's functions": [{k: v for k, v in vars(place).items() if callable(v)} for place in _PATCHED],
    }


def _generators() -> Fingerprint:
    numpy = sys.modules.get("numpy")
    return {
        "torch's generator": torch.get_rng_state().tolist(),
        "Python's generator": random.getstate(),
        "NumPy's generator": None if numpy is None else str(numpy.random.get_state()),
    }
