"""Explained values of a question at other inputs: forward passes only, cut into blocks.

What is evaluated is a grid of samples (coalitions, windows, permutations) times examples. A function may
return futures: all passes but the first are then made before one is waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.futures import Future
from torch.utils._python_dispatch import TorchDispatchMode

from pellucid._core import report
from pellucid._core.batching import Block, RowLimit, row_bytes
from pellucid._core.expansion import (
    Compared,
    NotExpandableError,
    appended,
    between,
    compared,
    require_rows,
    run_blocks,
    run_plain,
)
from pellucid._core.model import borrowed
from pellucid._core.output import Target, any_output, select
from pellucid._core.progress import Progress
from pellucid._core.site import Question
from pellucid._core.structure import tensors_in
from pellucid.errors import invalid_value

LARGEST_SHARE = 16
"""The largest tensor of a pass takes one part in so many of the budget: CPU caches hold what is then worked on."""
FIRST_BYTES = 2**18
"""Bytes of inputs in the first pass at most, when nothing is known yet."""


class Perturbed(Protocol):
    """Other values of the inputs: samples for each example."""

    @property
    def samples(self) -> int:
        """How many."""

    def values(self, samples: slice, examples: Tensor) -> tuple[Tensor, ...]:
        """Make some samples of some examples, each tensor of shape (samples, examples, ...)."""


@dataclass(frozen=True)
class Given:
    """Values that are there already: for each input one tensor of shape (samples, N, ...)."""

    stacked: tuple[Tensor, ...]

    @property
    def samples(self) -> int:
        """How many."""
        return len(self.stacked[0])

    def values(self, samples: slice, examples: Tensor) -> tuple[Tensor, ...]:
        """Copies of some of them, since the model may write into what it gets."""
        return tuple(v[samples][:, examples.to(v.device)].contiguous() for v in self.stacked)


class ForwardEvaluator:
    """Evaluates one question at perturbed inputs; lives as long as one call."""

    def __init__(
        self,
        question: Question,
        cap: int | None,
        others: tuple[Tensor, ...],
        bar: Progress,
        plain: Tensor | None = None,
    ) -> None:
        """Prepare; nothing is evaluated yet.

        Args:
            question: what is asked.
            cap: samples of the whole batch per forward pass at most, chosen by the library if ``None``.
            others: values for each example that differ from the inputs; a pass larger than all before holds what lies
                between, so that a model which mixes its rows is noticed.
            bar: counts rows.
            plain: the output at the inputs, if it is known.
        """
        self.question = question
        self.site = question.site
        self.others = others
        self.bar = bar
        self.all = torch.arange(self.site.examples)
        self.limit = RowLimit.of(question.inputs, None if cap is None else cap * self.site.examples)
        if cap is None:
            self.limit.rows = max(1, min(self.limit.rows, FIRST_BYTES // row_bytes(question.inputs)))
        self.futures = False
        self._plain = plain
        self._compared = Compared()
        self._differentiates = False

    # -- the batch as it is

    def outputs(self) -> Tensor:
        """Evaluate the model's output at the inputs, on the batch as it was given."""
        if self._plain is None:
            self._plain = any_output(self._whole_pass(self.question.inputs))
            report.keep_outputs(self._plain)
        return self._plain

    def score(self) -> Tensor:
        """Explained values at the inputs: what stands for one sample in ``evaluate``."""
        score = explained(self.outputs(), self.question.target)
        if not score.numel():
            given, why = f"a function that returned shape {tuple(self.outputs().shape)}", "there is no value to explain"
            raise invalid_value("forward_func", given, why, "a function that returns values")
        return score

    def _whole_pass(self, values: tuple[Tensor, ...]) -> Any:
        report.count(self.site.examples)
        return self._noted(run_plain(self.site.run_whole, values))

    def _noted(self, output: Any) -> Any:
        """Note whether the function returns futures."""
        self.futures = self.futures or isinstance(output, Future)
        return output

    # -- samples

    def evaluate(self, perturbed: Perturbed) -> Tensor:
        """Evaluate all samples.

        Returns:
            Explained values in float64, shape (samples, N, ...); (samples, ...) where they are not one per example.
        """
        return self.begin(perturbed)[1]()

    def begin(self, perturbed: Perturbed) -> tuple[list[Future[Any]], Callable[[], Tensor]]:
        """Evaluate all samples as far as the function does not return futures.

        Returns:
            The futures, and what gives the values when these are done.
        """
        score = self.score()
        found = torch.empty(perturbed.samples, *score.shape, dtype=torch.float64, device=score.device)
        waiting: list[Future[Any]] = []
        pending: list[tuple[Block, Future[Any]]] = []

        def fill(block: Block, raw: Any) -> None:
            if self._is_whole(block):
                found[block.samples] = explained(self._as_plain(any_output(raw)), self.question.target)
                return
            values = self._row_values(any_output(raw), self.all[block.examples], block.shape[0])
            found[block.samples, block.examples] = values.reshape(*block.shape, *values.shape[1:]).to(found.device)

        blocks = run_blocks(
            self.limit, perturbed.samples, self.site.examples, lambda block: self._block(perturbed, block)
        )
        for block, raw in blocks:
            self.bar.update(block.shape[0] * block.shape[1])
            if isinstance(raw, Future):
                waiting.append(raw)
                pending.append((block, raw))
            else:
                fill(block, raw)

        def finish() -> Tensor:
            for block, raw in pending:
                fill(block, raw)
            return found

        return waiting, finish

    def _is_whole(self, block: Block) -> bool:
        return self.limit.whole or (block.shape == (1, self.site.examples))

    def _block(self, perturbed: Perturbed, block: Block) -> Any:
        """Run a block; what the function returned."""
        if self._is_whole(block):
            return self._whole_pass(tuple(v[0] for v in perturbed.values(block.samples, self.all)))
        examples = self.all[block.examples]
        values = perturbed.values(block.samples, examples)
        rows = tuple(self._own(v.flatten(0, 1), x) for v, x in zip(values, self.question.inputs, strict=True))
        if self._compared.covers(examples, len(rows[0])):
            return self._noted(self._rows_pass(rows, examples, block.shape[0]))
        require_rows(self.outputs(), self.site.examples)
        known = self.outputs()[examples.to(self.outputs().device)]
        anchor = tuple(x[examples.to(x.device)] for x in self.question.inputs)
        beside = between(anchor, tuple(o[examples.to(o.device)] if len(o) > 1 else o for o in self.others))
        anchored = appended(rows, beside, anchor)

        def run(values: tuple[Tensor, ...]) -> Tensor:
            output = any_output(self._rows_pass(values, examples, len(values[0]) // len(examples)))
            if output.dim() == 0 or len(output) != len(values[0]):
                raise NotExpandableError(f"{len(values[0])} rows gave an output of shape {tuple(output.shape)}")
            return output

        with self._measured(perturbed.samples, len(anchored[0])):
            output = compared(lambda: run(anchored), lambda found: found, known)
        compared(lambda: run(beside), lambda found: found, output[len(rows[0]) : -len(known)])
        self._compared.add(examples, len(anchored[0]))
        return output[: len(rows[0])]

    def _rows_pass(self, rows: tuple[Tensor, ...], examples: Tensor, repeats: int) -> Any:
        """Run the function on copies of the chosen examples, copy after copy."""
        report.count(len(rows[0]))
        if self._differentiates:
            return run_plain(lambda lent: self.site.run_rows(lent, examples, repeats), rows)
        with torch.no_grad():
            try:
                return self.site.run_rows(rows, examples, repeats)
            except RuntimeError as error:
                if "does not require grad" not in str(error):
                    raise
        self._differentiates = True
        return run_plain(lambda lent: self.site.run_rows(lent, examples, repeats), rows)

    @staticmethod
    def _own(rows: Tensor, x: Tensor) -> Tensor:
        """Copy rows that are the user's own tensor: the model may write into what it gets."""
        return rows.clone() if rows.data_ptr() == x.data_ptr() else rows

    def _row_values(self, output: Tensor, examples: Tensor, repeats: int) -> Tensor:
        if output.shape != (repeats * len(examples), *self.outputs().shape[1:]):
            raise _changed(output)
        return explained(output, self.question.target.rows(examples, repeats))

    def _as_plain(self, output: Tensor) -> Tensor:
        if output.shape != self.outputs().shape:
            raise _changed(output)
        return output

    @contextmanager
    def _measured(self, samples: int, rows: int) -> Iterator[None]:
        """Learn from a pass how many rows one pass may have, if there will be more than one."""
        if self.limit.fixed or samples * self.site.examples <= self.limit.rows:
            yield
            return
        with LargestTensor() as largest:  # type: ignore[no-untyped-call]  # likewise
            yield
        if largest.bytes:  # nothing is seen of a function that computes elsewhere
            self.limit.learn(LARGEST_SHARE * largest.bytes, rows)


@contextmanager
def perturbing(
    question: Question, cap: int | None, others: tuple[Tensor, ...], bar: Progress
) -> Iterator[ForwardEvaluator]:
    """Borrow the model for evaluations at perturbed inputs; the arguments are those of ``ForwardEvaluator``.

    Yields:
        The evaluator.
    """
    with borrowed(question.site.forward, question.inputs[0].device):
        yield ForwardEvaluator(question, cap, others, bar)


def explained(output: Tensor, target: Target) -> Tensor:
    """Pick the explained values of an output, in float64.

    Without a target these are all its values: shape (rows, ...), or (rows,) where there is one value per row.
    """
    if target.common is not None or target.each is not None:
        return select(output, target).double()
    if output.dim() < 2 or output[:1].numel() == 1:
        return output.double().reshape(-1)
    return output.double()


def _changed(output: Tensor) -> Exception:
    return invalid_value(
        "forward_func",
        f"a function whose output changed its shape, to {tuple(output.shape)}",
        "it had another one for the inputs as they are",
        "a function whose output shape depends on the number of rows only",
    )


class LargestTensor(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves its base untyped
    """Notes the size of the largest tensor that an operation makes."""

    bytes = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Say no: to skip torch's compiler is to import it first, which takes a second."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and look at its result."""
        result = func(*args, **(kwargs or {}))
        for tensor in (result,) if isinstance(result, Tensor) else tensors_in(result):
            size = tensor.numel() * tensor.element_size()
            if size > self.bytes and not _is_view(tensor, args):
                self.bytes = size
        return result


def _is_view(tensor: Tensor, args: Any) -> bool:
    """Tell whether a tensor shows an argument's memory, as transposed weights do."""
    place = tensor.untyped_storage().data_ptr()
    return any(other.untyped_storage().data_ptr() == place for other in tensors_in(args))
