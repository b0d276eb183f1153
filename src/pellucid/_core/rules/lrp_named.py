r"""The rules under Captum's names and with its arguments.

They replace the weights w of a layer by others, w', and keep operands and, unless told otherwise, the bias:

.. math:: R_i = \sum_j \frac{x_i w_{ij}'}{\sum_i x_i w_{ij}' + b_j} R_j

For operands and weights of both signs this is not what the literature calls the gamma and the
alpha-beta rule; `Gamma` and `AlphaBeta` are. A layer without weights keeps its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from pellucid._core.checks import accept_number
from pellucid._core.rules.lrp_rules import Pass, PropagationRule, shrunk
from pellucid._core.rules.lrp_site import Site, stabilised
from pellucid.docstrings import accept_flag

_TINY = 1e-9
_POOLINGS = ("avg_pool", "adaptive_avg_pool", "max_pool", "adaptive_max_pool")


@dataclass(frozen=True)
class EpsilonRule(PropagationRule):
    r"""Relevance in proportion to contributions: w' = w, with epsilon in the denominator.

    Args:
        epsilon: Added to the denominator with its sign.
    """

    epsilon: float = 1e-9

    def __post_init__(self) -> None:
        accept_number("epsilon", self.epsilon, "a finite number")

    def propagate(self, site: Site, gradient: Tensor) -> Tensor:
        """Return the gradient of the operand."""
        return site.pull(shrunk(gradient, site.y, self.epsilon))


@dataclass(frozen=True)
class GammaRule(PropagationRule):
    r"""Positive weights count more: :math:`w' = w + \gamma w^+`.

    Args:
        gamma: How much more.
        set_bias_to_zero: Leave the bias out of the denominator.
    """

    gamma: float = 0.25
    set_bias_to_zero: bool = False

    def __post_init__(self) -> None:
        accept_number("gamma", self.gamma, "a finite number")
        accept_flag("set_bias_to_zero", self.set_bias_to_zero)

    def propagate(self, site: Site, gradient: Tensor) -> Tensor:
        """Return the gradient of the operand."""
        return _reweighted(site, gradient, lambda w: w + float(self.gamma) * w.clamp_min(0), not self.set_bias_to_zero)


@dataclass(frozen=True)
class Alpha1_Beta0_Rule(PropagationRule):  # noqa: N801 # compatible name
    r"""Only positive weights count: :math:`w' = w^+`.

    Args:
        set_bias_to_zero: Leave the bias out of the denominator.
    """

    set_bias_to_zero: bool = False

    def __post_init__(self) -> None:
        accept_flag("set_bias_to_zero", self.set_bias_to_zero)

    def propagate(self, site: Site, gradient: Tensor) -> Tensor:
        """Return the gradient of the operand."""
        return _reweighted(site, gradient, lambda w: w.clamp_min(0), not self.set_bias_to_zero)


@dataclass(frozen=True)
class IdentityRule(PropagationRule):
    """Relevance passes unchanged, for operations that keep the shape."""

    def propagate(self, site: Site, gradient: Tensor) -> Tensor:
        """Return the gradient of the operand."""
        return Pass().propagate(site, gradient)


def _reweighted(site: Site, gradient: Tensor, change: Callable[[Tensor], Tensor], biased: bool) -> Tensor:
    if site.call.name.startswith(_POOLINGS):
        return site.pull(shrunk(gradient, site.y, _TINY))
    layer = site.layer
    weight = change(layer.weight)
    total = layer.run(site.x, weight, layer.bias if biased else None)
    return layer.pull(weight, site.relevance(gradient) / stabilised(total, _TINY))
