"""Gradients, integrals and ablations over the whole zoo of unmodified models; Captum needs no rule for these.

Models whose rows depend on their places in the batch stand apart: Captum's integrals over copies of them are wrong.
"""

import pytest
import torch

pytest.importorskip("captum.attr", reason="Captum is a development dependency")

from tests.differential.both import answers, distance
from tests.zoo import ZOO

pytestmark = [
    pytest.mark.filterwarnings("ignore::pellucid.errors.PellucidWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
ALONE = {"hf_nystromformer": "the largest value in a batch scales the first guess of an inverse"}
"""Models whose points bend to the inputs a little, so that Captum, which puts them into one pass, must be held back."""
COUPLED = sorted(name for name, model in ZOO.items() if model.coupled)


def tolerance(model):
    """Sums in another order differ by rounding, which is that of float32 where the model computes in it."""
    return 1e-3 if model.float32_islands else 1e-9


@pytest.mark.parametrize("name", ZOO)
def test_gradients_integrals_and_ablations(name):
    model = ZOO[name]
    case = model.case()
    asked = ((case.scalar,), {})
    assert distance(*answers("Saliency", asked, inputs=case.inputs, abs=False)) < tolerance(model)
    masks = tuple((torch.arange(x[0].numel()) % 2 + 2 * i).reshape(1, *x.shape[1:]) for i, x in enumerate(case.inputs))
    given = {"inputs": case.inputs, "baselines": case.baselines}
    assert distance(*answers("FeatureAblation", asked, **given, feature_mask=masks)) < tolerance(model)
    if not model.coupled:
        steps = {"n_steps": 2, "method": "riemann_middle"}
        steps |= {"internal_batch_size": len(case.inputs[0])} if name in ALONE else {}
        assert distance(*answers("IntegratedGradients", asked, **given, **steps)) < tolerance(model)


@pytest.mark.parametrize("name", COUPLED)
def test_captum_mixes_the_copies_of_coupled_rows(name):
    case = ZOO[name].case()
    call = {"inputs": case.inputs, "baselines": case.baselines, "n_steps": 2, "method": "riemann_middle"}
    theirs, ours = answers("IntegratedGradients", ((case.scalar,), {}), **call)
    assert isinstance(theirs, Exception) or distance(theirs, ours) > 1e-3
