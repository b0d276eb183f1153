"""Gradients of a question along a path, block by block; ``expansion`` says which blocks are right."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor

from pellucid._core import report
from pellucid._core.batching import WORKING_SHARE, Block, KeptBytes, RowLimit, fits_whole
from pellucid._core.differentiation import (
    WITHOUT_BOOKS,
    Choose,
    Differentiation,
    Pass,
    Run,
    depends,
    plain_gradients,
    unconnected,
)
from pellucid._core.expansion import (
    AMONG_OTHERS,
    SHAPE_ERRORS,
    Compared,
    NotExpandableError,
    agree,
    appended,
    between,
    compared,
    require_rows,
    run_blocks,
    run_plain,
)
from pellucid._core.model import borrowed, modules_of
from pellucid._core.output import Target, output_tensor, select
from pellucid._core.path import Line, Path, Points
from pellucid._core.progress import Progress, progress
from pellucid._core.reducers import Evaluated, Reducer, WeightedSum
from pellucid._core.site import Question
from pellucid._core.structure import wide
from pellucid.errors import CutGradientWarning, PellucidWarning, UnusedInputWarning

_CUTS = "(detach, no_grad, a comparison, a detour through numpy or Python numbers)"
_WITHOUT_GRADIENT: dict[bool | None, tuple[type[PellucidWarning], str]] = {
    False: (UnusedInputWarning, "has no influence on the explained output"),
    None: (UnusedInputWarning, f"has no influence on the explained output, or the model cuts its gradient off {_CUTS}"),
    True: (
        CutGradientWarning,
        f"has an influence on the explained output, but the model cuts its gradient off {_CUTS}",
    ),
}
"""By whether a value without gradient matters, what is said of it."""


class Evaluator:
    """Evaluates one question; lives as long as one call."""

    def __init__(self, question: Question, cap: int | None, differentiate: Differentiation) -> None:
        """Prepare; nothing is evaluated yet."""
        self.question = question
        self.differentiate = differentiate
        self.site = question.site
        self.limit = RowLimit.of(question.inputs, cap, len(question.targets))
        self.limit.whole = not question.site.divisible
        self._plain: Tensor | None = None
        self._compared = Compared()
        self._measuring = False
        self._used: frozenset[int] | None = None

    @functools.cached_property
    def all(self) -> Tensor:
        """Numbers of all examples."""
        return torch.arange(self.site.examples)

    @property
    def mixes(self) -> bool:
        """Whether rows were seen to influence each other."""
        return self.limit.whole

    def checks_first(self, samples: int) -> bool:
        """Tell whether the first block holds several samples of the whole batch, and so shows whether rows mix."""
        block = self.limit.next_block((0, 0), samples, self.site.examples)
        return not self.limit.whole and block.shape[0] > 1

    # -- values

    @property
    def knows_outputs(self) -> bool:
        """Whether ``outputs`` need not be evaluated any more."""
        return self._plain is not None

    def outputs(self) -> Tensor:
        """Evaluate the model's output at the inputs, on the batch as it was given."""
        if self._plain is None:
            known = self.site.output
            self._plain = self._run_plain(self.question.inputs) if known is None else known
            report.keep_outputs(self._plain)
        return self._plain

    def scores(self) -> tuple[Tensor, ...]:
        """Explained values of each target at the inputs, shape (N,), or (1,) where there is one per batch."""
        return self._selected(self.outputs())

    def scores_at(self, values: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Explained values at other values of the whole batch, shaped as ``scores()``."""
        return self._selected(self._run_plain(values))

    def _selected(self, output: Tensor) -> tuple[Tensor, ...]:
        return tuple(select(output, target) for target in self.question.targets)

    def _run_plain(self, values: tuple[Tensor, ...]) -> Tensor:
        report.count(self.site.examples)
        return run_plain(lambda lent: output_tensor(self.site.run_whole(lent)), values).detach()

    def _run_rows(self, values: tuple[Tensor, ...], examples: Tensor) -> Tensor:
        """Evaluate copies of the chosen examples, copy after copy."""
        count = values[0].shape[0]
        report.count(count)
        repeats = count // examples.shape[0]
        return run_plain(lambda lent: output_tensor(self.site.run_rows(lent, examples, repeats)), values).detach()

    def stands_beside(self, others: tuple[Tensor, ...], examples: Tensor) -> bool:
        """Tell whether examples give the same outputs with other values in the same pass, and these without them.

        The other values must differ: a model that works with statistics over the batch does not notice a
        copy of it.
        """
        return self._alone(others, examples) is not None

    def _alone(self, others: tuple[Tensor, ...], examples: Tensor) -> Tensor | None:
        """What other values of some examples give alone; ``None`` if they give something else beside the examples."""
        if self.outputs().shape[:1] != (self.site.examples,):
            return None
        known, anchor = self._known(examples)
        try:
            found, alone = self._run_rows(appended(others, anchor), examples), self._run_rows(others, examples)
        except SHAPE_ERRORS:
            return None
        if found.dim() == 0 or len(found) != 2 * len(examples) or alone.dim() == 0:
            return None
        return alone if agree(found, torch.cat((alone, known))) else None

    def stand_alone(self, copies: tuple[Tensor, ...], outputs: Tensor | None) -> bool:
        """See ``copies_stand_alone``."""
        count, rows = self.site.examples, len(copies[0])
        ends = slice(0, count), slice(rows - count, rows)
        try:
            alone = torch.cat([self._run_rows(tuple(v[end] for v in copies), self.all) for end in ends])
            if outputs is not None and agree(torch.cat([outputs[end] for end in ends]), alone):
                return True
            among = self._run_rows(copies, self.all)
            return len(among) == rows and agree(torch.cat([among[end] for end in ends]), alone)
        except SHAPE_ERRORS:
            return False

    # -- gradients

    def point_gradients(self, reducers: Sequence[Reducer], path: Path, bar: Progress) -> None:
        """Take gradients at one point per example: in a single pass if that is small enough."""
        if self._fits():
            self.limit.rows = max(self.limit.rows, self.site.examples)
        self.accumulate(reducers, path, bar)

    def gradients_at_values(self) -> list[tuple[Tensor, ...]] | None:
        """Take gradients at the explained values in one pass, which needs no sums; ``None`` if it is too large."""
        if not (self.limit.rows >= self.site.examples or self.limit.whole or self._fits()):
            return None
        try:
            found = self._whole_pass(Points(tuple([x.clone() for x in self.question.inputs])))
        except torch.OutOfMemoryError:
            return None
        return [tuple([g.to(wide(g.dtype)) for g in each.gradients]) for each in found]

    def _fits(self) -> bool:
        """Tell whether one point per example is small enough for a single pass."""
        return not self.limit.fixed and fits_whole(self.question.inputs)

    def accumulate(self, reducers: Sequence[Reducer], path: Path, bar: Progress, chosen: Tensor | None = None) -> None:
        """Send the gradients at all points of a path to reducers.

        Args:
            reducers: one per target; each takes in its gradients of each block.
            path: points and weights.
            bar: counts rows.
            chosen: examples to evaluate, all by default.
        """
        chosen = self.all if chosen is None else chosen
        samples, count = path.samples, chosen.shape[0]
        self._measuring = self.differentiate.counted and samples * count > self.limit.rows
        blocks = run_blocks(self.limit, samples, count, lambda block: self._block(path, block, _some(chosen, block)))
        for block, found in blocks:
            for reducer, evaluated in zip(reducers, found, strict=True):
                reducer.add(path.weights(block.samples), evaluated, _some(chosen, block))
            bar.update(block.shape[0] * block.shape[1])

    def _block(self, path: Path, block: Block, examples: Tensor) -> list[Evaluated]:
        """Evaluate a block for each target; everything is shaped (samples, examples, ...)."""
        every = examples.shape[0] == self.site.examples
        if self.limit.whole or (block.shape[0] == 1 and every):
            points = path.points(block.samples, self.all)
            found = self._whole_pass(_each(lambda v: v[0], points))
            evaluated = [Evaluated(points, _unflat(f.gradients, 1), _unflat(f.changes, 1)) for f in found]
            return evaluated if every else [e.of(examples) for e in evaluated]
        points = path.points(block.samples, examples)
        known = self._compared.covers(examples, block.shape[0] * block.shape[1])
        run = self._rows_pass if known else self._compared_pass
        found = run(_each(lambda v: v.flatten(0, 1), points), examples)
        repeats = block.shape[0]
        return [Evaluated(points, _unflat(f.gradients, repeats), _unflat(f.changes, repeats)) for f in found]

    def _whole_pass(self, points: Points) -> tuple[Pass, ...]:
        def run(*lent: Tensor) -> Any:
            report.count(self.site.examples)
            return self.site.run_whole(lent)

        chooses = tuple([_choice(target) for target in self.question.targets])
        found = self._differentiated(run, chooses, points, self.site.examples)
        if self._plain is None and report.is_listened_to() and self._are_inputs(points.values):
            report.keep_outputs(found[0].output)
        return found

    def _are_inputs(self, values: tuple[Tensor, ...]) -> bool:
        return all(map(torch.equal, values, self.question.inputs))

    def _rows_pass(self, points: Points, examples: Tensor) -> tuple[Pass, ...]:
        """Evaluate copies of the chosen examples, copy after copy."""
        count, repeats = points.values[0].shape[0], points.values[0].shape[0] // examples.shape[0]

        def run(*lent: Tensor) -> Any:
            report.count(count)
            return self.site.run_rows(lent, examples, repeats)

        chooses = tuple([_row_choice(t.rows(examples, repeats), count) for t in self.question.targets])
        return self._differentiated(run, chooses, points, count)

    def _compared_pass(self, points: Points, examples: Tensor) -> tuple[Pass, ...]:
        """An expanded pass, compared: the inputs, and a copy within it, must give what they give without the others.

        The copy lies between the ends of a path: at a baseline a model may give the same whatever is beside it.
        """
        require_rows(self.outputs(), self.site.examples)
        rows, count = points.values[0].shape[0], examples.shape[0]
        copy = 3 * (rows // count - 1) // 4
        inner = slice(copy * count, (copy + 1) * count)
        compare = self._compared_within if isinstance(self.differentiate, WITHOUT_BOOKS) else self._compared_apart
        found = compare(points, examples, inner)
        self._compared.add(examples, rows)
        return found

    def _compared_within(self, points: Points, examples: Tensor, inner: slice) -> tuple[Pass, ...]:
        """The inputs are the last copy of the pass itself."""
        known, anchor = self._known(examples)
        there = all(torch.equal(v[-x.shape[0] :], x) for v, x in zip(points.values, anchor, strict=True))
        anchored = points if there else Points(appended(points.values, anchor))
        passes = compared(lambda: self._rows_pass(anchored, examples), lambda passes: passes[0].output, known)
        values, among = tuple(v[inner] for v in points.values), passes[0].output[inner]
        compared(lambda: self._run_rows(values, examples), lambda output: output, among)
        return tuple([f.first(points.values[0].shape[0]) for f in passes])

    def _compared_apart(self, points: Points, examples: Tensor, inner: slice) -> tuple[Pass, ...]:
        """The inputs have a pass of their own: rules keep books of theirs, and layers' values have no copies of them.

        Beside references all copies are the inputs.
        """
        known, anchor = self._known(examples)
        paired = points.references
        others = between(anchor, tuple(r[inner] for r in paired)) if paired else tuple(v[inner] for v in points.values)
        alone = self._alone(others, examples)
        if alone is None:
            raise NotExpandableError(AMONG_OTHERS)
        return compared(
            lambda: self._rows_pass(points, examples),
            lambda passes: passes[0].output[inner],
            known if paired else alone,
        )

    def _known(self, examples: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Outputs and inputs of some examples, which are in order; all of them are not copied."""
        outputs = self.outputs()
        if examples.shape[0] == self.site.examples:
            return outputs, self.question.inputs
        return outputs[examples.to(outputs.device)], tuple(x[examples.to(x.device)] for x in self.question.inputs)

    def _differentiated(self, run: Run, chooses: tuple[Choose, ...], points: Points, rows: int) -> tuple[Pass, ...]:
        """Run and differentiate a pass, and note which inputs had influence.

        The first pass also tells how many rows one pass may have, if there will be more than one.
        """
        if self.limit.fixed or not self._measuring:  # set by the user, or a single pass
            found = self.differentiate(run, chooses, points)
        else:
            kept = KeptBytes(modules_of(self.site.forward))
            with kept.counting():
                found = self.differentiate(run, chooses, points)
            working = max(f.working for f in found)
            self.limit.learn(max(kept.total, WORKING_SHARE * working), rows)
        self._used = (self._used or frozenset()).union(*[f.used for f in found])
        return found

    def finish(self) -> None:
        """Say which inputs had no gradient at all, if any was taken, and whether they have an influence all the same.

        Raises:
            InvalidValueError: if none had one, and the explained values depend on them.
        """
        if self._used is None:
            return
        names = self.differentiate.names or self.site.names
        unused = [i for i in range(len(names)) if i not in self._used]
        again = functools.cache(lambda: self._selected(self._run_plain(self.question.inputs)))
        matter = [depends(self.scores(), again, functools.partial(self._elsewhere, i)) for i in unused]
        if len(unused) == len(names) and any(matter):
            raise unconnected(", ".join(names))
        for i, influence in zip(unused, matter, strict=True):
            category, why = _WITHOUT_GRADIENT[influence]
            report.notify(category, f"{names[i]} {why}, so its attributions are zero.")

    def _elsewhere(self, number: int) -> tuple[Tensor, ...] | None:
        """Explained values where one of what is differentiated by has other values, if they tell of it alone."""

        def run(*lent: Tensor) -> Any:
            report.count(self.site.examples)
            return self.site.run_whole(lent)

        output = self.differentiate.elsewhere(run, self.question.inputs, number)
        return None if output is None else self._selected(output)


@contextmanager
def evaluating(
    question: Question, cap: int | None = None, differentiate: Differentiation = plain_gradients
) -> Iterator[Evaluator]:
    """Borrow the model for the evaluations of one question.

    Args:
        question: what is asked.
        cap: rows per forward pass at most, chosen by the library if ``None``.
        differentiate: how one pass is differentiated.

    Yields:
        The evaluator.
    """
    with borrowed(question.site.forward, question.inputs[0].device):
        evaluator = Evaluator(question, cap, differentiate)
        yield evaluator
        evaluator.finish()


def copies_stand_alone(question: Question, copies: tuple[Tensor, ...], outputs: Tensor | None) -> bool:
    """Tell whether the first and the last of several copies of the batch give alone what they give in one pass.

    Args:
        question: what is asked.
        copies: other values of the inputs, copy after copy.
        outputs: what is taken for the outputs of a pass over all copies; where it is not what the copies give alone,
            that pass is made.

    Returns:
        Whether it is so.
    """
    with evaluating(question) as evaluator:
        return evaluator.stand_alone(copies, outputs)


class Summing(Reducer, Protocol):
    """Sums what it takes in."""

    @property
    def sums(self) -> tuple[Tensor, ...]:
        """The sums so far."""


def gradients_at_point(
    question: Question,
    differentiate: Differentiation = plain_gradients,
    summing: Callable[[], Summing] | None = None,
) -> list[tuple[Tensor, ...]]:
    """Compute the gradient of each target at the explained values themselves, in float32 or wider.

    They may share memory with each other or with a tensor of the model's, so they are not given away as they are.

    Args:
        question: what is asked.
        differentiate: how a pass is differentiated.
        summing: makes what puts the gradients of several passes together; by default they are shaped as the values.

    Returns:
        The gradients, target by target.
    """
    with evaluating(question, None, differentiate) as evaluator, progress(False, "", None) as bar:
        found = evaluator.gradients_at_values()
        if found is None:
            sums = [WeightedSum(question.inputs) if summing is None else summing() for _ in question.targets]
            evaluator.point_gradients(sums, Line.at(question.inputs), bar)
            found = [each.sums for each in sums]
        else:
            bar.update(question.site.examples)
    return found


def _choice(target: Target) -> Choose:
    return lambda output: select(output, target)


def _row_choice(target: Target, rows: int) -> Choose:
    def choose(output: Tensor) -> Tensor:
        if output.dim() == 0 or output.shape[0] != rows:
            raise NotExpandableError(f"{rows} rows gave an output of shape {tuple(output.shape)}")
        return select(output, target)

    return choose


def _each(change: Callable[[Tensor], Tensor], points: Points) -> Points:
    return Points(*(tuple(change(v) for v in part) for part in points))


def _unflat(values: tuple[Tensor, ...], repeats: int) -> tuple[Tensor, ...]:
    return tuple([v.reshape(repeats, v.shape[0] // repeats, *v.shape[1:]) for v in values])


def _some(chosen: Tensor, block: Block) -> Tensor:
    """Examples of a block; where that is all of them, slicing would cost as much as a check."""
    return chosen if block.shape[1] == chosen.shape[0] else chosen[block.examples]
