"""``docs/performance.md`` and its plot, made from the measurements in ``benchmarks/results/methods.json``.

Run ``python -m benchmarks.page`` to make both anew from the same measurements.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.reasons import REASONS, reason_for
from benchmarks.table import METHODS, NOT_MEASURED

ROOT = Path(__file__).parent
RESULTS = ROOT / "results" / "methods.json"
PAGE = ROOT.parent / "docs" / "performance.md"
PLOT = ROOT.parent / "docs" / "performance.svg"
SLOWER, DEAR = 0.95, 1.3
"""Below the first, ours counts as slower than Captum; above the second, as dearer than its bare evaluations."""
NOISE = 10
"""Megabytes by which peaks differ by chance."""
SCOPES = {"inputs": "Inputs", "layers": "Layers", "neurons": "Neurons", "metrics": "Metrics", "attacks": "Attacks"}
MODELS = """\
| model | what | largest batch |
| --- | --- | --- |
| MLP | linear layers 20-64-64-10 with ReLUs | 16 rows |
| small CNN | two convolutions of 8 and 16 channels | 8 images of 3 x 16 x 16 |
| CNN | four convolutions of 16, 32, 32 and 32 channels | 4 images of 3 x 32 x 32 |
| transformer | four encoder layers of width 128, four heads | 4 texts of 32 tokens |
"""


def geometric(values: Iterable[float]) -> float:
    """Compute a geometric mean."""
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs))


def by_method(cells: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Group cells."""
    return {name: found for name in METHODS if (found := [cell for cell in cells if cell["method"] == name])}


def faster(cell: dict[str, Any]) -> float:
    """How often our time goes into Captum's."""
    return cell["captum"] / cell["ours"]


def dearer(cell: dict[str, Any]) -> float:
    """Our time in bare evaluations."""
    return cell["ours"] / cell["bare"]


def overall(cells: list[dict[str, Any]], ratio: Any = faster) -> float:
    """Give the geometric mean over the methods, each its own over its models."""
    return geometric(geometric(map(ratio, found)) for found in by_method(cells).values())


def rounded(value: Any) -> Any:
    """Round all numbers to what their noise leaves of them."""
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def memory_line(found: dict[str, Any]) -> str:
    """Say what a method's peaks were."""
    peaks = " ".join(f"{name} {' '.join(f'{p:.1f}' for p in found[name])} MB" for name in ("ours", "captum"))
    return f"{found['method']:28} {found['subject']:18} {peaks}"


def _ratio(value: float) -> str:
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}" if value >= 2.95 else f"{value:.2f}"


def _summary(cells: list[dict[str, Any]]) -> str:
    groups = {
        "games and regressions": [c for c in cells if _perturbs(c["method"])],
        "gradients, rules, layers, neurons, attacks": [c for c in cells if not _perturbs(c["method"])],
    }
    lines = ["| methods | Captum / ours | Captum / bare | ours / bare |", "| --- | ---: | ---: | ---: |"]
    for name, chosen in {"all": cells, **groups}.items():
        means = overall(chosen), overall(chosen, lambda c: c["captum"] / c["bare"]), overall(chosen, dearer)
        lines.append(f"| {name} ({len(by_method(chosen))}) | {' | '.join(map(_ratio, means))} |")
    return "\n".join(lines)


def _perturbs(method: str) -> bool:
    return any(word in method for word in ("Ablation", "Occlusion", "Permutation", "Shapley", "KernelShap", "Lime"))


def _table(scope: str, cells: list[dict[str, Any]]) -> str:
    chosen = {name: found for name, found in by_method(cells).items() if METHODS[name].scope == scope}
    subjects = list(dict.fromkeys(cell["subject"] for found in chosen.values() for cell in found))
    subjects.sort(key=[*dict.fromkeys(cell["subject"] for cell in cells)].index)
    lines = [f"| method | {' | '.join(subjects)} | why |", f"| --- |{' ---: |' * len(subjects)} --- |"]
    for name, found in chosen.items():
        beside = {cell["subject"]: f"{_ratio(faster(cell))} ({_ratio(dearer(cell))})" for cell in found}
        notes = ", ".join(sorted({reason_for(name, cell) for cell in found if beyond(cell)}))
        lines.append(f"| {name} | {' | '.join(beside.get(s, '') for s in subjects)} | {notes} |")
    return "\n".join(lines)


def beyond(cell: dict[str, Any]) -> bool:
    """Tell whether a cell misses a goal."""
    return faster(cell) < SLOWER or dearer(cell) > DEAR


def _memory(peaks: list[dict[str, Any]]) -> str:
    lines = [
        "| method | work | ours, MB | Captum, MB | ours, more work | Captum, more work |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for found in peaks:
        works = " / ".join(str(work) for work in found["work"] if work is not None)
        few = [f"{found[name][0]:.1f}" for name in ("ours", "captum")]
        many = [f"{found[name][1]:.1f}" if len(found[name]) > 1 else "" for name in ("ours", "captum")]
        lines.append(f"| {found['method']} | {works} | {' | '.join((*few, *many))} |")
    return "\n".join(lines)


def _flatness(peaks: list[dict[str, Any]]) -> str:
    """Say how the peaks behave."""
    above = [f["method"] for f in peaks if any(o > c + NOISE for o, c in zip(f["ours"], f["captum"], strict=True))]
    grown = [f["method"] for f in peaks if len(f["ours"]) > 1 and f["ours"][1] > 1.5 * f["ours"][0] + NOISE]
    first = f"More than {NOISE} MB above Captum's peak: {', '.join(above) or 'none'}."
    second = f"Grown by more than half and {NOISE} MB with the work: {', '.join(grown) or 'none'}"
    third = "the smaller amount of work does not fill a chunk, whose size bounds the larger one"
    return f"{first} {second}; {third} (perturbations for `infidelity` are drawn up to 16 MB at a time)."


def text(data: dict[str, Any]) -> str:
    """Write the page."""
    cells = data["cells"]
    slower = sum(faster(cell) < SLOWER for cell in cells)
    reasons = "\n".join(f"* **{key}**: {reason}" for key, reason in REASONS.items())
    tables = "\n\n".join(f"### {title}\n\n{_table(scope, cells)}" for scope, title in SCOPES.items())
    return f"""# Performance

Every method that Captum has too, beside Captum {data["versions"]["captum"]} and beside the bare evaluations: the
forward and backward passes that the method cannot do without, on as many rows, in chunks of the size that is quickest.
`python -m benchmarks` measures it and writes this page; models and calls stand in `benchmarks/table.py`.

Both libraries get the same model, inputs, numbers of steps and samples, and beyond that run at their defaults: Captum's
perturbation methods evaluate one perturbation per pass, its path methods all steps in one. Figures are ratios of CPU
seconds of one thread (torch {data["versions"]["torch"]}), medians of rounds in which the three take turns; they vary by
some 10 % from run to run. The models are such that Captum is right on them.

{MODELS}
## In short

**Captum / ours** says how many times faster ours is, **ours / bare** what it costs beyond the evaluations. Where both
libraries evaluate the same rows, **Captum / bare** is the most that any implementation could reach.
Geometric means over methods, each its own mean over its models:

{_summary(cells)}

In {slower} of {len(cells)} cells ours takes more than 1 / {SLOWER} of Captum's time: with single passes, rules and few
samples on models that take some milliseconds or less, where checks and bookkeeping of 0.1 to 2 ms a call weigh. It is
faster where passes can be shared, as in games, and mostly with tens of steps. The last column of the tables names the
reasons.

## Time

Captum / ours, and ours / bare in brackets. `x` stands before the number of examples.

{tables}

Not measured: {"; ".join(f"{name} ({why})" for name, why in NOT_MEASURED.items())}.

## Reasons

Where the time goes in cells with a ratio to Captum below {SLOWER}, or above {DEAR} bare evaluations. These are costs of
the implementation as it is; only Captum / bare is a bound.

{reasons}

## Growth with the batch

![CPU time over the number of examples: ours, Captum's and the bare evaluations](performance.svg)

## Peak memory

Megabytes by which a process grows in the call, measured in a process of its own on the last model of the method's row
(not the transformer), at two amounts of work: steps, samples, references or features. {_flatness(data["memory"])}

{_memory(data["memory"])}
"""


def plot(data: dict[str, Any]) -> None:
    """Draw how the cost grows with the number of examples."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    methods = list(dict.fromkeys(point["method"] for point in data["growth"]))
    style = {"captum": ("Captum", "#c44e00", "s", "--"), "ours": ("Pellucid", "#0b6aa2", "o", "-")}
    style["bare"] = ("bare evaluations", "#707070", "", ":")
    with mpl.rc_context({"svg.hashsalt": "performance", "svg.fonttype": "none", "font.size": 9}):
        figure, axes = plt.subplots(1, len(methods), figsize=(2.6 * len(methods), 2.9), layout="constrained")
        for axis, method in zip(axes, methods, strict=True):
            points = [point for point in data["growth"] if point["method"] == method]
            batches = [point["batch"] for point in points]
            for name, (label, color, marker, line) in style.items():
                values = [1e3 * point[name] for point in points]
                axis.plot(batches, values, color=color, marker=marker, markersize=4, linestyle=line, label=label)
            axis.set(xscale="log", yscale="log", title=method, xlabel="examples", xticks=batches)
            axis.set_xticklabels([str(batch) for batch in batches])
            axis.minorticks_off()
            axis.spines[["top", "right"]].set_visible(False)
            axis.grid(axis="y", alpha=0.25)
        axes[0].set_ylabel("CPU milliseconds, small CNN")
        axes[0].legend(frameon=False)
        figure.savefig(PLOT, metadata={"Date": None, "Creator": None})
        plt.close(figure)


def write(data: dict[str, Any]) -> None:
    """Write page and plot."""
    PAGE.write_text(text(data))
    plot(data)


if __name__ == "__main__":
    write(json.loads(RESULTS.read_text()))
