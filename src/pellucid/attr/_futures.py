"""Attributions of functions that return futures: what is left to do when these are done."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from torch import Tensor
from torch.futures import Future, collect_all

from pellucid._core.estimators import Estimator
from pellucid._core.forward import ForwardEvaluator
from pellucid._core.game import Game
from pellucid.errors import invalid_type
from pellucid.typing import Tensors

Begun: TypeAlias = tuple[list[Future[Any]], Callable[[], Tensor]]
"""Futures, and what gives values when these are done."""


def completed(
    evaluator: ForwardEvaluator, begun: Iterable[Begun], take: Callable[[Tensor], None], answer: Callable[[], Tensors]
) -> Future[Tensors]:
    """Make the future of attributions.

    Args:
        evaluator: evaluates the function.
        begun: evaluations under way; taken from here one after the other, so that all of them begin.
        take: takes in their values, in the same order.
        answer: gives the attributions when all values are there.

    Returns:
        A future of what ``answer`` gives.

    Raises:
        InvalidTypeError: if the function returned something else than futures.
    """
    every = list(begun)
    if not evaluator.futures:
        raise invalid_type(
            "forward_func",
            "a function that returns no torch.futures.Future",
            "there is nothing to wait for",
            "it to attribute() instead",
        )

    def finish(_: object) -> Tensors:
        for _, values in every:
            take(values())
        return answer()

    return collect_all([future for futures, _ in every for future in futures]).then(finish)


def solved_later(game: Game, estimator: Estimator, answer: Callable[[], Tensors]) -> Future[Tensors]:
    """Solve a game of a function that returns futures."""
    begun = (game.begin(coalitions) for coalitions in estimator.coalitions())
    return completed(game.evaluator, begun, estimator.add, answer)
