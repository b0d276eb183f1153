"""Panels of reports: signed colours, maps and bars."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from pellucid.errors import InvalidTypeError, InvalidValueError
from pellucid.visualization import draw_attribution, draw_bars, heat_map_rgba, png_bytes, signed_colormap

# One row for each of red, green and blue, in linear light: what remains of a colour for a reader without
# the cones for long, or for medium wavelengths (Machado, Oliveira and Fernandes, 2009, severity 1).
PROTANOPIA = [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
]
DEUTERANOPIA = [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.011820, 0.042940, 0.968881],
]


def linear_light(rgb: np.ndarray) -> np.ndarray:
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lightness(rgb: np.ndarray) -> np.ndarray:
    """CIE L*, from 0 to 100."""
    return 116 * np.cbrt(linear_light(rgb) @ [0.2126, 0.7152, 0.0722]) - 16


@pytest.fixture
def axis() -> plt.Axes:
    return Figure(layout="tight").subplots()


def test_colormap_is_symmetric_in_lightness_and_white_at_zero() -> None:
    colours = signed_colormap()(np.linspace(0, 1, 257))[:, :3]
    assert colours[128].tolist() == [1, 1, 1]
    light = lightness(colours)
    np.testing.assert_allclose(light, light[::-1], atol=0.6)
    assert (np.diff(light[:129]) > 0).all()
    assert colours[0, 2] > colours[0, 0]  # blue below zero
    assert colours[-1, 0] > colours[-1, 2]  # orange above


@pytest.mark.parametrize("vision", [np.eye(3), PROTANOPIA, DEUTERANOPIA])
def test_signs_stay_apart_for_colour_blind_readers(vision: Any) -> None:
    colours = linear_light(signed_colormap()([0.0, 0.25, 0.75, 1.0])[:, :3]) @ np.asarray(vision).T
    yellowness = colours[:, :2].mean(axis=1) - colours[:, 2]
    assert (yellowness[:2] < -0.15).all()
    assert (yellowness[2:] > 0.05).all()


def test_rgba_is_symmetric_and_linear_in_the_table() -> None:
    table = np.round(255 * np.asarray(signed_colormap()(np.arange(257)))).astype(np.uint8)
    rgba = heat_map_rgba(np.array([[-4.0, -2.0, 0.0], [1.0, 2.0, 8.0]]), limit=4.0)
    assert rgba.dtype == np.uint8
    assert rgba.shape == (2, 3, 4)
    np.testing.assert_array_equal(rgba.reshape(6, 4), table[[0, 64, 128, 160, 192, 256]])


def test_rgba_sums_channels_and_takes_tensors() -> None:
    values = torch.tensor([[[1.0, 1.0], [-1.0, -3.0]]], requires_grad=True)
    np.testing.assert_array_equal(heat_map_rgba(values), heat_map_rgba(np.array([[2.0, -4.0]])))


def test_rgba_in_other_colours() -> None:
    gray = heat_map_rgba(np.array([[-1.0, 0.0, 1.0]]), limit=1, colormap="gray")
    assert gray[0, :, 0].tolist() == [0, 128, 255]
    same = heat_map_rgba(np.array([[-1.0, 0.0, 1.0]]), limit=1, colormap=plt.get_cmap("gray"))
    np.testing.assert_array_equal(gray, same)


def test_rgba_of_zeros_is_white() -> None:
    assert (heat_map_rgba(np.zeros((2, 3))) == 255).all()


REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"limit": 0}, InvalidValueError, "limit is 0"),
    ({"limit": -1.0}, InvalidValueError, "positive"),
    ({"limit": float("nan")}, InvalidValueError, "limit is nan"),
    ({"limit": "1"}, InvalidTypeError, "limit"),
    ({"colormap": "sgined"}, InvalidValueError, "sgined"),
    ({"colormap": 1}, InvalidTypeError, "colormap"),
    ({"values": [[float("nan")]]}, InvalidValueError, "NaN"),
    ({"values": np.zeros((3, 8, 8))}, InvalidValueError, "permute"),
]


@pytest.mark.parametrize(("change", "error", "words"), REFUSED)
def test_rgba_refusals(change: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        heat_map_rgba(**({"values": np.eye(2)} | change))


def test_map_in_the_unit_of_the_attributions(axis: plt.Axes, attr: np.ndarray) -> None:
    heat_map = draw_attribution(axis, attr, limit=2.5, title="logit")
    np.testing.assert_array_equal(heat_map.get_array(), attr.sum(axis=2))
    assert heat_map.get_clim() == (-2.5, 2.5)
    assert heat_map.get_cmap().name == "pellucid_signed"
    assert axis.get_title() == "logit"
    bar = heat_map.colorbar
    assert bar.ax.get_xlabel() == "attribution"
    assert bar.extend == "both"
    assert [label.get_text() for label in bar.ax.get_xticklabels()] == ["\N{MINUS SIGN}2.5", "0", "+2.5"]
    assert all(spine.get_visible() for spine in axis.spines.values())


def test_equal_figures_have_equal_bytes(attr: np.ndarray) -> None:
    figures = [Figure(layout="tight") for _ in range(2)]
    for figure in figures:
        draw_attribution(figure.subplots(), attr)
    first, second = (png_bytes(figure, dpi=40) for figure in figures)
    assert first == second
    assert b"matplotlib" not in first


@pytest.mark.parametrize(("values", "extend"), [([-1.0, 1.0], "neither"), ([-3.0, 1.0], "min"), ([-1.0, 3.0], "max")])
def test_colour_bar_says_what_is_beyond_it(axis: plt.Axes, values: list[float], extend: str) -> None:
    assert draw_attribution(axis, [values], limit=2).colorbar.extend == extend


def test_map_over_an_image(axis: plt.Axes, photo: np.ndarray, attr: np.ndarray) -> None:
    heat_map = draw_attribution(axis, attr, limit=4.0, image=photo)
    grey, top = axis.images
    assert top is heat_map
    np.testing.assert_allclose(grey.get_array(), 0.6 + 0.4 * photo.mean(axis=2) / 255)
    np.testing.assert_allclose(top.get_alpha(), np.sqrt(np.minimum(np.abs(attr.sum(axis=2)) / 4, 1)))


def test_map_of_zeros(axis: plt.Axes) -> None:
    draw_attribution(axis, np.zeros((3, 3)))
    assert [text.get_text() for text in axis.texts] == ["all attributions are zero"]


def test_map_refusals_leave_the_axis_as_it_was(axis: plt.Axes, photo: np.ndarray, attr: np.ndarray) -> None:
    for change, words in (
        ({"limit": 0}, "limit"),
        ({"image": photo[1:]}, "same pixels"),
        ({"image": attr}, "image"),
    ):
        with pytest.raises(InvalidValueError, match=words):
            draw_attribution(axis, attr, **change)
    assert not axis.images
    assert len(axis.get_xticks()) > 0


def rows(axis: plt.Axes, bars: Any) -> dict[str, float]:
    names = [label.get_text() for label in axis.get_yticklabels()]
    return dict(zip(names, (float(bar.get_width()) for bar in bars), strict=True))


def test_bars_by_magnitude_with_the_rest_summed(axis: plt.Axes) -> None:
    values = torch.tensor([0.5, -3.0, 0.25, 2.0, -1.0], dtype=torch.float64, requires_grad=True)
    bars = draw_bars(axis, values, ["a", "b", "c", "d", "e"], top=2, title="table")
    result = rows(axis, bars)
    assert list(result.items()) == [("b", -3.0), ("d", 2.0), ("3 others", -0.25)]
    assert sum(result.values()) == values.sum()
    assert axis.yaxis.get_inverted()
    low, high = axis.get_xlim()
    assert -low == high > 3
    assert axis.get_title() == "table"
    assert [text.get_text() for text in axis.texts] == ["\N{MINUS SIGN}3", "+2", "\N{MINUS SIGN}0.25"]
    blue, orange = bars[0].get_facecolor(), bars[1].get_facecolor()
    assert blue[2] > blue[0]
    assert orange[0] > orange[2]


def test_bars_without_a_rest(axis: plt.Axes) -> None:
    assert rows(axis, draw_bars(axis, [1.0, -2.0], ["a", "b"])) == {"b": -2.0, "a": 1.0}


def test_one_bar_left_over(axis: plt.Axes) -> None:
    assert rows(axis, draw_bars(axis, [1.0, -2.0], ["a", "b"], top=1)) == {"b": -2.0, "1 other": 1.0}


def test_bars_share_a_limit() -> None:
    left, right = Figure().subplots(1, 2)
    draw_bars(left, [1.0, -2.0], ["a", "b"], limit=10)
    draw_bars(right, [9.0, 0.1], ["a", "b"], limit=10)
    assert left.get_xlim() == right.get_xlim()
    assert right.get_xlim()[1] >= 10


def test_bars_of_zeros(axis: plt.Axes) -> None:
    draw_bars(axis, [0.0, 0.0], ["a", "b"])
    assert "all attributions are zero" in [text.get_text() for text in axis.texts]


BAD_BARS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"values": [[1.0, 2.0]]}, InvalidValueError, "one example"),
    ({"values": [1.0, float("inf")]}, InvalidValueError, "infinite"),
    ({"names": ["a"]}, InvalidValueError, "names is a list of 1, but there are 2 values"),
    ({"names": "ab"}, InvalidValueError, "names"),
    ({"top": 0}, InvalidValueError, "top is 0"),
    ({"top": 2.0}, InvalidTypeError, "top"),
    ({"limit": -2}, InvalidValueError, "limit"),
]


@pytest.mark.parametrize(("change", "error", "words"), BAD_BARS)
def test_bar_refusals(axis: plt.Axes, change: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        draw_bars(axis, **({"values": [1.0, 2.0], "names": ["a", "b"]} | change))
    assert not axis.patches
