"""Nothing is left behind: model, tensors, generators and settings are as before, whatever was raised when."""

import random

import numpy as np
import pytest
import torch

from pellucid.errors import TrainingModeWarning
from pellucid.testing import PROPERTIES, Watched, changed, fingerprint
from tests.contract.rows import EVERY, held_to
from tests.models import DOUBLE


@held_to("residue")
def test_residue(case):
    PROPERTIES["residue"].check(case)


@pytest.mark.filterwarnings("ignore::pellucid.errors.ExpansionWarning")
@EVERY
def test_a_model_in_training_mode_is_named(case):
    x, scale = torch.randn(3, 4, dtype=DOUBLE), torch.ones(3, 1, dtype=DOUBLE)
    with pytest.warns(TrainingModeWarning, match="BatchNorm1d, Dropout"):
        case.run(Watched().train(), x, target=0, additional_forward_args=scale)


WHAT_A_CALL_COULD_LEAVE = {
    "module": lambda m, x: m.register_forward_hook(lambda *_: None),
    "module drop": lambda m, x: m.drop.train(),
    "module norm": lambda m, x: setattr(m.norm, "kept", x),
    "calls": lambda m, x: m(x, torch.ones(1, dtype=DOUBLE)),
    "first.bias": lambda m, x: m.first.bias.requires_grad_(False),
    "last.bias": lambda m, x: setattr(m.last.bias, "grad", torch.zeros(2, dtype=DOUBLE)),
    "tensor 0": lambda m, x: x.add_(0),
    "torch's generator": lambda m, x: torch.rand(1),
    "Python's generator": lambda m, x: random.random(),
    "NumPy's generator": lambda m, x: np.random.rand(),
    "torch's switches": lambda m, x: torch.set_default_dtype(DOUBLE),
    "torch's global hooks": lambda m, x: torch.nn.modules.module.register_module_forward_hook(lambda *_: None),
    "torch's functions": lambda m, x: setattr(torch.nn.functional, "relu", lambda v: v),
}


@pytest.fixture
def put_back(monkeypatch):
    """What the changes do to the process is undone."""
    python, numpy, dtype = random.getstate(), np.random.get_state(), torch.get_default_dtype()
    hooks = torch.nn.modules.module._global_forward_hooks
    monkeypatch.setattr(torch.nn.functional, "relu", torch.nn.functional.relu)
    yield
    random.setstate(python)
    np.random.set_state(numpy)
    torch.set_default_dtype(dtype)
    hooks.clear()


@pytest.mark.parametrize("part", WHAT_A_CALL_COULD_LEAVE)
@pytest.mark.usefixtures("put_back")
def test_the_fingerprint_sees(part):
    model, x = Watched().eval(), torch.randn(3, 4, dtype=DOUBLE)
    before = fingerprint(model, [x])
    assert changed(before, fingerprint(model, [x])) == []
    WHAT_A_CALL_COULD_LEAVE[part](model, x)
    assert part in changed(before, fingerprint(model, [x]))
