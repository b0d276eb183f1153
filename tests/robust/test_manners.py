"""Nothing left behind, bad input refused with a reason before the model runs, whole docstrings, a light import."""

import inspect
import re
import subprocess
import sys

import pytest
import torch

from pellucid import robust
from pellucid.errors import InvalidTypeError, InvalidValueError, TrainingModeWarning
from pellucid.robust import APGD, FAB, FGSM, PGD, AttackComparator, MinParamPerturbation, RobustnessEvaluator, Square
from pellucid.testing import PlantedError, changed, fingerprint
from pellucid.testing import Watched as Net
from tests.models import DOUBLE, quiet_if
from tests.test_errors import Counting

SHORT = {"n_iter": 3, "seed": 0}


def compare(model, x, scale):
    made = AttackComparator(model, lambda out, target: out[:, 0])
    made.add_attack(FGSM(model), "FGSM", attack_kwargs={"epsilon": 0.1, "additional_forward_args": scale},
                    additional_attack_arg_names=["target"])  # fmt: skip
    return made.evaluate(x, scale, target=0)


def search(model, x, scale):
    attack = FGSM(model)
    given = {"target": 0, "additional_forward_args": scale}
    return MinParamPerturbation(model, attack, "epsilon", 0.0, 1.0, 0.25).evaluate(
        x, scale, [0, 1, 0], attack_kwargs=given
    )


CALLS = {
    "fgsm": lambda m, x, s: FGSM(m).perturb(x, 0.1, [0, 1, 0], s),
    "pgd": lambda m, x, s: PGD(m).perturb(x, 0.1, 0.05, 2, 0, s, random_start=True, n_restarts=2, seed=0),
    "apgd": lambda m, x, s: APGD(m).perturb(x, 0.1, [0, 1, 0], s, **SHORT),
    "apgd-l1": lambda m, x, s: APGD(m, "targeted_dlr").perturb(x, 0.1, [0, 1, 0], s, "L1", **SHORT),
    "fab": lambda m, x, s: FAB(m).search(x, [0, 1, 0], s, **SHORT),
    "square": lambda m, x, s: Square(m).perturb(x, 0.1, [0, 1, 0], s, n_queries=4, seed=0),
    "evaluator": lambda m, x, s: RobustnessEvaluator(m).evaluate(x, [0, 1, 0], 0.1, s, n_queries=3, **SHORT),
    "comparator": compare,
    "search": search,
}


@pytest.mark.filterwarnings("ignore::pellucid.errors.AttackWarning")
@pytest.mark.parametrize("name", list(CALLS))
@pytest.mark.parametrize("training", [False, True])
def test_nothing_is_left_behind_after_a_call_or_a_failure(name, training):
    model = Net().train(training)
    x = torch.randn(3, 4, dtype=DOUBLE, requires_grad=True)
    scale = torch.ones(3, 1, dtype=DOUBLE, requires_grad=True)
    before = fingerprint(model, [x, scale])
    if training and name not in {"fgsm", "pgd", "comparator", "search"}:
        with quiet_if(training), pytest.raises(InvalidValueError, match=r"mixes the examples.*model\.eval"):
            CALLS[name](model, x, scale)
        assert changed(before, fingerprint(model, [x, scale])) == []
        return
    with quiet_if(training):
        found = CALLS[name](model, x, scale)
    assert changed(before, fingerprint(model, [x, scale])) == []
    if isinstance(found, torch.Tensor):
        assert not found.requires_grad
        assert found is not x
    needed = model.evaluations
    for fail_at in {1, 2, 3, needed // 2, needed - 1, needed} - {0}:
        if fail_at > needed:
            continue
        model.evaluations, model.fail_at = 0, fail_at
        with quiet_if(training), pytest.raises(PlantedError, match="the model failed"):
            CALLS[name](model, x, scale)
        assert changed(before, fingerprint(model, [x, scale])) == []


def test_a_model_in_training_mode_is_warned_about():
    x = torch.randn(3, 4, dtype=DOUBLE)
    with pytest.warns(TrainingModeWarning, match="BatchNorm1d, Dropout"):
        FGSM(Net().train()).perturb(x, 0.1, 0, torch.ones(3, 1, dtype=DOUBLE))


@pytest.mark.filterwarnings("ignore::pellucid.errors.AttackWarning")
@pytest.mark.parametrize("name", list(CALLS))
def test_without_a_seed_a_call_is_reproducible_and_inference_mode_is_fine(name):
    model, x, scale = Net().eval(), torch.randn(3, 4, dtype=DOUBLE), torch.ones(3, 1, dtype=DOUBLE)
    expected = CALLS[name](model, x, scale)
    with torch.inference_mode():
        found = CALLS[name](model, x, scale)
    for a, b in zip(tensors(expected), tensors(found), strict=True):
        assert torch.allclose(a, b, equal_nan=True)


def tensors(value):
    if isinstance(value, torch.Tensor):
        return [value.clone()]
    if isinstance(value, dict):
        value = tuple(value.values())
    if hasattr(value, "perturbed"):
        value = (value.perturbed, value.distances)
    return [t for part in value for t in tensors(part)] if isinstance(value, tuple) else []


X = torch.rand(2, 3)


def fgsm(m, inputs=X, epsilon=0.1, target=0, bounds=(-5.0, 5.0), loss=None, **more):
    return FGSM(m, loss, *bounds).perturb(inputs, epsilon, target, **more)


def pgd(m, inputs=X, radius=0.1, step_size=0.1, step_num=2, target=0, **more):
    return PGD(m).perturb(inputs, radius, step_size, step_num, target, **more)


def apgd(m, inputs=X, radius=0.1, target=0, loss="dlr", **more):
    return APGD(m, loss, 0.0, 1.0).perturb(inputs, radius, target, **more)


def evaluator(m, inputs=X, target=0, radius=0.1, attacks=None, **more):
    return RobustnessEvaluator(m, 0.0, 1.0, attacks=attacks).evaluate(inputs, target, radius, **more)


BEFORE_THE_MODEL_RUNS = [
    (fgsm, {"inputs": [X]}, InvalidTypeError, "inputs is a list"),
    (fgsm, {"inputs": torch.tensor([[1.0, float("nan"), 0.0]])}, InvalidValueError, "NaN"),
    (fgsm, {"epsilon": -0.1}, InvalidValueError, "epsilon is -0.1"),
    (fgsm, {"epsilon": "big"}, InvalidTypeError, "epsilon"),
    (fgsm, {"target": 1.5}, InvalidTypeError, "target"),
    (fgsm, {"target": [0, 1, 2]}, InvalidValueError, "length 3"),
    (fgsm, {"mask": torch.full((2, 3), 0.5)}, InvalidValueError, "mask.*zeros and ones"),
    (fgsm, {"mask": torch.ones(2, 4)}, InvalidValueError, r"mask.*\(2, 4\).*broadcast"),
    (fgsm, {"mask": (torch.ones(2, 3),) * 2}, InvalidValueError, "mask is a tuple of 2"),
    (fgsm, {"mask": 1}, InvalidTypeError, "mask"),
    (fgsm, {"bounds": (1.0, 0.0)}, InvalidValueError, "lower_bound is above upper_bound"),
    (fgsm, {"bounds": ("a", 0.0)}, InvalidTypeError, "lower_bound"),
    (fgsm, {"bounds": (0.0, float("nan"))}, InvalidValueError, "upper_bound is NaN"),
    (fgsm, {"bounds": (0.0, -float("inf"))}, InvalidValueError, r"upper_bound is -inf.*or inf for no bound"),
    (fgsm, {"bounds": (torch.tensor(float("inf")), 1.0)}, InvalidValueError, "lower_bound is inf.*or -inf"),
    (fgsm, {"bounds": (torch.zeros(4), 1.0)}, InvalidValueError, "lower_bound.*broadcast"),
    (fgsm, {"bounds": ((0.0, 0.0), 1.0)}, InvalidValueError, "lower_bound is a tuple of 2"),
    (fgsm, {"loss": 3}, InvalidTypeError, "loss_func"),
    (pgd, {"radius": float("inf")}, InvalidValueError, "radius"),
    (pgd, {"step_size": None}, InvalidTypeError, "step_size"),
    (pgd, {"step_num": 0}, InvalidValueError, "step_num"),
    (pgd, {"norm": "L3"}, InvalidValueError, "norm is 'L3'.*Linf, L2, L1"),
    (pgd, {"norm": 2}, InvalidValueError, "norm"),
    (pgd, {"n_restarts": 0}, InvalidValueError, "n_restarts"),
    (pgd, {"random_start": True, "seed": 1, "generator": torch.Generator()}, InvalidValueError, "only one"),
    (apgd, {"loss": "hinge"}, InvalidValueError, "loss is 'hinge'.*targeted_dlr"),
    (apgd, {"n_iter": 0}, InvalidValueError, "n_iter"),
    (apgd, {"target": None}, InvalidValueError, "target is None"),
    (apgd, {"target": (0, 1)}, InvalidValueError, "target"),
    (apgd, {"inputs": X + 1}, InvalidValueError, "inputs.*outside the bounds"),
    (evaluator, {"attacks": ("APGD",)}, InvalidValueError, "attacks.*Square"),
    (evaluator, {"attacks": "Square"}, InvalidTypeError, "attacks"),
    (evaluator, {"confidence": 1.0}, InvalidValueError, "confidence"),
    (evaluator, {"n_queries": 0}, InvalidValueError, "n_queries"),
]


@pytest.mark.parametrize(("call", "arguments", "error", "words"), BEFORE_THE_MODEL_RUNS)
def test_refused_before_the_model_runs(call, arguments, error, words):
    model = Counting()
    with pytest.raises(error, match=words):
        call(model, **arguments)
    assert model.calls == 0


@pytest.mark.parametrize(
    ("call", "arguments", "error", "words"),
    [
        (fgsm, {"target": 7}, InvalidValueError, "target is 7.*size 4"),
        (fgsm, {"target": None}, InvalidValueError, "target is None.*4 values"),
        (apgd, {"target": [0, 9]}, InvalidValueError, "target is 9.*4 classes"),
        (evaluator, {"target": -5}, InvalidValueError, "target is -5"),
        (fgsm, {"loss": lambda o, t: 3.0}, InvalidTypeError, "loss_func.*returned a float"),
        (fgsm, {"loss": lambda o, t: o}, InvalidValueError, r"loss_func.*shape \(2, 4\).*reduction='none'"),
    ],
)
def test_refused_at_the_first_output(call, arguments, error, words):
    with pytest.raises(error, match=words):
        call(Counting(), **arguments)


def test_outputs_that_are_no_scores():
    for output in (lambda v: v.sum(1), lambda v: v[:, :1], lambda v: v[:, :, None]):
        with pytest.raises(InvalidValueError, match=r"forward_func.*torch.stack"):
            evaluator(output)
    with pytest.raises(InvalidValueError, match=r"loss_func is None.*guess"):
        FGSM(lambda v: v[:, :, None].expand(-1, 3, 2) * 5).perturb(X, 0.1, (0, 1))
    with pytest.raises(InvalidTypeError, match="forward_func"):
        RobustnessEvaluator(3)
    for call in (fgsm, pgd, apgd, evaluator):
        with pytest.raises(TypeError, match="taget"):
            call(Counting(), taget=1)


METHODS = [
    (cls, name)
    for cls in (FGSM, PGD, APGD, FAB, Square, RobustnessEvaluator, AttackComparator, MinParamPerturbation)
    for name in ("__init__", "perturb", "search", "evaluate", "add_attack")
    if name in vars(cls) and not (name == "__init__" and cls is MinParamPerturbation)
]


@pytest.mark.parametrize(("cls", "name"), METHODS, ids=lambda v: getattr(v, "__name__", v))
def test_every_argument_is_documented(cls, name):
    doc = inspect.getdoc(getattr(cls, name))
    assert "{arguments}" not in doc
    for parameter in set(inspect.signature(getattr(cls, name)).parameters) - {"self"}:
        assert re.search(rf"^    {parameter}: \S", doc, re.MULTILINE), parameter
    assert "Example:" in inspect.getdoc(cls)


def test_public_names_have_docstrings():
    for name in robust.__all__:
        assert inspect.getdoc(getattr(robust, name)), name


def test_importing_is_light():
    code = """
import sys, torch
before = set(sys.modules)
import pellucid.robust
new = {m for m in set(sys.modules) - before if m.split(".")[0] != "pellucid"}
assert len(new) < 60, len(new)
assert not {m.split(".")[0] for m in new} & {"scipy", "matplotlib", "sklearn", "captum", "tqdm", "PIL"}, new
assert "torch._dynamo" not in set(sys.modules) - before
"""
    subprocess.run([sys.executable, "-c", code], check=True)
