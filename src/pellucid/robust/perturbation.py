"""The interface of everything that changes inputs in order to change an output."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any


class Perturbation(ABC):
    """Interface of attacks and other perturbations: called, they perturb.

    Law: ``attack(inputs, ...)`` is ``attack.perturb(inputs, ...)``.

    Example:
        >>> import torch
        >>> from pellucid.robust import Perturbation
        >>> class Brighter(Perturbation):
        ...     def perturb(self, inputs, by=0.5):
        ...         return inputs + by
        >>> Brighter()(torch.zeros(2), by=1.0)
        tensor([1., 1.])
    """

    @abstractmethod
    def perturb(self, *args: Any, **kwargs: Any) -> Any:
        """Return perturbed inputs, in the structure of the inputs; each attack has its own arguments."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Perturb."""
        return self.perturb(*args, **kwargs)
