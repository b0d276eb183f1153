"""Targets in every form select the same numbers as plain indexing does."""

import pytest
import torch

from pellucid._core.output import accept_target, output_tensor, select, select_output
from pellucid.attr import Saliency
from pellucid.errors import InvalidTypeError, InvalidValueError
from tests.models import DOUBLE, Output, mlp

OUT = torch.arange(24.0).reshape(2, 3, 4)
FORMS = [
    ((1, 2), OUT[:, 1, 2]),
    ((0, -1), OUT[:, 0, 3]),
    ((torch.tensor(2), 1), OUT[:, 2, 1]),
    ((1, slice(1, 3)), OUT[:, 1, 1:3].sum(1)),
    ((slice(None), slice(None)), OUT.sum((1, 2))),
    ([(0, 1), (2, 3)], torch.stack([OUT[0, 0, 1], OUT[1, 2, 3]])),
]


@pytest.mark.parametrize(("target", "expected"), FORMS)
def test_outputs_of_more_dimensions(target, expected):
    assert torch.equal(select(OUT, accept_target(target, 2)), expected)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (1, [1, 5]),
        (-1, [3, 7]),
        ((2,), [2, 6]),
        (torch.tensor(1), [1, 5]),
        (torch.tensor([3]), [3, 7]),
        (torch.tensor([0, 3]), [0, 7]),
        ([0, 3], [0, 7]),
        ([(1,), (2,)], [1, 6]),
    ],
)
def test_classes(target, expected):
    out = torch.arange(8.0).reshape(2, 4)
    assert select(out, accept_target(target, 2)).tolist() == expected


@pytest.mark.parametrize("shape", [(2,), (2, 1), (2, 1, 1)])
def test_one_value_per_example_needs_no_target(shape):
    assert select(torch.tensor([3.0, 4.0]).reshape(shape), accept_target(None, 2)).tolist() == [3, 4]


def test_a_class_map_with_trailing_ones():
    out = torch.arange(8.0).reshape(2, 4, 1, 1)
    assert select(out, accept_target(2, 2)).tolist() == [2, 6]


def test_a_scalar_output_is_one_value_for_the_batch():
    assert select(torch.tensor(5.0), accept_target(None, 2)).tolist() == [5]


def test_targets_follow_repeated_rows():
    target = accept_target([0, 3], 2).rows(torch.tensor([1]), 3)
    assert target.each.tolist() == [[3], [3], [3]]


@pytest.mark.parametrize(
    ("target", "error", "words"),
    [
        (True, InvalidTypeError, "truth value"),
        (1.0, InvalidTypeError, "float"),
        ("cat", InvalidTypeError, "str"),
        (torch.tensor([0.0, 1.0]), InvalidTypeError, "integers"),
        (torch.tensor([0, 1, 2]), InvalidValueError, "2 examples"),
        (torch.zeros(2, 1, dtype=torch.long), InvalidValueError, "shape"),
        ([0, 1, 2], InvalidValueError, "length 3"),
        ([], InvalidValueError, "length 0"),
        ([(0, 1), (0,)], InvalidValueError, "lengths"),
        ([0, 1.5], InvalidTypeError, r"target\[1\]"),
        ((0, torch.tensor(True)), InvalidTypeError, r"target\[1\].*truth value"),
    ],
)
def test_targets_that_are_refused_at_the_door(target, error, words):
    with pytest.raises(error, match=words):
        accept_target(target, 2)


@pytest.mark.parametrize(
    ("shape", "target", "words"),
    [
        ((2, 4), 4, "size 4"),
        ((2, 4), -5, "size 4"),
        ((2, 4), [0, 4], r"target\[1\]"),
        ((2, 4), (0, 1), "2 dimension"),
        ((2, 4), None, "4 values per example"),
        ((2, 3, 4), 1, "2 indices per example"),
        ((2,), 0, "target=None"),
        ((), 0, "target=None"),
        ((3, 4), [0, 1], "3 rows"),
    ],
)
def test_targets_that_do_not_fit_the_output(shape, target, words):
    with pytest.raises(InvalidValueError, match=words):
        select(torch.zeros(shape), accept_target(target, 2))


def test_the_first_floating_tensor_of_any_structure():
    ids, logits = torch.zeros(2, dtype=torch.long), torch.ones(2, 3)
    for output in (
        logits,
        (ids, logits),
        [ids, [logits]],
        {"ids": ids, "l": logits},
        Output(ids, logits),
        (None, logits),
    ):
        assert output_tensor(output) is logits


@pytest.mark.parametrize("output", [torch.zeros(2, dtype=torch.long), 3.0, None, {"a": 1}])
def test_outputs_without_a_floating_tensor(output):
    with pytest.raises(InvalidTypeError, match="floating-point outputs"):
        output_tensor(output)


def test_named_outputs():
    output = Output(torch.zeros(2), torch.ones(2))
    assert select_output(lambda: output, "logits")() is output.logits
    assert select_output(lambda: (output.ids, output.logits), 1)() is output.logits
    assert select_output(lambda: {"logits": output.logits}, "logits")() is output.logits
    for key in ("nothing", 5):
        with pytest.raises(InvalidValueError, match="no tensor there"):
            select_output(lambda: output, key)()


def test_targets_made_in_inference_mode_take_part_in_gradients(generator):
    x = torch.randn(3, 4, dtype=DOUBLE, generator=generator)
    with torch.inference_mode():
        target = torch.tensor([0, 2, 1])
    found = Saliency(mlp(4)).attribute(x, target=target)
    assert torch.equal(found, Saliency(mlp(4)).attribute(x, target=[0, 2, 1]))
