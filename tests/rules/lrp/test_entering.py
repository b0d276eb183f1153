"""Inputs of a class of their own are explained as what they hold."""

import pytest
import torch

from pellucid.attr import LRP, DeepLift, GuidedBackprop, Saliency
from tests.models import DOUBLE


class Marked(torch.Tensor):
    """A tensor that carries its class through torch's functions."""


@pytest.mark.parametrize("make", [LRP, DeepLift, Saliency, GuidedBackprop])
def test_tensors_of_a_class_of_their_own(make, generator):
    x = torch.randn(3, 4, dtype=DOUBLE, generator=generator)
    model = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.ReLU(), torch.nn.Linear(5, 2)).double()
    found = make(model).attribute(x.as_subclass(Marked), target=1)
    assert torch.allclose(found.as_subclass(torch.Tensor), make(model).attribute(x, target=1), atol=1e-12)
