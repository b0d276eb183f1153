"""What escapes the engine is right, or refused by name, or reported; and nothing is left behind."""

import threading
import warnings

import pytest
import torch
import torch.utils.checkpoint
from torch import nn

from pellucid._core.rules import Choices, deep_lift_gradients
from pellucid.attr import LRP, DeepLift, InputXGradient
from pellucid.errors import UnsupportedModelError

from .asking import incompleteness, lifted, weighted


class Scaled(torch.autograd.Function):
    """Hides a nonlinear forward pass behind a backward pass of its own."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x * x).sin()

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * 2 * x * (x * x).cos()


class Opaque(torch.autograd.Function):
    """Computes where the engine cannot look."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.from_numpy(x.detach().numpy() ** 3)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * 3 * x**2


def test_custom_functions_are_seen_through():
    linear = nn.Linear(5, 5)
    assert incompleteness(lambda x: Scaled.apply(linear(x).tanh()) * 2, torch.randn(3, 5)) < 1e-13


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpoints_are_seen_through(reentrant):
    linear = nn.Linear(5, 5)

    def model(x):
        return torch.utils.checkpoint.checkpoint(lambda z: linear(z).tanh() * z, x.exp(), use_reentrant=reentrant) * x

    assert incompleteness(model, torch.randn(3, 5)) < 1e-13


def test_opaque_function_is_refused_with_operation_line_and_remedy():
    with pytest.raises(UnsupportedModelError, match=r"'mul' at .*test_safety\.py.*Opaque.*functions=\{Opaque: rule\}"):
        lifted(lambda x: Opaque.apply(x) * 2, torch.randn(3, 5))


def test_opaque_function_with_a_rule():
    def cubes(ctx, reference, gradients):
        (x,), (start,) = ctx.saved_tensors, reference.saved_tensors
        return gradients[0] * (x * x + x * start + start * start)

    choices = Choices(functions={Opaque: cubes})
    assert incompleteness(lambda x: Opaque.apply(x.tanh()) * 2, torch.randn(3, 5), choices=choices) < 1e-13


def test_trusted_function_keeps_its_own_backward():
    x = torch.randn(3, 5)
    _, result = lifted(Opaque.apply, x, select=lambda y: y.sum(1), choices=Choices(functions={Opaque: None}))
    torch.testing.assert_close(result.multipliers[0], 3 * x**2)


def test_torchscript_is_refused():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.trace(nn.Sequential(nn.Linear(5, 5), nn.Tanh()), torch.randn(3, 5))
    with pytest.raises(UnsupportedModelError, match="TorchScript"):
        lifted(lambda x: scripted(x) * 2, torch.randn(3, 5))


@pytest.mark.parametrize(
    "model",
    [
        lambda x: torch.func.vmap(lambda z: z.tanh() * 2)(x.exp()),
        torch.func.vmap(torch.func.grad(lambda z: (z**3).sum())),
        torch.func.jacrev(lambda z: z.tanh().sum()),
    ],
)
def test_transforms_are_refused(model):
    with pytest.raises(UnsupportedModelError, match=r"torch\.func"):
        lifted(model, torch.randn(3, 5))


def test_gradients_inside_the_model_are_refused():
    with pytest.raises(UnsupportedModelError, match="takes gradients inside its forward pass"):
        lifted(lambda x: torch.autograd.grad((x**3).sum(), x)[0], torch.randn(3, 5))


def test_gradients_of_the_models_own_weights_are_refused_too():
    weight = nn.Parameter(torch.randn(5, 5))
    with pytest.raises(UnsupportedModelError, match="takes gradients inside its forward pass"):
        lifted(lambda x: x.tanh() @ torch.autograd.grad(weight.square().sum(), weight)[0], torch.randn(3, 5))


def test_the_values_of_constants_may_be_replaced():
    def model(x):
        scale = torch.empty(5)
        scale.data = torch.linspace(0.5, 2.0, 5)
        return x.tanh() * scale

    assert incompleteness(model, torch.randn(3, 5)) < 1e-13


def test_other_threads_are_refused():
    def model(x):
        found = []
        thread = threading.Thread(target=lambda: found.append(x.tanh()))
        thread.start()
        thread.join()
        return found[0] * 2

    with pytest.raises(UnsupportedModelError, match="other threads"):
        lifted(model, torch.randn(3, 5))


def test_data_dependent_control_flow_is_refused():
    x = torch.full((1, 5), 2.0)
    with pytest.raises(UnsupportedModelError, match=r"different courses.*'exp'.*'sin'"):
        lifted(lambda z: z.exp() if z.sum() > 0 else z.sin(), x, baselines=(-x,))
    with pytest.raises(UnsupportedModelError, match="different courses"):
        lifted(lambda z: z.exp() if z.sum() < 0 else z.exp().sin(), x, baselines=(-x,))


def test_data_dependent_shapes_are_refused():
    x = torch.tensor([[1.0, 2.0, -1.0]])
    with pytest.raises(UnsupportedModelError, match="changed its size"):
        lifted(lambda z: z[z > 0].exp().sum().reshape(1, 1), x, baselines=(-x,))


def zero_at_largest(x):
    h = x.exp()
    h[:, x.argmax(1)[0]] = 0.0
    return h


def positive(x):
    return x.sum(1, keepdim=True) > 0


def maxima_by_sign(x):
    return torch.zeros(1, 2).scatter_reduce(1, (x > 0.3).long(), x.exp(), "amax")


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (zero_at_largest, "__setitem__"),
        (maxima_by_sign, "scatter_reduce"),
        (lambda x: torch.maximum(x, positive(x).to(x)), "maximum"),
        (lambda x: torch.logaddexp(x, positive(x).to(x)), "logaddexp"),
        (lambda x: x[:, :1] * float(x.sum()), "__float__"),
        (lambda x: x + torch.from_numpy(x.detach().numpy()), "numpy"),
        (lambda x: x.exp()[:, x.argmax(1)[0]].unsqueeze(1), "__getitem__"),
        (lambda x: torch.where(x.sum(1, keepdim=True) > 0, x, 2 * x), "where"),
        (lambda x: x * 2 if x.sum() > 0 else x * 3, "__bool__"),
        (lambda x: x * x.sum().item(), "item"),
    ],
)
def test_switches_are_reported_with_their_line(model, name):
    x = torch.tensor([[0.5, 1.0, 2.0]])
    _, result = lifted(model, x, baselines=(torch.tensor([[0.4, -3.0, 0.1]]),))
    assert any(f"'{name}'" in switch and "test_safety.py" in switch for switch in result.certificate.switches)
    with pytest.raises(UnsupportedModelError, match="strict=False"):
        lifted(model, x, baselines=(torch.tensor([[0.4, -3.0, 0.1]]),), strict=True)


def test_decisions_that_agree_are_no_switches():
    _, result = lifted(lambda x: x.clamp(max=10) if x.isinf().any() else x.exp(), torch.randn(3, 5))
    assert result.certificate.switches == ()


def test_output_without_a_path_to_the_input_is_reported():
    _, result = lifted(lambda x: torch.from_numpy(x.detach().numpy() * 2), torch.randn(3, 5))
    assert any("no torch call" in switch for switch in result.certificate.switches)


@pytest.mark.parametrize(
    "model",
    [
        lambda x: x.exp() * x.detach().sin(),
        lambda x: x.data.exp() * x,
        torch.no_grad()(lambda x: x.exp() * x),
        torch.inference_mode()(lambda x: x.exp() * x),
        lambda x: x.relu_() * 2,
        lambda x: x.mul_(x.sigmoid()),
    ],
)
def test_cuts_and_writes_into_the_input_are_right(model):
    x = torch.randn(3, 5)
    before = x.clone()
    assert incompleteness(model, x) < 1e-13
    assert torch.equal(x, before)


def test_strict_refuses_unknown_operations():
    with pytest.raises(UnsupportedModelError, match=r"'linalg_det' at .*strict=True"):
        lifted(torch.linalg.det, torch.randn(2, 3, 3), select=lambda y: y, strict=True)


def test_records_survive_writes():
    """The model overwrites what rules have kept, operands and constants alike."""

    def model(x):
        scale = torch.ones(5)
        h = x.clone()
        y = torch.addcmul(h, h.exp(), scale) * h.sin()
        h.fill_(3.0)
        scale.zero_()
        z = y.tanh()
        y.zero_()
        return z + y

    assert incompleteness(model, torch.randn(3, 5)) < 1e-13


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(5, 5)
        self.register_buffer("last", torch.zeros(3, 5))

    def forward(self, x):
        self.last.copy_(self.linear(x))
        return nn.functional.dropout(self.last.tanh(), 0.3)


def test_nothing_is_left_behind():
    model = Counting()
    x = torch.randn(3, 5)
    state = torch.get_rng_state()
    names = set(vars(model.linear))
    lifted(model, x)
    assert torch.equal(torch.get_rng_state(), state)
    assert not model.last.requires_grad
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert set(vars(model.linear)) == names
    assert not x.requires_grad
    assert torch.is_grad_enabled()
    assert torch.overrides._get_current_function_mode() is None


def test_nothing_is_left_behind_after_an_error():
    state = torch.get_rng_state()
    for call in range(1, 4):
        count = [0]

        def model(x, call=call, count=count):
            count[0] += 1
            torch.rand(3)
            if count[0] == call:
                raise KeyError("the model's own")
            return x.exp()

        if call < 3:
            with pytest.raises(KeyError, match="the model's own"):
                lifted(model, torch.randn(3, 5, generator=torch.Generator().manual_seed(1)))
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.overrides._get_current_function_mode() is None


def test_threads_agree():
    model = nn.Sequential(nn.Linear(5, 16), nn.GELU(), nn.LayerNorm(16), nn.Linear(16, 4), nn.Softmax(1))
    inputs = [torch.randn(3, 5) for _ in range(4)]
    starts = [torch.randn(3, 5) for _ in range(4)]
    alone = [lifted(model, x, baselines=(b,))[1].multipliers[0] for x, b in zip(inputs, starts, strict=True)]
    found = [None] * 4

    def work(k):
        for _ in range(5):
            found[k] = lifted(model, inputs[k], baselines=(starts[k],))[1].multipliers[0]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(a, b) for a, b in zip(alone, found, strict=True))


def test_grad_mode_outside_does_not_matter():
    x, start = torch.randn(3, 5), torch.randn(3, 5)
    plain = deep_lift_gradients(torch.tanh, (x,), (start,), weighted).multipliers[0]
    with torch.no_grad():
        assert torch.equal(deep_lift_gradients(torch.tanh, (x,), (start,), weighted).multipliers[0], plain)
    with torch.inference_mode():
        assert torch.equal(deep_lift_gradients(torch.tanh, (x.clone(),), (start,), weighted).multipliers[0], plain)


def test_parameters_computed_outside_are_constants():
    weight = nn.Parameter(torch.randn(5, 5))
    scaled = weight * 2  # a graph that was built before, and does not depend on the input
    assert incompleteness(lambda x: torch.tanh(x @ scaled), torch.randn(3, 5)) < 1e-13


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # importing the compiler warns about TorchScript
def test_compiled_models_run_eagerly():
    pytest.importorskip("torch._dynamo")
    inner = nn.Sequential(nn.Linear(5, 5), nn.Tanh())
    x = torch.randn(3, 5)
    expected = lifted(inner, x)[1].multipliers[0]
    assert torch.equal(lifted(torch.compile(inner), x)[1].multipliers[0], expected)
    nested = torch.compile(inner)
    assert torch.equal(lifted(lambda z: nested(z) * 1.0, x)[1].multipliers[0], expected)
    compiled = []
    later = torch.compile(lambda z: z.tanh() * 2, backend=lambda graph, _: compiled.append(graph) or graph.forward)
    later(x)
    assert len(compiled) == 1  # afterwards, models are compiled as before


def test_writes_into_what_autograd_has_saved():
    """Plain autograd refuses this model; the state is constant at first and written in place later."""

    def model(x):
        state = torch.ones(3, 5)
        parts = []
        for t in range(3):
            parts.append(x.exp() * state)
            state.add_(t + 1.0)
        return sum(parts)

    plain = model(torch.randn(3, 5, requires_grad=True)).sum()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        plain.backward()
    assert incompleteness(model, torch.randn(3, 5)) < 1e-13


def test_writes_into_one_of_several_views():
    """Plain autograd refuses this as well, and inference allows it."""

    def model(x):
        gates = x.exp() * 2
        first, second = gates.chunk(2, 1)
        first.sigmoid_()
        for row in second:
            row.tanh_()
        return gates * first.sum(1, keepdim=True)

    assert incompleteness(model, torch.randn(3, 6)) < 1e-13


def test_replacing_values_behind_autograd_is_refused():
    def model(x):
        h = x * 2
        h.data = x.exp()
        return h

    with pytest.raises(UnsupportedModelError, match=r"'data.__set__' at .*copy_"):
        lifted(model, torch.randn(3, 5))


@pytest.mark.parametrize("build", [DeepLift, LRP])
def test_an_error_of_the_model_arrives_after_one_attempt(build):
    """Only writes that autograd forbids are attempted again, with more care."""
    calls = []

    def failing(x):
        calls.append(1)
        raise RuntimeError("the model failed")

    with pytest.raises(RuntimeError, match="the model failed"):
        build(failing).attribute(torch.ones(1, 3))
    once = len(calls)
    with pytest.raises(RuntimeError, match="the model failed"):
        InputXGradient(failing).attribute(torch.ones(1, 3))
    assert once == len(calls) - once
