"""One argument of any method, metric or attack is anything at all: a result of the right form, or an error of ours."""

import inspect

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import pellucid
from pellucid import metrics, robust
from pellucid.attr import NeuronAttribution, Saliency
from tests.cases import CASES
from tests.fuzz.asking import Counted, Gives, answer, draw, fuzzed, odd_values, refused
from tests.models import mlp

MUCH = {"n_steps", "n_samples", "nt_samples", "n_repeats", "max_evals", "n_iter", "n_queries", "n_restarts", "step_num"}
MUCH |= {"num_attempts", "n_perturb_samples", "n_classes"}
"""Arguments that may ask for any amount of work; a large one is an honest wish."""


def too_much(name, value):
    return name in MUCH and isinstance(value, int) and abs(value) > 1000


def names_of(function):
    parameters = inspect.signature(function).parameters.values()
    return {p.name for p in parameters if p.kind is not p.VAR_KEYWORD} - {"self", "inputs", "show_progress", "verbose"}


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_methods(case):
    model = case.net()
    names = names_of(case.method.attribute) | ({"n_steps", "abs"} if case.name.startswith("smooth") else set())
    if "neuron_selector" in names:
        names -= {"neuron_selector", "neurons"}  # how these cases are built

    @given(name=st.sampled_from(sorted(names)), value=odd_values(), rows=st.integers(1, 3))
    @fuzzed(12)
    def run(name, value, rows):
        if too_much(name, value):
            return
        x = draw((rows, 5), 3)
        counted = Counted(lambda v, *_, **__: model(v))
        arguments = {"target": 0, **case.arguments, name: Gives(value)}  # functions of the inputs there
        found = answer(lambda: case.run(counted, x, **arguments))
        for part in found if isinstance(found, tuple) else (found,):
            assert refused(part) or isinstance(part, torch.Tensor)

    run()


WHOLE = [case for case in CASES if not issubclass(case.method, NeuronAttribution)]
"""Those of which a function's output is explained: the others look into it themselves, to find a neuron."""


@given(case=st.sampled_from(WHOLE), value=odd_values(), rows=st.integers(1, 3))
@fuzzed(40)
def test_functions_that_return_anything(case, value, rows):
    found = answer(lambda: case.run(Counted(Gives(value)), draw((rows, 5), 3), **{"target": 0, **case.arguments}))
    for part in found if isinstance(found, tuple) else (found,):
        assert refused(part) or isinstance(part, torch.Tensor)


MODEL = mlp()


class Free(nn.Module):
    """A model that ignores what it does not know."""

    def __init__(self):
        super().__init__()
        self.inner = MODEL

    def forward(self, v, *_, **__):
        return self.inner(v)


def explain(first, second=None, target=0, **_):
    """A method as metrics call it: of the inputs, or of a model and the inputs."""
    model, x = (MODEL, first) if second is None else (first, second)
    return Saliency(model).attribute(x, target=target, abs=False)


def metric_call(name):
    """A metric with arguments that fit, as a function of rows and of changes."""
    function = getattr(metrics, name)
    names = set(inspect.signature(function).parameters)
    shape = (1, 3, 3) if name == "road" else (5,)

    def fitting(rows):
        x = draw((rows, *shape), 3)
        model = (lambda v, *_: MODEL(v.flatten(1)[:, :5])) if name == "road" else Free()
        given_ = {
            "model": model,
            "forward_func": model,
            "inputs": x,
            "attributions": draw(x.shape, 7),
            "target": 0,
            "ground_truth": draw(x.shape, 9) > -0.5,
            "explanation_func": explain,
            "perturb_func": lambda v, *_: (v * 0.1, v * 0.9),
            "seed": 1,
        }
        if name == "sensitivity_max":
            del given_["perturb_func"]
        return {key: value for key, value in given_.items() if key in names}

    return function, fitting, names - {"model", "forward_func", "perturb_func", "explanation_func", "show_progress"}


@pytest.mark.parametrize("name", sorted(metrics.METRICS))
def test_metrics(name):
    function, fitting, names = metric_call(name)
    assert not refused(answer(lambda: function(**fitting(3))))

    @given(argument=st.sampled_from(sorted(names)), value=odd_values(), rows=st.integers(2, 3))
    @fuzzed(25)
    def run(argument, value, rows):
        well_formed = argument == "inputs" and isinstance(value, torch.Tensor)  # the model takes one shape only
        if not too_much(argument, value) and not well_formed:
            answer(lambda: function(**{**fitting(rows), argument: value}))

    run()


def attacks():
    """Each attack as a function of its arguments, with those that it needs."""
    few = {"target": 0, "seed": 1}
    yield "FGSM", robust.FGSM, "perturb", {"epsilon": 0.1, "target": 0}
    yield "PGD", robust.PGD, "perturb", {"radius": 0.1, "step_size": 0.05, "step_num": 2, **few}
    yield "APGD", robust.APGD, "perturb", {"radius": 0.1, "n_iter": 3, **few}
    yield "FAB", robust.FAB, "perturb", {"n_iter": 3, **few}
    yield "Square", robust.Square, "perturb", {"radius": 0.1, "n_queries": 5, **few}
    yield (
        "RobustnessEvaluator",
        robust.RobustnessEvaluator,
        "evaluate",
        {
            **{"radius": 0.1, "n_iter": 2, "n_queries": 4, "n_restarts": 1},
            **few,
        },
    )


@pytest.mark.parametrize(("build", "name", "arguments"), [a[1:] for a in attacks()], ids=[a[0] for a in attacks()])
def test_attacks(build, name, arguments):
    def ask(rows, how, more):
        return answer(lambda: getattr(build(Free(), **how), name)(draw((rows, 5), 3), **{**arguments, **more}))

    assert not refused(ask(2, {}, {}))
    here, there = names_of(build.__init__) - {"forward_func"}, names_of(getattr(build, name))

    @given(argument=st.sampled_from(sorted(here | there)), value=odd_values(), rows=st.integers(1, 3))
    @fuzzed(40)
    def run(argument, value, rows):
        if too_much(argument, value):
            return
        found = ask(rows, *(({argument: value}, {}) if argument in here else ({}, {argument: value})))
        if not refused(found) and name == "perturb":
            assert found.shape == (rows, 5)
            assert torch.isfinite(found).all()

    run()


@given(attack=st.sampled_from(list(attacks())), value=odd_values(), called=st.booleans())
@fuzzed(30)
def test_attacks_on_anything(attack, value, called):
    _, build, name, arguments = attack
    answer(lambda: getattr(build(Gives(value) if called else value), name)(draw((2, 5), 3), **arguments))


@given(name=st.sampled_from(sorted(metrics.METRICS)), value=odd_values(), called=st.booleans())
@fuzzed(30)
def test_metrics_of_any_function(name, value, called):
    function, fitting, _ = metric_call(name)
    given_ = fitting(2)
    functions = [n for n in ("model", "forward_func", "explanation_func", "perturb_func") if n in given_]
    for argument in functions:
        answer(lambda a=argument: function(**{**given_, a: Gives(value) if called else value}))


@given(
    argument=st.sampled_from(["arg_name", "arg_min", "arg_max", "arg_step", "mode", "num_attempts", "correct_fn"]),
    value=odd_values(),
)
@fuzzed(80)
def test_searches(argument, value):
    how = {"arg_name": "size", "arg_min": 0.0, "arg_max": 2.0, "arg_step": 0.5}
    counted = argument not in {"arg_name", "mode", "correct_fn"}
    if counted and isinstance(value, int | float) and (abs(value) > 100 or 0 < abs(value) < 1e-3):
        return  # an honest wish for many steps

    def attack(x, **sizes):
        return x + sum(sizes.values())

    how |= {argument: value}
    answer(lambda: robust.MinParamPerturbation(MODEL, attack, **how).evaluate(draw((2, 5), 3), target=0))


@given(argument=st.sampled_from(["methods", "metrics", "target", "inputs", "baselines", "seed"]), value=odd_values())
@fuzzed(80)
def test_comparisons(argument, value):
    given_ = {"inputs": draw((3, 5), 3), "methods": ["saliency"], "metrics": ["complexity"], "target": 0}
    parts = value if isinstance(value, tuple | list) else (value,)
    if argument == "inputs" and any(isinstance(part, torch.Tensor) for part in parts):
        return  # the model takes one shape only
    answer(lambda: pellucid.compare(Free(), **{**given_, argument: value}))
