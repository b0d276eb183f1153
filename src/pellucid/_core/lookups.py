"""What embeddings look up for integer inputs, put in the place of these inputs: a model of ids becomes one of floats.

One pass over the model shows which ids reach which call of which embedding (see ``origins``). ``Embedded`` is the
model as a function of the floating-point inputs and of what those calls return, so that every method for
floating-point inputs applies to it, along one path for all of them. The ids stay beside as further arguments: what the
model does with them otherwise (masks, positions) is held.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pellucid._core import report
from pellucid._core.expansion import agree, run_plain
from pellucid._core.model import modules_of
from pellucid._core.origins import NONE, SEVERAL, Origins
from pellucid._core.output import output_tensor
from pellucid._core.rules.environment import uncompiled
from pellucid._core.site import InputSite
from pellucid._core.taps import Place, accept_place, tapped
from pellucid.errors import UnsupportedModelError, invalid_value
from pellucid.typing import ForwardFunction


class RowsMovedError(RuntimeError):
    """An embedding met ids of another shape than the rows of the pass should give."""


@dataclass(frozen=True)
class Layout:
    """How the examples lie in the ids of a call.

    Attributes:
        axis: dimension that counts the examples.
        folded: rows of one example along it.
    """

    axis: int
    folded: int

    def by_example(self, natural: Tensor) -> Tensor:
        """Give what stands in the order of the call one row per example."""
        if self.folded > 1:
            return natural.reshape(-1, self.folded, *natural.shape[1:])
        return natural.movedim(self.axis, 0)

    def natural(self, value: Tensor) -> Tensor:
        """Give what has one row per example the order of the call."""
        return value.flatten(0, 1) if self.folded > 1 else value.movedim(0, self.axis)


@dataclass(frozen=True)
class Lookup:
    """One call of an embedding that ids of the inputs reach.

    Attributes:
        table: number of the embedding in its place.
        call: which of the embedding's calls.
        input: which of the inputs the ids belong to.
        layout: how the examples lie in the call.
        origins: for each id, example by example, its number among the input's ids, counted from 1; 0 for ids that
            the model brings itself.
        value: what the call returned, one row per example: vectors, shape (N, ..., D).
        bag: whether the call sums up the vectors of several ids.
    """

    table: int
    call: int
    input: int
    layout: Layout
    origins: Tensor
    value: Tensor
    bag: bool


@dataclass(frozen=True)
class _Call:
    """A call of an embedding as it was met: what it looked up, from which ids that came, and what it returned."""

    table: int
    call: int
    ids: Tensor
    origins: Tensor | None
    given: tuple[Any, Any]
    output: Tensor | None


@dataclass(frozen=True)
class Lookups:
    """Where the ids among the inputs go.

    Attributes:
        place: the embeddings.
        found: the calls that ids reach, in the order of the inputs.
        output: the model's output at the inputs.
        otherwise: whether the model uses ids also in another way.
    """

    place: Place
    found: tuple[Lookup, ...]
    output: Tensor
    otherwise: bool

    def values_at(self, inside: InputSite, values: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], Tensor]:
        """Run the model on other inputs of the whole batch.

        Args:
            inside: the inputs, whose additional arguments are used.
            values: what is put in their place.

        Returns:
            What each call looks up for them, and the model's output.

        Raises:
            UnsupportedModelError: if the embeddings are called otherwise than at the inputs.
        """
        calls, output, _ = _observed(inside, self.place, values, ())
        met = {(c.table, c.call): c for c in calls}
        results = []
        for lookup in self.found:
            call = met.get((lookup.table, lookup.call))
            if call is None or call.ids.shape != lookup.layout.natural(lookup.origins).shape:
                raise UnsupportedModelError(
                    f"{self.place.names[lookup.table]} is called otherwise for the baselines than for the inputs: the"
                    " model takes another course. Use baselines that take the same, or 'zero'."
                )
            results.append(lookup.layout.by_example(_vectors(self.place, call)))
        return tuple(results), output


def is_ids(value: Tensor) -> bool:
    """Tell whether an input can hold ids."""
    return not (value.is_floating_point() or value.is_complex() or value.dtype == torch.bool)


def find_lookups(inside: InputSite) -> Lookups:
    """Find the calls of embeddings that integer inputs reach, in one pass over the model.

    Args:
        inside: the inputs; integers among them are taken for ids.

    Returns:
        The calls.

    Raises:
        InvalidTypeError: if there is no embedding.
        InvalidValueError: if ids of an input reach none.
        UnsupportedModelError: if an embedding combines ids before it looks them up, or mixes the examples.
    """
    tables = [m for m in modules_of(uncompiled(inside.forward)) if isinstance(m, nn.Embedding | nn.EmbeddingBag)]
    if not tables:
        raise invalid_value(
            "inputs",
            "integers",
            "the model holds no torch.nn.Embedding that could look them up",
            "inputs.float() if these are quantities, or a forward_func that holds the model with its embedding",
        )
    place = accept_place(inside.forward, tables, None, at_input=False)
    calls, output, origins = _observed(inside, place, inside.values, tuple(map(is_ids, inside.values)))
    starts = _starts(inside)
    found = [lookup for call in calls for lookup in _lookup(inside, place, call, starts)]
    for i, (name, value) in enumerate(zip(inside.names, inside.values, strict=True)):
        if is_ids(value) and not any(lookup.input == i for lookup in found):
            raise _unused(name, origins.loose)
    return Lookups(place, tuple(sorted(found, key=lambda each: each.input)), output, origins.otherwise)


def _unused(name: str, loose: bool) -> Exception:
    why = (
        "the model looks ids up without calling a torch.nn.Embedding module"
        if loose
        else "they reach no embedding of the model"
    )
    return invalid_value(
        name,
        "a tensor of integers",
        why,
        "floats if these are quantities, additional_forward_args if they are not explained, or call the embedding as"
        " a module",
    )


def _starts(inside: InputSite) -> list[int]:
    """Number of the first id of each input."""
    starts, start = [], 1
    for value in inside.values:
        starts.append(start)
        start += value.numel() if is_ids(value) else 0
    return starts


def _observed(
    inside: InputSite, place: Place, values: tuple[Tensor, ...], followed: tuple[bool, ...]
) -> tuple[list[_Call], Tensor, Origins]:
    """Run the model once and note every call of an embedding; follow the ids of some inputs."""

    def run(lent: tuple[Tensor, ...]) -> tuple[Any, list[_Call], Origins]:
        origins = Origins(tuple(x for x, wanted in zip(lent, followed, strict=False) if wanted))
        calls: list[_Call] = []
        count: dict[int, int] = {}
        started: list[tuple[int, int, Any]] = []

        def before(table: int, given: Any) -> None:
            number = count.get(table, 0)
            count[table] = number + 1
            started.append((table, number, given))
            origins.open.append([])

        def after(_: int, output: Any) -> None:
            table, number, given = started.pop()
            looked = [
                ids for ids in origins.open.pop() if isinstance(output, Tensor) and ids.shape == output.shape[:-1]
            ]
            ids = looked[0] if len(looked) == 1 else _ids_of(given)
            kept = output.detach().clone() if isinstance(output, Tensor) else None
            calls.append(_Call(table, number, ids.clone(), origins.of(ids) if any(followed) else None, given, kept))

        at_input = Place(place.layers, place.names, at_input=True)
        with tapped(at_input, before), tapped(place, after), origins:
            return inside.run_whole(lent), calls, origins

    report.count(inside.examples)
    output, calls, origins = run_plain(run, values)
    return calls, output_tensor(output).detach(), origins


def _ids_of(given: Any) -> Tensor:
    args, kwargs = given
    ids: Tensor = args[0] if args else kwargs["input"]
    return ids


def _lookup(inside: InputSite, place: Place, call: _Call, starts: list[int]) -> list[Lookup]:
    """Describe a call, if ids of the inputs reach it."""
    if call.origins is None:
        return []
    name = place.names[call.table]
    origins = call.origins
    if bool((origins == SEVERAL).any()):
        raise UnsupportedModelError(
            f"{name} looks up numbers that are made of several ids each, so what it returns belongs to no single id."
            " Explain the output of this embedding with a layer method instead."
        )
    sizes = [x.numel() if is_ids(x) else 0 for x in inside.values]
    ends = torch.tensor([start + size for start, size in zip(starts, sizes, strict=True)])
    known = origins[origins != NONE].cpu()
    owners = sorted(set(torch.bucketize(known, ends, right=True).tolist()))
    if len(owners) > 1:
        names = " and ".join(inside.names[i] for i in owners)
        raise UnsupportedModelError(f"{name} looks up ids of {names} in one call. Explain one of them at a time.")
    owner = owners[0]
    own = torch.where(origins == NONE, NONE, origins - (starts[owner] - 1))
    bag = isinstance(uncompiled(place.layers[call.table]), nn.EmbeddingBag)
    if bag and call.ids.dim() != 2:
        raise UnsupportedModelError(f"{name} takes bags by their offsets. Pass ids of shape (N, T) to it instead.")
    layout = _layout(own, inside.values[owner], name)
    origins, vectors = layout.by_example(own), layout.by_example(_vectors(place, call))
    return [Lookup(call.table, call.call, owner, layout, origins, vectors, bag)]


def _layout(origins: Tensor, ids: Tensor, name: str) -> Layout:
    """Find the dimension along which the examples lie, and how many rows of it belong to each."""
    examples = len(ids)
    example = torch.div(origins - 1, ids[0].numel(), rounding_mode="floor")
    known = origins != NONE
    for axis, size in enumerate(origins.shape):
        if size == examples and _lies(example, known, axis, 1):
            return Layout(axis, 1)
    if origins.dim() and len(origins) % examples == 0 and _lies(example, known, 0, len(origins) // examples):
        return Layout(0, len(origins) // examples)
    raise UnsupportedModelError(f"{name} is called with ids whose examples do not lie side by side, or only some do.")


def _lies(example: Tensor, known: Tensor, axis: int, folded: int) -> bool:
    expected = torch.arange(example.shape[axis], device=example.device) // folded
    expected = expected.reshape([-1 if i == axis else 1 for i in range(example.dim())])
    return bool(((example == expected) | ~known).all())


def _vectors(place: Place, call: _Call) -> Tensor:
    """Give one vector per id: what the call returned, or what a bag summed up."""
    module: Any = uncompiled(place.layers[call.table])
    name = place.names[call.table]
    output = call.output
    if output is None or not output.is_floating_point():
        raise UnsupportedModelError(f"{name} returns no floating-point tensor.")
    if isinstance(module, nn.EmbeddingBag):
        with torch.no_grad():
            vectors = F.embedding(call.ids, module.weight).detach().clone()
            if not agree(_bagged(module, call.given, vectors), output):
                raise UnsupportedModelError(f"{name} returns something else than the sum of its vectors.")
        return vectors
    if output.shape[:-1] != call.ids.shape:
        raise UnsupportedModelError(
            f"{name} returns shape {tuple(output.shape)} for ids of shape {tuple(call.ids.shape)}: not one vector each."
        )
    return output


def _bagged(module: Any, given: Any, vectors: Tensor) -> Tensor:
    """Put vectors (N, T, D) together as a bag does."""
    args, kwargs = given
    ids = _ids_of(given)
    weights = args[2] if len(args) > 2 else kwargs.get("per_sample_weights")
    kept = torch.ones_like(ids, dtype=torch.bool) if module.padding_idx is None else ids != module.padding_idx
    if module.mode == "max":
        least = -torch.finfo(vectors.dtype).max / 4  # finite, so that differences of it are numbers
        filled = vectors.masked_fill(~kept[..., None], least).amax(1)
        return torch.where(kept.any(1)[:, None], filled, torch.zeros_like(filled))
    if weights is not None:
        vectors = vectors * weights[..., None]
    total = (vectors * kept[..., None].to(vectors.dtype)).sum(1)
    return total / kept.sum(1).clamp(min=1)[:, None].to(total.dtype) if module.mode == "mean" else total


@dataclass(frozen=True)
class Embedded:
    """The model as a function of floating-point inputs and of what embeddings look up.

    It is called with these values, then with the ids, then with the additional arguments.

    Attributes:
        forward: the user's function.
        lookups: what is put where.
        slots: for each input of the function, whether it holds ids.
    """

    forward: ForwardFunction
    lookups: Lookups
    slots: tuple[bool, ...] = field(default=())

    def __call__(self, *values: Any) -> Any:
        """Run the function with the values in the place of what the embeddings look up."""
        found = self.lookups.found
        floats = self.slots.count(False)
        explained, rest = values[: floats + len(found)], values[floats + len(found) :]
        plain, ids = iter(explained[:floats]), iter(rest[: self.slots.count(True)])
        inputs = [next(ids) if slot else next(plain) for slot in self.slots]
        put = _Put(self.lookups, explained[floats:])
        place = self.lookups.place
        at_input = Place(place.layers, place.names, at_input=True)
        with tapped(at_input, put.before), tapped(place, put.after):
            output = self.forward(*inputs, *rest[self.slots.count(True) :])
        put.finish()
        return output


class _Put:
    """Puts vectors in the place of what embeddings return, call by call."""

    def __init__(self, lookups: Lookups, values: Sequence[Tensor]) -> None:
        self._place = lookups.place
        self._left = {(each.table, each.call): (each, v) for each, v in zip(lookups.found, values, strict=True)}
        self._count: dict[int, int] = {}
        self._open: list[tuple[int, Any]] = []

    def before(self, table: int, given: Any) -> None:
        """Note how an embedding is called."""
        self._open.append((self._count.get(table, 0), given))
        self._count[table] = self._count.get(table, 0) + 1

    def after(self, table: int, output: Any) -> Any:
        """Give what flows on."""
        call, given = self._open.pop()
        put = self._left.pop((table, call), None)
        if put is None:
            return None
        lookup, value = put
        vectors = lookup.layout.natural(value)
        shape = _ids_of(given).shape if lookup.bag else output.shape[:-1]
        if vectors.shape[:-1] != shape:
            raise RowsMovedError(
                f"{self._place.names[table]} looked up ids of shape {tuple(shape)} where"
                f" {tuple(vectors.shape[:-1])} were expected."
            )
        module = uncompiled(self._place.layers[table])
        return _bagged(module, given, vectors) if lookup.bag else vectors.to(output.device)

    def finish(self) -> None:
        """Check that every value was put."""
        if self._left:
            table, _ = next(iter(self._left))
            raise UnsupportedModelError(
                f"{self._place.names[table]} was called less often than at the inputs: the model's course depends on"
                " what was looked up, so that cannot be varied on its own."
            )
