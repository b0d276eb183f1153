"""The fast gradient sign method: one step against the prediction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from pellucid._core.door import accept_forward
from pellucid._core.structure import like
from pellucid.docstrings import documented
from pellucid.robust._asking import Asked, Bound, accept_bound, accept_size
from pellucid.robust._balls import corner
from pellucid.robust._slope import accept_loss, sloping
from pellucid.robust._texts import LABELS
from pellucid.robust.perturbation import Perturbation
from pellucid.typing import ForwardFunction, TargetLike, Tensors


class FGSM(Perturbation):
    """One step of length epsilon along the signs of the loss's gradient.

    ``clamp(x + epsilon * sign(dL/dx), lower_bound, upper_bound)``, with a minus if targeted. The default loss L is
    ``-log p`` of the target where the outputs of each example lie in [0, 1] and sum to one, else cross-entropy; with
    one output per example, minus this output. Law: to first order, no other change within epsilon raises L more.

    Every entry with a gradient moves, however small it is: the losses are followed in the form of log-odds, which have
    the same directions but do not flatten out where the model is confident. Examples whose gradient is exactly zero
    cannot move; a warning counts them.

    Example:
        >>> import torch
        >>> from pellucid.robust import FGSM
        >>> logits = lambda x: torch.stack([x[:, 0] - x[:, 1], x[:, 1]], 1)
        >>> FGSM(logits).perturb(torch.tensor([[1.0, 0.5]]), epsilon=0.25, target=0)
        tensor([[0.7500, 0.7500]])

    References:
        Goodfellow, Shlens and Szegedy (2015), Explaining and Harnessing Adversarial Examples, arXiv:1412.6572.
    """

    @documented()
    def __init__(
        self,
        forward_func: ForwardFunction,
        loss_func: Callable[..., Any] | None = None,
        lower_bound: Bound = float("-inf"),
        upper_bound: Bound = float("inf"),
    ) -> None:
        """Attack a function.

        {arguments}
        """
        self.forward_func = accept_forward(forward_func)
        self.loss_func = accept_loss(loss_func)
        self.lower_bound = accept_bound("lower_bound", lower_bound)
        self.upper_bound = accept_bound("upper_bound", upper_bound)

    @documented(target=LABELS, epsilon="Length of the step in every entry, in the units of the inputs.")
    def perturb(
        self,
        inputs: Tensors,
        epsilon: float,
        target: TargetLike,
        additional_forward_args: Any = None,
        targeted: bool = False,
        mask: Tensors | None = None,
    ) -> Tensors:
        """Take the step.

        {arguments}

        Returns:
            Perturbed inputs, in the structure of the inputs, within epsilon of them in every entry.

        Raises:
            InvalidTypeError: for arguments of a wrong type.
            InvalidValueError: for arguments that do not fit together.
        """
        bounds = self.lower_bound, self.upper_bound
        asked = Asked.accept(self.forward_func, inputs, additional_forward_args, bounds, mask)
        step = accept_size("epsilon", epsilon)
        values = asked.site.values
        with sloping(asked, self.loss_func, target, targeted, "FGSM") as slope:
            gradients = slope.at(values)
        moved = [corner(x, gradient.sign(), step) for x, gradient in zip(values, gradients, strict=True)]
        if not asked.free:
            triples = zip(moved, asked.low, asked.high, strict=True)
            moved = [torch.minimum(torch.maximum(point, low), high) for point, low, high in triples]
        return like(inputs, moved)
