"""Short formulas for speeds give what torch's own forward formulas give."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pellucid._core.speeds import apart, dual, moved, moves, moving_values, speed_of
from tests.models import DOUBLE


def draw(*shape):
    return torch.randn(*shape, dtype=DOUBLE)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(3)
    with torch.random.fork_rng(), moving_values():
        yield


def moving(*shape):
    return dual(draw(*shape), draw(*shape))


CALLS = {
    "linear": lambda: (F.linear, (moving(3, 5), draw(4, 5), draw(4)), {}),
    "linear without bias": lambda: (F.linear, (moving(3, 2, 5), draw(4, 5)), {}),
    "linear, bias by name": lambda: (F.linear, (moving(5), draw(4, 5)), {"bias": draw(4)}),
    "linear with parameters": lambda: (F.linear, (moving(3, 5), nn.Parameter(draw(4, 5)), nn.Parameter(draw(4))), {}),
    "conv1d": lambda: (torch.conv1d, (moving(3, 2, 9), draw(4, 2, 3), draw(4), 2, 1, 2), {}),
    "conv2d": lambda: (torch.conv2d, (moving(3, 4, 6, 5), draw(4, 2, 3, 3), draw(4), 1, "same"), {"groups": 2}),
    "conv3d": lambda: (torch.conv3d, (moving(2, 1, 4, 4, 3), draw(2, 1, 3, 3, 3)), {"bias": draw(2), "padding": 1}),
    "transposed 1d": lambda: (torch.conv_transpose1d, (moving(3, 2, 4), draw(2, 3, 3), draw(3), 2), {}),
    "transposed 2d": lambda: (torch.conv_transpose2d, (moving(3, 2, 4, 4), draw(2, 3, 3, 3), draw(3)), {"stride": 2}),
    "transposed 3d": lambda: (torch.conv_transpose3d, (moving(1, 2, 3, 3, 3), draw(2, 1, 2, 2, 2)), {}),
    "matmul": lambda: (torch.matmul, (moving(3, 2, 5), draw(5, 4)), {}),
    "matmul, second": lambda: (torch.Tensor.__matmul__, (draw(4, 5), moving(3, 5, 2)), {}),
    "matmul of vectors": lambda: (torch.Tensor.matmul, (moving(5), draw(5)), {}),
    "mm": lambda: (torch.mm, (draw(4, 5), moving(5, 2)), {}),
    "bmm": lambda: (torch.Tensor.bmm, (moving(3, 4, 5), draw(3, 5, 2)), {}),
    "batch norm": lambda: (
        torch.batch_norm,
        (moving(3, 4, 2), draw(4), draw(4), draw(4), draw(4).exp(), False, 0.1, 1e-3, False),
        {},
    ),
    "batch norm without weights": lambda: (
        torch.batch_norm,
        (moving(3, 4), None, None, draw(4), draw(4).exp(), False, 0.1, 1e-3, False),
        {},
    ),
    "layer norm": lambda: (torch.layer_norm, (moving(3, 4, 5), [4, 5], draw(4, 5), draw(4, 5), 1e-2, False), {}),
    "layer norm without weights": lambda: (torch.layer_norm, (moving(3, 4, 5), [5], None, None, 1e-2), {}),
}


@pytest.mark.parametrize("name", CALLS)
def test_values_and_speeds_are_torchs(name):
    function, args, kwargs = CALLS[name]()
    found, expected = moved(function, args, kwargs), function(*args, **kwargs)
    assert torch.equal(apart(found)[0], apart(expected)[0])
    assert torch.allclose(speed_of(found), speed_of(expected), rtol=1e-12, atol=1e-12)


OTHERS = {
    "a function without a formula": lambda: (torch.cos, (moving(3),), {}),
    "nothing moves": lambda: (F.linear, (draw(3, 5), draw(4, 5)), {}),
    "both move": lambda: (torch.matmul, (moving(3, 5), moving(5, 2)), {}),
    "the weight moves": lambda: (F.linear, (draw(3, 5), moving(4, 5)), {}),
    "the bias moves too": lambda: (F.linear, (moving(3, 5), draw(4, 5)), {"bias": moving(4)}),
    "by keyword": lambda: (F.linear, (), {"input": moving(3, 5), "weight": draw(4, 5)}),
    "statistics of the batch": lambda: (
        torch.batch_norm,
        (moving(3, 4), None, None, draw(4), draw(4).exp(), True, 0.1, 1e-3, False),
        {},
    ),
    "statistics that are not kept": lambda: (
        torch.batch_norm,
        (moving(3, 4), None, None, None, None, False, 0.1, 1e-3, False),
        {},
    ),
    "layer norm with its default eps": lambda: (torch.layer_norm, (moving(3, 5), [5]), {}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_all_other_calls_are_left_to_torch(name):
    assert moved(*OTHERS[name]()) is None


def test_a_speed_has_the_dtype_of_its_value():
    x = dual(draw(3, 5).bfloat16(), draw(3, 5).bfloat16())
    found = moved(torch.layer_norm, (x, [5], None, None, 1e-3), {})
    assert speed_of(found).dtype == found.dtype == torch.bfloat16


def test_what_moves_is_found_in_nested_values():
    assert moves({"a": [draw(2), (moving(2),)]})
    assert not moves([draw(2), 3, None])
