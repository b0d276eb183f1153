"""Metrics: CPU time against the bare evaluations that they need, and against Captum at equal samples.

Run with ``python -m benchmarks.metrics [--rounds N]``. All numbers are ratios of CPU seconds of one thread, taken in
turns; above 1.0 means slower. Captum runs at its defaults, which hold all samples in one pass.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.measure import interleaved, peak_megabytes
from benchmarks.models import CASES
from pellucid.attr import Saliency
from pellucid.metrics import deletion, faithfulness_correlation, infidelity, sensitivity_max

SAMPLES = 100
COPIES = 10
CHUNKS = (16, 32, 64, 128, 256, 512)


def shift(x: Tensor) -> tuple[Tensor, Tensor]:
    """Gaussian noise and what it makes of the inputs."""
    noise = 0.1 * torch.randn_like(x)
    return noise, x - noise


def bare(model: nn.Module, x: Tensor, chunk: int, samples: int) -> None:
    """Evaluations without gradients, and nothing else."""
    rows = x.repeat(samples, *(1,) * (x.dim() - 1))
    with torch.no_grad():
        for part in rows.split(chunk):
            model(part)


def bare_gradients(model: nn.Module, x: Tensor, chunk: int, samples: int) -> None:
    """Gradients at as many rows, and nothing else."""
    for part in x.repeat(samples, *(1,) * (x.dim() - 1)).split(chunk):
        part.requires_grad_()
        torch.autograd.grad(model(part)[:, 0].sum(), part)


def candidates(model: nn.Module, x: Tensor) -> dict[str, dict[str, Callable[[], object]]]:
    """For each table what is timed: the bare work at several chunk sizes, Captum where it has the metric, and ours."""
    import captum.attr
    import captum.metrics

    a = Saliency(model).attribute(x, target=0)
    evaluations = {f"bare {c}": partial(bare, model, x, c, SAMPLES + 1) for c in CHUNKS}
    gradients = {f"bare {c}": partial(bare_gradients, model, x, c, COPIES + 1) for c in CHUNKS}
    steps = {f"bare {c}": partial(bare, model, x, c, 33) for c in CHUNKS}
    ours, theirs = Saliency(model).attribute, captum.attr.Saliency(model).attribute
    return {
        f"infidelity, {SAMPLES} samples": {
            **evaluations,
            "captum": lambda: captum.metrics.infidelity(model, shift, x, a, target=0, n_perturb_samples=SAMPLES),
            "ours": lambda: infidelity(model, shift, x, a, target=0, n_perturb_samples=SAMPLES),
        },
        f"sensitivity_max, {COPIES} samples": {
            **gradients,
            "captum": lambda: captum.metrics.sensitivity_max(theirs, x, n_perturb_samples=COPIES, target=0),
            "ours": lambda: sensitivity_max(ours, x, n_perturb_samples=COPIES, target=0),
        },
        "deletion, 32 points": {**steps, "ours": lambda: deletion(model, x, a, 0)},
        f"faithfulness correlation, {SAMPLES} subsets": {
            **evaluations,
            "ours": lambda: faithfulness_correlation(model, x, a, 0, n_samples=SAMPLES),
        },
    }


def time_ratios(rounds: int) -> None:
    for title in candidates(nn.Linear(2, 2), torch.rand(1, 2)):
        print(f"\n{title:40} {'ours/bare':>10} {'ours/Captum':>12} {'Captum/bare':>12}")
        for name, (build, shape) in CASES.items():
            torch.manual_seed(0)
            seconds = interleaved(candidates(build(), torch.randn(shape))[title], rounds)
            best = min(v for k, v in seconds.items() if k.startswith("bare"))
            theirs = seconds.get("captum", float("nan"))
            print(f"{name:40} {seconds['ours'] / best:10.2f} {seconds['ours'] / theirs:12.2f} {theirs / best:12.2f}")


SETUP = """
from benchmarks.models import resnet
from benchmarks.metrics import shift
from {library} import infidelity
model, x = resnet(), torch.randn(4, 3, 32, 32)
infidelity(model, shift, x[:1], x[:1], target=0, n_perturb_samples=2)
"""


def memory_table() -> None:
    print(f"\n{'peak memory of infidelity, ResNet, 4 images':44} {'Pellucid':>10} {'Captum':>12}")
    for samples in (10, 100, 400):
        statement = f"infidelity(model, shift, x, x, target=0, n_perturb_samples={samples})"
        libraries = ("pellucid.metrics", "captum.metrics")
        peaks = [peak_megabytes(SETUP.format(library=lib), statement) for lib in libraries]
        print(f"{f'{samples} samples':44} {peaks[0]:7.0f} MB {peaks[1]:9.0f} MB")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    time_ratios(arguments.rounds)
    memory_table()


if __name__ == "__main__":
    main()
