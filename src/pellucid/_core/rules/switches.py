"""Data-dependent switches: decisions and detached values that differ between input and baseline.

A boolean, an index or a Python number that was computed from the input steers the computation, but has
no gradient. Where it is the same in both passes it has no part in the difference of outputs; where it
differs, its effect cannot be attributed to single inputs, and the certificate says so.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pellucid._core.rules.certificate import Ledger
from pellucid._core.rules.lines import spoken, user_place
from pellucid._core.rules.regions import Regions
from pellucid._core.rules.tape import Tape


def described_in(value: Any, regions: Regions) -> list[Tensor]:
    """List the tensors without a gradient, anywhere in a structure, that depend on the input."""
    if isinstance(value, Tensor):
        return [value] if regions.is_described(value) and not value.requires_grad else []
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        return [tensor for part in value for tensor in described_in(part, regions)]
    return []


class Switches:
    """Compares what steers the computation between the two passes of a pair."""

    def __init__(self, tape: Tape | None, ledger: Ledger) -> None:
        self._tape = tape
        self._ledger = ledger

    def compare(self, name: str, decided: Any) -> None:
        """Record a decision in the reference pass; compare it in the other."""
        if self._tape is None or decided is None:
            return
        place = user_place()
        earlier = self._tape.exchange(f"decision in {name}", _frozen(decided), place)
        if not self._tape.recording and not _same(_frozen(decided), earlier):
            self._ledger.switch(
                f"'{name}' at {spoken(place)} depends on the data and decides differently for input and baseline; the "
                "effect of the decision itself is not attributed"
            )


def _frozen(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, tuple | list):
        return [_frozen(part) for part in value]
    return value


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.shape == other.shape and torch.equal(one, other)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(_same(a, b) for a, b in zip(one, other, strict=True))
    return type(one) is type(other) and bool(one == other)
