"""Nothing is left behind: model, tensors, generators and settings are as before, whatever was raised when."""

import contextlib
import random
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import pellucid
from pellucid.errors import TrainingModeWarning
from tests.cases import CASES
from tests.models import DOUBLE

EVERY = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
pytestmark = pytest.mark.filterwarnings("ignore::pellucid.errors.SamplingWarning")


class Net(nn.Module):
    """Buffers, dropout, batch norm, a hook of the user's, gradients that are already there; fails on demand."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 6)
        self.norm = nn.BatchNorm1d(6)
        self.drop = nn.Dropout(0.5)
        self.last = nn.Linear(6, 2)
        self.register_buffer("calls", torch.zeros(1))
        self.fail_at = None
        self.evaluations = 0
        self.to(DOUBLE)
        self.first.register_forward_hook(lambda *_: None)
        self.last.weight.requires_grad_(False)
        self.first.weight.grad = torch.ones_like(self.first.weight)

    def forward(self, x, scale):
        self.evaluations += 1
        if self.evaluations == self.fail_at:
            raise KeyError("the model failed")
        self.calls += 1
        return self.last(nn.functional.softplus(self.drop(self.norm(self.first(x))))) * scale


def fingerprint(model, tensors):
    """Everything that a call could leave behind, as comparable values."""
    parts = {}
    for name, p in [*model.named_parameters(), *model.named_buffers()]:
        grad = None if p.grad is None else p.grad.tolist()
        parts[name] = (p.tolist(), p.requires_grad, grad, id(p))
    for name, m in model.named_modules():
        hooks = [len(v) for k, v in vars(m).items() if k.endswith("_hooks")]
        parts[f"module {name}"] = (m.training, hooks, sorted(k for k in vars(m) if k != "evaluations"))
    for i, t in enumerate(tensors):
        parts[f"tensor {i}"] = (t.tolist(), t.requires_grad, t.grad is None, t.is_leaf, t._version)
    parts["torch"] = (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_anomaly_enabled(),
        len(torch.nn.modules.module._global_forward_hooks),
        len(torch.nn.modules.module._global_forward_pre_hooks),
    )
    parts["generators"] = (torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state()))
    return parts


def same(before, after):
    wrong = [k for k in before if before[k] != after.get(k)]
    return not wrong, wrong


@EVERY
@pytest.mark.parametrize("training", [False, True])
def test_after_a_call_and_after_a_failure_at_every_evaluation(case, training):
    model = Net().train(training)
    x = torch.randn(3, 4, dtype=DOUBLE, requires_grad=True)
    scale = torch.ones(3, 1, dtype=DOUBLE, requires_grad=True)
    generator = torch.Generator()

    def call():
        arguments = {"generator": generator.manual_seed(1)} if case.samples else {}
        if case.cap:
            arguments[case.cap] = 7
        if training:
            with pytest.warns(TrainingModeWarning, match="BatchNorm1d, Dropout"):
                return case.run(model, x, target=0, additional_forward_args=scale, **arguments)
        return case.run(model, x, target=0, additional_forward_args=scale, **arguments)

    before = fingerprint(model, [x, scale])
    with quiet_if(training):
        call()
    assert same(before, fingerprint(model, [x, scale])) == (True, [])

    needed, fail_at = model.evaluations, 1
    while fail_at <= min(needed, 12):
        model.evaluations, model.fail_at = 0, fail_at
        raises = pytest.raises(KeyError, match="the model failed")
        with quiet_if(training), contextlib.suppress(KeyError) if case.replays else raises:
            call()
        assert same(before, fingerprint(model, [x, scale])) == (True, [])
        fail_at += 1


def quiet_if(training):
    """In training mode the model's own randomness makes rows differ and integrals rough; that is warned about."""

    @contextlib.contextmanager
    def quiet():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield

    return quiet() if training else contextlib.nullcontext()


def test_the_fingerprint_sees_what_it_should():
    model, x = Net().eval(), torch.randn(3, 4, dtype=DOUBLE)
    before = fingerprint(model, [x])
    model.register_forward_hook(lambda *_: None)
    assert not same(before, fingerprint(model, [x]))[0]
    before = fingerprint(model, [x])
    model(x, torch.ones(1, dtype=DOUBLE))
    assert same(before, fingerprint(model, [x]))[1] == ["calls"]


class WritesUnseen(torch.nn.Module):
    """Clips its input in place where autograd does not look."""

    def forward(self, x):
        with torch.no_grad():
            x.clamp_(-0.5, 0.5)
        return (x**2).sum(1)


@pytest.mark.parametrize(
    "way",
    [
        lambda m, x: pellucid.attr.Saliency(m).attribute(x),
        lambda m, x: pellucid.attr.InputXGradient(m).attribute(x),
        lambda m, x: pellucid.attr.IntegratedGradients(m).attribute(x, 0.1),
        lambda m, x: pellucid.attr.FeatureAblation(m).attribute(x),
        lambda m, x: pellucid.attr.LayerGradientXActivation(m, m).attribute(x),
        lambda m, x: pellucid.robust.FGSM(m, loss_func=lambda out, _: out).perturb(x, 0.1, target=0),
        lambda m, x: pellucid.robust.PGD(m, loss_func=lambda out, _: out).perturb(x, 0.1, 0.05, 3, target=0),
        lambda m, x: pellucid.metrics.infidelity(m, lambda v: (0.1 * torch.ones_like(v), v - 0.1), x, x),
        lambda m, x: pellucid.metrics.sensitivity_max(pellucid.attr.Saliency(m).attribute, x),
    ],
)
@pytest.mark.filterwarnings("ignore::pellucid.errors.ConvergenceWarning")
def test_writes_that_autograd_does_not_see_stay_in_the_models_copy(way):
    torch.manual_seed(0)
    x = torch.randn(4, 3, dtype=torch.float64)
    before = x.clone()
    way(WritesUnseen(), x)
    assert torch.equal(x, before)
