"""Where an active value came from: the check that no operation escaped the engine.

The engine sees what Python asks of torch. TorchScript, custom autograd functions, ``vmap``, reentrant
checkpoints and other threads compute unseen, and their plain gradient would silently stand in for a
rule. So each operand that requires a gradient must come from a call that was seen, or from something
that does not depend on the attributed values at all.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pellucid._core.rules.lines import user_place
from pellucid._core.rules.refusals import transformed, unseen
from pellucid._core.rules.storage import base_of, inside_transform
from pellucid._core.rules.table import FunctionRule, RuleTable
from pellucid._core.rules.tape import Tape


class Provenance:
    """The autograd nodes that the engine has seen in one pass: what results in one of `seen` is active."""

    def __init__(self, table: RuleTable, tape: Tape | None) -> None:
        self._table = table
        self._tape = tape
        self.seen: set[Any] = set()
        self._foreign: set[Any] = set()
        self._shadows: dict[int, tuple[Tensor, Tensor]] = {}

    def forget_all(self) -> None:
        """Let go of the graph of the pass."""
        for known in (self.seen, self._foreign, self._shadows):
            known.clear()

    def mark(self, tensor: Tensor) -> None:
        """Accept a tensor as the result of a call that was seen."""
        self.seen.add(tensor.grad_fn)

    def mark_written(self, tensor: Tensor) -> None:
        """Accept a tensor that a seen call wrote into, and what it is a view of."""
        self.seen.add(tensor.grad_fn)
        base = base_of(tensor)
        if base is not None:
            self.seen.add(base.grad_fn)

    def shadow(self, tensor: Tensor) -> None:
        """Keep the graph of a value that was computed where autograd is off.

        The forward pass of a custom autograd function, and a reentrant checkpoint, run there. Their calls
        are seen, but the function then puts its own node on the very tensors it returns. The shadow is an
        alias that keeps the graph of the calls.
        """
        alias = tensor.view_as(tensor)
        self.mark(alias)
        self._shadows[id(tensor)] = (tensor, alias)

    def shadow_of(self, tensor: Tensor) -> Tensor | None:
        """Return the alias with the graph of the calls, if the tensor has lost it to an unseen node."""
        if not self._shadows or tensor.grad_fn in self.seen:
            return None
        found = self._shadows.get(id(tensor))
        return None if found is None else found[1]

    def is_active(self, tensor: Tensor, operation: str) -> bool:
        """Tell whether a tensor that requires a gradient depends on an attributed value."""
        node = tensor.grad_fn
        if node is None:
            if inside_transform():
                raise transformed(operation)
            return False
        if node in self.seen:
            return True
        if node in self._foreign:
            return False
        base = base_of(tensor)
        if base is not None and (base.grad_fn is None or base.grad_fn in self.seen):
            self.seen.add(node)
            return True
        return self._investigate(node, operation)

    def _investigate(self, node: Any, operation: str) -> bool:
        unseen = self._unseen_ancestors(node)
        if not any(parent in self.seen for ancestor in unseen for parent, _ in ancestor.next_functions):
            self._foreign |= set(unseen)
            return False
        for ancestor in reversed(unseen):
            parents = {parent for parent, _ in ancestor.next_functions}
            if parents & self.seen:
                self._admit(ancestor, operation)
        return True

    def _unseen_ancestors(self, node: Any) -> list[Any]:
        found: dict[Any, None] = {}
        waiting = [node]
        while waiting:
            current = waiting.pop(0)
            if current is None or current in found or current in self.seen:
                continue
            found[current] = None
            waiting += [parent for parent, _ in current.next_functions]
        return list(found)

    def _admit(self, node: Any, operation: str) -> None:
        function: Any = getattr(type(node), "_forward_cls", None)
        if function not in self._table.functions:
            raise unseen(node, function, operation)
        rule = self._table.functions[function]
        if rule is not None:
            reference = None
            if self._tape is not None:
                reference = self._tape.exchange(function.__name__, node, user_place())
            if self._tape is None or not self._tape.recording:
                node.register_hook(_as_hook(rule, node, reference))
        self.seen.add(node)


def _as_hook(rule: FunctionRule, node: Any, reference: Any) -> Any:
    def replace(_: tuple[Tensor | None, ...], gradients: tuple[Tensor | None, ...]) -> Any:
        found = rule(node, reference, gradients)
        return found if isinstance(found, tuple) else (found,)

    return replace
