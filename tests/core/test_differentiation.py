"""What plain gradients are where a model does odd things to the inputs that it gets."""

import pytest
import torch

from pellucid.attr import Saliency
from pellucid.errors import InvalidValueError

X = torch.tensor([[0.5, -1.0], [2.0, 0.25]], dtype=torch.float64)
WEIGHTS = torch.tensor([1.5, -2.0], dtype=torch.float64, requires_grad=True)


def saliency(function):
    return Saliency(function).attribute(X, abs=False)


def curved(x):
    return (x.square() * WEIGHTS).sum(1)


WRITES = {
    "in place": lambda x: curved(x.mul_(3)),
    "into a part": lambda x: (x[:, 0].mul_(3), curved(x))[1],
    "its form": lambda x: curved(x.unsqueeze_(1).squeeze(1)),
    "past autograd": lambda x: (x.data.mul_(3), curved(x))[1],
}


@pytest.mark.parametrize("name", WRITES)
def test_models_may_write_into_their_inputs(name):
    before = X.clone()
    found = saliency(WRITES[name])
    factor = {"in place": [9.0, 9.0], "into a part": [9.0, 1.0], "its form": [1.0, 1.0], "past autograd": [3.0, 3.0]}
    expected = torch.tensor(factor[name], dtype=torch.float64) * 2 * X * WEIGHTS.detach()
    torch.testing.assert_close(found, expected)
    assert torch.equal(before, X)


def test_inputs_that_a_model_detaches_are_not_said_to_have_no_influence():
    with pytest.raises(InvalidValueError, match="nothing differentiable connects it with inputs"):
        saliency(lambda x: curved(x.detach_()))


def test_a_model_that_fixes_its_inputs_is_stopped():
    with pytest.raises(RuntimeError, match="requires_grad"):
        saliency(lambda x: curved(x.requires_grad_(False)))


def test_gradients_switched_off_by_a_model_are_on_again_afterwards():
    def switching(x):
        output = curved(x)
        torch.set_grad_enabled(False)
        return output

    with pytest.raises(RuntimeError, match="does not require grad"):
        saliency(switching)
    assert torch.is_grad_enabled()
