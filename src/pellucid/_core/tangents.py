"""How fast the values of a layer change along a direction of the inputs: ``dz/da = (dz/dx) v``.

Forward-mode differentiation carries v along in one pass. Where an operation has no forward formula, two
backward passes give the same: ``u = w dz/dx`` is linear in w, and its product with v, differentiated by w,
is ``(dz/dx) v``. Attention is computed by its definition, since its fused kernels have neither.
"""

from __future__ import annotations

import functools
import importlib
import threading
import warnings
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import torch
import torch.autograd.forward_ad as forward_mode
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from pellucid._core.rules.expansions import attention
from pellucid._core.structure import floats_in
from pellucid.errors import PellucidError, UnsupportedModelError

Result = TypeVar("Result")

_turn = threading.RLock()
"""Forward mode has one level for the whole process, so passes take turns."""


class Tangents(Protocol):
    """Carries a direction of the inputs through a pass."""

    def moving(self, inputs: tuple[Tensor, ...], directions: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Give copies of inputs that move in a direction, for the function to run on."""

    def of(self, value: Any) -> list[Tensor]:
        """Give the speed of each floating-point tensor of a nested value."""

    def onwards(self, leaf: Tensor, speed: Tensor) -> Tensor:
        """Give a copy of a value that moves with a speed."""


def with_tangents(run: Callable[[Tangents], Result]) -> Result:
    """Run a pass that asks for speeds, in whichever way its operations can be differentiated.

    Raises:
        UnsupportedModelError: if an operation before the layer can be differentiated in neither way.
    """
    try:
        with _turn:
            _prepare()
            with forward_mode.dual_level(), _ByDefinition():
                return run(_Forward())
    except PellucidError:
        raise
    except (NotImplementedError, RuntimeError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
    try:
        with _ByDefinition():
            return run(_TwiceBackward())
    except PellucidError:
        raise
    except (NotImplementedError, RuntimeError) as error:
        if "derivative" not in str(error):
            raise
        raise UnsupportedModelError(
            "The speed of the layer's values along the path cannot be computed: an operation between the inputs and"
            f" the layer has neither a forward-mode nor a second derivative ({str(error).splitlines()[0]}). Use"
            " LayerIntegratedGradients, which needs first derivatives after the layer only."
        ) from error


@functools.cache
def _prepare() -> None:
    """Load torch's forward formulas, which it scripts by means that it calls deprecated itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        importlib.import_module("torch._decomp.decompositions_for_jvp")


class _Forward:
    """Dual numbers."""

    def moving(self, inputs: tuple[Tensor, ...], directions: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """See ``Tangents``."""
        pairs = zip(inputs, directions, strict=True)
        return tuple(_dual(x.clone(), v.to(x.dtype)) for x, v in pairs)

    def of(self, value: Any) -> list[Tensor]:
        """See ``Tangents``."""
        speeds = []
        for tensor in floats_in(value):
            tangent = forward_mode.unpack_dual(tensor).tangent  # type: ignore[no-untyped-call]  # torch leaves it so
            speeds.append(torch.zeros_like(tensor).detach() if tangent is None else tangent.detach().clone())
        return speeds

    def onwards(self, leaf: Tensor, speed: Tensor) -> Tensor:
        """See ``Tangents``."""
        return _dual(leaf.clone(), speed)


def _dual(value: Tensor, speed: Tensor) -> Tensor:
    dual: Tensor = forward_mode.make_dual(value, speed)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return dual


class _TwiceBackward:
    """Two backward passes."""

    def moving(self, inputs: tuple[Tensor, ...], directions: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """See ``Tangents``."""
        self._inputs, self._directions = inputs, directions
        return tuple(x.clone() for x in inputs)

    def of(self, value: Any) -> list[Tensor]:
        """See ``Tangents``."""
        speeds = []
        for tensor in floats_in(value):
            weights = torch.zeros_like(tensor, requires_grad=True)
            if not tensor.requires_grad:
                speeds.append(torch.zeros_like(tensor))
                continue
            pulled = torch.autograd.grad(tensor, self._inputs, weights, create_graph=True, allow_unused=True)
            pairs = zip(pulled, self._directions, strict=True)
            product = sum(((u * v).sum() for u, v in pairs if u is not None), tensor.new_zeros(()))
            found = torch.autograd.grad(product, weights, allow_unused=True)[0] if product.requires_grad else None
            speeds.append(torch.zeros_like(tensor) if found is None else found.detach())
        return speeds

    def onwards(self, leaf: Tensor, speed: Tensor) -> Tensor:
        """See ``Tangents``; a copy that moves cannot be cut off from what it came from here."""
        del leaf, speed
        raise UnsupportedModelError(
            "The layer is called several times, and an operation before it has no forward-mode derivative, so the speed"
            " of its later values cannot be computed. Use LayerIntegratedGradients."
        )


class _ByDefinition(TorchFunctionMode):
    """Computes attention as softmax(q k) v."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return attention(*args, **kwargs)
        if func is F.multi_head_attention_forward and not kwargs.get("need_weights", True):
            output, _ = func(*args, **{**kwargs, "need_weights": True})
            return output, None
        return func(*args, **kwargs)
