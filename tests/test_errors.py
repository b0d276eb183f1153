"""Bad input as a table: each gets a message that names the argument, says what was given and what to pass."""

import warnings

import pytest
import torch
from torch import nn

import pellucid
from pellucid.attr import (
    LRP,
    DeepLift,
    FeatureAblation,
    GradientShap,
    InputXGradient,
    IntegratedGradients,
    LayerAttribution,
    NoiseTunnel,
    Saliency,
)
from pellucid.errors import (
    InvalidTypeError,
    InvalidValueError,
    NonFiniteWarning,
    TrainingModeWarning,
    UnusedInputWarning,
)

X = torch.randn(2, 3)


class Counting(nn.Module):
    """Says whether it was called."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x, *rest):
        self.calls += 1
        return x @ torch.ones(3, 4) * (1 + len(rest))


def ig(f):
    return IntegratedGradients(f)


def shap(f):
    return GradientShap(f)


def tunnel(f):
    return NoiseTunnel(Saliency(f))


BEFORE_THE_MODEL_RUNS = [
    # inputs
    (ig, {"inputs": [X]}, InvalidTypeError, "inputs is a list"),
    (ig, {"inputs": ()}, InvalidValueError, "empty tuple"),
    (ig, {"inputs": 3.0}, InvalidTypeError, "float"),
    (ig, {"inputs": torch.tensor([[1, 2, 3]])}, InvalidTypeError, "int64.*embedding"),
    (Saliency, {"inputs": torch.ones(2, 3, dtype=torch.cfloat)}, InvalidTypeError, "complex"),
    (Saliency, {"inputs": torch.ones(2, 3).to_sparse()}, InvalidTypeError, "dense"),
    (Saliency, {"inputs": torch.tensor(1.0)}, InvalidValueError, "dimension 0"),
    (Saliency, {"inputs": torch.zeros(0, 3)}, InvalidValueError, "empty batch"),
    (Saliency, {"inputs": (X, torch.zeros(3, 3))}, InvalidValueError, "2 and 3 rows"),
    (ig, {"inputs": torch.tensor([[1.0, float("nan"), 0.0]])}, InvalidValueError, r"NaN.*\(0, 1\)"),
    (ig, {"inputs": (X, torch.tensor([[1.0], [float("inf")]]))}, InvalidValueError, r"inputs\[1\].*infinite"),
    # target
    (ig, {"target": 1.5}, InvalidTypeError, "target"),
    (ig, {"target": [0, 1, 2]}, InvalidValueError, "length 3"),
    (Saliency, {"target": torch.tensor([0, 1, 2])}, InvalidValueError, "2 examples"),
    # baselines
    (ig, {"baselines": torch.zeros(3)}, InvalidValueError, "shape"),
    (ig, {"baselines": torch.zeros(3, 3)}, InvalidValueError, "3 rows.*distribution"),
    (ig, {"baselines": torch.zeros(2, 4)}, InvalidValueError, r"\(2, 4\)"),
    (ig, {"baselines": (0.0, 0.0)}, InvalidValueError, "tuple of 2"),
    (ig, {"baselines": "zero"}, InvalidTypeError, "str"),
    (ig, {"baselines": float("nan")}, InvalidValueError, "finite"),
    (ig, {"baselines": torch.full((2, 3), float("nan"))}, InvalidValueError, "NaN"),
    (ig, {"inputs": (X, X), "baselines": 0.0}, InvalidTypeError, "tuple of 2"),
    (shap, {"baselines": None}, InvalidValueError, "distribution"),
    (shap, {"baselines": torch.zeros(5, 4)}, InvalidValueError, "shape"),
    (shap, {"inputs": (X, X), "baselines": (torch.zeros(5, 3), torch.zeros(4, 3))}, InvalidValueError, "equally many"),
    # numbers
    (ig, {"n_steps": 0}, InvalidValueError, "n_steps is 0"),
    (ig, {"n_steps": 2.5}, InvalidTypeError, "n_steps"),
    (ig, {"n_steps": "many"}, InvalidTypeError, "n_steps"),
    (ig, {"n_steps": 1, "method": "riemann_trapezoid"}, InvalidValueError, "n_steps >= 2"),
    (ig, {"method": "simpson"}, InvalidValueError, "simpson.*gausslegendre"),
    (ig, {"n_steps": "auto", "method": "riemann_left"}, InvalidValueError, "nested rule"),
    (ig, {"n_steps": "auto", "tolerance": 0}, InvalidValueError, "tolerance"),
    (ig, {"internal_batch_size": 0}, InvalidValueError, "internal_batch_size"),
    (shap, {"baselines": 0.0, "n_samples": 0}, InvalidValueError, "n_samples"),
    (shap, {"baselines": 0.0, "stdevs": -1.0}, InvalidValueError, "stdevs"),
    (shap, {"baselines": 0.0, "stdevs": (0.1, 0.2)}, InvalidValueError, "stdevs"),
    (
        shap,
        {"inputs": (X, X), "baselines": (0.0, 0.0), "stdevs": (0.1, -0.2)},
        InvalidValueError,
        r"stdevs\[1\] is -0.2",
    ),
    (shap, {"baselines": 0.0, "stdevs": float("inf")}, InvalidValueError, "stdevs is inf"),
    (shap, {"baselines": 0.0, "seed": "x"}, InvalidTypeError, "seed"),
    (shap, {"baselines": 0.0, "generator": 3}, InvalidTypeError, "generator"),
    (shap, {"baselines": 0.0, "seed": 3, "generator": torch.Generator()}, InvalidValueError, "only one"),
    (tunnel, {"nt_type": "smooth"}, InvalidValueError, "smoothgrad_sq"),
    (tunnel, {"nt_samples": 0}, InvalidValueError, "nt_samples"),
    (tunnel, {"stdevs": "big"}, InvalidTypeError, "stdevs"),
    (tunnel, {"taget": 1}, InvalidTypeError, "taget.*no such argument"),
    (tunnel, {"n_steps": 1}, InvalidTypeError, "n_steps.*Saliency"),
    (lambda f: NoiseTunnel(ig(f)), {"draw_baseline_from_distrib": True}, InvalidValueError, "no baselines"),
    # truth values, names and numbers of wrong types and sizes
    (ig, {"return_convergence_delta": "yes"}, InvalidTypeError, "a str.*True or False"),
    (ig, {"return_convergence_delta": X}, InvalidTypeError, "a Tensor.*True or False"),
    (tunnel, {"draw_baseline_from_distrib": X}, InvalidTypeError, "True or False"),
    (FeatureAblation, {"share_ids": abs}, InvalidTypeError, "True or False"),
    (ig, {"method": {}}, InvalidValueError, "method is {}"),
    (tunnel, {"nt_type": []}, InvalidValueError, r"nt_type is \[\]"),
    (ig, {"n_steps": "auto", "tolerance": None}, InvalidValueError, "tolerance"),
    (ig, {"n_steps": X}, InvalidTypeError, "n_steps"),
    (ig, {"baselines": 10**400}, InvalidValueError, "1329 bits"),
    (tunnel, {"stdevs": 10**400}, InvalidValueError, "1329 bits"),
    (tunnel, {"seed": 2**64}, InvalidValueError, "65 bits"),
    (tunnel, {"seed": torch.zeros((), dtype=torch.long, device="meta")}, InvalidValueError, "meta"),
    (Saliency, {"target": 2**64}, InvalidValueError, "65 bits"),
    (Saliency, {"target": [2**64, 0]}, InvalidValueError, "65 bits"),
    (Saliency, {"target": torch.tensor([0], device="meta")}, InvalidValueError, "meta"),
    (Saliency, {"target": (slice("a"),)}, InvalidTypeError, r"target\[0\] is a str"),
    (Saliency, {"target": (slice(3, 0, -1),)}, InvalidValueError, "step"),
    # tensors without values, without order, or of dtypes that torch only stores
    (Saliency, {"inputs": X.to(torch.float8_e4m3fn)}, InvalidTypeError, "float8.*float"),
    (FeatureAblation, {"inputs": torch.ones(2, 3, dtype=torch.uint16)}, InvalidTypeError, "uint16.*long"),
    (Saliency, {"inputs": X.to("meta")}, InvalidValueError, "meta"),
    (FeatureAblation, {"inputs": X.to("meta")}, InvalidValueError, "meta"),
    (ig, {"baselines": X.to_sparse()}, InvalidTypeError, "dense"),
    (ig, {"inputs": X.half(), "baselines": 1e6}, InvalidValueError, "infinite"),
    (FeatureAblation, {"feature_mask": torch.ones(2, 3).long().to_sparse()}, InvalidTypeError, "dense"),
]


@pytest.mark.parametrize(("build", "arguments", "error", "words"), BEFORE_THE_MODEL_RUNS)
def test_refused_before_the_model_runs(build, arguments, error, words):
    model = Counting()
    arguments = {"inputs": X, "target": 0, **arguments}
    with pytest.raises(error, match=words):
        build(model).attribute(**arguments)
    assert model.calls == 0


@pytest.mark.parametrize("build", [Saliency, InputXGradient, ig])
@pytest.mark.parametrize(
    ("target", "words"),
    [
        (4, "size 4"),
        (-5, "size 4"),
        ((slice(4, 9),), "size 4"),
        ([0, 9], r"target\[1\]"),
        (None, "4 values per example"),
        ((0, 1), "2 dimension"),
    ],
)
def test_targets_are_checked_against_the_output(build, target, words):
    with pytest.raises(InvalidValueError, match=words):
        build(Counting()).attribute(X, target=target)


@pytest.mark.parametrize("forward", [3, None, "model"])
def test_nothing_to_call(forward):
    with pytest.raises(InvalidTypeError, match="forward_func"):
        Saliency(forward)


def test_outputs_that_cannot_be_attributed():
    with pytest.raises(InvalidTypeError, match="argmax"):
        Saliency(lambda v: v.argmax(1)).attribute(X)
    with pytest.raises(InvalidTypeError, match="holds no tensor"):
        Saliency(lambda v: float(v.detach().sum())).attribute(X)
    with pytest.raises(InvalidValueError, match="no gradient"):
        Saliency(lambda v: v.detach().sum(1)).attribute(X)
    with pytest.raises(InvalidValueError, match="no gradient"):
        ig(lambda v: torch.tensor(v.detach().numpy()).sum(1)).attribute(X)


@pytest.mark.parametrize("build", [Saliency, ig, FeatureAblation])
def test_outputs_that_hold_no_plain_numbers(build):
    with pytest.raises(InvalidTypeError, match=r"output.*dense"):
        build(lambda v: v.to_sparse()).attribute(X, target=0)
    with pytest.raises(InvalidValueError, match="single tensor"):
        build(pellucid.select_output(lambda v: v.sum(1), 0)).attribute(X)


@pytest.mark.parametrize("key", [None, True, 1.5])
def test_keys_that_find_nothing(key):
    with pytest.raises(InvalidTypeError, match="key"):
        pellucid.select_output(lambda v: (v, v), key)


@pytest.mark.parametrize(
    ("build", "arguments", "words"),
    [
        (DeepLift, {"rule": []}, r"rule is \[\]"),
        (DeepLift, {"choices": 1.0}, "choices is a float"),
        (DeepLift, {"custom_attribution_func": 1.0}, "custom_attribution_func is a float"),
        (DeepLift, {"custom_attribution_func": lambda: ()}, "function of 0 arguments"),
        (LRP, {"choices": None}, "choices is a NoneType"),
        (LRP, {"composite": X}, "composite is a Tensor"),
        (LRP, {"rules": X}, "rules is a Tensor"),
    ],
)
def test_rules_are_checked_before_the_model_runs(build, arguments, words):
    model = Counting()
    with pytest.raises((InvalidTypeError, InvalidValueError), match=words):
        build(model).attribute(X, target=0, **arguments)
    assert model.calls == 0


def test_noise_for_inputs_without_values():
    found = tunnel(lambda v: v.sum((1, 2)) + 1).attribute(torch.zeros(3, 0, 1), nt_samples=3)
    assert found.shape == (3, 0, 1)


def test_warnings_that_name_what_is_wrong():
    with pytest.warns(UnusedInputWarning, match=r"inputs\[1\]"):
        found = Saliency(lambda a, b: a.sum(1)).attribute((X, X))
    assert torch.equal(found[1], torch.zeros(2, 3))
    with pytest.warns(NonFiniteWarning, match="inputs.*square root|inputs are NaN"):
        Saliency(lambda v: torch.sqrt(v).sum(1)).attribute(torch.zeros(2, 3))
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(), nn.Linear(3, 2)).train()
    for forward in (model, lambda v: model(v) * 1, model.forward, torch.nn.Sequential(model)):
        with pytest.warns(TrainingModeWarning, match=r"Dropout.*model\.eval"):
            Saliency(forward).attribute(X, target=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Saliency(model.eval()).attribute(X, target=0)


def test_training_without_anything_that_depends_on_it_needs_no_warning():
    Saliency(nn.Linear(3, 2).train()).attribute(X, target=0)


def test_a_model_made_in_inference_mode():
    with torch.inference_mode():
        model = nn.Linear(3, 2)
    with pytest.raises(InvalidValueError, match="inference mode"):
        Saliency(model).attribute(X, target=0)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"method": "gradcam++"}, InvalidValueError, "gradcam.*integrated_gradients"),
        ({"method": 3}, InvalidTypeError, "method"),
        ({"method": "saliency", "n_steps": 3}, InvalidTypeError, "n_steps.*saliency has no such argument"),
        ({"method": "gradient_shap"}, InvalidTypeError, "baselines is missing"),
        ({"inputs": torch.zeros(0, 3)}, InvalidValueError, "empty batch"),
    ],
)
def test_explain(arguments, error, words):
    model = Counting()
    with pytest.raises(error, match=words):
        pellucid.explain(model, **{"inputs": X, **arguments})
    assert model.calls == 0


def test_explain_wants_a_target_for_maps():
    with pytest.raises(InvalidValueError, match="values per example"):
        pellucid.explain(lambda v: v[:, :, None] * torch.ones(4), X)


@pytest.mark.parametrize(
    ("shape", "dims", "mode", "words"),
    [
        ((2, 3), 4, "nearest", "spatial"),
        ((2, 3, 4, 4), (4,), "nearest", "one size per"),
        ((2, 3, 4), 4, "bilinear", "linear"),
        ((2, 3, 4, 4), 4, "cubic", "bicubic"),
    ],
)
def test_interpolation(shape, dims, mode, words):
    with pytest.raises(InvalidValueError, match=words):
        LayerAttribution.interpolate(torch.zeros(shape), dims, mode)


def test_convergence_delta_of_other_shapes():
    with pytest.raises(InvalidValueError, match="attributions"):
        ig(Counting()).compute_convergence_delta(torch.zeros(2, 4), 0.0, X, target=0)
