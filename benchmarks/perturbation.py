"""Perturbation methods: time against the bare evaluations that they need, and against Captum at equal samples.

Run with ``python -m benchmarks.perturbation [--rounds N]``. All times are ratios of CPU time on one core. Bare
evaluations run on copies of the inputs, at their best chunk size; Captum runs at its defaults.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.measure import interleaved
from benchmarks.models import mlp
from pellucid import attr

CHUNKS = (1, 2, 8, 32, 128, 512)


def small_mlp() -> nn.Module:
    """Three layers on 20 features."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 5)).eval()


def wide_mlp() -> nn.Module:
    """Three layers on 100 features."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(100, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 5)).eval()


def small_cnn(channels: int = 3, width: int = 16) -> nn.Module:
    """Two convolutions on images of any size."""
    torch.manual_seed(0)
    first = [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    second = [nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*first, *second, nn.Linear(2 * width, 10)).eval()


def tiny_cnn() -> nn.Module:
    """The same with few channels, for digits."""
    return small_cnn(1, 4)


def squares(size: int, side: int) -> Tensor:
    """A mask of square segments, shape (size, size)."""
    row = torch.arange(size) // side
    return row[:, None] * (size // side) + row


Call = tuple[Callable[[], nn.Module], tuple[int, ...], str, dict[str, Any], int]

CALLS: dict[str, Call] = {
    "ablation, small MLP": (small_mlp, (1, 20), "FeatureAblation", {}, 20),
    "ablation, MLP": (mlp, (1, 784), "FeatureAblation", {}, 784),
    "ablation, 100 features": (wide_mlp, (1, 100), "FeatureAblation", {}, 100),
    "ablation, small CNN, 1x12x12": (tiny_cnn, (1, 1, 12, 12), "FeatureAblation", {}, 144),
    "ablation, CNN, 64 segments": (small_cnn, (1, 3, 32, 32), "FeatureAblation", {"feature_mask": squares(32, 4)}, 64),
    "ablation, 3x224x224, 196 segments": (
        small_cnn,
        (1, 3, 224, 224),
        "FeatureAblation",
        {"feature_mask": squares(224, 16)},
        196,
    ),
    "occlusion, MLP": (mlp, (1, 784), "Occlusion", {"sliding_window_shapes": (4,)}, 781),
    "occlusion, small CNN, 1x12x12": (
        tiny_cnn,
        (1, 1, 12, 12),
        "Occlusion",
        {"sliding_window_shapes": (1, 3, 3)},
        100,
    ),
    "occlusion, CNN": (
        small_cnn,
        (1, 3, 32, 32),
        "Occlusion",
        {"sliding_window_shapes": (3, 4, 4), "strides": (3, 2, 2)},
        225,
    ),
    "occlusion, 3x224x224, 196 windows": (
        small_cnn,
        (1, 3, 224, 224),
        "Occlusion",
        {"sliding_window_shapes": (3, 16, 16), "strides": (3, 16, 16)},
        196,
    ),
    "sampled Shapley, small MLP": (small_mlp, (1, 20), "ShapleyValueSampling", {}, 26 * 19 + 1),
    "sampled Shapley, small CNN": (
        tiny_cnn,
        (1, 1, 12, 12),
        "ShapleyValueSampling",
        {"feature_mask": squares(12, 2)},
        26 * 35 + 1,
    ),
    "sampled Shapley, CNN, 64 segments": (
        small_cnn,
        (1, 3, 32, 32),
        "ShapleyValueSampling",
        {"feature_mask": squares(32, 4)},
        26 * 63 + 1,
    ),
    "exact Shapley, small MLP, 7 features": (
        small_mlp,
        (1, 20),
        "ShapleyValues",
        {"feature_mask": torch.arange(20) % 7},
        2**7,
    ),
    "exact Shapley, CNN, 7 features": (
        small_cnn,
        (1, 3, 32, 32),
        "ShapleyValues",
        {"feature_mask": torch.arange(32) * 7 // 32},
        2**7,
    ),
}
"""Names to model, input shape, class, its arguments, and the number of evaluations needed."""


def bare(model: nn.Module, rows: Tensor, chunk: int) -> None:
    """Evaluate the model on rows, and do nothing else."""
    with torch.no_grad():
        for part in rows.split(chunk):
            model(part)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="part of the names to run")
    parser.add_argument("--no-captum", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    import captum.attr

    print(f"{'':38} {'ours/bare':>10} {'Captum/ours':>12}")
    for name, (build, shape, method, given, evaluations) in CALLS.items():
        if arguments.only not in name:
            continue
        model, x = build(), torch.randn(shape)
        rows = x.repeat(evaluations, *(1,) * (x.dim() - 1))
        candidates: dict[str, Callable[[], object]] = {
            f"bare {c}": (lambda c=c, m=model, r=rows: bare(m, r, c)) for c in CHUNKS
        }
        ours = getattr(attr, method)(model)
        theirs = getattr(captum.attr, method)(model)
        candidates["ours"] = lambda m=ours, v=x, g=given: m.attribute(v, target=0, **g)
        slow = method == "ShapleyValues"
        if not slow and not arguments.no_captum:
            candidates["captum"] = lambda m=theirs, v=x, g=given: m.attribute(v, target=0, **g)
        seconds = interleaved(candidates, arguments.rounds)
        if slow and not arguments.no_captum:
            once = interleaved({"captum": lambda m=theirs, v=x, g=given: m.attribute(v, target=0, **g)}, 1)
            seconds["captum"] = once["captum"]
        best = min(v for k, v in seconds.items() if k.startswith("bare"))
        ratio = seconds.get("captum", float("nan")) / seconds["ours"]
        print(f"{name:38} {seconds['ours'] / best:10.2f} {ratio:12.1f}", flush=True)


if __name__ == "__main__":
    main()
