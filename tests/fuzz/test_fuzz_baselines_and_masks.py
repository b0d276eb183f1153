"""Baselines and feature masks of all forms, against one coalition at a time."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.attr import DeepLift, FeatureAblation, IntegratedGradients, KernelShap, Occlusion, ShapleyValues
from tests.fuzz.asking import WHOLE, answer, draw, fuzzed, odd_values, quiet, refused, small_shapes
from tests.fuzz.worlds import baselines_for, parts, worlds
from tests.models import DOUBLE
from tests.reference import games


def close(found, expected):
    assert found.shape == expected.shape
    assert torch.allclose(found.double(), expected.double(), atol=1e-9, rtol=1e-9)


@st.composite
def masks_for(draw_, world, most=5):
    """Masks that broadcast to the inputs, and the ids of each value, (N, ...) for each input."""
    if draw_(st.integers(0, 5)) == 0 and sum(x[0].numel() for x in world.inputs) <= most:
        ids = torch.arange(most).split(
            [x[0].numel() for x in world.inputs] + [most - sum(x[0].numel() for x in world.inputs)]
        )
        return None, tuple(i.reshape(x.shape[1:]).expand_as(x) for i, x in zip(ids, world.inputs, strict=False))
    given, full = [], []
    offset = draw_(st.sampled_from([0, -3, 1000, 2**40]))
    for x in world.inputs:
        shape = [draw_(st.sampled_from([1, size])) for size in x.shape]
        keep = draw_(st.integers(0, x.dim() - 1)) if x.dim() > 1 else 0
        shape = shape[keep:] if all(s == 1 for s in shape[:keep]) else shape
        count = torch.Size(shape).numel()
        values = draw_(st.lists(st.integers(0, most - 1), min_size=count, max_size=count))
        mask = torch.tensor(values, dtype=torch.long).reshape(shape) + offset
        given.append(mask if draw_(st.booleans()) or offset == 2**40 or offset == 1000 else mask.to(torch.int16))
        full.append(mask.expand_as(x))
    return (given[0] if world.single else tuple(given)), tuple(full)


@st.composite
def games_of(draw_, dtypes=(DOUBLE,)):
    world = draw_(worlds(dtypes=dtypes, shapes=small_shapes(most=2), most_rows=2))
    baselines, starts = draw_(baselines_for(world))
    mask, ids = draw_(masks_for(world))
    return world, baselines, starts, mask, ids


def value_of(world, starts, ids, n):
    """The value of a coalition of ids for example n: other features are at their baselines."""
    names = sorted({int(i) for part in ids for i in part[n].flatten()})

    def value(members):
        kept = {names[m] for m in members}
        parts = []
        for x, start, own in zip(world.inputs, starts, ids, strict=True):
            there = torch.tensor([int(i) in kept for i in own[n].flatten()], dtype=torch.bool).reshape(own[n].shape)
            parts.append(torch.where(there, x[n], start[n])[None])
        return world.value(tuple(parts), n)

    return names, value


def spread(names, per_feature, ids, n):
    place = {name: i for i, name in enumerate(names)}
    return [per_feature[[place[int(i)] for i in own[n].flatten()]].reshape(own[n].shape) for own in ids]


@given(game=games_of(), cap=st.sampled_from([None, 1, 2, 5]))
@fuzzed(60)
def test_shapley_values_are_those_of_the_definition(game, cap):
    world, baselines, starts, mask, ids = game
    asked = {"target": world.target, "additional_forward_args": world.args, "baselines": baselines}
    asked |= {"feature_mask": mask, "perturbations_per_eval": cap}
    found = parts(quiet(lambda: ShapleyValues(world.model).attribute(world.given, **asked)))
    solved = parts(quiet(lambda: KernelShap(world.model).attribute(world.given, n_samples=64, seed=1, **asked)))
    for n in range(world.rows):
        names, value = value_of(world, starts, ids, n)
        expected = spread(names, games.shapley_values(value, len(names)), ids, n)
        for a, b, c in zip(found, solved, expected, strict=True):
            close(a[n], c)
            assert torch.allclose(b[n], c, atol=1e-6)


@given(game=games_of(dtypes=(DOUBLE, *WHOLE)), cap=st.sampled_from([None, 1, 2, 5]))
@fuzzed(60)
def test_ablation_leaves_one_feature_out(game, cap):
    world, baselines, starts, mask, ids = game
    asked = {"target": world.target, "additional_forward_args": world.args, "baselines": baselines}
    asked |= {"feature_mask": mask, "perturbations_per_eval": cap}
    found = answer(lambda: FeatureAblation(world.model).attribute(world.given, **asked))
    if refused(found):
        assert "whole numbers" in str(found)
        return
    for n in range(world.rows):
        names, value = value_of(world, starts, ids, n)
        everyone = range(len(names))
        lost = [value(everyone) - value([m for m in everyone if m != i]) for i in everyone]
        for a, b in zip(parts(found), spread(names, torch.stack(lost), ids, n), strict=True):
            close(a[n], b)


@given(world=worlds(), data=st.data())
@fuzzed(60)
def test_completeness_from_any_baseline(world, data):
    baselines, starts = data.draw(baselines_for(world))
    asked = {"target": world.target, "additional_forward_args": world.args, "baselines": baselines}
    for method in (IntegratedGradients(world.model), DeepLift(world.model)):
        found, delta = quiet(lambda m=method: m.attribute(world.given, return_convergence_delta=True, **asked))
        for n in range(world.rows):
            change = world.value(world.one(n), n) - world.value(tuple(s[n : n + 1] for s in starts), n)
            sums = sum(a[n].sum() for a in parts(found))
            if len(delta) == world.rows:
                close(sums - change, delta[n])
            assert abs(sums - change) <= 1e-3 * (1 + abs(change))  # of 50 steps over kinks


@given(world=worlds(shapes=small_shapes(most=2)), data=st.data(), cap=st.sampled_from([None, 1, 3]))
@fuzzed(60)
def test_windows_are_those_of_the_definition(world, data, cap):
    baselines, starts = data.draw(baselines_for(world))
    windows = [tuple(data.draw(st.integers(1, size)) for size in x.shape[1:]) for x in world.inputs]
    strides = [tuple(data.draw(st.integers(1, width)) for width in window) for window in windows]
    single = world.single
    found = quiet(
        lambda: Occlusion(world.model).attribute(
            world.given, windows[0] if single else tuple(windows), strides[0] if single else tuple(strides), baselines,
            target=world.target, additional_forward_args=world.args, perturbations_per_eval=cap,
        )
    )  # fmt: skip
    for n in range(world.rows):
        for i, (a, start) in enumerate(zip(parts(found), starts, strict=True)):

            def alone(v, i=i, n=n):
                rows = world.one(n)
                return world.value((*rows[:i], v, *rows[i + 1 :]), n).reshape(1)

            x = world.inputs[i][n : n + 1]
            close(a[n : n + 1], games.occlusion(alone, x, start[n : n + 1], windows[i], strides[i]))


@given(world=worlds(), value=odd_values(), method=st.sampled_from([IntegratedGradients, DeepLift, FeatureAblation]))
@fuzzed(100)
def test_odd_baselines(world, value, method):
    asked = {"target": world.target, "additional_forward_args": world.args}
    for baselines in (
        value,
        tuple(value for _ in world.inputs),
        (*(draw(x.shape, 4) for x in world.inputs[1:]), value),
    ):
        found = answer(lambda b=baselines: method(world.model).attribute(world.given, baselines=b, **asked))
        for a, x in zip(parts(found), world.inputs, strict=False):
            assert refused(found) or a.shape == x.shape


@given(world=worlds(), value=odd_values(), method=st.sampled_from([ShapleyValues, KernelShap, FeatureAblation]))
@fuzzed(100)
def test_odd_masks(world, value, method):
    asked = {"target": world.target, "additional_forward_args": world.args}
    for mask in (value, tuple(value for _ in world.inputs)):
        found = answer(lambda m=mask: method(world.model).attribute(world.given, feature_mask=m, **asked))
        for a, x in zip(parts(found), world.inputs, strict=False):
            assert refused(found) or a.shape == x.shape
