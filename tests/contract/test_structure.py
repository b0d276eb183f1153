"""Attributions look like the inputs."""

import torch

from pellucid.testing import PROPERTIES, TwoInputs
from tests.contract.rows import held_to


@held_to("structure")
def test_structure(case):
    PROPERTIES["structure"].check(case)


@held_to("structure")
def test_every_input_of_a_tuple_is_explained(case):
    """All but by LRP, for which the exponential of the second input is a gate, and gates get nothing."""
    torch.manual_seed(1)
    x = torch.randn(3, 5, dtype=torch.float64), torch.rand(3, 2, 2, dtype=torch.float64)
    model = TwoInputs(case.activation) if case.rectifiers else TwoInputs()
    a, b = case.run(model, x, target=2)
    assert a.any()
    assert bool(b.any()) is not ("lrp" in case.name)
