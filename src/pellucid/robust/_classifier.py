"""What the attacks on classifiers have in common: the door, and random draws."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pellucid._core.door import accept_forward
from pellucid.docstrings import documented
from pellucid.robust._asking import Asked, Bound, accept_bound, accept_norm
from pellucid.robust._problem import Problem, posing
from pellucid.robust.perturbation import Perturbation
from pellucid.typing import ForwardFunction


class ClassifierAttack(Perturbation):
    """Interface of attacks on classifiers: functions that return one score per class, logits or probabilities.

    A prediction is the class with the largest score. All inputs of an example together are one point, and the ball is
    one ball around it. The examples of a batch must not influence each other.
    """

    @documented()
    def __init__(
        self,
        forward_func: ForwardFunction,
        lower_bound: Bound = float("-inf"),
        upper_bound: Bound = float("inf"),
    ) -> None:
        """Attack a classifier.

        {arguments}
        """
        self.forward_func = accept_forward(forward_func)
        self.lower_bound = accept_bound("lower_bound", lower_bound)
        self.upper_bound = accept_bound("upper_bound", upper_bound)

    @contextmanager
    def _posing(self, inputs: Any, target: Any, arguments: Any, norm: Any, mask: Any) -> Iterator[Problem]:
        asked = Asked.accept(self.forward_func, inputs, arguments, (self.lower_bound, self.upper_bound), mask)
        with posing(asked, accept_norm(norm), target) as problem:
            yield problem
