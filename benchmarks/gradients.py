"""Integrated gradients: time against the bare gradient evaluations and Captum, memory against the steps.

Run with ``make bench``, or ``python -m benchmarks.gradients [--rounds N]``. All times are ratios: above 1.0 means
slower than the bare evaluations at their best chunk size, or slower than Captum at its defaults.
"""

from __future__ import annotations

import argparse
import warnings

import torch
from torch import Tensor, nn

from benchmarks.measure import interleaved, peak_megabytes
from benchmarks.models import CASES
from pellucid.attr import IntegratedGradients

STEPS = 50
CHUNKS = (16, 32, 64, 128, 256)


def bare(model: nn.Module, x: Tensor, chunk: int) -> None:
    """The gradient evaluations that the method needs, and nothing else."""
    rows = x.repeat(STEPS, *(1,) * (x.dim() - 1))
    for part in rows.split(chunk):
        part.requires_grad_()
        torch.autograd.grad(model(part)[:, 0].sum(), part)


def time_ratios(rounds: int) -> None:
    import captum.attr

    print(f"{'integrated gradients, 50 steps':32} {'ours/bare':>10} {'ours/Captum':>12} {'Captum/bare':>12}")
    for name, (build, shape) in CASES.items():
        model, x = build(), torch.randn(shape)
        candidates = {f"bare {c}": (lambda c=c, m=model, v=x: bare(m, v, c)) for c in CHUNKS}
        theirs = captum.attr.IntegratedGradients(model)
        ours = IntegratedGradients(model)
        candidates["captum"] = lambda m=theirs, v=x: m.attribute(v, target=0)
        candidates["ours"] = lambda m=ours, v=x: m.attribute(v, target=0)
        seconds = interleaved(candidates, rounds)
        best = min(v for k, v in seconds.items() if k.startswith("bare"))
        ratios = seconds["ours"] / best, seconds["ours"] / seconds["captum"], seconds["captum"] / best
        print(f"{name:32} {ratios[0]:10.2f} {ratios[1]:12.2f} {ratios[2]:12.2f}")


SETUP = """
from benchmarks.models import resnet
import {library} as attr
model, x = resnet(), torch.randn(4, 3, 32, 32)
method = attr.IntegratedGradients(model)
method.attribute(x[:1], target=0, n_steps=2)
"""


def memory_table() -> None:
    print(f"\n{'peak memory, ResNet, 4 images':32} {'Pellucid':>10} {'Captum':>12}")
    for steps in (20, 50, 100, 400):
        statement = f"method.attribute(x, target=0, n_steps={steps})"
        peaks = [peak_megabytes(SETUP.format(library=lib), statement) for lib in ("pellucid.attr", "captum.attr")]
        print(f"{f'{steps} steps':32} {peaks[0]:7.0f} MB {peaks[1]:9.0f} MB")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    time_ratios(arguments.rounds)
    memory_table()


if __name__ == "__main__":
    main()
