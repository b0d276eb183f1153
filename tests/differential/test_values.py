"""Both libraries agree on every model on which Captum is right, and disagree where the table says that it is wrong.

Captum's steps and weights are float32; with a power of two of them in a Riemann sum they are exact, so that the
integrals can be compared in float64. Sums over windows and orders are float32 in Captum.
"""

import pytest
import torch

pytest.importorskip("captum.attr", reason="Captum is a development dependency")

from captum import attr as captum

from pellucid import attr
from pellucid.errors import UnsupportedModelError
from tests.differential.both import answers, distance
from tests.differential.questions import DEEP_LIFT, GAMES, GRADIENTS, LRP, PATHS, QUESTIONS, RECTIFIERS

EXACT, FLOAT32 = 1e-11, 2e-6
pytestmark = pytest.mark.filterwarnings("ignore::pellucid.errors.PellucidWarning")


def agree_where_captum_is_right(family, name, question, build, tolerance=EXACT, **call):
    asked = QUESTIONS[question]
    theirs, ours = answers(name, ((asked.model,), build), **{**asked.call, **call})
    if family not in asked.wrong:
        assert distance(theirs, ours) < tolerance
    elif not isinstance(theirs, Exception) and not isinstance(ours, UnsupportedModelError):
        assert distance(theirs, ours) > 1e-3, f"Captum is right here, though the table says: {asked.wrong[family]}"


def right(family):
    """The questions on which Captum is right."""
    return pytest.mark.parametrize("question", [name for name, asked in QUESTIONS.items() if family not in asked.wrong])


every_question = pytest.mark.parametrize("question", QUESTIONS)


@every_question
@pytest.mark.parametrize("abs_", [True, False])
def test_saliency(question, abs_):
    agree_where_captum_is_right(GRADIENTS, "Saliency", question, {}, abs=abs_)


@every_question
def test_input_x_gradient(question):
    agree_where_captum_is_right(GRADIENTS, "InputXGradient", question, {})


@every_question
@pytest.mark.parametrize("method", ["riemann_left", "riemann_right", "riemann_middle"])
@pytest.mark.parametrize("multiply", [True, False])
@pytest.mark.parametrize("rows", [None, 7])
def test_integrated_gradients_at_exact_steps(question, method, multiply, rows):
    base = QUESTIONS[question].baselines
    agree_where_captum_is_right(
        PATHS, "IntegratedGradients", question, {"multiply_by_inputs": multiply},
        baselines=base, n_steps=8, method=method, internal_batch_size=rows,
    )  # fmt: skip


@every_question
@pytest.mark.parametrize("n_steps", [5, 30])
def test_integrated_gradients_with_gauss_legendre_steps_and_delta(question, n_steps):
    base = QUESTIONS[question].baselines
    agree_where_captum_is_right(
        PATHS, "IntegratedGradients", question, {}, FLOAT32 * 10,
        baselines=base, n_steps=n_steps, return_convergence_delta=True,
    )  # fmt: skip


@every_question
def test_integrated_gradients_from_zero(question):
    agree_where_captum_is_right(
        PATHS, "IntegratedGradients", question, {}, n_steps=4, method="riemann_middle", baselines=None
    )


@right(PATHS)
@pytest.mark.parametrize("nt_type", ["smoothgrad", "smoothgrad_sq", "vargrad"])
@pytest.mark.parametrize("inner", ["Saliency", "InputXGradient"])
def test_noise_tunnel_without_noise(question, nt_type, inner):
    """Noise of 1e-12 leaves nothing to chance; variances are those of rounding."""
    asked = QUESTIONS[question]
    call = {**asked.call, "nt_type": nt_type, "nt_samples": 3, "stdevs": 1e-12}
    theirs, ours = answers(f"NoiseTunnel of {inner}", ((asked.model,), {}), **call)
    assert distance(theirs, ours) < 1e-8


@every_question
@pytest.mark.parametrize("multiply", [True, False])
def test_deep_lift(question, multiply):
    base = QUESTIONS[question].baselines
    agree_where_captum_is_right(DEEP_LIFT, "DeepLift", question, {"multiply_by_inputs": multiply}, 1e-9, baselines=base)


@right(DEEP_LIFT)
def test_deep_lift_from_zero_with_delta(question):
    agree_where_captum_is_right(DEEP_LIFT, "DeepLift", question, {}, 1e-9, return_convergence_delta=True)


@every_question
@pytest.mark.parametrize("count", [2, 5])
def test_deep_lift_shap(question, count):
    asked = QUESTIONS[question]
    rows = [torch.randn(count, *x.shape[1:], dtype=x.dtype) for x in as_tuple(asked.inputs)]
    base = tuple(rows) if isinstance(asked.inputs, tuple) else rows[0]
    agree_where_captum_is_right(DEEP_LIFT, "DeepLiftShap", question, {}, 1e-9, baselines=base)


@every_question
@pytest.mark.parametrize("name", ["GuidedBackprop", "Deconvolution"])
def test_rectifiers(question, name):
    agree_where_captum_is_right(RECTIFIERS, name, question, {})


@every_question
def test_lrp(question):
    """Captum's stabilizer of 1e-9 is ours; its sums run in another order."""
    agree_where_captum_is_right(LRP, "LRP", question, {}, 1e-6)


def as_tuple(inputs):
    return inputs if isinstance(inputs, tuple) else (inputs,)


def masks(inputs, kind):
    """Feature masks of a form, in the structure of the inputs."""
    found, first = [], 0
    for x in as_tuple(inputs):
        numbers = torch.arange(x[0].numel())
        if kind == "each":
            ids = (torch.arange(x.numel()) % 4).reshape(x.shape)
        elif kind == "gaps":
            ids = (numbers % 3 * 5 + 2).reshape(1, *x.shape[1:])
        elif kind == "own":
            ids = (numbers % 3 + first).reshape(1, *x.shape[1:])
            first += 3
        else:
            ids = (numbers % 4).reshape(1, *x.shape[1:])
        found.append(ids)
    return tuple(found) if isinstance(inputs, tuple) else found[0]


@every_question
@pytest.mark.parametrize(("mask", "cap"), [(None, 1), ("own", 3), ("shared", 1), ("gaps", 4), ("each", 2)])
def test_feature_ablation(question, mask, cap):
    asked = QUESTIONS[question]
    if mask is None and sum(x[0].numel() for x in as_tuple(asked.inputs)) > 80:
        mask = "own"
    given = {} if mask is None else {"feature_mask": masks(asked.inputs, mask)}
    if PATHS in asked.wrong:
        cap = 1  # copies of a batch that are evaluated together mix
    agree_where_captum_is_right(
        GAMES, "FeatureAblation", question, {}, baselines=asked.baselines, perturbations_per_eval=cap, **given
    )


@every_question
def test_feature_ablation_of_every_output(question):
    asked = QUESTIONS[question]
    theirs, ours = answers(
        "FeatureAblation", ((asked.model,), {}), **{**asked.call, "target": None},
        baselines=asked.baselines, feature_mask=masks(asked.inputs, "own"),
    )  # fmt: skip
    assert distance(theirs, ours) < EXACT


WINDOWS = {
    1: [((2,), (1,)), ((3,), 2), ((2,), None)],
    2: [((2, 2), (1, 2))],
    3: [((2, 3, 3), (2, 2, 3)), ((1, 4, 4), 1)],
}


@every_question
@pytest.mark.parametrize(("choice", "cap"), [(0, 1), (1, 4), (2, 3)])
def test_occlusion(question, choice, cap):
    asked = QUESTIONS[question]
    if PATHS in asked.wrong:
        cap = 1
    chosen = [WINDOWS[x.dim() - 1][choice % len(WINDOWS[x.dim() - 1])] for x in as_tuple(asked.inputs)]
    windows, strides = (tuple(part) for part in zip(*chosen, strict=True))
    if not isinstance(asked.inputs, tuple):
        windows, strides = windows[0], strides[0]
    elif None in strides:
        strides = None
    agree_where_captum_is_right(
        GAMES, "Occlusion", question, {}, FLOAT32,
        sliding_window_shapes=windows, strides=strides, baselines=asked.baselines, perturbations_per_eval=cap,
    )  # fmt: skip


@every_question
@pytest.mark.parametrize(("mask", "cap"), [("own", 1), ("shared", 7), ("each", 5)])
def test_shapley_values(question, mask, cap):
    asked = QUESTIONS[question]
    if PATHS in asked.wrong:
        cap = 1
    kind = "shared" if mask == "own" and isinstance(asked.inputs, tuple) else mask
    agree_where_captum_is_right(
        GAMES, "ShapleyValues", question, {}, FLOAT32 * 5,
        baselines=asked.baselines, feature_mask=masks(asked.inputs, kind), perturbations_per_eval=cap,
    )  # fmt: skip


@every_question
def test_feature_permutation_by_a_function(question):
    """Both call the function once per feature; a rotation leaves nothing to chance."""
    asked = QUESTIONS[question]

    def rolled(x, where):
        return torch.where(where, x.roll(1, 0), x)

    call = {**asked.call, "feature_mask": masks(asked.inputs, "own")}
    theirs = captum.FeaturePermutation(asked.model, rolled).attribute(**call)
    ours = attr.FeaturePermutation(asked.model, rolled).attribute(**call, n_repeats=1)
    assert distance(theirs, ours) < EXACT
