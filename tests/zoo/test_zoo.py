"""What every entry of the zoo has to be, before it may prove anything."""

import pytest
import torch
from torch.overrides import TorchFunctionMode

from . import ZOO
from .entry import Case, ZooModel

# A warning about speed, not about results; PyTorch gives it once per process for each.
pytestmark = [
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN:UserWarning"),
    pytest.mark.filterwarnings("ignore:enable_nested_tensor is True:UserWarning"),
]
every_model = pytest.mark.parametrize("model", ZOO.values(), ids=ZOO.keys())


class Float32Results(TorchFunctionMode):
    """Collects the calls that give a single-precision result which depends on the input."""

    def __init__(self):
        super().__init__()
        self.calls: set[str] = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else (result,):
            if (
                isinstance(value, torch.Tensor)
                and value.requires_grad
                and value.dtype in (torch.float32, torch.complex64)
            ):
                self.calls.add(func.__name__)
        return result


def custom_functions(value: torch.Tensor) -> set[str]:
    """Names of the nodes in a value's graph that come from a user's ``autograd.Function``."""
    found, seen, stack = set(), set(), [value.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if isinstance(node, torch.autograd.function.BackwardCFunction):
            found.add(node.name())
        stack.extend(parent for parent, _ in node.next_functions)
    return found


def freeze(case: Case) -> None:
    if isinstance(case.forward, torch.nn.Module):
        case.forward.requires_grad_(False)


def test_zoo_is_large_and_of_many_families():
    assert len(ZOO) >= 200
    assert sum(name.startswith("hf_") for name in ZOO) >= 100
    assert len({model.family for model in ZOO.values()}) >= 10
    assert all(name == model.name for name, model in ZOO.items())


@every_model
def test_values_support_a_relative_error(model: ZooModel):
    """Finite, deterministic, a large enough difference from the baseline, and a curved path."""
    case = model.case()
    with torch.no_grad():
        first = case.scalar(*case.inputs)
        reference = case.scalar(*case.baselines)
        middle = case.scalar(*(torch.lerp(x, b, 0.5) for x, b in zip(case.inputs, case.baselines, strict=True)))
    rebuilt = model.case()
    with torch.no_grad():
        again = rebuilt.scalar(*rebuilt.inputs)

    difference = (first - reference).abs()
    assert first.shape == (case.inputs[0].shape[0],)
    assert first.dtype == torch.float64 or model.float32_islands
    assert first.isfinite().all()
    assert reference.isfinite().all()
    torch.testing.assert_close(again, first, rtol=0, atol=0)
    assert (difference >= 1e-2 * first.abs()).all()
    assert ((middle - (first + reference) / 2).abs() >= 1e-3 * difference).all()
    for baseline in case.baselines:
        assert baseline.all()
        assert baseline.max() > baseline.min()


@every_model
def test_gradients_and_declared_properties(model: ZooModel):
    case = model.case()
    freeze(case)
    inputs = tuple(x.requires_grad_() for x in case.inputs)
    with Float32Results() as islands:
        value = case.scalar(*inputs)
    assert bool(custom_functions(value)) == model.opaque
    for gradient in torch.autograd.grad(value.sum(), inputs):
        assert gradient.isfinite().all()
        assert (gradient.flatten(1).abs().sum(1) > 0).all()
    assert bool(islands.calls) == model.float32_islands, sorted(islands.calls)


@every_model
def test_float32_and_float64_are_the_same_model(model: ZooModel):
    single, double = model.case(torch.float32), model.case()
    with torch.no_grad():
        low, high = single.scalar(*single.inputs), double.scalar(*double.inputs)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low.double(), high.double(), rtol=1e-3, atol=0)


@every_model
def test_a_batch_is_its_examples(model: ZooModel):
    """Nothing leaks between examples, so a method that leaks is at fault and not the model."""
    if model.coupled:
        pytest.skip("declared: its examples depend on their place in the batch")
    case = model.case()
    with torch.no_grad():
        together = case.scalar(*case.inputs)
        alone = [case.scalar(*(x[i : i + 1] for x in case.inputs)) for i in range(len(together))]
    tolerance = 1e-4 if model.float32_islands else 1e-9
    torch.testing.assert_close(together, torch.cat(alone), rtol=tolerance, atol=0)


@every_model
def test_autograd_agrees_with_central_differences(model: ZooModel):
    """PyTorch's own gradient is right here, so an engine that inherits it is not to blame."""
    if model.float32_islands:
        pytest.skip("differences of single-precision values say little")
    case = model.case()
    freeze(case)
    generator = torch.Generator().manual_seed(0)
    ways = tuple(torch.randn(x.shape, generator=generator, dtype=x.dtype) for x in case.inputs)
    inputs = tuple(x.requires_grad_() for x in case.inputs)
    gradients = torch.autograd.grad(case.scalar(*inputs).sum(), inputs)
    slope = sum((g * way).flatten(1).sum(1) for g, way in zip(gradients, ways, strict=True))
    size = sum((g * way).abs().flatten(1).sum(1) for g, way in zip(gradients, ways, strict=True))
    step = 1e-6
    with torch.no_grad():
        ahead = case.scalar(*(x + step * way for x, way in zip(case.inputs, ways, strict=True)))
        behind = case.scalar(*(x - step * way for x, way in zip(case.inputs, ways, strict=True)))
    assert ((slope - (ahead - behind) / (2 * step)).abs() <= 1e-5 * size).all()
