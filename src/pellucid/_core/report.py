"""What a call reports beside its numbers: cost, warnings as data, and the check of the result.

A report is kept per context (so per thread), and only if somebody listens::

    with recording() as report:
        attributions = IntegratedGradients(model).attribute(inputs, target=0)
    report.delta, report.rows, report.notices
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from torch import Tensor

from pellucid.errors import PellucidWarning

if TYPE_CHECKING:
    from pellucid._core.rules import Audit, Certificate

_PACKAGE = str(Path(__file__).resolve().parent.parent)


@dataclass(frozen=True)
class Notice:
    """A warning as data: its category's name and its message."""

    category: str
    message: str


@dataclass
class Report:
    """Collects what the calls within one ``recording()`` block report.

    Attributes:
        rows: examples that went through the model, counted once per forward pass.
        calls: forward passes.
        notices: warnings, each once, in the order in which they came.
        delta: completeness error, shape (N,), of the last method that has one: the sum of its attributions minus
            what they should sum to.
        bypass: what of the difference of outputs bypasses the layer, shaped as delta, of the last layer method with
            baselines: the sum of its attributions and this make up the difference.
        standard_error: standard errors of the last sampling method, shaped like its attributions.
        fit: weighted R^2 of the last local surrogate, shaped like the explained values: the share of their variance
            that it explains.
        samples: random draws (orders, coalitions, permutations) that the last sampling method took.
        state: what the last method that can be continued takes as ``start_from``.
        n_steps: integration steps that the last path method took, per example where they differ.
        outputs: what the explained function (the model, or a neuron) gave for the inputs of the first method, where it
            was evaluated there.
        certificate: what the last rule-based method did to which operation.
        audit: what operations absorbed of the relevance, where books were kept.
        outer: the report of the block around this one.
        quiet: whether warnings are kept as data only.
    """

    rows: int = 0
    calls: int = 0
    notices: list[Notice] = field(default_factory=list)
    delta: Tensor | None = None
    bypass: Tensor | None = None
    standard_error: tuple[Tensor, ...] | None = None
    fit: Tensor | None = None
    samples: int | None = None
    state: object = None
    n_steps: int | Tensor | None = None
    outputs: Tensor | None = None
    certificate: Certificate | None = None
    audit: Audit | None = None
    outer: Report | None = field(default=None, repr=False)
    quiet: bool = False


_active: ContextVar[Report | None] = ContextVar("pellucid_report", default=None)


@contextlib.contextmanager
def recording(*, quiet: bool = False) -> Iterator[Report]:
    """Collect the reports of all calls made inside the block.

    Args:
        quiet: whether warnings of Pellucid are kept as notices only, in this thread; filters of warnings, which all
            threads share, stay as they are.

    Yields:
        The report, filled while the block runs. Blocks nest: cost and notices count for outer ones too.
    """
    report = Report(outer=_active.get(), quiet=quiet)
    token = _active.set(report)
    try:
        yield report
    finally:
        _active.reset(token)


def _listeners() -> Iterator[Report]:
    report = _active.get()
    while report is not None:
        yield report
        report = report.outer


def count(rows: int, calls: int = 1) -> None:
    """Count one forward pass of ``rows`` examples, or with ``calls=0`` more rows of one that is counted already."""
    for report in _listeners():
        report.rows += rows
        report.calls += calls


def notify(category: type[PellucidWarning], message: str) -> None:
    """Warn at the user's line and keep the warning as data."""
    found = Notice(category.__name__, message)
    for report in _listeners():
        if found not in report.notices:
            report.notices.append(found)
    if not any(report.quiet for report in _listeners()):
        warnings.warn(message, category, stacklevel=_users_level())


def is_listened_to() -> bool:
    """Tell whether anybody collects, so that what only a report shows is worth computing."""
    return _active.get() is not None


def check(**found: Any) -> None:
    """Report the check that a result carries: fields of ``Report``; what is ``None`` is left as it is."""
    report = _active.get()
    for name, value in found.items() if report is not None else ():
        if value is not None:
            setattr(report, name, value)


def keep_fit(fit: Tensor) -> None:
    """Report how much of the values' variance the last local surrogate explains."""
    report = _active.get()
    if report is not None:
        report.fit = fit


def keep_outputs(outputs: Tensor) -> None:
    """Report the model's plain output at the inputs."""
    report = _active.get()
    if report is not None and report.outputs is None:
        report.outputs = outputs.detach()


def _users_level() -> int:
    """Stack level, as seen by the caller of ``warnings.warn``, of the first frame outside the package."""
    frame: FrameType | None = sys._getframe(1)
    level = 1
    while frame is not None and frame.f_code.co_filename.startswith((_PACKAGE, contextlib.__file__)):
        frame = frame.f_back
        level += 1
    return level
