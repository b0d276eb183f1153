"""Models that write into what they get write into copies."""

import pytest
import torch

import pellucid
from pellucid.testing import PROPERTIES
from tests.contract.rows import held_to


@held_to("writes")
def test_writes(case):
    PROPERTIES["writes"].check(case)


class WritesUnseen(torch.nn.Module):
    """Clips its input in place where autograd does not look."""

    def forward(self, x):
        with torch.no_grad():
            x.clamp_(-0.5, 0.5)
        return (x**2).sum(1)


@pytest.mark.parametrize(
    "way",
    [
        lambda m, x: pellucid.attr.Saliency(m).attribute(x),
        lambda m, x: pellucid.attr.InputXGradient(m).attribute(x),
        lambda m, x: pellucid.attr.IntegratedGradients(m).attribute(x, 0.1),
        lambda m, x: pellucid.attr.FeatureAblation(m).attribute(x),
        lambda m, x: pellucid.attr.LayerGradientXActivation(m, m).attribute(x),
        lambda m, x: pellucid.robust.FGSM(m, loss_func=lambda out, _: out).perturb(x, 0.1, target=0),
        lambda m, x: pellucid.robust.PGD(m, loss_func=lambda out, _: out).perturb(x, 0.1, 0.05, 3, target=0),
        lambda m, x: pellucid.metrics.infidelity(m, lambda v: (0.1 * torch.ones_like(v), v - 0.1), x, x),
        lambda m, x: pellucid.metrics.sensitivity_max(pellucid.attr.Saliency(m).attribute, x),
    ],
)
@pytest.mark.filterwarnings("ignore::pellucid.errors.ConvergenceWarning")
def test_writes_that_autograd_does_not_see_stay_in_the_models_copy(way):
    torch.manual_seed(0)
    x = torch.randn(4, 3, dtype=torch.float64)
    before = x.clone()
    way(WritesUnseen(), x)
    assert torch.equal(x, before)
