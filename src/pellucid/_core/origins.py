"""Where integers come from: ids are followed through every operation that moves, copies or offsets them.

A pass over the model notes for each element of an integer tensor from which id it came. The notes lie beside the
storage of the tensor, so views of all kinds and writing through them need no rule of their own. An element is noted
by the number of its id, counted from 1; 0 says that it came from none, and -1 that it came from several.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pellucid._core.structure import tensors_in

NONE, SEVERAL = 0, -1

_MOVED: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("clone", "_to_copy", "cat", "stack", "lift_fresh_copy", "contiguous"), (0,)),
    **dict.fromkeys(("index", "_unsafe_index", "index_select", "gather", "take", "masked_select"), (0,)),
    **dict.fromkeys(("repeat", "roll", "flip", "tril", "triu", "repeat_interleave", "constant_pad_nd"), (0,)),
    **dict.fromkeys(("copy", "slice_scatter", "select_scatter", "fill"), (0, 1)),
    **dict.fromkeys(("masked_fill", "masked_scatter", "index_put", "_index_put_impl"), (0, 2)),
    **dict.fromkeys(("scatter", "index_copy", "index_fill"), (0, 3)),
    "where": (1, 2),
}
"""Operations that move elements about, with the positions of the arguments that hold the elements."""
_SHAPE_ONLY = frozenset(
    {f"{kind}_like" for kind in ("zeros", "ones", "full", "empty", "rand", "randn")}
    | {f"new_{kind}" for kind in ("zeros", "ones", "full", "empty", "empty_strided")}
)
"""Operations that use the shape of a tensor and no value."""
_CONVERTED = frozenset({"dtype", "layout", "memory_format", "pin_memory"})
"""Arguments of a copy that do not concern where its elements come from."""


class Origins(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves its base untyped
    """Follows ids through one pass.

    Attributes:
        open: the embeddings that are being called, one list each of the numbers that they looked up so far; what else
            they do with ids is their own matter.
        otherwise: whether ids had another use than to be looked up in an embedding.
        loose: whether a table was looked up in outside of an embedding's call.
    """

    def __init__(self, ids: tuple[Tensor, ...]) -> None:
        """Begin; the pass runs with this mode on and with these tensors."""
        super().__init__()  # type: ignore[no-untyped-call]  # likewise
        self.open: list[list[Tensor]] = []
        self.otherwise = False
        self.loose = False
        self._notes: dict[int, tuple[Tensor, Tensor]] = {}
        start = 1
        for tensor in ids:
            count = tensor.numel()
            self._note(tensor, torch.arange(start, start + count, device=tensor.device).reshape(tensor.shape))
            start += count

    def of(self, tensor: Tensor) -> Tensor | None:
        """Number of the id from which each element came, shaped as the tensor; ``None`` if none came from any."""
        found = self._read(tensor)
        return None if found is None or not bool(found.any()) else found.clone()

    def _read(self, tensor: Tensor) -> Tensor | None:
        if tensor.layout != torch.strided or tensor.is_floating_point() or tensor.dtype == torch.bool:
            return None
        kept = self._notes.get(tensor.untyped_storage().data_ptr())
        if kept is None or kept[0].element_size() != tensor.element_size():
            return None
        return kept[1].as_strided(tensor.size(), tensor.stride(), tensor.storage_offset())

    def _made(self, tensor: Tensor) -> Tensor:
        """Give the notes of a tensor, which may be new."""
        found = self._read(tensor)
        if found is None:
            storage = tensor.untyped_storage()
            notes = torch.zeros(storage.nbytes() // tensor.element_size(), dtype=torch.long, device=tensor.device)
            self._notes[storage.data_ptr()] = (tensor, notes)  # the tensor is kept, so the address stays its own
            found = notes.as_strided(tensor.size(), tensor.stride(), tensor.storage_offset())
        return found

    def _note(self, tensor: Tensor, origins: Tensor) -> None:
        if tensor.numel():
            self._made(tensor).copy_(origins.broadcast_to(tensor.shape))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, and note from where the elements of its result come."""
        kwargs = kwargs or {}
        if self.open and func is torch.ops.aten.embedding.default:
            self.open[-1].append(args[1])
        with torch.no_grad():
            known = [t for t in tensors_in([args, kwargs]) if self.of(t) is not None]
        result = func(*args, **kwargs)
        if known:
            with torch.no_grad():
                self._follow(func, args, kwargs, result, known)
        return result

    def _follow(self, func: Any, args: Any, kwargs: Any, result: Any, known: list[Tensor]) -> None:
        name = func.name().partition("::")[2].partition(".")[0]
        plain = name[:-1] if name.endswith("_") else name
        if plain in _MOVED and _holds_integers(result):
            self._move(func, plain, args, kwargs, result)
        elif torch.Tag.pointwise in func.tags and _holds_integers(result):
            self._note(result, _merged([o for t in known if (o := self.of(t)) is not None]))
        elif not (self.open or plain in _SHAPE_ONLY or self._is_view(result, known)):
            self.otherwise = True
            self.loose |= plain in {"embedding", "embedding_bag", "_embedding_bag", "_embedding_bag_forward_only"}

    def _is_view(self, result: Any, known: list[Tensor]) -> bool:
        storages = {t.untyped_storage().data_ptr() for t in known}
        found = [t.untyped_storage().data_ptr() in storages for t in tensors_in(result)]
        return bool(found) and all(found)

    def _move(self, func: Any, name: str, args: Any, kwargs: Any, result: Any) -> None:
        """Move the notes as the elements were moved."""
        at = _MOVED[name]
        same = {k: v for k, v in kwargs.items() if k not in _CONVERTED}
        moved = [_each(value, self._made_or_none) if i in at else value for i, value in enumerate(args)]
        if name == "constant_pad_nd":
            moved = [*moved[:2], NONE]
        found = func(*moved, **same)
        if isinstance(found, Tensor):
            self._note(result, found)

    def _made_or_none(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return NONE
        return torch.zeros_like(value, dtype=torch.long) if not _is_integer(value) else self._made(value)


def _each(value: Any, change: Callable[[Any], Any]) -> Any:
    return [change(part) for part in value] if isinstance(value, list | tuple) else change(value)


def _is_integer(tensor: Tensor) -> bool:
    return not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)


def _holds_integers(result: Any) -> bool:
    return isinstance(result, Tensor) and _is_integer(result)


def _merged(origins: list[Tensor]) -> Tensor:
    """Combine the origins of operands: an element with two different ones comes from several."""
    found = origins[0]
    for other in origins[1:]:
        differ = (found != other) & (found != NONE) & (other != NONE)
        found = torch.where(differ, SEVERAL, torch.where(found == NONE, other, found))
    return found
