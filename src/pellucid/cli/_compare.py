"""``pellucid compare``, step by step: prepare as for an explanation, judge, write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pellucid.cli._explain import Options, Result, about, compared, prepare
from pellucid.cli._writing import write_comparison
from pellucid.comparing import METHODS


def compare_data(options: Options, say: Callable[[str], object]) -> Result:
    """Do what ``pellucid compare`` says; arguments and errors are those of ``explain_data``."""
    ready = prepare(replace(options, methods=options.methods or METHODS), say, judged=True)
    comparison = compared(ready, options)
    lines = write_comparison(options.out, comparison, about(options, ready), pictures=options.pictures)
    return Result(options.out / "comparison.html", [str(comparison), "", *lines])
