"""Work that nobody needs is not done: rows, passes and bookkeeping are counted, nothing is timed."""

import inspect

import pytest
import torch
from torch import nn

from pellucid.attr import (
    DeepLift,
    DeepLiftShap,
    FeatureAblation,
    FeaturePermutation,
    IntegratedGradients,
    KernelShap,
    LayerConductance,
    LayerIntegratedGradients,
    Lime,
    NeuronGradient,
    NoiseTunnel,
    Occlusion,
    Saliency,
    ShapleyValueSampling,
)
from tests.models import DOUBLE, cnn, mlp

pytestmark = [
    pytest.mark.filterwarnings("ignore::pellucid.errors.SamplingWarning"),
    pytest.mark.filterwarnings("ignore::pellucid.errors.ConvergenceWarning"),
]


class Counting(nn.Module):
    """Remembers of how many rows each pass was."""

    def __init__(self, net):
        super().__init__()
        self.net, self.rows = net, []

    def forward(self, x):
        self.rows.append(len(x))
        return self.net(x)


def counted(method, inputs, net=None, **given):
    model = Counting(net or mlp(inputs.shape[1]))
    method(model).attribute(inputs, target=0, **given)
    return model.rows


WIDE = {
    "ablation": (FeatureAblation, {}, 101),
    "occlusion": (Occlusion, {"sliding_window_shapes": (1,)}, 101),
    "permutation": (FeaturePermutation, {"n_repeats": 1, "seed": 0}, 101),
    "sampled orders": (ShapleyValueSampling, {"n_samples": 2, "seed": 0}, 202),
    "kernel": (KernelShap, {"n_samples": 300, "seed": 0}, 301),
    "lime": (Lime, {"n_samples": 300, "seed": 0}, 301),
}
"""Methods on 100 features, and how many evaluations of each example they need."""


@pytest.mark.parametrize("name", WIDE)
def test_a_hundred_features_take_few_passes_by_default(name):
    """Not one for each feature; and no row more than the method needs, but for a check of the first chunk."""
    method, given, needed = WIDE[name]
    rows = counted(method, torch.randn(4, 100, dtype=DOUBLE), **given)
    assert len(rows) <= 12
    assert sum(rows) <= 4 * needed * 1.1 + 4 * 12


@pytest.mark.parametrize("kind", ["fixed", "auto"])
def test_a_delta_costs_no_pass(kind):
    """The end points were just evaluated."""
    x = torch.randn(3, 5, dtype=DOUBLE)
    steps = {"n_steps": 30 if kind == "fixed" else "auto"}
    for method in (IntegratedGradients, DeepLift):
        given = steps if method is IntegratedGradients else {}
        bare = counted(method, x, baselines=0.3, **given)
        assert counted(method, x, baselines=0.3, **given, return_convergence_delta=True) == bare


def test_baselines_are_evaluated_once_whatever_the_chunks():
    """Steps, both ends, and two rows for each example that check the first chunk."""
    x = torch.randn(3, 5, dtype=DOUBLE)
    for cap in (None, 7):
        rows = counted(IntegratedGradients, x, baselines=0.3, n_steps=42, internal_batch_size=cap)
        assert sum(rows) <= 3 * (42 + 2 + 2)
    pairs = counted(DeepLiftShap, x, baselines=torch.randn(20, 5, dtype=DOUBLE))
    assert sum(pairs) <= 3 * (2 * 20 + 2 + 2)


@pytest.mark.parametrize("largest", [200, 10**12])
def test_gaps_between_the_ids_of_a_mask_cost_nothing(largest):
    x = torch.randn(3, 5, dtype=DOUBLE)
    near, far = torch.tensor([0, 1, 1, 2, 2]), torch.tensor([3, 70, 70, largest, largest])
    for method, given in (
        (FeatureAblation, {}),
        (FeaturePermutation, {"seed": 0}),
        (ShapleyValueSampling, {"seed": 0}),
    ):
        assert counted(method, x, feature_mask=far, **given) == counted(method, x, feature_mask=near, **given)


def test_signatures_are_not_read_at_every_evaluation(monkeypatch):
    read, honest = [], inspect.signature
    monkeypatch.setattr(inspect, "signature", lambda *a, **k: read.append(1) or honest(*a, **k))
    x = torch.randn(3, 5, dtype=DOUBLE)
    counts = []
    for cap in (100, 100, 2):  # what the first call reads is known afterwards
        read.clear()
        IntegratedGradients(mlp()).attribute(x, target=0, n_steps=40, internal_batch_size=cap)
        FeatureAblation(mlp()).attribute(x, target=0, perturbations_per_eval=cap)
        NoiseTunnel(Saliency(mlp())).attribute(x, target=0, nt_samples=20, nt_samples_batch_size=cap)
        counts.append(len(read))
    assert counts[1] == counts[2] <= 5


def test_no_gradient_of_a_weight_is_computed():
    """A hook on the weight would see it."""
    model, seen = mlp(), []
    for p in model.parameters():
        p.register_hook(lambda g: seen.append(g.shape))
    x = torch.randn(3, 5, dtype=DOUBLE)
    IntegratedGradients(model).attribute(x, target=0, n_steps=5)
    LayerIntegratedGradients(model, model[1]).attribute(x, target=0, n_steps=5)
    LayerConductance(model, model[1]).attribute(x, target=0, n_steps=5)
    NeuronGradient(model, model[1]).attribute(x, 2)
    DeepLift(model).attribute(x, target=0)
    assert seen == []
    model(x).sum().backward()
    assert len(seen) == 6


def test_results_are_not_accumulated_per_feature():
    """900 segments of an image: memory beside the model's does not grow with features times pixels."""
    x = torch.randn(1, 2, 60, 60, dtype=DOUBLE)
    row = torch.arange(60) // 2
    mask, net = row[:, None] * 30 + row, cnn()
    peaks = []
    for segments in (mask % 3, mask):
        sizes = []

        class Kept(torch.overrides.TorchFunctionMode):
            def __torch_function__(self, func, types, args=(), kwargs=None, sizes=sizes):
                out = func(*args, **(kwargs or {}))
                sizes.append(out.numel() if isinstance(out, torch.Tensor) else 0)
                return out

        with Kept():
            FeatureAblation(net).attribute(x, target=0, feature_mask=segments, perturbations_per_eval=4)
        peaks.append(max(sizes))
    assert peaks[1] <= 2 * max(peaks[0], 4 * 8 * 60 * 60)
    assert peaks[1] < 900 * x.numel() / 10


def segments(count):
    """A mask of count x count segments of an image."""
    row = torch.arange(40) * count // 40
    return row[:, None] * count + row


class Calls(torch.overrides.TorchFunctionMode):
    """Counts torch calls outside of the model."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.names.append(getattr(func, "__name__", ""))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("method", "given", "evaluations"),
    [
        (FeatureAblation, {}, 1),
        (FeaturePermutation, {"n_repeats": 1, "seed": 0}, 1),
        (ShapleyValueSampling, {"n_samples": 2, "seed": 0}, 2),
    ],
)
def test_bookkeeping_is_done_by_the_chunk_and_not_by_the_feature(method, given, evaluations):
    """No comparison with the mask, no cast and no sum over the tensor for each feature; no index map for each order."""
    x, net, made = torch.randn(2, 2, 40, 40, dtype=DOUBLE), cnn(), []

    def silent(v):
        with torch._C.DisableTorchFunction():
            return net(v)

    for count in (4, 20):
        with Calls() as calls:
            method(silent).attribute(x, target=0, feature_mask=segments(count), perturbations_per_eval=32, **given)
        made.append(calls.names)
    more = evaluations * (20**2 - 4**2)
    assert len(made[1]) - len(made[0]) <= 6 * more
    for names in ({"eq", "__eq__", "ne", "__ne__", "isin"}, {"to", "type"}, {"sum", "addcmul", "addcmul_"}):
        few, many = (sum(name in names for name in run) for run in made)
        assert many - few <= more / 2
