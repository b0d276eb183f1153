"""Why some cells miss their goals: reasons by a letter, and which methods and models they hold for."""

from __future__ import annotations

from typing import Any

REASONS = {
    "a": "Checks of a single pass. Inputs, targets and modes are checked, buffers and random generators are put back,"
    " results are looked at for NaN: 0.1 to 0.2 ms, as long as a model this small takes.",
    "b": "The check of expanded batches. The first pass with copies of the examples, and any that is larger than all"
    " before, holds the examples themselves too, and is compared with a plain pass over the batch, and one copy is run"
    " by itself, since a model that mixes its rows would give wrong numbers without notice. That is two to seven passes"
    " of the batch more, and weighs where samples are few.",
    "c": "Rules by operation. Every torch call is seen and decided upon (some tens of microseconds each), which is what"
    " makes rules right on unmodified models; Captum hooks modules. DeepLIFT keeps the values of both passes and takes"
    " secants, and its certificate and completeness check are computed too.",
    "d": "Draws per example and sample. Each sample has a generator of its own, so results do not depend on chunks;"
    " standard errors are computed with the means.",
    "e": "A whole forward pass. The layer may be called again later in the model, so the pass is not cut off after it;"
    " the bare evaluations end at the layer, and Captum runs the whole model as well.",
    "f": "Conductance differentiates the layer's speed along the path in each step, which takes the part before the"
    " layer twice, for values and for speeds; Captum takes differences of the layer's values between steps, which is"
    " biased.",
    "g": "Regression, local surrogates, standard errors and bookkeeping: milliseconds beside a model that takes none.",
    "h": "Random references at a layer are carried there in passes of their own, the first of which holds the inputs"
    " too and is checked, as is the first of the passes behind the layer.",
}
"""What the page says of each."""

RULES = ("DeepLift", "Guided", "Deconvolution", "LRP")
AT_NEURONS = ("Neuron", "LayerActivation")
CHECKED = (
    "NoiseTunnel",
    "sensitivity_max",
    "infidelity",
    "GradientShap",
    "Influence",
    "IntegratedGradients",
    "PGD",
    "NeuronConductance",
)
SAMPLED = ("KernelShap", "Lime", "Ablation", "Occlusion", "Permutation", "ShapleyValue")


def reason_for(method: str, cell: dict[str, Any]) -> str:
    """Give the letter of the reason why a cell of a method misses a goal."""
    small = cell["subject"].startswith(("MLP", "small"))
    reasons = {
        "f": method == "LayerConductance",
        "h": method == "LayerGradientShap",
        "c": any(word in method for word in RULES),
        "e": method.startswith(AT_NEURONS) and not small,
        "g": any(word in method for word in SAMPLED),
        "d": "GradientShap" in method and small,
        "b": any(word in method for word in CHECKED),
    }
    return next((letter for letter, holds in reasons.items() if holds), "a")
