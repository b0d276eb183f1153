"""What holds for every metric in the registry."""

import contextlib
import math
import warnings

import pytest
import torch
from torch import nn

from pellucid.attr import InputXGradient
from pellucid.errors import InvalidValueError, PellucidWarning
from pellucid.metrics import METRICS, Setting, metric_named
from pellucid.testing import changed, fingerprint
from tests.metrics.models import Counting
from tests.models import DOUBLE

EVERY = pytest.mark.parametrize("info", METRICS.values(), ids=lambda info: info.name)


class Small(nn.Module):
    """Images of 2 x 4 x 4 to three classes; fails on demand."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(4)
            self.layers = nn.Sequential(
                nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(12, 3)
            )
        self.register_buffer("calls", torch.zeros(1))
        self.fail_at = None
        self.evaluations = 0
        self.to(DOUBLE).eval()

    def forward(self, x, scale):
        self.evaluations += 1
        if self.evaluations == self.fail_at:
            raise KeyError("the model failed")
        self.calls += 1
        return self.layers(x) * scale


def explain(model, inputs, target=None, baselines=None, additional_forward_args=None):
    del baselines
    return InputXGradient(model).attribute(inputs, target, additional_forward_args)


def setting(model, count=3, rows=slice(None), **changed):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(count, 2, 4, 4, generator=generator, dtype=DOUBLE)[rows]
    truth = (torch.rand(count, 1, 4, 4, generator=generator) < 0.4)[rows]
    truth[:, 0, 0, 0] = True
    scale = torch.ones(count, 1, dtype=DOUBLE)[rows]
    target = [0, 2, 1][:count][rows]
    given = {"target": target, "baselines": 0.1, "additional_forward_args": scale, "explain": explain, "seed": 3}
    attributions = explain(model, x, target, 0.1, scale)
    return Setting(model, x, attributions, **{**given, "ground_truth": truth, **changed})


@EVERY
def test_ranges_and_words(info):
    asked = setting(Small())
    scores = info.compute(asked)
    assert scores.shape == (3,)
    assert scores.is_floating_point()
    assert ((scores >= info.low - 1e-12) & (scores <= info.high + 1e-12)).all()
    assert info.direction in {"higher", "lower"}
    assert info.summary.endswith(("?", "."))
    assert info.needs <= {"model", "module", "images", "explanation", "ground_truth"}
    assert metric_named(info.name) is info
    assert info.range == f"{_end(info.low)} to {_end(info.high)}"


def _end(value):
    return f"{value:g}" if math.isfinite(value) else "-∞" if value < 0 else "∞"


@EVERY
def test_one_example_at_a_time_where_nothing_is_drawn(info):
    if info.name in {"faithfulness_correlation", "sensitivity_n", "infidelity", "road", "sensitivity_max",
                     "local_lipschitz", "random_logit"}:  # fmt: skip
        pytest.skip("draws are made for the batch")
    together = info.compute(setting(Small()))
    alone = [info.compute(setting(Small(), rows=slice(i, i + 1))) for i in range(3)]
    assert torch.allclose(together, torch.cat(alone), rtol=1e-9)


@EVERY
def test_seeds_make_scores_repeatable_and_leave_generators_alone(info):
    model = Small()
    state = torch.get_rng_state()
    first, second = info.compute(setting(model)), info.compute(setting(model))
    assert torch.equal(first, second)
    assert torch.equal(state, torch.get_rng_state())


@EVERY
@pytest.mark.parametrize("training", [False, True])
def test_nothing_is_left_behind_after_a_call_and_after_a_failure_at_every_evaluation(info, training):
    if info.name == "parameter_randomisation":
        pytest.skip("the twin counts its evaluations for itself: tests/metrics/test_sanity.py")
    model = Small()
    asked = setting(model)
    model.train(training)
    tensors = [asked.inputs, asked.attributions, asked.additional_forward_args, asked.ground_truth]
    before = fingerprint(model, tensors)
    model.evaluations = 0
    with warnings.catch_warnings() if training else contextlib.nullcontext():
        if training:
            warnings.simplefilter("ignore", PellucidWarning)
        info.compute(asked)
        assert changed(before, fingerprint(model, tensors)) == []
        for fail_at in range(1, min(model.evaluations, 6) + 1):
            model.evaluations, model.fail_at = 0, fail_at
            with pytest.raises(KeyError, match="the model failed"):
                info.compute(asked)
            assert changed(before, fingerprint(model, tensors)) == []


@EVERY
def test_a_forgotten_target_is_an_error_and_nothing_is_computed(info):
    if not info.needs & {"model"}:
        pytest.skip("no output is asked for")
    model = Small()
    asked = setting(model, target=None)
    with pytest.raises((InvalidValueError, TypeError), match="target"):
        info.compute(asked)


@EVERY
def test_inference_mode(info):
    asked = setting(Small())
    expected = info.compute(asked)
    with torch.inference_mode():
        assert torch.allclose(info.compute(asked), expected, rtol=1e-9)


@EVERY
def test_what_is_needed_and_not_there_is_named(info):
    model = Small()
    if "explanation" in info.needs:
        with pytest.raises(InvalidValueError, match="explain is None"):
            info.compute(setting(model, explain=None))
    if "ground_truth" in info.needs:
        with pytest.raises(InvalidValueError, match="ground_truth is None"):
            info.compute(setting(model, ground_truth=None))
    if not info.needs:
        counting = Counting(model)
        asked = setting(model)
        info.compute(Setting(counting, asked.inputs, asked.attributions))
        assert counting.calls == 0


def test_unknown_names():
    with pytest.raises(InvalidValueError, match="deletion"):
        metric_named("deletions")
    with pytest.raises(InvalidValueError, match="3"):
        metric_named(3)


def test_judged_metrics_prefer_the_exact_explanation_of_a_linear_model_to_noise():
    weights = torch.randn(2, 6, 6, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
    x = torch.rand(20, 2, 6, 6, generator=torch.Generator().manual_seed(2), dtype=DOUBLE)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(3), dtype=DOUBLE)
    truth = (x * weights).sum(1, keepdim=True) > 0.5

    def model(v):
        return (v * weights).sum((1, 2, 3))

    for info in METRICS.values():
        if not info.judged:
            continue
        right, wrong = (info.compute(Setting(model, x, a, ground_truth=truth)).mean() for a in (x * weights, noise))
        assert (right > wrong) == info.higher_is_better, info.name
