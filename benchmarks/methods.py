"""Every method that Captum has too, beside Captum at its defaults and beside the bare evaluations.

Run ``python -m benchmarks``, or ``make bench``; it takes about six minutes, ``--quick`` one, and writes
``benchmarks/results/methods.json``, ``docs/performance.md`` and ``docs/performance.svg``. ``--only NAME`` measures
the methods whose name contains it anew and leaves the figures of the others.

What is measured stands in ``benchmarks/table.py``. Times are CPU seconds of one thread, medians of rounds in which
ours, Captum's and the bare evaluations take turns. Peaks of memory are measured in processes of their own.
"""

from __future__ import annotations

import argparse
import importlib
import json
import types
import warnings
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from benchmarks import page
from benchmarks.measure import interleaved, peaks_in_child, rounds_within
from benchmarks.subjects import SUBJECTS, Parts, Subject
from benchmarks.table import METHODS, Row, Work

CHUNKS = (16, 64, 256)
"""Rows of a bare pass; the quickest size counts."""
SECONDS, LEAST, MOST = 0.6, 3, 41
"""CPU seconds for one cell of the table, and its rounds."""
GROWTH = {
    "IntegratedGradients": ("small CNN x 1", (1, 4, 16, 64)),
    "DeepLift": ("small CNN x 1", (1, 4, 16, 64)),
    "FeatureAblation": ("small CNN x 1", (1, 4, 16, 64)),
    "KernelShap": ("small CNN x 1", (1, 4, 16)),
}
"""Methods whose cost is measured over the number of examples."""


def libraries() -> dict[str, types.ModuleType]:
    """Import both."""
    for part in ("attr", "metrics", "robust"):
        importlib.import_module(f"captum.{part}")
    return {"ours": importlib.import_module("pellucid"), "captum": importlib.import_module("captum")}


def bare(model: Parts, x: Tensor, work: Work, chunk: int) -> Callable[[], None]:
    """Make a call of so many passes per example of each kind, and of nothing else."""
    with torch.no_grad():
        hidden = model.before(x).detach()
    kinds = {
        "forward": (model, x, False),
        "gradient": (model, x, True),
        "step": (model, x, True),
        "before": (model.before, x, False),
        "neuron": (model.before, x, True),
        "after": (model.after, hidden, True),
        "quick": (model.after, hidden, False),
    }
    todo = []
    for kind, passes in work.items():
        run, value, differentiate = kinds[kind]
        count = max(1, round(passes * len(x)))
        rows = value.repeat(-(-count // len(x)), *[1] * (x.dim() - 1 if value is x else value.dim() - 1))[:count]
        todo.append((run, rows.split(len(x) if kind == "step" else chunk), differentiate))

    def call() -> None:
        for run, parts, differentiate in todo:
            for part in parts:
                if differentiate:
                    leaf = part.detach().requires_grad_()
                    torch.autograd.grad(run(leaf).flatten(1)[:, 0].sum(), leaf)
                else:
                    with torch.no_grad():
                        run(part)

    return call


def quickest(model: Parts, x: Tensor, work: Work) -> Callable[[], None]:
    """Make the bare call with the chunk size that is quickest here."""
    most = max(work.values()) * len(x)
    sizes = [c for c in CHUNKS if c < most] + [max(256, len(x)) if most > 256 else max(1, round(most))]
    calls = {str(size): bare(model, x, work, size) for size in dict.fromkeys(sizes)}
    if len(calls) == 1:
        return next(iter(calls.values()))
    seconds = interleaved(calls, 3)
    return calls[min(seconds, key=seconds.__getitem__)]


def measured(row: Row, subject: Subject, seconds: float) -> dict[str, float]:
    """Measure one cell: CPU seconds of each, and the rounds."""
    model, x = subject.prepare()
    calls: dict[str, Callable[[], object]] = {"bare": quickest(model, x, row.bare(subject, row.work))}
    for name, library in libraries().items():
        calls[name] = row.call(library, model, x, subject, row.work)
    rounds = rounds_within(calls, seconds, LEAST, MOST)
    return {**interleaved(calls, rounds, warm=True), "rounds": rounds}


def calls_for_memory(method: str, subject: str, library: str) -> list[Callable[[], object]]:
    """Make a small call, the usual one, and one with much work where there is such."""
    row, chosen = METHODS[method], SUBJECTS[subject]
    model, x = chosen.prepare()
    module = libraries()[library]
    small = replace(chosen, shape=(min(2, chosen.size), *chosen.shape[1:]))
    works = [row.work] if row.more is None else [row.work, row.more]
    return [
        row.call(module, model, x[: small.size], small, 16 if row.work >= 16 else row.work),
        *(row.call(module, model, x, chosen, work) for work in works),
    ]


def memory(row: Row) -> dict[str, Any]:
    """Measure the peaks of a method on the largest of its models."""
    subject = [name for name in row.subjects if not name.startswith("transformer")][-1]
    found: dict[str, Any] = {"method": row.name, "subject": subject, "work": [row.work, row.more]}
    for library in ("ours", "captum"):
        found[library] = peaks_in_child(calls_for_memory, row.name, subject, library)
    return found


def growth(seconds: float, rows: list[Row]) -> list[dict[str, Any]]:
    """Measure how the cost grows with the number of examples."""
    found = []
    for row in rows:
        name, batches = GROWTH.get(row.name, ("", ()))
        for batch in batches:
            subject = SUBJECTS[name]
            grown = replace(subject, shape=(batch, *subject.shape[1:]))
            found.append({"method": row.name, "batch": batch, **measured(row, grown, seconds)})
    return found


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Put new measurements in the place of old ones of the same methods, in the order of the table."""
    order = list(METHODS)
    found = {"versions": new["versions"]}
    for part in ("cells", "memory", "growth"):
        replaced = {row["method"] for row in new[part]}
        rows = [*(row for row in old[part] if row["method"] not in replaced), *new[part]]
        found[part] = sorted(rows, key=lambda row: order.index(row["method"]))
    return found


def say(cell: dict[str, Any]) -> None:
    """Print one cell while the others are measured."""
    ratios = f"{cell['captum'] / cell['ours']:8.2f} {cell['ours'] / cell['bare']:8.2f}"
    print(f"{cell['method']:28} {cell['subject']:18} {ratios} {1e3 * cell['ours']:9.2f} ms", flush=True)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and peaks of few methods")
    parser.add_argument("--only", default="", help="part of the names of methods to measure anew")
    parser.add_argument("--no-memory", action="store_true", help="times only; writes nothing")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    seconds = 0.15 if arguments.quick else SECONDS
    rows = [row for row in METHODS.values() if arguments.only.lower() in row.name.lower()]
    cells = []
    print(f"{'':47} {'Captum':>8} {'ours':>8} {'ours':>9}\n{'':47} {'/ ours':>8} {'/ bare':>8}")
    for row in rows:
        for name in row.subjects:
            found = {"method": row.name, "subject": name, **measured(row, SUBJECTS[name], seconds)}
            cells.append(found)
            say(found)
    print(f"geometric mean of Captum / ours over methods: {page.overall(cells):.2f}")
    if arguments.no_memory:
        return
    peaks = []
    for row in rows if not arguments.quick else [row for row in rows if row.more]:
        peaks.append(memory(row))
        print(page.memory_line(peaks[-1]), flush=True)
    data = {
        "versions": {name: version(name).partition("+")[0] for name in ("torch", "captum")},
        "cells": cells,
        "memory": peaks,
        "growth": growth(seconds, rows),
    }
    if arguments.only:
        data = merged(json.loads(page.RESULTS.read_text()), data)
    page.RESULTS.parent.mkdir(exist_ok=True)
    page.RESULTS.write_text(json.dumps(page.rounded(data), indent=1) + "\n")
    page.write(json.loads(page.RESULTS.read_text()))
