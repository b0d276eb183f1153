"""How fast the values of a layer change along a direction of the inputs: ``dz/da = (dz/dx) v``.

Forward-mode differentiation carries v along in one pass. Nothing before the layer is then differentiated backwards, so
no graph is built there; what passes beside the layer carries its own speed to the output. Where an operation has no
forward formula, two backward passes give the same: ``u = w dz/dx`` is linear in w, and its product with v,
differentiated by w, is ``(dz/dx) v``. Attention is computed by its definition, since its fused kernels have neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from pellucid._core.combine import total
from pellucid._core.rules.expansions import attention
from pellucid._core.rules.operation import operation_of
from pellucid._core.speeds import dual, moved, moves, moving_values, speed_of
from pellucid._core.structure import floats_in, wide
from pellucid.errors import PellucidError, UnsupportedModelError

Result = TypeVar("Result")


class Tangents(Protocol):
    """Carries a direction of the inputs through a pass."""

    @property
    def leaves(self) -> tuple[Tensor, ...]:
        """What the explained values must be differentiated by too before ``beside`` is asked."""

    @property
    def largest(self) -> int:
        """Bytes of the largest moving tensor before the layer where no graph is built there, else 0."""

    def moving(self, inputs: tuple[Tensor, ...], directions: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Give copies of inputs that move in a direction, for the function to run on."""

    def of(self, value: Any) -> list[Tensor]:
        """Give the speed of each floating-point tensor of a nested value at the layer."""

    def onwards(self, leaf: Tensor, speed: Tensor) -> Tensor:
        """Give a copy of a value that moves with a speed."""

    def beside(self, chosen: Tensor, gradients: Sequence[Tensor]) -> Tensor:
        """Give the speed of explained values, or of their sum by rows, where the layer's values stand still.

        Args:
            chosen: explained values.
            gradients: of their sum by ``leaves``.

        Returns:
            One number per row of the pass or per explained value.
        """


class Ways:
    """How speeds can be found, the cheapest way first; those that failed where a later one did not are left out.

    One instance lives as long as one call.
    """

    def __init__(self, repeated: bool) -> None:
        """Begin.

        Args:
            repeated: whether several values flow at the layer, so that later ones move with earlier ones.
        """
        forward: list[Callable[[], _Forward]] = [_Forward] if repeated else [_Unrecorded, _Forward]
        self._left: list[Callable[[], _Forward | _TwiceBackward]] = [*forward, _TwiceBackward]

    def run(self, run: Callable[[Tangents], Result]) -> Result:
        """Run a pass that asks for speeds, in the first way that its operations can be differentiated in.

        Raises:
            UnsupportedModelError: if an operation before the layer can be differentiated in no way.
        """
        failed = 0
        while True:
            tangents = self._left[failed]()
            try:
                with tangents.open():
                    result = run(tangents)
            except (PellucidError, torch.OutOfMemoryError):
                raise
            except (NotImplementedError, RuntimeError) as error:
                failed += 1
                if failed < len(self._left):
                    continue
                if "derivative" not in str(error):
                    raise
                raise UnsupportedModelError(
                    "The speed of the layer's values along the path cannot be computed: an operation between the inputs"
                    " and the layer has neither a forward-mode nor a second derivative"
                    f" ({str(error).splitlines()[0]}). Use LayerIntegratedGradients, which needs first derivatives"
                    " after the layer only."
                ) from error
            del self._left[:failed]
            return result


class _Reaching:
    """What has a graph that reaches back to the inputs."""

    leaves: tuple[Tensor, ...] = ()

    @property
    def largest(self) -> int:
        """See ``Tangents``."""
        return 0

    def _begin(self, inputs: tuple[Tensor, ...], directions: tuple[Tensor, ...]) -> None:
        self.leaves, self._directions = tuple(x.detach().requires_grad_() for x in inputs), directions

    def beside(self, chosen: Tensor, gradients: Sequence[Tensor]) -> Tensor:
        """See ``Tangents``."""
        del chosen
        return total(tuple(g * d for g, d in zip(gradients, self._directions, strict=True))).detach()


class _Forward(_Reaching):
    """Dual numbers."""

    def __init__(self) -> None:
        self._mode = _ByDefinition(moves)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Make the pass within."""
        with moving_values(), self._mode:
            yield

    def moving(self, inputs: tuple[Tensor, ...], directions: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """See ``Tangents``."""
        self._begin(inputs, directions)
        return _duals(self.leaves, directions)

    def of(self, value: Any) -> list[Tensor]:
        """See ``Tangents``."""
        speeds = ((tensor, speed_of(tensor)) for tensor in floats_in(value))
        return [torch.zeros_like(t).detach() if speed is None else speed.detach().clone() for t, speed in speeds]

    def onwards(self, leaf: Tensor, speed: Tensor) -> Tensor:
        """See ``Tangents``."""
        return dual(leaf.clone(), speed)


class _Unrecorded(_Forward):
    """Dual numbers in a graph that begins at the layer, whose values stand still from there on."""

    def __init__(self) -> None:
        self._mode = self._before = _Unrecording()

    @property
    def largest(self) -> int:
        """See ``Tangents``."""
        return self._before.largest

    def moving(self, inputs: tuple[Tensor, ...], directions: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """See ``Tangents``."""
        return _duals(tuple(x.detach() for x in inputs), directions)

    def of(self, value: Any) -> list[Tensor]:
        """See ``Tangents``."""
        self._before.ended = True
        return super().of(value)

    def beside(self, chosen: Tensor, gradients: Sequence[Tensor]) -> Tensor:
        """See ``Tangents``."""
        del gradients
        speed, dtype = speed_of(chosen), wide(chosen.dtype)
        return torch.zeros_like(chosen, dtype=dtype).detach() if speed is None else speed.detach().to(dtype)


def _duals(inputs: tuple[Tensor, ...], directions: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(dual(x.clone(), v.to(x.dtype)) for x, v in zip(inputs, directions, strict=True))


class _TwiceBackward(_Reaching):
    """Two backward passes."""

    @contextmanager
    def open(self) -> Iterator[None]:
        """Make the pass within."""
        with _ByDefinition(lambda _: True):
            yield

    def moving(self, inputs: tuple[Tensor, ...], directions: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """See ``Tangents``."""
        self._begin(inputs, directions)
        return tuple(x.clone() for x in self.leaves)

    def of(self, value: Any) -> list[Tensor]:
        """See ``Tangents``."""
        speeds = []
        for tensor in floats_in(value):
            weights = torch.zeros_like(tensor, requires_grad=True)
            if not tensor.requires_grad:
                speeds.append(torch.zeros_like(tensor))
                continue
            pulled = torch.autograd.grad(tensor, self.leaves, weights, create_graph=True, allow_unused=True)
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
    """Computes attention as softmax(q k) v where its arguments are such that the kernels cannot be used."""

    def __init__(self, concerned: Callable[[Any], bool]) -> None:
        super().__init__()
        self._concerned = concerned

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Make a call; of what torch writes in Python, each part is seen."""
        kwargs = kwargs or {}
        body = attention if func is F.scaled_dot_product_attention else operation_of(func).body
        if body is None or not self._concerned([args, kwargs]):
            return func(*args, **kwargs)
        with self:
            return body(*args, **kwargs)


class _Unrecording(_ByDefinition):
    """Lets the calls before the layer build no graph, and notes the largest moving tensor there.

    Whether gradients are recorded is switched for each call, so that what the model switches itself holds on.
    """

    def __init__(self) -> None:
        super().__init__(moves)
        self.ended = False
        self.largest = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.ended or func is torch._C._set_grad_enabled:  # noqa: SLF001  (what torch.no_grad() calls)
            return super().__torch_function__(func, types, args, kwargs)
        with torch.no_grad():
            result = moved(func, args, kwargs or {})
            if result is None:
                result = super().__torch_function__(func, types, args, kwargs)
        if not self.ended and isinstance(result, Tensor | tuple) and moves(result):
            self.largest = max(self.largest, *(t.numel() * t.element_size() for t in floats_in(result)))
        return result
