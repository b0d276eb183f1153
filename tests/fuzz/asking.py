"""How fuzzing asks: settings, what counts as an answer, and values that nobody expects.

``PELLUCID_FUZZ=n`` draws n times as many examples, other ones each time; without it the same few are drawn.
"""

import os
import warnings

import numpy as np
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from pellucid.errors import PellucidError, PellucidWarning

MORE = int(os.environ.get("PELLUCID_FUZZ") or 0)
CALLS = 5000
"""Calls of the model at most: one that is asked for ever stops with an error that is not ours."""


def fuzzed(examples):
    """Settings of a test that draws so many examples, or so many times more by hand."""
    return settings(
        max_examples=examples * max(1, MORE),
        derandomize=not MORE,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


class BrokenError(Exception):
    """What a user's own function raises; it must arrive as it is."""


class Endless(BaseException):
    """The model was called too often."""


class Counted:
    """A function that counts its calls."""

    def __init__(self, function):
        self.function, self.calls = function, 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        if self.calls > CALLS:
            raise Endless
        return self.function(*args, **kwargs)


def answer(call):
    """The result of a call, or our error, or that of a user's function; anything else fails the test, warnings too."""
    try:
        return quiet(call)
    except (PellucidError, BrokenError) as error:
        return error


def quiet(call):
    """The result of a call without our warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PellucidWarning)
        return call()


def refused(found):
    return isinstance(found, PellucidError | BrokenError)


def draw(shape, seed=0, dtype=torch.float64):
    """Values between -1 and 1, of any dtype."""
    values = torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1
    return values.to(dtype) if dtype.is_floating_point or dtype.is_complex else (values * 3).to(dtype)


FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
WHOLE = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
RARE = (torch.complex64, torch.complex128, torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn)
SHAPES = ((), (0,), (1,), (2,), (3,), (5,), (2, 3), (1, 3), (3, 1), (0, 3), (2, 0), (2, 3, 2), (1, 1, 1, 1))


def small_shapes(least=0, most=3):
    """Shapes of one example."""
    return st.lists(st.integers(1, 3), min_size=least, max_size=most).map(tuple)


@st.composite
def odd_tensors(draw_):
    """Tensors of any dtype, with NaN, infinities, gradients and layouts."""
    dtype = draw_(st.sampled_from(FLOATS + WHOLE + RARE))
    value = draw(draw_(st.sampled_from(SHAPES)), draw_(st.integers(0, 3)), dtype)
    kind = draw_(
        st.sampled_from(("plain",) * 4 + ("nan", "inf", "sparse", "graph", "view", "inference", "meta", "huge"))
    )
    if kind in {"nan", "inf"} and value.is_floating_point() and value.numel() and dtype in FLOATS:
        value.view(-1)[0] = float(kind)
    if kind == "huge" and value.numel() and dtype not in RARE:
        value.view(-1)[0] = (
            torch.finfo(dtype).max
            if value.is_floating_point()
            else torch.iinfo(dtype).max
            if dtype != torch.bool
            else 1
        )
    if kind == "sparse" and dtype in FLOATS and value.dim():
        value = value.to_sparse()
    if kind == "graph" and value.is_floating_point() and dtype in FLOATS:
        value = value.requires_grad_() * 1
    if kind == "view":
        value = (
            value.unsqueeze(0).expand(2, *value.shape) if draw_(st.booleans()) else value.unsqueeze(0).transpose(0, -1)
        )
    if kind == "inference":
        with torch.inference_mode():
            value = value.clone()
    if kind == "meta":
        value = value.to("meta")
    return value


def odd_numbers():
    return st.one_of(
        st.sampled_from([0, 1, -1, 2, 3, 10**6, -(10**6), 2**31, 2**63, -(2**63) - 1, 10**400]),
        st.sampled_from([0.0, -0.0, 0.5, 1.0, -1.5, 1e-300, 1e300, float("nan"), float("inf"), -float("inf")]),
        st.booleans(),
        st.sampled_from([1j, np.float64(0.3), np.float32(2), np.int64(1), np.bool_(True), np.float64("nan")]),
    )


ODD_OBJECTS = [
    None,
    "",
    "zero",
    "auto",
    "\u0000\ud7ff",
    b"x",
    ...,
    object(),
    range(3),
    {},
    {"a": 1},
    set(),
    slice(None),
    slice(0, 2),
    slice(2, 0, -1),
    slice("a", None),
    slice(5, 1),
    torch.float32,
    np.zeros((2, 3)),
    np.array(1),
    np.array(["a"]),
    torch.Generator(),
    iter([1, 2]),
]


def odd_leaves():
    return st.one_of(odd_numbers(), st.sampled_from(ODD_OBJECTS), odd_tensors(), odd_functions())


def odd_values():
    """Anything at all, alone or in tuples, lists and dictionaries."""
    return st.one_of(
        odd_leaves(),
        st.recursive(
            odd_leaves(),
            lambda inner: st.one_of(
                st.lists(inner, max_size=3),
                st.lists(inner, max_size=3).map(tuple),
                st.dictionaries(st.sampled_from(["x", "y", "input_ids"]), inner, max_size=2),
            ),
            max_leaves=4,
        ),
    )


class Breaks:
    """A function that takes anything and raises."""

    def __call__(self, *args, **kwargs):
        raise BrokenError

    def __repr__(self):
        return "Breaks()"


class Gives:
    """A function that takes anything and gives always the same."""

    def __init__(self, value):
        self.value = value

    def __call__(self, *args, **kwargs):
        return self.value

    def __repr__(self):
        return f"Gives({self.value!r})"


def odd_functions():
    return st.one_of(
        st.just(Breaks()), st.one_of(odd_numbers(), odd_tensors(), st.sampled_from(ODD_OBJECTS)).map(Gives)
    )
