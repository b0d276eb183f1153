"""Arguments of perturbation methods beyond masks: windows, orders, samples, groups, functions of the user's."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.attr import (
    FeaturePermutation,
    KernelShap,
    Lime,
    Occlusion,
    OwenValues,
    ShapleyInteractions,
    ShapleyValueSampling,
)
from pellucid.attr.models import SkLearnLinearRegression
from tests.fuzz.asking import answer, draw, fuzzed, odd_values, quiet, refused, small_shapes
from tests.fuzz.worlds import parts, worlds

SMALL = small_shapes(most=2)


def sums(found, n):
    return sum(a[n].sum() for a in parts(found))


def change(world, n):
    start = tuple(torch.zeros_like(x) for x in world.one(n))
    return world.value(world.one(n), n) - world.value(start, n)


def few(world, most=6):
    return sum(x[0].numel() for x in world.inputs) <= most


@given(
    world=worlds(shapes=SMALL, most_rows=2),
    build=st.sampled_from([ShapleyValueSampling, KernelShap]),
    samples=st.sampled_from([1, 2, 7, 30, 200]),
    cap=st.sampled_from([None, 1, 4]),
)
@fuzzed(80)
def test_samples_are_efficient(world, build, samples, cap):
    """Whatever is drawn: attributions sum to the difference of outputs, and do not depend on chunks."""
    asked = {"target": world.target, "additional_forward_args": world.args, "n_samples": samples, "seed": 3}
    found = answer(lambda: build(world.model).attribute(world.given, perturbations_per_eval=cap, **asked))
    if refused(found):
        assert build is KernelShap
        assert "n_samples" in str(found)
        return
    again = quiet(lambda: build(world.model).attribute(world.given, **asked))
    for n in range(world.rows):
        assert abs(sums(found, n) - change(world, n)) < 1e-8
    for a, b in zip(parts(found), parts(again), strict=True):
        assert torch.allclose(a, b, atol=1e-9)


@given(world=worlds(shapes=SMALL, most_rows=2), data=st.data(), samples=st.sampled_from([None, 1, 5]))
@fuzzed(60)
def test_any_hierarchy_is_efficient(world, data, samples):
    count = sum(x[0].numel() for x in world.inputs)
    players = data.draw(st.permutations(range(count)))

    def grouped(names):
        if len(names) < 2 or data.draw(st.integers(0, 2)) == 0:
            return tuple(names)
        cut = data.draw(st.integers(1, len(names) - 1))
        return (grouped(names[:cut]), grouped(names[cut:]))

    hierarchy = grouped(list(players))
    asked = {"target": world.target, "additional_forward_args": world.args, "n_samples": samples, "seed": 1}
    found = answer(lambda: OwenValues(world.model).attribute(world.given, hierarchy=hierarchy, **asked))
    if not refused(found):
        for n in range(world.rows):
            assert abs(sums(found, n) - change(world, n)) < 1e-8


@given(world=worlds(shapes=SMALL, most_rows=2), repeats=st.integers(1, 3))
@fuzzed(40)
def test_permuting_one_row_changes_nothing(world, repeats):
    asked = {"target": world.target, "additional_forward_args": world.args, "n_repeats": repeats, "seed": 1}
    found = answer(lambda: FeaturePermutation(world.model).attribute(world.given, **asked))
    if world.rows == 1 and not refused(found):
        assert all((a == 0).all() for a in parts(found))


BUILDS = {
    "occlusion": (Occlusion, {"sliding_window_shapes": (1,)}, ("sliding_window_shapes", "strides")),
    "orders": (
        ShapleyValueSampling,
        {"n_samples": 2},
        ("max_evals", "tolerance", "start_from", "share_ids"),
    ),
    "kernel": (KernelShap, {"n_samples": 12}, ("max_evals", "tolerance", "start_from", "return_input_shape")),
    "owen": (OwenValues, {"hierarchy": (0, 1, 2)}, ("hierarchy", "n_samples", "tolerance", "start_from")),
    "permutation": (FeaturePermutation, {}, ("perm_func", "n_repeats", "perturbations_per_eval")),
    "interactions": (ShapleyInteractions, {}, ("share_ids", "feature_mask", "baselines")),
}


@given(name=st.sampled_from(sorted(BUILDS)), value=odd_values(), which=st.integers(0, 4), rows=st.integers(1, 3))
@fuzzed(200)
def test_odd_arguments(name, value, which, rows):
    build, arguments, names = BUILDS[name]
    argument = names[which % len(names)]
    if isinstance(value, int) and value > 1000:
        return  # an honest wish for much work
    x = draw((rows, 3), 1)
    method = build(lambda v: (v**3).sum(1) + v.prod(1))
    if argument == "perm_func":
        method, more = answer(lambda: build(lambda v: v.sum(1), perm_func=value)), {}
        if refused(method):
            return
    else:
        more = {argument: value}
    found = answer(lambda: method.attribute(x, **{**arguments, **more}))
    if not refused(found) and argument not in {"return_input_shape", "index"} and name != "interactions":
        assert found.shape == x.shape


LIME = ("interpretable_model", "similarity_func", "perturb_func", "interpretable_model", "perturb_func")


@given(name=st.sampled_from(LIME), value=odd_values(), rows=st.integers(1, 2))
@fuzzed(120)
def test_odd_functions_of_lime(name, value, rows):
    x = draw((rows, 3), 1)
    method = answer(lambda: Lime(lambda v: (v**3).sum(1), **{name: value}))
    if not refused(method):
        found = answer(lambda: method.attribute(x, n_samples=8, seed=1))
        assert refused(found) or found.shape == x.shape


@given(
    shape=st.one_of(small_shapes(), st.sampled_from([(0,), (2, 0)])), rows=st.integers(1, 3), inputs=st.integers(1, 2)
)
@fuzzed(40)
def test_lime_of_any_shape(shape, rows, inputs):
    """A linear model is its own surrogate."""
    x = tuple(draw((rows, *shape), i) for i in range(inputs))
    weights = tuple(draw(shape, 5 + i) for i in range(inputs))

    def model(*values):
        return sum((v * w).reshape(len(v), w.numel()).sum(1) for v, w in zip(values, weights, strict=True)) + 1

    found = answer(lambda: Lime(model, SkLearnLinearRegression()).attribute(x, seed=1))
    if refused(found):
        assert x[0][0].numel() == 0
        return
    for a, v, w in zip(found, x, weights, strict=True):
        assert torch.allclose(a, v * w, atol=1e-6)
