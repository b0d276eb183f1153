"""Values that move, and the speeds of what layers make of them.

torch carries speeds through every operation that has a forward formula. Its formulas for linear layers, products and
normalisations are right too, but take products with zeros, or many small steps; short ones stand here for the usual
case that one operand moves.
"""

from __future__ import annotations

import functools
import importlib
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

import torch
import torch.autograd.forward_ad as forward_mode
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid._core.structure import floats_in

Arguments: TypeAlias = tuple[Any, ...]
Keywords: TypeAlias = Mapping[str, Any]


_turn = threading.RLock()
"""Forward mode has one level for the whole process, so passes take turns."""


@functools.cache
def _prepare() -> None:
    """Load torch's forward formulas, which it scripts by means that it calls deprecated itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        importlib.import_module("torch._decomp.decompositions_for_jvp")


@contextmanager
def moving_values() -> Iterator[None]:
    """Let values move in the block."""
    with _turn:
        _prepare()
        with forward_mode.dual_level():
            yield


def dual(value: Tensor, speed: Tensor) -> Tensor:
    """Give a value that moves with a speed."""
    moving: Tensor = forward_mode.make_dual(value, speed)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return moving


def apart(value: Tensor) -> tuple[Tensor, Tensor | None]:
    """Give a value that stands still, and its speed; ``None`` if it did before."""
    still, speed = forward_mode.unpack_dual(value)  # type: ignore[no-untyped-call]  # likewise
    return still, speed


def speed_of(value: Tensor) -> Tensor | None:
    """Speed of a value; ``None`` if it stands still."""
    return apart(value)[1]


def moves(values: Any) -> bool:
    """Tell whether any tensor of nested values moves."""
    return any(speed_of(value) is not None for value in floats_in(values))


def moved(function: Any, args: Arguments, kwargs: Keywords) -> Tensor | None:
    """Call a layer, a product or a normalisation of which one operand moves.

    Args:
        function: what is called.
        args: its arguments.
        kwargs: likewise.

    Returns:
        The result, which moves; ``None`` for all other calls, which are not made.
    """
    form = _FORMS.get(function)
    moving = _moving(args) if form else []
    if form is None or len(moving) != 1 or moves(kwargs) or not form.fits(args):
        return None
    place, value, speed = moving[0]
    if place not in form.places:
        return None
    still = _put(args, place, value)
    result = function(*still, **kwargs)
    return dual(result, form.speed(function, still, kwargs, place, speed).to(result.dtype))


def _moving(args: Arguments) -> list[tuple[int, Tensor, Tensor]]:
    """Give place, value and speed of the tensors that move; a parameter never does."""
    tensors = (
        (place, arg) for place, arg in enumerate(args) if isinstance(arg, Tensor) and not isinstance(arg, nn.Parameter)
    )
    found = ((place, *apart(tensor)) for place, tensor in tensors)
    return [(place, value, speed) for place, value, speed in found if speed is not None]


class _Form(NamedTuple):
    """How an operation carries the speed of one operand.

    Attributes:
        places: of operands that may move.
        speed: from the function, its arguments, the place and the operand's speed to the result's.
        fits: whether that holds for its arguments.
    """

    places: tuple[int, ...]
    speed: Callable[[Any, Arguments, Keywords, int, Tensor], Tensor]
    fits: Callable[[Arguments], bool] = lambda _: True


def _put(args: Arguments, place: int, value: Any) -> Arguments:
    return (*args[:place], value, *args[place + 1 :])


def _of_product(function: Any, args: Arguments, kwargs: Keywords, place: int, speed: Tensor) -> Tensor:
    """A product is linear in each operand."""
    result: Tensor = function(*_put(args, place, speed), **kwargs)
    return result


def _of_layer(function: Any, args: Arguments, kwargs: Keywords, place: int, speed: Tensor) -> Tensor:
    """A layer is one with a third argument that is added."""
    without = _put(args, 2, None) if len(args) > 2 else args
    return _of_product(function, without, {**kwargs, "bias": None} if "bias" in kwargs else kwargs, place, speed)


def _of_batch_norm(function: Any, args: Arguments, kwargs: Keywords, place: int, speed: Tensor) -> Tensor:
    """With fixed statistics it is affine: its third and fourth arguments, bias and means, are added."""
    without = _put(_put(args, 2, None), 3, torch.zeros_like(args[3]))
    return _of_product(function, without, kwargs, place, speed)


def _has_fixed_statistics(args: Arguments) -> bool:
    return len(args) > 5 and args[3] is not None and args[5] is False


def _of_layer_norm(_: Any, args: Arguments, __: Keywords, ___: int, speed: Tensor) -> Tensor:
    r"""With n = (x - mean) / std: :math:`w (v - \overline{v} - n \overline{n v}) / std`."""
    x, shape, weight, _bias, eps = args[:5]
    dims = tuple(range(-len(shape), 0))
    normal, _mean, inverse = torch.native_layer_norm(x, shape, None, None, eps)
    across = speed - speed.mean(dims, keepdim=True) - normal * (normal * speed).mean(dims, keepdim=True)
    return across * inverse if weight is None else across * inverse * weight


_CONVOLUTIONS = (
    *(torch.conv1d, torch.conv2d, torch.conv3d),
    *(torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d),
)
_PRODUCTS = (torch.matmul, torch.mm, torch.bmm, Tensor.matmul, Tensor.__matmul__, Tensor.mm, Tensor.bmm)
_FORMS: Mapping[Any, _Form] = {
    **dict.fromkeys((F.linear, *_CONVOLUTIONS), _Form((0,), _of_layer)),
    **dict.fromkeys(_PRODUCTS, _Form((0, 1), _of_product)),
    torch.batch_norm: _Form((0,), _of_batch_norm, _has_fixed_statistics),
    torch.layer_norm: _Form((0,), _of_layer_norm, lambda args: len(args) > 4),
}
