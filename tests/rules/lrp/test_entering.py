"""Inputs of a class of their own and numbers of any size enter as what they are."""

import pytest
import torch

from pellucid.attr import LRP, DeepLift, GuidedBackprop, Saliency
from pellucid.lrp import EpsilonRule
from tests.models import DOUBLE


class Marked(torch.Tensor):
    """A tensor that carries its class through torch's functions."""


@pytest.mark.parametrize("make", [LRP, DeepLift, Saliency, GuidedBackprop])
def test_tensors_of_a_class_of_their_own(make, generator):
    x = torch.randn(3, 4, dtype=DOUBLE, generator=generator)
    model = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.ReLU(), torch.nn.Linear(5, 2)).double()
    found = make(model).attribute(x.as_subclass(Marked), target=1)
    assert torch.allclose(found.as_subclass(torch.Tensor), make(model).attribute(x, target=1), atol=1e-12)


def test_an_epsilon_of_more_bits_than_a_tensors_integers(generator):
    x = torch.randn(3, 4, dtype=DOUBLE, generator=generator)
    model = torch.nn.Sequential(torch.nn.Linear(4, 2)).double()
    found, same = (LRP(model).attribute(x, target=1, rules={"0": EpsilonRule(big)}) for big in (2**70, float(2**70)))
    assert torch.equal(found, same)
