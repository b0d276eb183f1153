"""Normalisation against hand-computed values, a slow second implementation, and Captum."""

import numpy as np
import pytest
import torch

from pellucid.errors import InvalidTypeError, InvalidValueError
from pellucid.visualization import attribution_limit
from pellucid.visualization.normalize import (
    SIGNS,
    alpha_picture,
    choose_sign,
    masked_picture,
    normalize,
    outlier_threshold,
    sum_channels,
    to_bytes,
)


def slow_threshold(values: np.ndarray, outlier_perc: float) -> float:
    """Take the largest magnitude away, again and again, until more than the given share is gone."""
    left = [abs(float(value)) for value in values.ravel()]
    total, taken, last = sum(left), 0.0, 0.0
    while left and taken <= total * outlier_perc / 100:
        last = max(left)
        left.remove(last)
        taken += last
    return last


HAND_COMPUTED = [
    # values, sign, percentage, expected
    ([0.0, 1.0, -4.0, 2.0], "all", 0, [0.0, 0.25, -1.0, 0.5]),
    ([0.0, 1.0, -4.0, 2.0], "absolute_value", 0, [0.0, 0.25, 1.0, 0.5]),
    ([0.0, 1.0, -4.0, 2.0], "positive", 0, [0.0, 0.5, 0.0, 1.0]),
    ([0.0, 1.0, -4.0, 2.0], "negative", 0, [0.0, 0.0, 1.0, 0.0]),
    # the total is 10: the 4 makes up 40 %, 4 and 3 together 70 %
    ([1.0, 2.0, 3.0, 4.0], "absolute_value", 39, [0.25, 0.5, 0.75, 1.0]),
    ([1.0, 2.0, 3.0, 4.0], "absolute_value", 41, [1 / 3, 2 / 3, 1.0, 1.0]),
    ([1.0, 2.0, 3.0, 4.0], "absolute_value", 71, [0.5, 1.0, 1.0, 1.0]),
    ([1.0, 2.0, 3.0, 4.0], "absolute_value", 99, [1.0, 1.0, 1.0, 1.0]),
    ([2.0, 2.0, 4.0, 0.0], "absolute_value", 50, [1.0, 1.0, 1.0, 0.0]),  # 4 is half, and not more than half
    ([1.0, -2.0, 3.0, -4.0], "all", 41, [1 / 3, -2 / 3, 1.0, -1.0]),
    ([0.0, 0.0, 0.0, 0.0], "all", 2, [0.0, 0.0, 0.0, 0.0]),
    ([1.0, 2.0, 3.0, 4.0], "negative", 2, [0.0, 0.0, 0.0, 0.0]),
]


@pytest.mark.parametrize(("values", "sign", "perc", "expected"), HAND_COMPUTED)
def test_hand_computed(values: list[float], sign: str, perc: float, expected: list[float]) -> None:
    result = normalize(np.array(values).reshape(2, 2), sign, perc)
    np.testing.assert_allclose(result.ravel(), expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("perc", [0, 0.5, 2, 13.7, 50, 98.9, 99.99])
def test_threshold_is_that_of_the_slow_implementation(rng: np.random.Generator, perc: float) -> None:
    for size in (1, 2, 3, 50, 400):
        values = rng.standard_t(df=2, size=size)
        assert outlier_threshold(values, perc) == slow_threshold(values, perc)


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("perc", [0.3, 2, 30])
def test_agrees_with_captum(attr: np.ndarray, sign: str, perc: float) -> None:
    visualization = pytest.importorskip("captum.attr._utils.visualization")
    values = sum_channels(attr)
    theirs = visualization._normalize_attr(values, sign, perc)
    np.testing.assert_allclose(normalize(values, sign, perc), theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("scale", [1e-300, 1e-7, 1e5, 1e300])
def test_scale_does_not_matter(attr: np.ndarray, sign: str, scale: float) -> None:
    values = sum_channels(attr)
    np.testing.assert_allclose(normalize(values * scale, sign, 2), normalize(values, sign, 2), rtol=1e-12)


def test_no_outliers_means_the_maximum_whatever_the_rounding(rng: np.random.Generator) -> None:
    values = rng.random(10_000)
    values[17] = 1e-17  # too small to change any sum
    assert outlier_threshold(values, 0) == values.max()


def test_signs_split_the_map(attr: np.ndarray) -> None:
    positive, negative = choose_sign(attr, "positive"), choose_sign(attr, "negative")
    assert (positive >= 0).all()
    assert (negative >= 0).all()
    np.testing.assert_array_equal(positive - negative, choose_sign(attr, "all"))
    np.testing.assert_array_equal(positive + negative, choose_sign(attr, "absolute_value"))


def test_channels_are_summed_with_their_signs() -> None:
    attr = np.array([[[1.0, -3.0, 1.0], [2.0, 2.0, 2.0]]])
    np.testing.assert_array_equal(sum_channels(attr), [[-1.0, 6.0]])
    np.testing.assert_array_equal(sum_channels(np.array([[5.0]])), [[5.0]])


def test_pictures() -> None:
    picture = np.array([[[1.0, 0.5, 0.0], [0.2, 0.4, 0.6]]])
    mask = np.array([[0.5, 1.0]])
    assert to_bytes(picture).tolist() == [[[255, 128, 0], [51, 102, 153]]]
    assert masked_picture(picture, mask).tolist() == [[[128, 64, 0], [51, 102, 153]]]
    assert alpha_picture(picture, mask).tolist() == [[[255, 128, 0, 128], [51, 102, 153, 255]]]


def test_limit_of_several_maps() -> None:
    assert attribution_limit([[1.0, -2.0]], torch.tensor([[[3.0, 1.0]]], requires_grad=True)) == 4.0
    assert attribution_limit([[1.0, 2.0]], [[3.0, 4.0]], outlier_perc=41) == 3.0
    assert attribution_limit(np.zeros((2, 2))) == 1.0
    with pytest.raises(InvalidValueError, match="at least one map"):
        attribution_limit()
    with pytest.raises(InvalidValueError, match="outlier_perc is 100"):
        attribution_limit([[1.0]], outlier_perc=100)
    with pytest.raises(InvalidTypeError, match="map 1"):
        attribution_limit([[1.0]], [["a"]])
