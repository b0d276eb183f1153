"""Every bad argument is refused with words that help, and before there is a figure."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from pellucid.errors import InvalidTypeError, InvalidValueError
from pellucid.visualization import visualize_image_attr, visualize_image_attr_multiple

ATTR = np.linspace(-1, 1, 5 * 7 * 3).reshape(5, 7, 3)
IMAGE = np.linspace(0, 1, 5 * 7 * 3).reshape(5, 7, 3)
FIRST = ATTR.transpose(2, 0, 1)
NAN = np.where(ATTR > 0.9, np.nan, ATTR)
INF = np.where(ATTR > 0.9, np.inf, ATTR)
NORMALIZED = (IMAGE - 0.45) / 0.22
BLENDED = {"method": "blended_heat_map"}
DRAWN = {"method": "original_image"}

SINGLE: list[tuple[dict[str, Any], type[Exception], list[str]]] = [
    ({"method": "heatmap"}, InvalidValueError, ["method", "'heatmap'", "'heat_map'", "'alpha_scaling'"]),
    ({"method": None}, InvalidValueError, ["method", "None", "'heat_map'"]),
    ({"sign": "both"}, InvalidValueError, ["sign", "'both'", "'absolute_value'"]),
    (
        {"method": "masked_image", "sign": "all"},
        InvalidValueError,
        ["sign", "'all'", "masked_image", "'positive'"],
    ),
    ({"method": "alpha_scaling", "sign": "all"}, InvalidValueError, ["sign", "alpha_scaling", "magnitudes"]),
    ({"outlier_perc": -0.1}, InvalidValueError, ["outlier_perc", "-0.1", "from 0 to below 100"]),
    ({"outlier_perc": 100}, InvalidValueError, ["outlier_perc", "100"]),
    ({"outlier_perc": float("nan")}, InvalidValueError, ["outlier_perc", "nan"]),
    ({"outlier_perc": "2"}, InvalidTypeError, ["outlier_perc", "str"]),
    ({"outlier_perc": True}, InvalidTypeError, ["outlier_perc", "bool"]),
    ({"alpha_overlay": 1.01}, InvalidValueError, ["alpha_overlay", "1.01", "from 0 to 1"]),
    ({"alpha_overlay": None}, InvalidTypeError, ["alpha_overlay", "NoneType"]),
    ({"cmap": "no such map"}, InvalidValueError, ["cmap", "'no such map'", "viridis"]),
    ({"cmap": 3}, InvalidTypeError, ["cmap", "int"]),
    ({"fig_size": (6, 0)}, InvalidValueError, ["fig_size", "(6, 0)", "inches"]),
    ({"fig_size": 6}, InvalidValueError, ["fig_size", "width, height"]),
    ({"fig_size": ("a", "b")}, InvalidValueError, ["fig_size"]),
    ({"plt_fig_axis": Figure()}, InvalidTypeError, ["plt_fig_axis", "Figure", "(figure, axis)"]),
    ({"plt_fig_axis": (Figure(), Figure())}, InvalidTypeError, ["plt_fig_axis", "tuple"]),
    ({"attr": None}, InvalidTypeError, ["attr", "None"]),
    ({"attr": NAN}, InvalidValueError, ["attr", "6 of 105", "NaN"]),
    ({"attr": INF}, InvalidValueError, ["attr", "infinite"]),
    ({"attr": torch.tensor(NAN)}, InvalidValueError, ["attr", "NaN"]),
    ({"attr": np.full((2, 2, 3), 1e308)}, InvalidValueError, ["attr", "overflow"]),
    ({"attr": np.array([[[1e308, 1e308, -1e308]]])}, InvalidValueError, ["attr", "overflow"]),
    ({"attr": FIRST}, InvalidValueError, ["attr", "(3, 5, 7)", "permute(1, 2, 0)", "transpose(1, 2, 0)"]),
    ({"attr": FIRST[:1]}, InvalidValueError, ["attr", "(1, 5, 7)", "channels"]),
    (
        {"attr": torch.tensor(FIRST)[None]},
        InvalidValueError,
        ["attr", "(1, 3, 5, 7)", "attr[0].permute(1, 2, 0)"],
    ),
    ({"attr": ATTR[0, 0]}, InvalidValueError, ["attr", "(3,)", "(H, W, C)"]),
    ({"attr": np.zeros((0, 4))}, InvalidValueError, ["attr", "empty"]),
    ({"attr": "saliency.npy"}, InvalidTypeError, ["attr", "str", "real numbers"]),
    ({"attr": ATTR * 1j}, InvalidTypeError, ["attr", "complex"]),
    ({"attr": torch.tensor(ATTR * 1j, requires_grad=True)}, InvalidTypeError, ["attr", "complex"]),
    ({"attr": [[1.0], [1.0, 2.0]]}, InvalidTypeError, ["attr", "list"]),
    ({"original_image": IMAGE[:4]}, InvalidValueError, ["attr", "(5, 7, 3)", "(4, 7, 3)", "same pixels"]),
    ({"attr": ATTR[..., :2]}, InvalidValueError, ["attr", "(5, 7, 2)", "(5, 7, 3)"]),
    (
        {"attr": np.zeros((3, 2, 2)), "original_image": np.zeros((2, 2, 3))},
        InvalidValueError,
        ["permute(1, 2, 0)"],
    ),
    ({"original_image": None, **BLENDED}, InvalidValueError, ["original_image", "None", "blended_heat_map"]),
    ({"original_image": None, **DRAWN}, InvalidValueError, ["original_image", "None"]),
    ({"original_image": IMAGE.transpose(2, 0, 1)}, InvalidValueError, ["original_image", "permute(1, 2, 0)"]),
    ({"original_image": np.zeros((1, 2, 2))}, InvalidValueError, ["original_image", "permute(1, 2, 0)"]),
    (
        {"original_image": np.zeros((5, 7, 4))},
        InvalidValueError,
        ["original_image", "4", "original_image[..., :3]"],
    ),
    ({"original_image": NAN, **DRAWN}, InvalidValueError, ["original_image", "NaN"]),
    (
        {"original_image": NORMALIZED, **DRAWN},
        InvalidValueError,
        ["original_image", "-2.045 to 2.5", "denormalize"],
    ),
    ({"original_image": IMAGE * 200 + 0.1, **BLENDED}, InvalidValueError, ["original_image", "denormalize"]),
    (
        {"original_image": np.full((5, 7), 256), **DRAWN},
        InvalidValueError,
        ["original_image", "256", "0 to 255"],
    ),
    (
        {"original_image": np.full((5, 7), -1), **DRAWN},
        InvalidValueError,
        ["original_image", "-1", "denormalize"],
    ),
]

DENORMALIZE: list[tuple[Any, type[Exception], list[str]]] = [
    ("imagenet", InvalidTypeError, ["denormalize", "str", "(mean, std)"]),
    ((0.5,), InvalidTypeError, ["denormalize", "pair"]),
    (0.5, InvalidTypeError, ["denormalize", "float"]),
    (([0.4, 0.5], 0.2), InvalidValueError, ["the mean of denormalize", "2 numbers", "3 channels"]),
    ((0.4, [0.2, 0.2]), InvalidValueError, ["the std of denormalize", "one per channel"]),
    (("a", 1.0), InvalidTypeError, ["the mean of denormalize"]),
    ((0.4, float("nan")), InvalidValueError, ["the std of denormalize", "NaN"]),
    ((0.0, 1.0), InvalidValueError, ["original_image after denormalize", "-2.045 to 2.5"]),
    ((0.45, 0.5), InvalidValueError, ["original_image after denormalize"]),
    (lambda image: image[0], InvalidValueError, ["denormalize", "(7, 3)", "keeps the shape"]),
    (lambda image: image * np.inf, InvalidValueError, ["denormalize", "infinite"]),
]

MULTIPLE: list[tuple[dict[str, Any], type[Exception], list[str]]] = [
    ({"signs": ["all"]}, InvalidValueError, ["signs", "1", "methods has 2", "same length"]),
    ({"titles": ["a"]}, InvalidValueError, ["titles", "same length"]),
    ({"titles": "ab"}, InvalidTypeError, ["titles", "list"]),
    ({"methods": "heat_map"}, InvalidTypeError, ["methods", "'heat_map'", "['heat_map']"]),
    ({"methods": [], "signs": []}, InvalidValueError, ["methods", "empty", "heat_map"]),
    ({"methods": ["heat_map", "mask"]}, InvalidValueError, ["method", "'mask'"]),
    ({"signs": ["all", "none"]}, InvalidValueError, ["sign", "'none'"]),
    ({"methods": ["heat_map", "masked_image"]}, InvalidValueError, ["'all'", "masked_image"]),
    ({"colour": 1}, InvalidTypeError, ["colour", "outlier_perc", "denormalize"]),
    ({"title": "a"}, InvalidTypeError, ["title"]),
    ({"outlier_perc": 101}, InvalidValueError, ["outlier_perc"]),
    ({"original_image": None}, InvalidValueError, ["original_image"]),
    ({"fig_size": (0, 0)}, InvalidValueError, ["fig_size"]),
]


def refused(call: Any, arguments: dict[str, Any], error: type[Exception], words: list[str]) -> None:
    with pytest.raises(error) as caught:
        call(**arguments)
    message = str(caught.value)
    assert [word for word in words if word not in message] == [], message
    assert plt.get_fignums() == []


@pytest.mark.parametrize(("change", "error", "words"), SINGLE)
@pytest.mark.parametrize("use_pyplot", [True, False])
def test_single(change: dict[str, Any], error: type[Exception], words: list[str], use_pyplot: bool) -> None:
    arguments = {"attr": ATTR, "original_image": IMAGE, "use_pyplot": use_pyplot} | change
    refused(visualize_image_attr, arguments, error, words)


@pytest.mark.parametrize(("denormalize", "error", "words"), DENORMALIZE)
def test_denormalize(denormalize: Any, error: type[Exception], words: list[str]) -> None:
    arguments = {
        "attr": ATTR,
        "original_image": NORMALIZED,
        "method": "original_image",
        "denormalize": denormalize,
    }
    refused(visualize_image_attr, arguments, error, words)


@pytest.mark.parametrize(("change", "error", "words"), MULTIPLE)
def test_multiple(change: dict[str, Any], error: type[Exception], words: list[str]) -> None:
    methods, signs = ["original_image", "heat_map"], ["all", "all"]
    arguments = {"attr": ATTR, "original_image": IMAGE, "methods": methods, "signs": signs} | change
    refused(visualize_image_attr_multiple, arguments, error, words)


def test_denormalize_is_a_keyword() -> None:
    with pytest.raises(TypeError, match="positional"):
        visualize_image_attr(ATTR, None, "heat_map", "all", None, 2, None, 0.5, False, None, (6, 6), False, None)
