"""DeepLIFT's completeness on every model of the zoo, beside Captum's, as the table of ``docs/correctness.md``.

Run ``python -m benchmarks.correctness`` from the root; it takes some minutes and writes the page.
"""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from pathlib import Path

import torch

import pellucid
from pellucid.attr import DeepLift
from pellucid.errors import UnsupportedModelError
from tests.zoo import ZOO
from tests.zoo.captum_deeplift import measure

PAGE = Path(__file__).parent.parent / "docs" / "correctness.md"
COMPLETE = 1e-4
HEAD = """# Correctness of DeepLIFT

DeepLIFT promises completeness: the attributions of an example sum to F(x) - F(x'). The table shows the largest
relative error |sum - (F(x) - F(x'))| / |F(x) - F(x')| over the examples of each model, in float64, with baselines
that are neither zero nor constant. The models are unmodified; those of Hugging Face have small random
configurations. Models that compute in float32 somewhere reach float32's precision only.

*Captum's* figure is that of Captum 0.9.0 on the same model, inputs and baselines. It gives no warning where it is
wrong. *Named* means that Pellucid's certificate and warning name the operations or decisions that could not be
attributed; *refused* that it raises an error with the operation, the line and the remedy, because no right answer
is defined.

Made by `python -m benchmarks.correctness`. Summary: {summary}.

| model | family | Pellucid | Captum |
| --- | --- | --- | --- |
"""


def ours(name: str) -> str:
    """The relative error of one model, or what stood in its way."""
    case = ZOO[name].case(torch.float64)

    def scalar(*values: torch.Tensor) -> torch.Tensor:
        return case.select(case.forward(*values))

    try:
        with pellucid.recording() as report:
            attributions = DeepLift(scalar).attribute(case.inputs, case.baselines)
    except UnsupportedModelError:
        return "refused"
    with torch.no_grad():
        difference = scalar(*case.inputs) - scalar(*case.baselines)
    total = sum(a.to(difference.dtype).flatten(1).sum(1) for a in attributions)
    if len(report.delta) != len(difference):  # the model mixes its examples
        total, difference = total.sum(), difference.sum()
    error = float(((total - difference).abs() / difference.abs()).max())
    gaps = report.certificate.switches or report.certificate.unknown
    return f"{error:.0e} named" if gaps and error > COMPLETE else f"{error:.0e}"


def kind(shown: str) -> str:
    """Sort a figure into complete, named, refused or silently wrong."""
    if "named" in shown or shown == "refused":
        return shown.rsplit(maxsplit=1)[-1]
    try:
        return "complete" if float(shown) <= COMPLETE else "silently incomplete"
    except ValueError:
        return "refused"


def main() -> None:
    """Measure every model and write the page."""
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    rows, counts = [], {"Pellucid": Counter(), "Captum": Counter()}
    for name, model in ZOO.items():
        theirs = measure(model)
        figures = {"Pellucid": ours(name), "Captum": theirs if isinstance(theirs, str) else f"{theirs:.0e}"}
        for library, shown in figures.items():
            counts[library][kind(shown)] += 1
        rows.append(f"| {name} | {model.family} | {figures['Pellucid']} | {figures['Captum']} |")
    summary = "; ".join(
        f"{library} is " + ", ".join(f"{what} on {n}" for what, n in found.most_common())
        for library, found in counts.items()
    )
    PAGE.write_text(HEAD.format(summary=f"of {len(ZOO)} models, {summary}") + "\n".join(rows) + "\n")
    print(summary)


if __name__ == "__main__":
    main()
