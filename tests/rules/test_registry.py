"""Rules of the user's own: for operations, for functions, and by module."""

import pytest
import torch
from torch import nn

from pellucid._core.rules import NATIVE, Choices, Rule, by_module, visible
from pellucid.errors import InvalidValueError

from .asking import gradient, incompleteness, lifted


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.from_numpy(x.detach().numpy() ** 3)

    @staticmethod
    def backward(ctx, g):
        return g * 3 * ctx.saved_tensors[0] ** 2


@visible("unary")
def cube(x):
    return Cube.apply(x)


def test_visible_function_gets_the_rule_of_its_kind():
    assert incompleteness(lambda x: cube(x.sin()) * 2, torch.randn(3, 5)) < 1e-13
    assert torch.equal(cube(torch.tensor([2.0])), torch.tensor([8.0]))


def test_unknown_kind():
    with pytest.raises(InvalidValueError, match="no kind of operation"):
        visible("quadratic")


def test_rule_by_operation_name():
    x = torch.randn(3, 5)
    _, result = lifted(torch.tanh, x, choices=Choices(rules={"tanh": NATIVE}))
    torch.testing.assert_close(result.multipliers[0], gradient(torch.tanh, x))


def test_rule_of_a_linear_operation_by_name():
    doubled = Rule("doubled", lambda occurrence: lambda gradients: (2 * gradients[0].expand(3, 5),))
    x = torch.randn(3, 5)
    _, result = lifted(lambda v: v.sum(1, keepdim=True), x, choices=Choices(rules={"sum": doubled}))
    _, plain = lifted(lambda v: v.sum(1, keepdim=True), x)
    torch.testing.assert_close(result.multipliers[0], 2 * plain.multipliers[0])
    assert result.certificate.count("doubled") == 1


def test_rule_sees_call_and_reference():
    def halves(occurrence):
        call, reference = occurrence.pair
        slope = (call.results[0] - reference.results[0]) / (call.operands[0] - reference.operands[0]) / 2
        return lambda gradients: (gradients[0] * slope,)

    x = torch.randn(3, 5)
    _, plain = lifted(torch.tanh, x)
    _, result = lifted(torch.tanh, x, choices=Choices(rules={"tanh": Rule("half", halves)}))
    torch.testing.assert_close(result.multipliers[0], plain.multipliers[0] / 2)
    assert result.certificate.count("half") == 1


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Sequential(nn.Linear(5, 5), nn.Tanh()), nn.Sequential(nn.Linear(5, 5), nn.GELU())

    def forward(self, x):
        return self.b(self.a(x))


@pytest.mark.parametrize("key", ["a", "a.1", nn.Tanh])
def test_rule_by_module(key):
    model, x = Two(), torch.randn(3, 5)
    _, result = lifted(model, x, choices=Choices(override=by_module(model, {key: NATIVE})))
    rules = {row.operation: row.rule for row in result.certificate.operations}
    assert rules["tanh"] == "gradient"
    assert rules["gelu"] == "rescale"


def test_rules_by_module_and_operation():
    model, x = Two(), torch.randn(3, 5)
    override = by_module(model, {nn.Sequential: {"gelu": NATIVE}})
    _, result = lifted(model, x, choices=Choices(override=override))
    rules = {row.operation: row.rule for row in result.certificate.operations}
    assert rules["tanh"] == "rescale"
    assert rules["gelu"] == "gradient"


def test_unknown_module_name():
    with pytest.raises(InvalidValueError, match="no modules of these names"):
        by_module(Two(), {"c": NATIVE})


def test_rule_of_the_user_sees_results_of_both_passes():
    def difference(occurrence):
        call, reference = occurrence.pair
        change = call.results[0] - reference.results[0]
        return lambda gradients: (gradients[0] * change,)

    x = torch.randn(3, 5)
    (start,), result = lifted(
        torch.relu, x, select=lambda y: y.sum(1), choices=Choices(rules={"relu": Rule("d", difference)})
    )
    torch.testing.assert_close(result.multipliers[0], x.relu() - start.relu())
