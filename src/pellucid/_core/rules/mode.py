"""The engine: one pass over a model in which each operation may get a rule in place of its gradient.

The pass runs under a ``TorchFunctionMode``, which sees every torch call that Python makes in this
thread: functions, methods, in-place forms, item assignment. One invariant carries everything else:

    a tensor requires a gradient  <=>  it depends on an attributed value.

Parameters met as operands are detached on sight, so nothing on the model is touched. Operations that
are linear in their active operands stay native autograd; an operation with a rule runs once, and its
values are carried on with the rule as their backward.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from pellucid._core.rules.call import (
    Call,
    Keeper,
    Slot,
    current_autocast,
    differentiable,
    put_back,
    slotted_arguments,
    tensors_in,
)
from pellucid._core.rules.careful import natively, natively_careful
from pellucid._core.rules.carry import Pullback, carry, never_pulled_back
from pellucid._core.rules.certificate import Ledger
from pellucid._core.rules.lines import Place, calling_modules, user_place
from pellucid._core.rules.operation import Operation, operation_of
from pellucid._core.rules.provenance import Provenance
from pellucid._core.rules.refusals import refused
from pellucid._core.rules.regions import DISCRETE, Origin, Regions, fills_by_mask, meet, spans
from pellucid._core.rules.storage import base_of, gradients, saved_tensors_are_intercepted
from pellucid._core.rules.sums import SumTracker
from pellucid._core.rules.switches import Switches, described_in
from pellucid._core.rules.table import LINEAR_KINDS, NATIVE, STOP, Occurrence, Rule, RuleTable, name_of
from pellucid._core.rules.tape import Tape, check_shapes
from pellucid._core.rules.vocabulary import Kind

Arguments = tuple[Any, ...]
Keywords = dict[str, Any]


class RuledPass(TorchFunctionMode):
    """One forward pass under a table of rules.

    Args:
        table: Which rule an operation gets.
        ledger: Where the pass writes down what it met.
        tape: The record of the reference pass, for methods that have one.
        keeper: Copy on write for recorded calls; shared by the two passes of a pair.
        careful: Whether linear operations run so that the model may write into anything, see careful.py.
    """

    def __init__(
        self,
        table: RuleTable,
        ledger: Ledger,
        tape: Tape | None,
        keeper: Keeper,
        *,
        careful: bool = False,
    ) -> None:
        super().__init__()
        self._careful = careful
        self._table = table
        self._ledger = ledger
        self._tape = tape
        self._keeper = keeper
        self._regions = Regions()
        self._provenance = Provenance(table, tape)
        self._switches = Switches(tape, ledger)
        self._sums = SumTracker() if table.tracks_sums else None
        self._activated: list[weakref.ref[Tensor]] = []
        self._counts = tape is None or not tape.recording

    def admit(self, values: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Let attributed values into the pass: copies, so that the model may write into them."""
        entered = tuple(value.clone() for value in values)
        for value in entered:
            self._provenance.mark(value)
        return entered

    def check(self, output: Tensor) -> bool:
        """Tell whether the explained output depends on an attributed value, through seen calls only."""
        return output.requires_grad and self._provenance.is_active(output, "the explained output")

    def close(self) -> None:
        """Cut the model's own tensors that the pass has written active values into off the graph."""
        for reference in self._activated:
            tensor = reference()
            if tensor is not None and tensor.requires_grad:
                tensor.detach_()
        self._activated.clear()
        self._provenance.forget_all()
        self._regions.forget_all()
        self._sums = None

    def __torch_function__(self, func: Any, types: Any, args: Arguments = (), kwargs: Keywords | None = None) -> Any:
        operation = operation_of(func)
        if operation.kind is Kind.INERT:
            return func(*args, **kwargs) if kwargs else func(*args)
        if operation.name == "__setitem__" and fills_by_mask(args):
            operation, func = _MASKED_FILL, torch.Tensor.masked_fill_
        active, args = self._sort(args, operation.name)
        if kwargs and operation.whole is not None and not kwargs.get("inplace"):
            operation, kwargs = operation.whole, {key: v for key, v in kwargs.items() if key != "inplace"}
        if kwargs:
            if kwargs.get("out") is not None:
                return self._into(func, types, args, kwargs)
            given = tuple(kwargs.values())
            more, values = self._sort(given, operation.name)
            active += more
            kwargs = kwargs if values is given else dict(zip(kwargs, values, strict=True))
        else:
            kwargs = {}
        if operation.writes and args and isinstance(args[0], Tensor):
            self._keeper.before_writing(args[0])
        if not active:
            return self._inactive(operation, func, args, kwargs)
        if not torch.is_grad_enabled() and self._table.through_cuts:
            with torch.inference_mode(False), torch.enable_grad():
                result = self._guarded(operation, func, args, kwargs, active)
                for tensor in tensors_in(result):
                    if tensor.requires_grad:
                        self._provenance.shadow(tensor)
                return result
        if saved_tensors_are_intercepted():
            return self._guarded(operation, func, args, kwargs, active)
        return self._active(operation, func, args, kwargs, active)

    # -- operands

    def _sort(self, values: Any, name: str) -> tuple[int, Any]:
        """Count the active tensors among values, and detach parameters and other constants; without any, no copy."""
        active = 0
        seen = self._provenance.seen
        changed: list[Any] | None = None
        for position, value in enumerate(values):
            if isinstance(value, Tensor):
                if not value.requires_grad:
                    continue
                node = value.grad_fn
                if node in seen:
                    active += 1
                    continue
                shadow = None if node is None else self._provenance.shadow_of(value)
                if shadow is None and self._provenance.is_active(value, name):
                    active += 1
                    continue
                active += shadow is not None
                replacement: Any = value.detach() if shadow is None else shadow
            elif type(value) in {tuple, list} and value:
                inner, parts = self._sort(value, name)
                active += inner
                if parts is value:
                    continue
                replacement = type(value)(parts)
            else:
                continue
            changed = list(values) if changed is None else changed
            changed[position] = replacement
        return active, values if changed is None else tuple(changed)

    def _into(self, func: Any, types: Any, args: Arguments, kwargs: Keywords) -> Any:
        """Run ``operation(..., out=target)`` as the operation followed by a copy."""
        target = kwargs["out"]
        rest = {key: value for key, value in kwargs.items() if key != "out"}
        result = self.__torch_function__(func, types, args, rest)
        with self:
            for into, value in zip(tensors_in(target), tensors_in(result), strict=True):
                if into.shape != value.shape:
                    into.resize_(value.shape)
                into.copy_(value)
        return target

    # -- calls without active operands

    def _inactive(self, operation: Operation, func: Any, args: Arguments, kwargs: Keywords) -> Any:
        if operation.kind is Kind.REFUSED and operation.name in {"grad", "backward"}:
            raise refused(operation)
        result = func(*args, **kwargs)
        if self._regions.without_inactive:
            return result
        discrete = described_in((args, kwargs), self._regions)
        if discrete:
            if not tensors_in(result) and not operation.writes:
                decided = result if isinstance(result, bool | int) else discrete
                self._switches.compare(operation.name, decided)
            members = self._regions.members(args, kwargs) if operation.elementwise else None
            self._describe(operation, args, kwargs, result, members)
            if operation.writes:
                self._regions.describe(args[0], DISCRETE)
        return result

    def _describe(
        self,
        operation: Operation,
        args: Arguments,
        kwargs: Keywords,
        result: Any,
        members: dict[int, Origin] | None,
    ) -> None:
        """Attach origins to what an operation returned."""
        if members is not None and isinstance(result, Tensor) and not operation.writes:
            root = next(iter(members.values())).root
            if root is not None and spans(root, result) and result is not root:
                self._regions.describe(result, self._regions.result(operation, args, kwargs, members))
                return
        for tensor in tensors_in(result):
            if not tensor.requires_grad:
                self._regions.describe(tensor, DISCRETE)

    # -- calls with active operands

    def _guarded(self, operation: Operation, func: Any, args: Arguments, kwargs: Keywords, active: int) -> Any:
        """Run a call whose saved tensors nobody else may see."""
        with torch.autograd.graph.saved_tensors_hooks(_unchanged, _unchanged):
            return self._active(operation, func, args, kwargs, active)

    def _active(self, operation: Operation, func: Any, args: Arguments, kwargs: Keywords, active: int) -> Any:
        kind = operation.kind if operation.decide is None else operation.decide(args, kwargs)
        if kind is Kind.PRODUCT and active == 1:
            kind = Kind.LAYER
        plan = self._table.plan(operation, kind)
        if plan.direct and not self._careful:
            return self._direct(operation, func, args, kwargs)
        if kind is Kind.REFUSED:
            raise refused(operation)
        if kind is Kind.ESCAPE:
            return self._escape(operation, func, args, kwargs)
        if operation.writes:
            self._note_activation(args[0])
        members = self._regions.members(args, kwargs) if operation.elementwise else None
        if kind is Kind.DETACH and self._table.through_cuts:
            self._saw(operation.name, "seen through")
            result: Any = args[0].view_as(args[0])
        elif members is not None and self._joins(operation, kind, members):
            result = self._region(operation, args, kwargs, members)
        else:
            if members is None and not self._regions.without_inactive:
                self._compare_discrete(operation, args, kwargs)
            result = NotImplemented
        if result is NotImplemented:
            result = self._run(operation, kind, plan.rule, func, args, kwargs)
        return self._finish(operation, args, kwargs, result, members)

    def _direct(self, operation: Operation, func: Any, args: Arguments, kwargs: Keywords) -> Any:
        """Run an operation to which nothing else applies: the fast path of most calls."""
        if not self._regions.without_inactive:
            self._compare_discrete(operation, args, kwargs)
        if self._counts:
            self._ledger.saw(operation.name, "linear", user_place(3))
        result = func(*args, **kwargs)
        if isinstance(result, Tensor) and result.requires_grad:
            self._provenance.seen.add(result.grad_fn)
            return result
        return self._finish(operation, args, kwargs, result, None)

    def _run(
        self, operation: Operation, kind: Kind, rule: Rule | None, func: Any, args: Arguments, kwargs: Keywords
    ) -> Any:
        """Treat an operation by its rule, if it has one; the result of an in-place form may not be written yet."""
        chosen = rule or self._override(operation, kind)
        if chosen is None and operation.body is not None:
            with self:
                return operation.body(*args, **kwargs)
        if chosen is None and kind not in LINEAR_KINDS:
            closed = self._table.closed.get(operation.name)
            if closed is not None and closed.applies(args, kwargs):
                return self._ruled(operation, closed.rule, func, args, kwargs)
            expansion = self._table.expansions.get(operation.name)
            if expansion is not None:
                with self:
                    result = expansion(*args, **kwargs)
                if result is not NotImplemented:
                    self._saw(operation.name, "expanded")
                    return result
        chosen = chosen or self._table.rule_for(operation.name, kind)
        if chosen is STOP:
            self._saw(operation.name, STOP.name)
            with torch.no_grad():
                return operation.functional(*args, **kwargs)
        if chosen is NATIVE:
            self._saw(operation.name, "linear" if kind in LINEAR_KINDS else NATIVE.name)
            formed = None if self._sums is None else self._sums.formed(operation, args, kwargs)
            result = (natively_careful if self._careful else natively)(operation, func, args, kwargs)
            if self._sums is not None:
                self._sums.note(result, formed)
            return result
        return self._ruled(operation, chosen, func, args, kwargs)

    def _ruled(self, operation: Operation, rule: Rule, func: Any, args: Arguments, kwargs: Keywords) -> Any:
        """Run an operation once and carry its values on with a rule as their backward."""
        if operation.writes and not operation.in_place:
            raise refused(operation)
        slotted, operands = slotted_arguments(args, kwargs)
        values = [operand.detach() for operand in operands]
        region = current_autocast(values[0])
        call = Call(operation.name, operation.functional, *slotted, values, [], user_place(4), region)
        call.pointwise = operation.kind is Kind.UNARY and len(values) == 1 and not call.constants()
        with gradients(False):
            raw = None if rule.compute is None else rule.compute(call)
            if raw is None:
                raw = call.run(values)
        results = tensors_in(raw)
        if not any(map(differentiable, results)):
            self._saw(operation.name, "decision")
            return raw
        carried = self._carry(call, rule, results, operands)
        if carried is None:
            return func(*args, **kwargs)
        return carried[0] if raw is results[0] else put_back(raw, carried)

    def _joins(self, operation: Operation, kind: Kind, members: dict[int, Origin]) -> bool:
        """Tell whether members of a region get the region's rule; a choice of the user's precedes it."""
        table = self._table
        if table.region is None or not meet(operation, members, table.joins_sums) or operation.name in table.chosen:
            return False
        return self._override(operation, kind) is None

    def _region(self, operation: Operation, args: Arguments, kwargs: Keywords, members: dict[int, Origin]) -> Any:
        """Treat members of one elementwise region, meeting in this operation, as one unary function."""
        origin = self._regions.result(operation, args, kwargs, members)
        root = origin.root
        with torch.no_grad():
            value = operation.functional(*args, **kwargs)
        if root is None or not isinstance(value, Tensor) or not spans(root, value):
            return NotImplemented
        if not (value.is_floating_point() and root.is_floating_point() and root.requires_grad):
            return NotImplemented
        if root.shape != value.shape:
            root = root.expand(value.shape)
            self._provenance.mark(root)
        call = Call(
            f"{operation.name} (elementwise region)",
            origin.replay or operation.functional,
            (Slot(0),),
            {},
            [root.detach()],
            [],
            user_place(),
            current_autocast(root),
            pointwise=len({id(tensor) for tensor, _ in origin.versions}) == 1,
        )
        carried = self._carry(call, self._table.region or NATIVE, (value,), [root])
        return NotImplemented if carried is None else carried[0]

    def _carry(
        self, call: Call, rule: Rule, results: tuple[Tensor, ...], operands: list[Tensor]
    ) -> list[Tensor] | None:
        """Pair a call with its reference and attach its rule; None where the rule keeps the gradient."""
        call.results = [result.detach() for result in results]
        if rule.of_sums and self._sums is not None and len(operands) == 1:
            call.summed = self._sums.of(operands[0])
            operands = operands if call.summed is None else call.summed.leaves()
        reference: Call | None = None
        pullback: Pullback = never_pulled_back
        if self._tape is not None:
            reference = self._tape.exchange(call.name, call, call.place)
        if self._tape is None or reference is not None:
            if reference is not None:
                check_shapes(call, reference)
            chosen = rule.linearise(Occurrence(call, reference, self._ledger, tuple(operands)))
            self._saw(call.name, name_of(rule, chosen), call.place)
            if chosen is None:
                return None
            pullback = chosen
        elif rule.frugal:
            call.forget_cheap_results()
        self._keeper.hold(call)
        return carry(pullback, results, operands)

    def _finish(
        self,
        operation: Operation,
        args: Arguments,
        kwargs: Keywords,
        result: Any,
        members: dict[int, Origin] | None,
    ) -> Any:
        """Write the result of an in-place form, accept what was returned and attach origins."""
        if operation.in_place and result is not args[0]:
            target = args[0]
            self._keeper.before_writing(target)
            result = target.copy_(result)
        if operation.writes:
            self._provenance.mark_written(args[0])
            self._regions.forget(args[0])
            if operation.in_place or not isinstance(result, Tensor):
                return result
        discrete = False
        for tensor in (result,) if isinstance(result, Tensor) else tensors_in(result):
            if tensor.requires_grad:
                self._provenance.mark(tensor)
            else:
                discrete = True
        if members is not None or discrete:
            self._describe(operation, args, kwargs, result, members)
        elif not isinstance(result, Tensor) and not tensors_in(result) and not operation.writes:
            self._switches.compare(operation.name, result)
        return result

    def _escape(self, operation: Operation, func: Any, args: Arguments, kwargs: Keywords) -> Any:
        """Let values leave torch, and compare what left between the passes."""
        plain = [value.detach() if isinstance(value, Tensor) else value for value in args]
        result = func(*plain, **kwargs)
        decided = result if isinstance(result, bool | int) else plain
        self._switches.compare(operation.name, decided)
        self._saw(operation.name, "leaves torch")
        return result

    def _compare_discrete(self, operation: Operation, args: Arguments, kwargs: Keywords) -> None:
        discrete = described_in((args, kwargs), self._regions)
        if discrete:
            self._switches.compare(operation.name, discrete)

    def _note_activation(self, target: Any) -> None:
        if isinstance(target, Tensor) and not target.requires_grad:
            base = base_of(target)
            self._activated.append(weakref.ref(target if base is None else base))

    def _override(self, operation: Operation, kind: Kind) -> Rule | None:
        table = self._table
        if table.override is None or not table.overrides(operation.name, kind):
            return None
        return table.override(operation.name, kind, calling_modules())

    def _saw(self, name: str, rule: str, place: Place | None = None) -> None:
        if self._counts:
            self._ledger.saw(name, rule, place or user_place())


_MASKED_FILL = operation_of(torch.Tensor.masked_fill_)


def _unchanged(tensor: Tensor) -> Tensor:
    return tensor
