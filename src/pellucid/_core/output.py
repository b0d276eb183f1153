"""Which scalar per example is explained: the target, and its place in whatever the model returns."""

from __future__ import annotations

import math
import numbers
import operator
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from pellucid._core.checks import LARGEST, accept_dense, accept_function, shown
from pellucid._core.structure import tensors_in
from pellucid.errors import PellucidError, invalid_type, invalid_value

Index: TypeAlias = int | slice


@dataclass(frozen=True)
class Target:
    """One index for all examples (``common``), or one per example (``each``, shape (N, d)), or neither."""

    common: tuple[Index, ...] | None = None
    each: Tensor | None = None

    def rows(self, examples: Tensor, repeats: int) -> Target:
        """Target of ``repeats`` copies of the chosen examples, copy after copy."""
        if self.each is None:
            return self
        return Target(each=self.each[examples.to(self.each.device)].repeat(repeats, 1))


def accept_target(target: Any, examples: int, name: str = "target") -> Target:
    """Turn a target in any of its forms into the one used inside.

    Args:
        target: see ``pellucid.typing.TargetLike``.
        examples: number of examples N.
        name: argument name for error messages.

    Returns:
        The target.

    Raises:
        InvalidTypeError: if the type is none of the forms.
        InvalidValueError: if a list or tensor has neither one entry nor N.
    """
    if target is None:
        return Target()
    if isinstance(target, Tensor):
        return _from_tensor(target, examples, name)
    if isinstance(target, list):
        return _from_list(target, examples, name)
    if isinstance(target, tuple):
        return Target(common=tuple(accept_index(part, f"{name}[{i}]") for i, part in enumerate(target)))
    return Target(common=(_integer(target, name),))


def _from_tensor(target: Tensor, examples: int, name: str) -> Target:
    given = f"a tensor of dtype {target.dtype} and shape {tuple(target.shape)}"
    if target.is_floating_point() or target.is_complex() or target.dtype == torch.bool:
        raise invalid_type(name, given, "indices are integers", "class indices, for example target.long()")
    accept_dense(name, target)
    if target.numel() == 1:
        return Target(common=(int(target.item()),))
    if target.dim() != 1 or target.shape[0] != examples:
        raise invalid_value(
            name,
            given,
            f"there are {examples} examples",
            f"a single index or a tensor of shape ({examples},)",
        )
    return Target(each=target.detach().long().reshape(-1, 1))


def _from_list(target: list[Any], examples: int, name: str) -> Target:
    if len(target) != examples:
        raise invalid_value(
            name,
            f"a list of length {len(target)}",
            f"a list holds one target per example and there are {examples} examples",
            f"a list of length {examples}, or one int or tuple for all examples",
        )
    if all(isinstance(part, tuple) for part in target):
        lengths = {len(part) for part in target}
        if len(lengths) != 1:
            raise invalid_value(
                name,
                "a list of tuples of different lengths",
                "they index the same output",
                "tuples of one length",
            )
        rows = [[_integer(i, f"{name}[{n}]") for i in part] for n, part in enumerate(target)]
    else:
        rows = [[_integer(part, f"{name}[{n}]")] for n, part in enumerate(target)]
    return Target(each=torch.tensor(rows, dtype=torch.long))


def accept_index(value: Any, name: str) -> Index:
    """Check one part of an index: an int, or a slice of ints that goes upwards."""
    if not isinstance(value, slice):
        return _integer(value, name)
    start, stop, step = (None if v is None else _integer(v, name) for v in (value.start, value.stop, value.step))
    if step is not None and step < 1:
        raise invalid_value(name, str(value), "a sum needs no other order", "a slice with a step of at least 1")
    return slice(start, stop, step)


def _integer(value: Any, name: str) -> int:
    if isinstance(value, bool) or (isinstance(value, Tensor) and value.dtype == torch.bool):
        raise invalid_type(name, repr(value), "a truth value is no index", "an int")
    if isinstance(value, Tensor):
        accept_dense(name, value)
    try:
        index = operator.index(value)
        if abs(index) > LARGEST:
            raise invalid_value(name, shown(index), "no dimension is as large", "an index of the output")
        return index
    except TypeError:
        raise invalid_type(
            name,
            f"a {type(value).__name__}",
            "it is no index",
            "an int, a tuple of ints and slices, a tensor of indices, or a list with one target per example",
        ) from None


def output_tensor(output: Any) -> Tensor:
    """Find the tensor to explain in a model's output: the first floating-point one.

    Args:
        output: a tensor, or a tuple, list, dict or dataclass (such as a Hugging Face ``ModelOutput``).

    Returns:
        The first floating-point tensor in the output's own order.

    Raises:
        InvalidTypeError: if there is none, or it is not dense.
    """
    for tensor in (output,) if isinstance(output, Tensor) else tensors_in(output):
        if tensor.is_floating_point():
            return accept_dense("the output of forward_func", tensor)
    kinds = sorted({str(t.dtype) for t in tensors_in(output)})
    held = f"holds only {', '.join(kinds)} tensors" if kinds else "holds no tensor"
    raise invalid_type(
        "forward_func",
        f"a function whose output (a {type(output).__name__}) {held}",
        "only floating-point outputs can be attributed",
        "a function that returns scores, logits or probabilities (not argmax, and not a Python number)",
    )


def any_output(output: Any) -> Tensor:
    """Find the values to explain in an output that need not be differentiable.

    Args:
        output: as for ``output_tensor``, and also a plain number, a tensor of integers or truth values, or a
            future of one of these, which is waited for.

    Returns:
        A floating-point tensor; a number has shape ().

    Raises:
        InvalidTypeError: if there is neither a tensor nor a number.
    """
    if isinstance(output, torch.futures.Future):
        output = output.wait()
    if isinstance(output, numbers.Real):
        try:
            return torch.tensor(float(output), dtype=torch.float64)
        except OverflowError:
            given, why = f"a function that returned {shown(output)}", "no floating-point number holds it"
            raise invalid_value("forward_func", given, why, "a function that returns scores") from None
    tensors = list(tensors_in(output))
    floating = [t for t in tensors if t.is_floating_point()]
    real = floating or [t.double() for t in tensors if not t.is_complex()]
    if real:
        return accept_dense("the output of forward_func", real[0]).detach()
    held = "complex tensors only" if tensors else "neither a tensor nor a number"
    raise invalid_type(
        "forward_func",
        f"a function whose output (a {type(output).__name__}) holds {held}",
        "only real values can be compared",
        "a function that returns scores, logits, probabilities or a number",
    )


def select(output: Tensor, target: Target, name: str = "target") -> Tensor:
    """Pick the explained scalar of each row.

    A slice in the target means the sum over it.

    Args:
        output: the model's output tensor, shape (rows, ...), or () or (1,) for one value per batch.
        target: which entry of each row.
        name: argument name for error messages.

    Returns:
        Tensor of shape (rows,), or (1,) for an output without rows.

    Raises:
        InvalidValueError: if the target does not fit the output, or is missing although there is a choice.
    """
    if target.common is None and target.each is None:
        return _only_value(output, name)
    shape = output.shape  # read once: under rules, each question about a tensor is a call that is seen
    if len(shape) < 2:
        raise invalid_value(
            name,
            _shown(target),
            f"the output has shape {tuple(shape)}: one value per example",
            f"{name}=None",
        )
    length = len(target.common) if target.common is not None else _width(target.each)
    if length > len(shape) - 1 or math.prod(shape[1 + length :]) != 1:
        raise invalid_value(
            name,
            _shown(target),
            f"it indexes {length} dimension(s) and the output has shape {tuple(shape)}",
            f"{len(shape) - 1} indices per example, as a tuple",
        )
    flat = output if len(shape) == 1 + length else output.reshape(shape[: 1 + length])
    if target.common is None:
        return _pick_each(flat, target, name)
    return _pick_common(flat, shape, target.common, name)


def _only_value(output: Tensor, name: str) -> Tensor:
    shape = output.shape
    if not shape:
        return output.reshape(1)
    per_row = math.prod(shape[1:])
    if per_row != 1:
        raise invalid_value(
            name,
            "None",
            f"the output has shape {tuple(shape)}: {per_row} values per example",
            "the index of the one to explain, for example target=0 or one index per example as a list",
        )
    return output if len(shape) == 1 else output.reshape(shape[0])


def _pick_common(output: Tensor, shape: tuple[int, ...], index: tuple[Index, ...], name: str) -> Tensor:
    for dim, part in enumerate(index, start=1):
        size = shape[dim]
        outside = not -size <= part < size if isinstance(part, int) else not range(*part.indices(size))
        if outside:
            raise invalid_value(
                name, _shown(Target(common=index)), _out_of(dim, size), f"an index from 0 to {size - 1}"
            )
    if len(index) == 1 and isinstance(index[0], int):
        return output.select(1, index[0])
    picked = output[(slice(None), *index)]
    return picked.flatten(1).sum(1) if any(isinstance(part, slice) for part in index) else picked


def _pick_each(output: Tensor, target: Target, name: str) -> Tensor:
    if target.each is None or output.shape[0] != target.each.shape[0]:
        raise invalid_value(
            name,
            _shown(target),
            f"the output has {output.shape[0]} rows",
            "one target for all rows, or a function that returns one row per example",
        )
    each = target.each.to(output.device)
    for dim in range(1, output.dim()):
        size, column = output.shape[dim], each[:, dim - 1]
        wrong = (column < -size) | (column >= size)
        if bool(wrong.any()):
            first = int(wrong.nonzero()[0, 0])
            raise invalid_value(
                f"{name}[{first}]",
                f"{int(column[first])}",
                _out_of(dim, size),
                f"an index from 0 to {size - 1}",
            )
    rows = torch.arange(output.shape[0], device=output.device)
    return output[(rows, *each.unbind(1))]


def _out_of(dim: int, size: int) -> str:
    return f"dimension {dim} of the output has size {size}"


def _width(each: Tensor | None) -> int:
    return 0 if each is None else each.shape[1]


def _shown(target: Target) -> str:
    if target.common is not None:
        return str(target.common[0] if len(target.common) == 1 else target.common)
    return f"one index of length {_width(target.each)} per example"


@dataclass(frozen=True)
class SelectedOutput:
    """A forward function reduced to one entry of its output (see ``select_output``)."""

    forward_func: Any
    key: str | int

    def __post_init__(self) -> None:
        """Check the function and the key."""
        accept_function("forward_func", self.forward_func, "a torch.nn.Module or a function")
        if isinstance(self.key, bool) or not isinstance(self.key, str | int):
            raise invalid_type("key", f"a {type(self.key).__name__}", "it finds no tensor", "a name or a position")

    def __call__(self, *args: Any) -> Tensor:
        """Run the wrapped function and return the chosen entry."""
        output = self.forward_func(*args)
        if isinstance(output, Tensor):
            raise invalid_value("key", shown(self.key), "the output is a single tensor", "the function itself")
        try:
            entry = output[self.key] if not isinstance(self.key, str) else _named(output, self.key)
        except (KeyError, IndexError, AttributeError, TypeError) as error:
            raise _no_entry(output, self.key) from error
        if not isinstance(entry, Tensor):
            raise _no_entry(output, self.key)
        return entry


def _named(output: Any, key: str) -> Any:
    return output[key] if hasattr(output, "keys") else getattr(output, key)


def _no_entry(output: Any, key: str | int) -> PellucidError:
    return invalid_value(
        "key",
        shown(key),
        f"the output (a {type(output).__name__}) has no tensor there",
        "the name of one of its tensors",
    )


def select_output(forward_func: Any, key: str | int) -> SelectedOutput:
    """Explain a chosen entry of an output that holds several tensors.

    Without it, the first floating-point tensor of a tuple, dict, dataclass or ``ModelOutput`` is explained.

    Args:
        forward_func: a module or callable that returns a mapping, a sequence or an object with attributes.
        key: key, attribute name or position of the tensor to explain.

    Returns:
        A callable that returns only this tensor.

    Example:
        >>> import torch
        >>> from pellucid import select_output
        >>> model = lambda x: {"mean": x, "scale": 2 * x}
        >>> select_output(model, "scale")(torch.ones(2))
        tensor([2., 2.])
    """
    return SelectedOutput(forward_func, key)
