"""The one autograd function of the engine: values computed elsewhere, with any rule as their backward."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from pellucid._core.rules.storage import base_of, inside_transform

Gradients = tuple[Tensor | None, ...]
Pullback = Callable[[Gradients], Sequence[Tensor | None]]
"""A rule at one call: from multipliers of the results to multipliers of the active operands.

It is called once, so that it may write into what it has kept, unless it has an attribute ``repeatable`` that is true
or a pass is differentiated several times (``repeating``).
"""

_lock = threading.Lock()
_repeats = 0


def repeating(times: int) -> contextlib.AbstractContextManager[None]:
    """Keep what pullbacks need, so that the passes made within the block can be differentiated several times.

    The count belongs to the process, since autograd may call pullbacks in threads of its own; a pass in another
    thread only saves less memory meanwhile.
    """
    return _repeating() if times > 1 else contextlib.nullcontext()


@contextlib.contextmanager
def _repeating() -> Iterator[None]:
    global _repeats  # noqa: PLW0603 # one count for the process
    with _lock:
        _repeats += 1
    try:
        yield
    finally:
        with _lock:
            _repeats -= 1


def is_repeating() -> bool:
    """Tell whether a pullback must leave what it has kept as it is."""
    return _repeats > 0


class _Carry(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pullback: Pullback, results: tuple[Tensor, ...], *operands: Tensor) -> Any:  # noqa: ARG004 # operands are there for autograd
        ctx.pullback = pullback
        ctx.set_materialize_grads(False)
        if len(results) > 1:  # a single one is differentiable, or there would be nothing to carry
            discrete = [result for result in results if not (result.is_floating_point() or result.is_complex())]
            ctx.mark_non_differentiable(*discrete)
        return results

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        if gradients[0] is None and all(gradient is None for gradient in gradients):
            return (None,) * len(ctx.needs_input_grad)
        pullback = ctx.pullback
        if not (getattr(pullback, "repeatable", False) or is_repeating()):
            ctx.pullback = _pulled_back_already
        return (None, None, *pullback(gradients))


_apply_outside_of_transforms = super(torch.autograd.Function, _Carry).apply
"""What ``Function.apply`` comes down to after it has looked for transforms of torch.func, which takes as long again."""


def carry(pullback: Pullback, results: Sequence[Tensor], operands: Sequence[Tensor]) -> list[Tensor]:
    """Attach a backward to values: the results, now depending on the operands through ``pullback``.

    Views are copied, because autograd forbids to write into a view that a custom function returned.
    """
    owned = tuple([result if base_of(result) is None else result.clone() for result in results])
    apply: Callable[..., Any] = _Carry.apply if inside_transform() else _apply_outside_of_transforms
    return list(apply(pullback, owned, *operands))


def never_pulled_back(_: Gradients) -> Sequence[Tensor | None]:
    """Stand in for the pullback of a pass that is recorded and not differentiated."""
    raise RuntimeError("a recorded reference pass was differentiated, which the engine never does")


def _pulled_back_already(_: Gradients) -> Sequence[Tensor | None]:
    """Stand in for a pullback that has been used: it frees, or writes into, what it has kept."""
    raise RuntimeError("a rule was asked for its multipliers twice, which the engine never does")
