"""Print how far Captum's DeepLIFT is from completeness on every model of the zoo.

Run as a script from the folder ``tests``: ``python -m zoo.captum_deeplift [--tsv] [name ...]``.
For each entry, the largest ``|sum(attributions) - (F(x) - F(x'))| / |F(x) - F(x')|`` over the
examples, in float64, or the class of the error with which Captum refuses.
"""

import argparse
import logging
import sys
import warnings
from collections import Counter

import torch
from torch import Tensor, nn

from . import ZOO
from .entry import Case, ZooModel

COMPLETE = 1e-4


class Scalar(nn.Module):
    """The explained number as a module; Captum takes nothing else, and finds submodules through it."""

    def __init__(self, case: Case):
        super().__init__()
        self.model = case.forward
        self.select = case.select

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.select(self.model(*inputs))


def relative_error(model: ZooModel) -> float:
    """The largest relative completeness error over the examples of one entry."""
    from captum.attr import DeepLift

    case = model.case()
    attributions = DeepLift(Scalar(case)).attribute(case.inputs, case.baselines)
    with torch.no_grad():
        difference = case.scalar(*case.inputs) - case.scalar(*case.baselines)
    total = sum(part.flatten(1).sum(1) for part in attributions)
    return ((total - difference).abs() / difference.abs()).max().item()


def measure(model: ZooModel) -> float | str:
    """The relative error, or the class of the exception that Captum raised."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Captum warns on every call that it sets hooks
            return relative_error(model)
    except Exception as error:  # whatever it raises is the result
        return type(error).__name__


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of names; all entries without")
    parser.add_argument("--tsv", action="store_true", help="separate columns by tabulators")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)

    outcomes = Counter()
    for name, model in ZOO.items():
        if options.names and not any(part in name for part in options.names):
            continue
        result = measure(model)
        shown = result if isinstance(result, str) else f"{result:.1e}"
        row = (name, model.family, shown)
        sys.stdout.write(("\t".join(row) if options.tsv else f"{row[0]:36}{row[1]:22}{row[2]}") + "\n")
        if isinstance(result, str):
            outcomes["refused"] += 1
        else:
            outcomes["complete" if result <= COMPLETE else "incomplete"] += 1
    sys.stderr.write(", ".join(f"{count} {kind}" for kind, count in outcomes.items()) + "\n")


if __name__ == "__main__":
    main()
