r"""Rules of relevance propagation: from the relevance of a layer's results to that of its operand.

Throughout, :math:`z_{ij} = x_i w_{ij}` is the contribution of operand i to result
:math:`z_j = \sum_i z_{ij} + b_j`, and superscripts + and - mean positive and negative parts. Where a
denominator is zero up to rounding there are no contributions, and the result's relevance is absorbed. Rules
proportional to x are gradients with other slopes; the others compute relevance and convert it.

A rule is a small frozen value. To write one, derive from `PropagationRule` and say how a gradient of the
result becomes a gradient of the operand, so that gradient times value is relevance.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid._core.checks import accept_dense, accept_number
from pellucid._core.rules.lrp_layers import split
from pellucid._core.rules.lrp_site import Site, quotient
from pellucid._core.rules.precision import at_least_single
from pellucid._core.structure import all_finite
from pellucid.errors import UnsupportedModelError, invalid_value

_TINY = 1e-9


class PropagationRule(ABC):
    """Base of every rule.

    Example:
        >>> import torch
        >>> from pellucid.attr import LRP
        >>> from pellucid.lrp import Assign, Composite, PropagationRule
        >>> class Doubled(PropagationRule):
        ...     def propagate(self, site, gradient):
        ...         return 2 * site.pull(gradient)
        >>> layer, x = torch.nn.Linear(3, 1, bias=False), torch.tensor([[1.0, -2.0, 0.5]])
        >>> relevance = LRP(layer).attribute(x, target=0, composite=Composite("own", (Assign(Doubled()),)))
        >>> torch.allclose(relevance.sum(1), 2 * layer(x)[:, 0])
        True
    """

    @abstractmethod
    def propagate(self, site: Site, gradient: Tensor) -> Tensor:
        """Return the gradient of the operand.

        Args:
            site: The call, with its operand ``x``, result ``y`` and ``layer``.
            gradient: Gradient of the result; times ``y`` it is relevance.
        """


def shrunk(gradient: Tensor, y: Tensor, epsilon: float) -> Tensor:
    """Return g y / (y + epsilon sign(y)), which is g |y| / (|y| + epsilon), in single precision at least."""
    size = at_least_single(y).abs()
    return gradient * (size / (size + float(epsilon))).to(gradient.dtype)


@dataclass(frozen=True)
class Epsilon(PropagationRule):
    r"""Relevance in proportion to contributions; epsilon absorbs what is weak.

    .. math:: R_i = \sum_j \frac{z_{ij}}{z_j + \epsilon \, \mathrm{sign}(z_j)} R_j

    Args:
        epsilon: At least 0, in units of the layer's results.
    """

    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        at_least_zero("epsilon", self.epsilon)

    def propagate(self, site: Site, gradient: Tensor) -> Tensor:
        """Return the gradient of the operand."""
        return site.pull(shrunk(gradient, site.y, self.epsilon))


@dataclass(frozen=True)
class Norm(PropagationRule):
    r"""Relevance in proportion to contributions, for sums and poolings.

    .. math:: R_i = \sum_j \frac{z_{ij}}{z_j} R_j
    """

    def propagate(self, site: Site, gradient: Tensor) -> Tensor:
        """Return the gradient of the operand."""
        return site.pull(shrunk(gradient, site.y, _TINY))


@dataclass(frozen=True)
class Pass(PropagationRule):
    r"""Relevance passes unchanged: :math:`R_i = R_i'`, for operations that keep the shape."""

    def propagate(self, site: Site, gradient: Tensor) -> Tensor:
        """Return the gradient of the operand."""
        if site.x.shape != site.y.shape:
            raise UnsupportedModelError(
                f"{site.rule} at '{site.call.name}' ({site.call.line}) passes relevance element by element, "
                f"but the operand has shape {tuple(site.x.shape)} and the result {tuple(site.y.shape)}. Use "
                "Epsilon."
            )
        return site.as_gradient(site.relevance(gradient))


@dataclass(frozen=True)
class Gamma(PropagationRule):
    r"""Contributions that agree in sign with the result count 1 + gamma times.

    .. math::
        R_i = \sum_j \frac{z_{ij} + \gamma z_{ij}^{s_j}}{z_j + \gamma (\sum_i z_{ij}^{s_j} + b_j^{s_j})} R_j,
        \qquad s_j = \mathrm{sign}(z_j)

    Args:
        gamma: At least 0.
    """

    gamma: float = 0.25

    def __post_init__(self) -> None:
        at_least_zero("gamma", self.gamma)

    def propagate(self, site: Site, gradient: Tensor) -> Tensor:
        """Return the gradient of the operand."""
        layer, y = site.layer, site.y
        up = layer.positive_sum()
        positive = y >= 0
        total = y + float(self.gamma) * torch.where(positive, up, y - up)
        share = quotient(site.relevance(gradient), total, 2 * up - y)
        more = layer.pull_positive(torch.where(positive, share, 0)) + layer.pull_negative(
            torch.where(positive, 0, share)
        )
        return layer.pull(layer.weight, share) + float(self.gamma) * more


@dataclass(frozen=True)
class AlphaBeta(PropagationRule):
    r"""Positive contributions get alpha times the relevance, negative ones -beta times.

    .. math:: R_i = \sum_j \left( \alpha \frac{z_{ij}^+}{\sum_i z_{ij}^+ + b_j^+}
        - \beta \frac{z_{ij}^-}{\sum_i z_{ij}^- + b_j^-} \right) R_j

    Args:
        alpha: At least 0.
        beta: At least 0, and alpha - beta = 1.
    """

    alpha: float = 2.0
    beta: float = 1.0

    def __post_init__(self) -> None:
        for name in ("alpha", "beta"):
            at_least_zero(name, getattr(self, name))
        if abs(self.alpha - self.beta - 1) > 1e-9:
            raise invalid_value(
                "alpha, beta", f"{self.alpha}, {self.beta}", "alpha - beta must be 1", "such as 2, 1 or 1, 0"
            )

    def propagate(self, site: Site, gradient: Tensor) -> Tensor:
        """Return the gradient of the operand."""
        layer, relevance = site.layer, site.relevance(gradient)
        up = layer.positive_sum()
        scale = 2 * up - site.y
        found = float(self.alpha) * layer.pull_positive(quotient(relevance, up, scale))
        if self.beta:
            down = layer.negative_sum()
            found = found - float(self.beta) * layer.pull_negative(quotient(relevance, down, scale))
        return found


@dataclass(frozen=True)
class ZPlus(PropagationRule):
    r"""Relevance in proportion to positive contributions: :math:`\alpha = 1, \beta = 0`.

    .. math:: R_i = \sum_j \frac{z_{ij}^+}{\sum_i z_{ij}^+ + b_j^+} R_j
    """

    def propagate(self, site: Site, gradient: Tensor) -> Tensor:
        """Return the gradient of the operand."""
        return AlphaBeta(1.0, 0.0).propagate(site, gradient)


@dataclass(frozen=True, eq=False)
class ZBox(PropagationRule):
    r"""For first layers whose inputs lie in a box: contributions are measured from its corners.

    .. math:: R_i = \sum_j \frac{x_i w_{ij} - l_i w_{ij}^+ - h_i w_{ij}^-}
        {\sum_i (x_i w_{ij} - l_i w_{ij}^+ - h_i w_{ij}^-)} R_j

    Args:
        low: Smallest values, a number or a tensor that broadcasts to the layer's operand.
        high: Largest values, likewise.
    """

    low: float | Tensor = 0.0
    high: float | Tensor = 1.0

    def __post_init__(self) -> None:
        for name, value in (("low", self.low), ("high", self.high)):
            if not isinstance(value, Tensor):
                accept_number(name, value, "a number, or a tensor that broadcasts to the layer's operand")
            elif accept_dense(name, value).is_complex() or not all_finite(value):
                raise invalid_value(name, "a tensor that is complex or not finite", "it is an end of a box", "numbers")

    def propagate(self, site: Site, gradient: Tensor) -> Tensor:
        """Return the gradient of the operand."""
        layer, x = site.layer, site.x
        low, high = (self._corner(name, value, x) for name, value in (("low", self.low), ("high", self.high)))
        slack = 1e-6 * (high - low).abs().max()
        if bool(((x < low - slack) | (x > high + slack)).any()):
            given = f"a box for values from {float(x.min()):.4g} to {float(x.max()):.4g} at '{site.call.name}'"
            raise invalid_value("low, high", given, "some of them lie outside", "the bounds of the inputs")
        weight, (up, down) = layer.weight, split(layer.weight)
        parts = layer.run(x, weight), layer.run(low, up), layer.run(high, down)
        scale = parts[0].abs() + parts[1].abs() + parts[2].abs()
        share = quotient(site.relevance(gradient), parts[0] - parts[1] - parts[2], scale)
        pulled = x * layer.pull(weight, share) - low * layer.pull(up, share) - high * layer.pull(down, share)
        return site.as_gradient(pulled)

    @staticmethod
    def _corner(name: str, value: float | Tensor, x: Tensor) -> Tensor:
        corner = torch.as_tensor(value, dtype=x.dtype, device=x.device).detach()
        if corner.dim() > x.dim() or any(
            n not in {1, m} for n, m in zip(corner.shape[::-1], x.shape[::-1], strict=False)
        ):
            given, why = f"a tensor of shape {tuple(corner.shape)}", f"the layer's operand has shape {tuple(x.shape)}"
            raise invalid_value(name, given, why, "a number, or a tensor that broadcasts to it")
        return corner.expand(x.shape)


@dataclass(frozen=True)
class WSquare(PropagationRule):
    r"""For first layers: relevance in proportion to squared weights.

    .. math:: R_i = \sum_j \frac{w_{ij}^2}{\sum_i w_{ij}^2} R_j
    """

    def propagate(self, site: Site, gradient: Tensor) -> Tensor:
        """Return the gradient of the operand."""
        return _independent_of_values(site, gradient, site.layer.weight.square())


@dataclass(frozen=True)
class Flat(PropagationRule):
    r"""For first layers: relevance in equal parts to every connected operand.

    .. math:: R_i = \sum_j \frac{1}{\sum_i 1} R_j
    """

    def propagate(self, site: Site, gradient: Tensor) -> Tensor:
        """Return the gradient of the operand."""
        return _independent_of_values(site, gradient, torch.ones_like(site.layer.weight))


def _independent_of_values(site: Site, gradient: Tensor, weight: Tensor) -> Tensor:
    layer = site.layer
    total = layer.run(torch.ones_like(site.x), weight)
    share = site.relevance(gradient) / total.masked_fill(total == 0, 1)
    return site.as_gradient(layer.pull(weight, share))


def at_least_zero(name: str, value: float) -> None:
    """Check a number of a rule."""
    accept_number(name, value, "a number of at least 0", low=0)
