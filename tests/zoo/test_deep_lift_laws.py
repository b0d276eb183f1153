"""Two laws of DeepLIFT on the zoo: a batch equals its examples, and multipliers tend to the gradient."""

import warnings

import pytest
import torch

from pellucid.attr import DeepLift

from . import ZOO
from .test_deep_lift import REFUSED

BATCH_OF_ONE = {"hf_levit": "torch's own batch-norm gradient is wrong for a batch of one with a strided gradient"}
EXACT = [n for n, m in ZOO.items() if not (m.coupled or m.float32_islands or n in REFUSED)]


def question(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        case = ZOO[name].case(torch.float64)
    return case, lambda *values: case.select(case.forward(*values))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [n for n in EXACT if n not in BATCH_OF_ONE])
def test_a_batch_equals_its_examples_one_at_a_time(name):
    case, scalar = question(name)
    together = DeepLift(scalar).attribute(case.inputs, case.baselines)
    for i in range(len(case.inputs[0])):
        one = slice(i, i + 1)
        alone = DeepLift(scalar).attribute(tuple(x[one] for x in case.inputs), tuple(b[one] for b in case.baselines))
        for a, b in zip(together, alone, strict=True):
            assert float((a[one] - b).abs().max()) <= 1e-11 * float(a.abs().max())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", EXACT)
def test_multipliers_tend_to_the_gradient(name):
    case, scalar = question(name)
    near = tuple(x - 1e-6 * (x - b) for x, b in zip(case.inputs, case.baselines, strict=True))
    multipliers = DeepLift(scalar, multiply_by_inputs=False).attribute(case.inputs, near)
    leaves = tuple(x.clone().requires_grad_() for x in case.inputs)
    gradients = torch.autograd.grad(scalar(*leaves).sum(), leaves)
    for m, g in zip(multipliers, gradients, strict=True):
        assert float((m - g).abs().max()) <= 1e-3 * float(g.abs().max())
