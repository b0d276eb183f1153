"""What attacks ask of the model: outputs and gradients of a loss, at changed values of some examples.

Passes are cut to size as everywhere in the package. The first pass that is not the batch as it was given is
compared with the plain pass; if rows influence each other, every pass holds the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pellucid._core import report
from pellucid._core.batching import GROWTH, KeptBytes, RowLimit, fits_whole
from pellucid._core.differentiation import plain_gradients, unconnected
from pellucid._core.expansion import SHAPE_ERRORS, agree
from pellucid._core.model import modules_of
from pellucid._core.output import output_tensor
from pellucid._core.path import Points
from pellucid._core.site import InputSite
from pellucid.errors import ExpansionWarning, invalid_value
from pellucid.robust._losses import Loss

Values = tuple[Tensor, ...]

SMALL = 8
"""A batch is taken whole without measuring if its estimated bytes are this many times the budget of a block."""
DIFFERS = "a row gives another output among other rows"


class Seen(NamedTuple):
    """What the model showed: outputs, losses (rows,), and the losses' gradients at the values."""

    outputs: Tensor
    losses: Tensor
    gradients: Values


def without_graph(run: Callable[[], Any]) -> Any:
    """Evaluate without keeping a graph, unless the model differentiates inside itself."""
    with torch.no_grad():
        try:
            return run()
        except RuntimeError as error:
            if "does not require grad" not in str(error):
                raise
    found = run()
    return found.detach() if isinstance(found, Tensor) else found


class Oracle:
    """Evaluates one model at changed inputs; lives as long as one call, inside ``borrowed``."""

    def __init__(self, site: InputSite, read: Callable[[Any, Tensor], Tensor] | None = None) -> None:
        """Prepare; nothing is evaluated yet.

        Args:
            site: the function with its inputs and additional arguments.
            read: from what the function returns for some examples to a tensor; the first floating-point one if left.
        """
        self.site = site
        self.read = read or (lambda output, _: output_tensor(output))
        self.all = torch.arange(site.examples)
        self.limit = RowLimit.of(site.values, None)
        if _is_small(site.values, self.limit):
            self.limit.rows = max(self.limit.rows, site.examples)
        self._plain: Tensor | None = None
        self._checked = False

    def plain(self) -> Tensor:
        """Output at the inputs, on the batch as it was given."""
        if self._plain is None:
            self._plain = without_graph(lambda: self.ask(self.site.values, self.all))
        return self._plain

    def outputs(self, values: Values, examples: Tensor) -> Tensor:
        """Evaluate values of some examples, without gradients."""
        return torch.cat(
            self._in_chunks(values, examples, lambda part, rows: without_graph(lambda: self.ask(part, rows)))
        )

    def gradients(self, values: Values, examples: Tensor, loss: Loss) -> Seen:
        """Differentiate each row's loss, a function of (outputs, examples), at values of some examples."""
        parts: list[Seen] = self._in_chunks(values, examples, lambda part, rows: self._differentiate(part, rows, loss))
        if len(parts) == 1:
            return parts[0]
        return Seen(
            torch.cat([p.outputs for p in parts]),
            torch.cat([p.losses for p in parts]),
            tuple(torch.cat(g) for g in zip(*(p.gradients for p in parts), strict=True)),
        )

    # -- passes

    def _in_chunks(self, values: Values, examples: Tensor, run: Callable[[Values, Tensor], Any]) -> list[Any]:
        found: list[Any] = []
        start, count = 0, examples.shape[0]
        while start < count:
            self._check(examples)
            rows = count if self.limit.whole else self.limit.rows
            part = slice(start, min(start + rows, count))
            try:
                if part == slice(0, count):
                    return [run(values, examples)]
                found.append(run(tuple(v[part] for v in values), examples[part]))
            except torch.OutOfMemoryError:
                if not self.limit.halve(part.stop - part.start):
                    raise
                continue
            start = part.stop
        return found

    def _differentiate(self, values: Values, examples: Tensor, loss: Loss) -> Seen:
        losses: list[Tensor] = []

        def choose(output: Tensor) -> Tensor:
            losses.append(loss(output, examples))
            return losses[-1]

        def run(*lent: Tensor) -> Tensor:
            return self._pass(lent, examples)

        points = Points(tuple([v.clone() for v in values]))
        if self.limit.fixed or examples.shape[0] == self.site.examples:
            (found,) = plain_gradients(run, (choose,), points)
        else:
            kept = KeptBytes(modules_of(self.site.forward))
            with kept.counting():
                (found,) = plain_gradients(run, (choose,), points)
            self.limit.learn(kept.total, len(examples))
        if not found.used:
            raise unconnected("the inputs")
        return Seen(found.output, losses[-1].detach(), found.gradients)

    def ask(self, values: Values, examples: Tensor) -> Tensor:
        """Make one pass; the model gets copies of the values, so it may write into them."""
        return self._pass(tuple([v.clone() for v in values]), examples)

    def _pass(self, lent: Values, examples: Tensor) -> Tensor:
        report.count(examples.shape[0])
        whole = self._is_whole(examples)
        output = self.site.run_whole(lent) if whole else self.site.run_rows(lent, examples, 1)
        return self.read(output, examples)

    def _is_whole(self, examples: Tensor) -> bool:
        return examples is self.all or (len(examples) == self.site.examples and torch.equal(examples, self.all))

    # -- rows that influence each other

    @property
    def mixes(self) -> bool:
        """Whether rows were seen to influence each other."""
        return self.limit.whole

    def _check(self, examples: Tensor) -> None:
        """Before the first pass over part of the batch, see whether parts give what the whole gives."""
        if self._checked or self.limit.whole or (self._is_whole(examples) and self.limit.rows >= len(examples)):
            return
        self._checked = True
        reason = self.why_rows_mix(examples, self.limit.rows)
        if reason is not None:
            self.limit.whole = True
            report.notify(
                ExpansionWarning,
                f"The examples of a part of the batch do not give what they give in the whole ({reason}), so every"
                " pass holds the whole batch. If the model mixes the examples of a batch, this is right and needed.",
            )

    def trust_rows(self) -> None:
        """Take the rows for independent, as somebody has seen to it."""
        self._checked = True

    def why_rows_mix(self, examples: Tensor, rows: int) -> str | None:
        """Say how some examples differ alone from what they give in the batch, or ``None`` if they do not.

        Two parts of so many rows are tried: the one that holds the largest value of the batch may be the one that
        does not notice the other.
        """
        reasons = (self._why_part_differs(part) for part in torch.split(examples, rows)[:2])
        return next((reason for reason in reasons if reason is not None), None)

    def _why_part_differs(self, examples: Tensor) -> str | None:
        expected = self.plain()
        if expected.dim() == 0 or len(expected) != self.site.examples:
            return f"the output has shape {tuple(expected.shape)}"
        values = tuple(v[examples] for v in self.site.values)
        try:
            found = without_graph(lambda: self.ask(values, examples))
        except torch.OutOfMemoryError:
            raise
        except SHAPE_ERRORS as error:
            return f"{type(error).__name__}: {error}"
        if found.dim() == 0 or not agree(found, expected[examples.to(expected.device)]):
            return DIFFERS
        return None


def _is_small(values: Values, limit: RowLimit) -> bool:
    """Tell whether the batch surely fits in one pass: attacks make many, so that measuring one first pays."""
    estimate = GROWTH * limit.row * len(values[0])
    return fits_whole(values) and estimate <= SMALL * limit.budget


def check_rows(values: Tensor, rows: int, name: str) -> Tensor:
    """Refuse losses that are neither one per row nor one per pass."""
    if values.dim() > 1 or values.numel() not in {1, rows}:
        raise invalid_value(
            name,
            f"a function that returned shape {tuple(values.shape)} for {rows} examples",
            "attacks raise the loss of each example",
            "a function that returns one value per example, such as a torch loss with reduction='none'",
        )
    return values if values.dim() == 1 else values.reshape(-1)
