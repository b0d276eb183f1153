"""A layer as the place of the explained values: what is put there flows on in the place of what came.

A module may be called several times in one pass, and give or take several tensors. Each floating-point
tensor of each call is a value of the site. All else, what flows around the layer included, is held at the
model's inputs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from pellucid._core import report
from pellucid._core.arguments import repeat_rows
from pellucid._core.expansion import agree, run_plain
from pellucid._core.layout import Called, Caught, Wanted
from pellucid._core.model import modules_of
from pellucid._core.output import output_tensor
from pellucid._core.replay import Diverged, Prefix, Recording
from pellucid._core.site import InputSite, check_results
from pellucid._core.structure import floats_in, with_floats
from pellucid._core.taps import Place, refuse_checkpoint, share_of, tapped
from pellucid.errors import UnsupportedModelError
from pellucid.typing import ForwardFunction


@dataclass
class Replays:
    """How passes skip what comes before the layer; ``None`` once it failed, and for which examples it was checked."""

    prefix: Prefix | None = None
    checked: set[tuple[int, ...]] = field(default_factory=set)


@dataclass(frozen=True)
class LayerSite:
    """What flows at a layer, as a function of which the rest of the model is explained.

    Attributes:
        inside: the model's inputs, at which all else is held.
        wanted: the layers, and how results are wanted.
        calls: the layers' calls.
        natural: the tensors at the inputs, as they flow.
        output: the model's output at the inputs.
        replays: how passes skip what comes before.
    """

    inside: InputSite
    wanted: Wanted
    calls: tuple[Called, ...]
    natural: tuple[Tensor, ...]
    output: Tensor
    replays: Replays

    @property
    def forward(self) -> ForwardFunction:
        """The user's function."""
        return self.inside.forward

    @cached_property
    def divisible(self) -> bool:
        """Whether every tensor has equally many rows for each example."""
        return all(t.dim() > 0 and len(t) % self.inside.examples == 0 for t in self.natural)

    @cached_property
    def examples(self) -> int:
        """Number of examples; one, the batch, where rows cannot be told apart."""
        return self.inside.examples if self.divisible else 1

    @cached_property
    def values(self) -> tuple[Tensor, ...]:
        """The tensors with one row per example; several rows of one example stand side by side."""
        return self._folded(self.natural)

    @property
    def template(self) -> Any:
        """The only tensor, or a tuple of all."""
        return self.values if len(self.natural) > 1 else self.values[0]

    @property
    def names(self) -> Sequence[str]:
        """Layer, call and number of each tensor."""
        return self.wanted.names(self.calls)

    def structured(self, values: Sequence[Tensor]) -> Any:
        """Give results per layer: summed over its calls, or a list of them.

        Where rows belong to no example, each of several results has the shape of the layer's value.
        """
        if not self.divisible and len(values[0]) > 1:
            each = [v.reshape(len(v), *t.shape) for v, t in zip(values, self.natural, strict=True)]
            return self.wanted.structured(self.calls, each)
        return self.wanted.structured(self.calls, self._unfolded(values))

    def answered(self, attributions: Sequence[Tensor]) -> Any:
        """Give attributions, one per value, the dtypes and the structure of the layer's value."""
        check_results(self.names, [tuple(attributions)])
        return self.structured([a.to(t.dtype) for a, t in zip(attributions, self.natural, strict=True)])

    def _folded(self, natural: Sequence[Tensor]) -> tuple[Tensor, ...]:
        n = self.examples
        if not self.divisible:
            return tuple(t.unsqueeze(0) for t in natural)
        return tuple(t if len(t) == n else t.reshape(n, len(t) // n, *t.shape[1:]) for t in natural)

    def _unfolded(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Give values the shapes in which they flow, whatever the number of rows."""
        if not self.divisible:
            return [v.reshape(t.shape) for v, t in zip(values, self.natural, strict=True)]
        return [v.flatten(0, 1) if v.dim() > t.dim() else v for v, t in zip(values, self.natural, strict=True)]

    def run_whole(self, values: tuple[Tensor, ...]) -> Any:
        """Run the function with values for the whole batch in the place of the layer's."""
        prefix = self.replays.prefix
        if prefix is not None and not (torch.is_grad_enabled() and any(v.requires_grad for v in values)):
            every = torch.arange(self.examples)
            with self._trying():
                if tuple(every.tolist()) not in self.replays.checked:
                    report.count(len(every), calls=0)
                    return self._check_replay(prefix, values, every)
                return self._from_here(prefix, values, every, 1)
        with self._putting(values):
            return self.inside.run_whole(tuple(x.clone() for x in self.inside.values))

    def run_rows(self, values: tuple[Tensor, ...], examples: Tensor, repeats: int) -> Any:
        """Run the function on ``repeats`` values for each chosen example, from the layer on where that can be."""
        prefix = self.replays.prefix
        if prefix is not None:
            with self._trying():
                if tuple(examples.tolist()) in self.replays.checked:
                    return self._from_here(prefix, values, examples, repeats)
                if repeats > 1 and self._own_are_last(values, examples):
                    output = self._from_here(prefix, values, examples, repeats)
                    self._require_own(output_tensor(output).detach(), examples, repeats)
                    return output
                report.count(2 * len(examples))
                self._check_replay(prefix, values, examples)
                return self._from_here(prefix, values, examples, repeats)
        rows = tuple(repeat_rows(x, examples, repeats) for x in self.inside.values)
        with self._putting(values):
            return self.inside.run_rows(rows, examples, repeats)

    def _from_here(self, prefix: Prefix, values: tuple[Tensor, ...], examples: Tensor, repeats: int) -> Any:
        """Replay what comes before, and run the rest."""
        rows = tuple(repeat_rows(x, examples, repeats) for x in self.inside.values)
        replay = prefix.replay(examples, repeats)
        with self._putting(values, replay.reach):
            return _under(replay, self.inside).run_rows(rows, examples, repeats)

    @contextmanager
    def _trying(self) -> Iterator[None]:
        """Give replays up if one fails; an error of the model's own comes again in the full pass."""
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except Exception:
            self.replays.prefix = None

    def _check_replay(self, prefix: Prefix, values: tuple[Tensor, ...], examples: Tensor) -> Tensor:
        """Replay once for other values and the layer's own, and compare the latter with the output of a full pass.

        Returns:
            The output at the other values, of the first copy of the examples.

        Raises:
            Diverged: if the output is not that of the full pass.
        """
        both = tuple(
            torch.cat([v[: len(examples)].detach(), x[examples.to(x.device)]])
            for v, x in zip(values, self.values, strict=True)
        )
        with torch.no_grad():
            output = output_tensor(self._from_here(prefix, both, examples, 2))
        self._require_own(output, examples, 2)
        return output[: len(examples)]

    def _own_are_last(self, values: tuple[Tensor, ...], examples: Tensor) -> bool:
        """Tell whether the last of some values are the layer's own, whose output is known."""
        pairs = zip(values, self.values, strict=True)
        return all(torch.equal(v[-len(examples) :].detach(), x[examples.to(x.device)]) for v, x in pairs)

    def _require_own(self, output: Tensor, examples: Tensor, repeats: int) -> None:
        """Check that a replay whose last values were the layer's own gave their output, and remember it.

        Raises:
            Diverged: if the output is not that of the full pass.
        """
        if output.dim() == 0 or len(output) != repeats * len(examples):
            raise Diverged("the output has other rows")
        if not agree(output[-len(examples) :], self.output[examples.to(output.device)]):
            raise Diverged("the batch gave another output than in a full pass")
        self.replays.checked.add(tuple(examples.tolist()))

    @contextmanager
    def _putting(self, values: tuple[Tensor, ...], reached: Callable[[], None] | None = None) -> Iterator[None]:
        put = _Put(self, self._unfolded(values), reached)
        with tapped(self.wanted.place, put.visit):
            yield
        put.finish()

    def at(self, inputs: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], Tensor]:
        """Evaluate the layer's values, one row per example, and the output at other inputs of the whole batch.

        Raises:
            UnsupportedModelError: if other tensors flow there than at the inputs.
        """
        calls, natural, output = flow(self.inside, self.wanted.place, inputs)
        self.require_course(calls, natural)
        return self._folded(natural), output

    def require_course(self, calls: Sequence[Called], natural: Sequence[Tensor]) -> None:
        """Check that what flows at the layer in a pass over the whole batch has the form of what flows at the inputs.

        Raises:
            UnsupportedModelError: if other tensors flow there.
        """
        here, there = [tuple(t.shape) for t in self.natural], [tuple(t.shape) for t in natural]
        if tuple(calls) != self.calls or here != there:
            raise UnsupportedModelError(
                f"At the layer flow tensors of shapes {there} for the baselines, and of shapes {here} for the inputs:"
                " the model takes another course. Use baselines that take the same."
            )


class _Put:
    """Puts values in the place of what flows, call by call."""

    def __init__(self, site: LayerSite, natural: list[Tensor], reached: Callable[[], None] | None) -> None:
        self._place = site.wanted.place
        self._natural = natural
        self._reached = reached
        self._met: dict[tuple[int, torch.device | None], int] = defaultdict(int)
        self._spans: dict[tuple[int, int], slice] = {}
        start = 0
        for called in site.calls:
            self._spans[called.layer, called.call] = slice(start, start + called.floats)
            start += called.floats

    def visit(self, layer: int, value: Any) -> Any:
        """Give what flows on."""
        if self._reached is not None:
            self._reached()
        floats = floats_in(value)
        device = floats[0].device if floats and self._place.device_ids else None
        call = self._met[layer, device]
        self._met[layer, device] += 1
        new = self._natural[self._spans.get((layer, call), slice(0))]
        if len(new) != len(floats):
            raise _another_course(self._place.names[layer])
        if not floats:
            return None
        if not torch.is_grad_enabled() and any(v.requires_grad for v in new):
            refuse_checkpoint(self._place.names[layer])
        shares = new if device is None else [share_of(v, device, self._place.device_ids) for v in new]
        return with_floats(value, iter(shares))

    def finish(self) -> None:
        """Check that every value was put."""
        for layer, call in self._spans:
            met = [count for (number, _), count in self._met.items() if number == layer]
            if not met or min(met) <= call:
                raise _another_course(self._place.names[layer])


def _another_course(name: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"{name} was called another number of times, or with other tensors, than at the inputs: the model's course"
        " depends on the values at the layer, so they cannot be varied on their own."
    )


def flow(
    inside: InputSite,
    place: Place,
    inputs: tuple[Tensor, ...],
    recording: Recording | None = None,
    by_autograd: bool = False,
) -> tuple[tuple[Called, ...], tuple[Tensor, ...], Tensor]:
    """Run the function once on the whole batch and look at what flows at a place.

    Args:
        inside: the model's inputs, whose arguments are used.
        place: where to look.
        inputs: one value per example for each input.
        recording: notes what is called before the place is reached.
        by_autograd: whether values will be put there that autograd differentiates by, which a checkpoint would lose.

    Returns:
        The calls of the layers, their tensors (detached copies) and the model's output.
    """

    def run(lent: tuple[Tensor, ...]) -> tuple[Any, Caught]:
        caught = Caught(place, lambda tensor: tensor.detach().clone())

        def visit(layer: int, value: Any) -> Any:
            if by_autograd:
                refuse_checkpoint(place.names[layer])
            if recording is None:
                caught.catch(layer, value)
                return None
            with recording.at_layer():  # what flows on is new, so that the use of the layer's own result is not seen
                return with_floats(value, iter([tensor.clone() for tensor in caught.catch(layer, value)]))

        with tapped(place, visit):
            return (inside if recording is None else _under(recording, inside)).run_whole(lent), caught

    report.count(inside.examples)
    output, caught = run_plain(run, inputs)
    calls, tensors = caught.collected()
    return calls, tensors, output_tensor(output).detach()


def _under(mode: TorchFunctionMode, inside: InputSite) -> InputSite:
    """Let a mode see what the user's function calls, and nothing of what prepares its arguments."""

    def forward(*args: Any) -> Any:
        with mode:
            return inside.forward(*args)

    return replace(inside, forward=forward)


def layer_site(inside: InputSite, wanted: Wanted, replay: bool = False) -> LayerSite:
    """Find what flows at a layer when the function runs on its inputs.

    Args:
        inside: the model's inputs.
        wanted: the layers, and how results are wanted.
        replay: whether later passes are differentiated by autograd, and may skip what comes before the layer.

    Returns:
        The site.
    """
    recording = None
    if replay and not wanted.place.device_ids:
        recording = Recording(inside.values[0].device, modules_of(inside.forward))
    calls, natural, output = flow(inside, wanted.place, inside.values, recording, by_autograd=replay)
    wanted.structured(calls, natural)  # calls that cannot be summed are refused here
    prefix = None if recording is None else Prefix.of(recording, inside.examples)
    return LayerSite(inside, wanted, calls, natural, output, Replays(prefix))
