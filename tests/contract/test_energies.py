"""Models that differentiate inside themselves, as forces are minus the gradient of an energy."""

import pytest
import torch

from pellucid.errors import UnsupportedModelError
from pellucid.testing import mlp
from tests.contract.rows import EVERY
from tests.models import DOUBLE


@EVERY
def test_a_model_that_differentiates_inside_itself(case, generator):
    """Rules cannot follow there; all others explain the derivative."""
    energy, x = mlp(), torch.randn(3, 5, dtype=DOUBLE, generator=generator)

    def forces(v):
        v = v if v.requires_grad else v.requires_grad_()
        (g,) = torch.autograd.grad(energy(v).sum(), v, create_graph=True)
        return g

    def explicit(v):
        with torch.enable_grad():
            return forces(v if v.requires_grad else v.detach().clone())

    if case.rules:
        with pytest.raises(UnsupportedModelError, match="inside its forward pass"):
            case.run(forces, x, target=1)
        return
    assert torch.allclose(case.run(forces, x, target=1), case.run(explicit, x, target=1), atol=1e-12)
