"""The gradient that FGSM and PGD follow: of a loss of the user's, or of the default one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from pellucid._core import report
from pellucid._core.model import borrowed
from pellucid._core.output import Target, accept_target, select
from pellucid.errors import AttackWarning, NonFiniteWarning, invalid_type, invalid_value
from pellucid.robust._asking import Asked
from pellucid.robust._losses import Loss, are_probabilities, log_odds, log_scores
from pellucid.robust._oracle import Oracle, Values, check_rows


class Slope:
    """Gradients of the loss in the direction in which it shall go; remembers where there was none."""

    def __init__(self, oracle: Oracle, loss: Loss, sign: int, mask: Values | None) -> None:
        """Prepare; nothing is evaluated yet."""
        self.oracle = oracle
        self.loss = loss
        self.sign = sign
        self.mask = mask
        self._moved: Tensor | None = None
        self._still = oracle.site.examples
        self._broken = 0

    def at(self, values: Values) -> Values:
        """Gradient at values of the whole batch, with the sign of the attack and zero where nothing may change."""
        found = self.oracle.gradients(values, self.oracle.all, self.loss).gradients
        if not all(math.isfinite(float(g.sum())) for g in found):
            self._broken = max(self._broken, sum(int((~torch.isfinite(g)).sum()) for g in found))
            found = tuple(torch.nan_to_num(g, nan=0.0) for g in found)
        if self.sign < 0:
            found = tuple(-g for g in found)
        if self.mask is not None:
            found = tuple(g * m for g, m in zip(found, self.mask, strict=True))
        if self._still:
            self._note(found)
        return found

    def _note(self, gradients: Values) -> None:
        """Count the examples for which there was no gradient so far."""
        for gradient in gradients:
            moved = gradient.reshape(gradient.shape[0], -1).any(1).cpu()
            self._moved = moved if self._moved is None else self._moved | moved
            self._still = self._moved.tolist().count(False)

    def losses(self, values: Values) -> Tensor:
        """Signed loss at values of the whole batch: larger is better for the attack."""
        return self.loss(self.oracle.outputs(values, self.oracle.all), self.oracle.all) * self.sign

    def finish(self, name: str) -> None:
        """Say for how many examples there was no gradient to follow."""
        if self._broken:
            report.notify(
                NonFiniteWarning,
                f"{name}: {self._broken} entries of the loss's gradient are NaN or infinite; NaN entries did not move.",
            )
        if self._still and self._moved is not None:
            report.notify(
                AttackWarning,
                f"{name}: the gradient of the loss is exactly zero for {self._still} of {self.oracle.site.examples}"
                " examples (an output that is saturated or does not depend on the inputs there), so they were not"
                " attacked."
                " This says nothing about their robustness; give the logits instead of probabilities, or use"
                " pellucid.robust.Square, which needs no gradients.",
            )


@contextmanager
def sloping(
    asked: Asked, loss_func: Callable[..., Any] | None, target: Any, targeted: bool, name: str
) -> Iterator[Slope]:
    """Borrow the model and follow its loss.

    Args:
        asked: inputs with what may be done to them.
        loss_func: the user's loss, or ``None``.
        target: labels, or the classes wanted.
        targeted: whether the loss shall fall.
        name: of the attack, for warnings.

    Yields:
        The slope.
    """
    site = asked.site
    if loss_func is None:
        oracle, loss = Oracle(site), default_loss(accept_target(target, site.examples))
    else:
        oracle, loss = Oracle(site, _users(loss_func, target, site.examples)), _as_they_are
    outside = asked.outside()
    if outside:
        report.notify(
            AttackWarning,
            f"{name}: {outside} input values lie outside the bounds; the result lies inside, so these move"
            " farther than the attack was given.",
        )
    device = site.values[0].device
    with borrowed(site.forward, device, *([] if loss_func is None else [loss_func])):
        slope = Slope(oracle, loss, -1 if targeted else 1, asked.mask)
        yield slope
        slope.finish(name)


def accept_loss(loss_func: Any) -> Callable[..., Any] | None:
    """Check that a loss can be called."""
    if loss_func is not None and not callable(loss_func):
        raise invalid_type(
            "loss_func", f"a {type(loss_func).__name__}", "it cannot be called", "a function of (outputs, target)"
        )
    return loss_func  # type: ignore[no-any-return]  # callable() does not narrow to a callable that returns Any


def _as_they_are(losses: Tensor, examples: Tensor) -> Tensor:
    return check_rows(losses, examples.shape[0], "loss_func")


def _users(loss_func: Callable[..., Any], target: Any, examples: int) -> Callable[[Any, Tensor], Tensor]:
    """The user's loss on any rows: a target with one entry per example is cut as the rows are."""
    if isinstance(target, Tensor) and target.is_inference():
        with torch.inference_mode(False):
            target = target.clone()

    def read(output: Any, rows: Tensor) -> Tensor:
        chosen, part = target, rows.shape[0] != examples
        if part and isinstance(target, Tensor) and target.dim() > 0 and len(target) == examples:
            chosen = target[rows.to(target.device)]
        elif part and isinstance(target, list) and len(target) == examples:
            chosen = [target[i] for i in rows.tolist()]
        found = loss_func(output, chosen)
        if not isinstance(found, Tensor) or not found.is_floating_point():
            given = f"a function that returned a {type(found).__name__}"
            raise invalid_type("loss_func", given, "attacks follow its gradient", "a function that returns a tensor")
        return found

    return read


def default_loss(target: Target) -> Loss:
    """-log p of the target where outputs are probabilities, cross-entropy where not, minus the only output of one.

    Both are taken as log-odds (see ``_losses``): their gradients have the same directions, and do not vanish.
    """
    fitting: set[tuple[int, ...]] = set()  # shapes of outputs that the target was seen to fit

    def loss(output: Tensor, examples: Tensor) -> Tensor:
        own = target.rows(examples, 1)
        label = None if output.dim() != 2 or output.shape[1] == 1 else _labels(own, output)
        if label is not None and tuple(output.shape) in fitting:
            return log_odds(log_scores(output), label)
        score = select(output, own)
        fitting.add(tuple(output.shape))
        if output.dim() <= 2 and math.prod(output.shape[1:]) == 1:
            return -score
        if output.dim() > 2:
            return -select(_logarithms(output), own)
        scores = log_scores(output)
        return -select(scores.log_softmax(1), own) if label is None else log_odds(scores, label)

    return loss


def _labels(target: Target, output: Tensor) -> Tensor | None:
    """Class of each row, or ``None`` where a slice asks for several."""
    classes = output.shape[1]
    if target.each is not None and target.each.shape[1] == 1:
        return target.each[:, 0].to(output.device) % classes
    common = target.common[0] if target.common else None
    if not isinstance(common, int) or len(target.common or ()) != 1:
        return None
    return torch.full((len(output),), common % classes, device=output.device)


def _logarithms(output: Tensor) -> Tensor:
    if any(bool(are_probabilities(output, dim).all()) for dim in range(1, output.dim())):
        return output.clamp_min(torch.finfo(output.dtype).tiny).log()
    raise invalid_value(
        "loss_func",
        "None",
        f"which dimension of an output of shape {tuple(output.shape)} counts the classes would be a guess",
        "a loss, for example lambda out, t: torch.nn.functional.cross_entropy(out, t, reduction='none').sum(1)",
    )
