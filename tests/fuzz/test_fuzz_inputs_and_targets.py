"""Inputs, targets and additional arguments of all forms, and models with odd outputs."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.attr import (
    DeepLift,
    FeatureAblation,
    GradientShap,
    InputXGradient,
    IntegratedGradients,
    NoiseTunnel,
    Saliency,
    ShapleyValueSampling,
)
from tests.fuzz.asking import FLOATS, WHOLE, answer, fuzzed, odd_values, quiet, refused
from tests.fuzz.worlds import ODD_OUTPUTS, OUTPUTS, parts, worlds
from tests.models import DOUBLE
from tests.reference import gradients


def close(found, expected, tolerance=1e-9):
    assert found.shape == expected.shape
    assert torch.allclose(found.double(), expected.double(), atol=tolerance, rtol=tolerance)


@given(world=worlds())
@fuzzed(120)
def test_gradients_are_those_of_one_example_at_a_time(world):
    plain = parts(Saliency(world.model).attribute(world.given, world.target, False, world.args))
    times = parts(InputXGradient(world.model).attribute(world.given, world.target, world.args))
    for n in range(world.rows):
        expected = gradients.gradient(lambda *v, n=n: world.value(v, n), world.one(n), lambda o: o)
        for i, x in enumerate(world.inputs):
            close(plain[i][n : n + 1], expected[i])
            close(times[i][n : n + 1], expected[i] * x[n : n + 1])


@given(world=worlds(), steps=st.sampled_from([1, 2, 5, 9]), cap=st.sampled_from([None, 1, 2, 7]))
@fuzzed(80)
def test_integrals_agree_with_one_example_at_a_time(world, steps, cap):
    method = IntegratedGradients(world.model)
    more = {"n_steps": steps, "return_convergence_delta": True}
    asked = {"target": world.target, "additional_forward_args": world.args, "internal_batch_size": cap, **more}
    found = quiet(lambda: method.attribute(world.given, **asked))
    together, delta = parts(found[0]), found[1]
    missed = []
    for n in range(world.rows):
        asked = {"target": world.own_target(n), "additional_forward_args": world.own_args(n) or None, **more}
        alone, error = quiet(lambda n=n, asked=asked: method.attribute(world.one(n), **asked))
        for a, b in zip(together, alone, strict=True):
            close(a[n : n + 1], b)
        start = tuple(torch.zeros_like(x) for x in world.one(n))
        change = world.value(world.one(n), n) - world.value(start, n)
        close(sum(a[n].sum() for a in together) - change, error[0])
        missed.append(error[0])
    # what mixes examples in part of a pass has one error for all of them
    close(delta, torch.stack(missed) if len(delta) == world.rows else sum(missed).reshape(1))


@given(world=worlds(dtypes=FLOATS), kind=st.sampled_from(["gradient", "integral", "ablation", "rules"]))
@fuzzed(60)
def test_dtypes(world, kind):
    """Results have the dtypes of the inputs, which may differ from each other."""
    build = {"gradient": Saliency, "integral": IntegratedGradients, "ablation": FeatureAblation, "rules": DeepLift}
    more = {"target": world.target, "additional_forward_args": world.args}
    found = parts(quiet(lambda: build[kind](world.model).attribute(world.given, **more)))
    wide = tuple(x.double() for x in world.inputs)
    exact = parts(quiet(lambda: build[kind](world.model).attribute(wide[0] if world.single else wide, **more)))
    for a, b, x in zip(found, exact, world.inputs, strict=True):
        assert a.dtype == x.dtype
        if not world.writes or kind != "rules":
            assert (a.double() - b).abs().max() <= 0.1 * (1 + b.abs().max())


@given(world=worlds(dtypes=(DOUBLE, *WHOLE)), cap=st.sampled_from([None, 1, 3]))
@fuzzed(60)
def test_ablation_takes_any_dtype(world, cap):
    found = parts(
        FeatureAblation(world.model).attribute(
            world.given, target=world.target if world.target is not None else None,
            additional_forward_args=world.args, perturbations_per_eval=cap,
        )
    )  # fmt: skip
    for n in range(world.rows):
        full = world.value(world.one(n), n)
        for i, x in enumerate(world.inputs):
            for place in range(x[n].numel()):
                changed = [v.clone() for v in world.one(n)]
                changed[i].view(-1)[place] = 0
                lost = full - world.value(tuple(changed), n)
                close(found[i][n].reshape(-1)[place], lost)


METHODS = {
    "saliency": Saliency,
    "integral": IntegratedGradients,
    "rules": DeepLift,
    "tunnel": lambda f: NoiseTunnel(Saliency(f)),
    "ablation": FeatureAblation,
    "orders": ShapleyValueSampling,
    "random": GradientShap,
}
NEEDS = {
    "random": {
        "baselines": lambda x: parts(x)[0] * 0 if not isinstance(x, tuple) else tuple(v * 0 for v in x),
        "n_samples": 3,
        "seed": 1,
    },
    "tunnel": {"nt_samples": 3, "seed": 1},
    "orders": {"n_samples": 2, "seed": 1},
}


def ask(name, world, **changed):
    arguments = {"target": world.target, "additional_forward_args": world.args, **NEEDS.get(name, {})}
    inputs = changed.pop("inputs", world.given)
    return answer(lambda: METHODS[name](world.model).attribute(inputs, **{**arguments, **changed}))


@given(world=worlds(outputs=tuple(ODD_OUTPUTS)), name=st.sampled_from(sorted(METHODS)))
@fuzzed(150)
def test_models_with_odd_outputs(world, name):
    found = ask(name, world)
    if not refused(found):
        per_output = name in {"ablation", "orders"}
        for value, x in zip(parts(found), world.inputs, strict=True):
            assert isinstance(value, torch.Tensor)
            assert per_output or value.shape == x.shape
    if world.output in {"number", "nothing", "empty", "word", "raises", "complex"} and name not in {
        "ablation",
        "orders",
    }:
        assert refused(found)
    if world.output == "constant" and not refused(found):
        assert all((v == 0).all() for v in parts(found))


@given(world=worlds(), name=st.sampled_from(sorted(METHODS)), target=odd_values())
@fuzzed(150)
def test_odd_targets(world, name, target):
    """What a target means does not depend on the method: all refuse it, or all explain the same output."""
    found = ask(name, world, target=target)
    if not refused(found) and name == "saliency":
        again = ask("integral", world, target=target, n_steps=40)
        assert not refused(again)


@given(world=worlds(outputs=("classes",)), name=st.sampled_from(sorted(METHODS)), value=odd_values())
@fuzzed(150)
def test_odd_inputs(world, name, value):
    def model(*values):
        return torch.stack([v.double().reshape(len(v), -1).sum(1) for v in values if isinstance(v, torch.Tensor)], 1)

    arguments = {"target": 0, **NEEDS.get(name, {})}
    for inputs in (value, (*world.inputs, value)):
        found = answer(lambda inputs=inputs: METHODS[name](model).attribute(inputs, **arguments))
        if not refused(found):
            for a, x in zip(parts(found), parts(inputs), strict=True):
                assert a.shape == x.shape


@given(world=worlds(), name=st.sampled_from(sorted(METHODS)), value=odd_values())
@fuzzed(80)
def test_odd_additional_arguments(world, name, value):
    """The model ignores what it does not know, so an odd argument must not matter to us either."""
    known = OUTPUTS[world.output]

    def model(*values):
        return known(
            torch.stack([v.reshape(len(v), -1).sum(1) for v in values[: len(world.inputs)]], 1)
            @ WEIGHTS[: len(world.inputs)]
        )

    arguments = {"target": world.target, **NEEDS.get(name, {})}
    expected = METHODS[name](model).attribute(world.given, **arguments)
    found = METHODS[name](model).attribute(world.given, additional_forward_args=value, **arguments)
    for a, b in zip(parts(found), parts(expected), strict=True):
        close(a, b)


WEIGHTS = torch.sin(torch.arange(18, dtype=DOUBLE)).reshape(3, 6)
