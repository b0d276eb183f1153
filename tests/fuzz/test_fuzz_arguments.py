"""One argument of a method is anything at all: the result is right in form, or there is an error of ours."""

import inspect

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.cases import CASES
from tests.fuzz.asking import Counted, Gives, answer, draw, fuzzed, odd_values, refused

HUGE = {"n_steps", "n_samples", "nt_samples", "n_repeats", "max_evals"}
"""Arguments that may ask for any amount of work; a large one is an honest wish."""


def too_much(name, value):
    return name in HUGE and isinstance(value, int) and value > 1000


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_one_odd_argument(case):
    model = case.net()
    method = case.build(model)
    names = [n for n, p in inspect.signature(method.attribute).parameters.items() if p.kind is not p.VAR_KEYWORD]
    more = ["n_steps", "abs"] if case.name.startswith("smooth") else []

    @given(name=st.sampled_from(sorted({*names, *more} - {"inputs"})), value=odd_values(), rows=st.integers(1, 3))
    @fuzzed(12)
    def run(name, value, rows):
        if too_much(name, value):
            return
        x = draw((rows, 5), 3)
        counted = Counted(model)
        arguments = {"target": 0, **case.arguments, name: Gives(value)}
        case_again(case, counted, x, arguments)

    run()


def case_again(case, counted, x, arguments):
    found = answer(lambda: case.run(counted, x, **arguments))
    if not refused(found):
        for part in found if isinstance(found, tuple) else (found,):
            assert isinstance(part, torch.Tensor)
