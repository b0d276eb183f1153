"""The record of a reference pass, and how the pass over the inputs is paired with it by position."""

from __future__ import annotations

from typing import Any, NamedTuple

from pellucid._core.rules.call import Call
from pellucid._core.rules.lines import Place, spoken
from pellucid.errors import UnsupportedModelError


class _Entry(NamedTuple):
    name: str
    item: Any
    place: Place


class Tape:
    """What happened in the reference pass, in order; each entry is handed out once and then forgotten."""

    def __init__(self) -> None:
        self._entries: list[_Entry | None] = []
        self._position = 0
        self.recording = True

    def rewind(self) -> None:
        """Begin the second pass."""
        self.recording = False

    def exchange(self, name: str, item: Any, place: Place) -> Any:
        """Record an item in the first pass; return its counterpart in the second."""
        if self.recording:
            self._entries.append(_Entry(name, item, place))
            return None
        if self._position >= len(self._entries):
            raise _different_course(f"'{name}' at {spoken(place)}", "nothing: its pass had ended")
        entry = self._entries[self._position]
        self._entries[self._position] = None
        self._position += 1
        if entry is None or entry.name != name:
            there = "nothing" if entry is None else f"'{entry.name}' at {spoken(entry.place)}"
            raise _different_course(f"'{name}' at {spoken(place)}", there)
        return entry.item

    def finish(self) -> None:
        """Check that the second pass met everything that the first recorded."""
        if self._position < len(self._entries):
            entry = self._entries[self._position]
            there = "more operations" if entry is None else f"'{entry.name}' at {spoken(entry.place)}"
            raise _different_course("nothing: its pass had ended", there)


def _different_course(here: str, there: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"The model took different courses for the input and for the baseline: the input ran {here}, the "
        f"baseline ran {there}. Differences across data-dependent control flow are not defined for this "
        "method. Use a baseline that takes the same course, make the choice with torch.where, or use "
        "integrated gradients."
    )


def check_shapes(call: Call, reference: Call) -> None:
    """Refuse a call whose operands have other shapes in the two passes."""
    here, there = [x.shape for x in call.operands], [x.shape for x in reference.operands]
    if here != there:
        shapes, others = ([tuple(shape) for shape in each] for each in (here, there))
        raise UnsupportedModelError(
            f"'{call.name}' at {call.line} got operands of shapes {shapes} for the input and {others} for the "
            "baseline: a selection that depends on the data changed its size. Use a baseline that selects "
            "equally many values, select with torch.where, or use integrated gradients."
        )
