"""Where a layer runs is told relative to the explained model, whoever asks."""

import torch
from torch import nn

from pellucid.attr import LRP
from pellucid.lrp import AlphaBeta, Epsilon


class Asking(nn.Module):
    """A module that explains its own part while it runs itself."""

    def __init__(self, part):
        super().__init__()
        self.part = part

    def forward(self, x):
        return LRP(self.part).attribute(x, target=1, rules={"0": AlphaBeta(2.0, 1.0), "2": Epsilon(0.3)})


def test_names_are_relative_to_the_explained_model_also_inside_of_another():
    torch.manual_seed(0)
    part = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    x = torch.randn(2, 4, dtype=torch.float64)
    wanted = LRP(part).attribute(x, target=1, rules={part[0]: AlphaBeta(2.0, 1.0), part[2]: Epsilon(0.3)})
    assert torch.equal(Asking(part)(x), wanted)
    assert not torch.allclose(wanted, LRP(part).attribute(x, target=1))
