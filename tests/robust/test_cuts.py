"""A model that cuts gradients off is not taken for a robust one."""

import pytest
import torch
from torch import nn

from pellucid.errors import InvalidValueError
from pellucid.robust import APGD, FAB, FGSM, PGD
from tests.models import DOUBLE, mlp

ATTACKS = {
    "fgsm": lambda model, x, y: FGSM(model).perturb(x, 0.1, target=y),
    "pgd": lambda model, x, y: PGD(model).perturb(x, 0.1, 0.02, 5, target=y),
    "apgd": lambda model, x, y: APGD(model).perturb(x, 0.1, target=y),
    "fab": lambda model, x, y: FAB(model).perturb(x, target=y),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_gradients_that_are_cut_off_are_refused(name, generator):
    x = torch.randn(3, 4, dtype=DOUBLE, generator=generator)
    head = nn.Linear(3, 3).double()

    def cut(v):
        return head(mlp(4)(v).detach())

    with pytest.raises(InvalidValueError, match="nothing differentiable connects it with the inputs"):
        ATTACKS[name](cut, x, cut(x).argmax(1))
