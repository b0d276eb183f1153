"""Series: what is drawn where, on which scale, and what is refused."""

from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from pellucid.errors import InvalidTypeError, InvalidValueError
from pellucid.visualization import draw_series, visualize_timeseries_attr
from pellucid.visualization.normalize import SIGNS
from pellucid.visualization.timeseries import SERIES_METHODS

RNG = np.random.default_rng(3)
ATTR, DATA = RNG.standard_t(3, size=(40, 3)), RNG.normal(size=(40, 3)) + 50


def stripes(axis: plt.Axes) -> np.ndarray:
    return np.asarray(axis.collections[0].get_array()).ravel()


def drawn(method: str, sign: str = "all", **options: Any) -> list[plt.Axes]:
    _, axes = visualize_timeseries_attr(ATTR, DATA, method=method, sign=sign, use_pyplot=False, **options)
    return axes if isinstance(axes, list) else [axes]


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("method", SERIES_METHODS)
def test_colours_are_those_of_captum(method: str, sign: str, monkeypatch: pytest.MonkeyPatch) -> None:
    captum = pytest.importorskip("captum.attr").visualization
    monkeypatch.setattr(mpl.cm, "get_cmap", mpl.colormaps.__getitem__, raising=False)  # what it lacks since 3.9
    _, theirs = captum.visualize_timeseries_attr(
        ATTR,
        DATA,
        method=method,
        sign=sign,
        outlier_perc=5,
        cmap="viridis",
        use_pyplot=False,
        channel_labels=list("abc"),
    )
    for their, our in zip(np.ravel(theirs), drawn(method, sign, outlier_perc=5, cmap="viridis"), strict=True):
        found = our.collections[0]
        if method == "colored_graph":
            expected = their.collections[0]
            assert found.get_clim() == expected.get_clim()
            shades = np.asarray(found.get_array())[1::2]  # ours change at each point, theirs between two
            np.testing.assert_allclose(shades, np.asarray(expected.get_array())[-len(shades) :], atol=1e-12)
            continue
        colours = found.get_cmap()(found.norm(stripes(our)))
        np.testing.assert_allclose(colours[:, :3], [patch.get_facecolor()[:3] for patch in their.patches], atol=1e-12)


def test_stripes_end_halfway_between_points() -> None:
    places = np.array([0.0, 1.0, 3.0, 7.0])
    _, axis = visualize_timeseries_attr(np.ones(4), np.arange(4.0), places, use_pyplot=False)
    corners = np.asarray(axis.collections[0].get_coordinates())[0, :, 0]
    assert corners.tolist() == [-0.5, 0.5, 2.0, 5.0, 9.0]
    assert axis.get_xlim() == (-0.5, 9.0)
    assert axis.lines[0].get_xdata().tolist() == places.tolist()


@pytest.mark.parametrize("method", SERIES_METHODS)
def test_panels_lines_and_labels(method: str) -> None:
    axes = drawn(method, channel_labels=["a", "b", "c"], title="here", show_colorbar=True, linewidth=3.0)
    assert len(axes) == (1 if method == "overlay_combined" else 3)
    assert axes[0].get_title() == "here"
    if method == "overlay_combined":
        assert [text.get_text() for text in axes[0].get_legend().get_texts()] == ["a", "b", "c"]
    else:
        assert [axis.get_ylabel() for axis in axes] == ["a", "b", "c"]
    if method == "colored_graph":
        assert all(isinstance(axis.collections[0], LineCollection) for axis in axes)
        assert axes[0].collections[0].get_linewidths().tolist() == [3.0]
    else:
        assert sum(len(axis.lines) for axis in axes) == 3
        assert axes[0].lines[0].get_linewidth() == 3.0
    for axis, data in zip(axes, DATA.T, strict=False):
        low, high = axis.get_ylim()
        assert low < data.min() < data.max() < high  # not down to the stripes' own 0 and 1
        assert low > 40


def test_a_coloured_line_has_the_colour_of_each_point_around_it() -> None:
    attr, data = np.array([0.0, 1.0, -1.0]), np.array([2.0, 4.0, 0.0])
    _, axis = visualize_timeseries_attr(attr, data, method="colored_graph", sign="all", use_pyplot=False)
    line = axis.collections[0]
    assert [segment.tolist() for segment in line.get_segments()] == [
        [[0.0, 2.0], [0.5, 3.0]],
        [[0.5, 3.0], [1.0, 4.0]],
        [[1.0, 4.0], [1.5, 2.0]],
        [[1.5, 2.0], [2.0, 0.0]],
    ]
    assert np.asarray(line.get_array()).tolist() == [0.0, 1.0, 1.0, -1.0]


def test_channels_first_and_tensors() -> None:
    last = drawn("overlay_individual")
    _, first = visualize_timeseries_attr(
        torch.tensor(ATTR.T, requires_grad=True), DATA.T, sign="all", channels_last=False, use_pyplot=False
    )
    for one, other in zip(last, first, strict=True):
        np.testing.assert_array_equal(stripes(one), stripes(other))


def test_given_axes_are_used() -> None:
    figure = Figure()
    axes = figure.subplots(3, 1)
    found = visualize_timeseries_attr(ATTR, DATA, plt_fig_axis=(figure, axes), use_pyplot=False)
    assert found == (figure, list(axes))
    single = figure.subplots()
    found = visualize_timeseries_attr(
        ATTR, DATA, method="overlay_combined", plt_fig_axis=(figure, single), use_pyplot=False
    )
    assert found == (figure, single)


def test_a_single_point_and_an_all_zero_map() -> None:
    _, axis = visualize_timeseries_attr(np.zeros(1), np.ones(1), method="colored_graph", use_pyplot=False)
    assert axis.texts[0].get_text() == "all attributions are zero"
    _, axis = visualize_timeseries_attr(-np.ones(5), np.ones(5), sign="positive", use_pyplot=False)
    assert axis.texts[0].get_text() == "no positive attributions"


def test_pyplot_shows_only_if_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[int] = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(1))
    drawn("overlay_individual")
    assert not shown
    assert not plt.get_fignums()
    visualize_timeseries_attr(ATTR, DATA)
    assert shown == [1]


REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"method": "overlay"}, InvalidValueError, "method.*'overlay_combined'"),
    ({"sign": "both"}, InvalidValueError, "sign.*'all'"),
    ({"attr": ATTR[:, :2]}, InvalidValueError, r"attr is of shape \(40, 2\).*\(40, 3\)"),
    ({"attr": ATTR[None], "data": DATA[None]}, InvalidValueError, r"attr.*\(1, 40, 3\)"),
    ({"data": np.full((40, 3), np.nan)}, InvalidValueError, "data.*NaN"),
    ({"x_values": np.arange(39)}, InvalidValueError, "x_values.*40 points"),
    ({"x_values": np.zeros(40)}, InvalidValueError, "x_values.*rising"),
    ({"channel_labels": ["a"]}, InvalidValueError, "channel_labels.*3 channels.*channels_last"),
    ({"channels_last": False, "x_values": np.arange(40)}, InvalidValueError, "x_values.*channels_last"),
    ({"outlier_perc": 100}, InvalidValueError, "outlier_perc"),
    ({"alpha_overlay": 2}, InvalidValueError, "alpha_overlay"),
    ({"cmap": "none such"}, InvalidValueError, "cmap"),
    ({"fig_size": (0, 1)}, InvalidValueError, "fig_size"),
    ({"linewidht": 3}, InvalidTypeError, "linewidht"),
    ({"linewidth": "thick"}, InvalidValueError, "linewidth"),
    ({"linestyle": "none such", "method": "colored_graph"}, InvalidValueError, "linestyle"),
    ({"plt_fig_axis": 3}, InvalidTypeError, "plt_fig_axis"),
    ({"plt_fig_axis": (Figure(), [Figure().subplots()])}, InvalidValueError, "plt_fig_axis.*3 panels"),
]


@pytest.mark.parametrize(("change", "error", "words"), REFUSED)
def test_refused(change: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        visualize_timeseries_attr(**{"attr": ATTR, "data": DATA, **change})
    assert not plt.get_fignums()


def test_strips_share_one_scale() -> None:
    figure = Figure()
    strips = draw_series(figure.subplots(), ATTR.T, DATA.T, limit=2.0, names=["a", "b", "c"], title="t\nmore")
    assert [strip.get_ylabel() for strip in strips] == ["a", "b", "c"]
    for strip, values in zip(strips, ATTR.T, strict=True):
        np.testing.assert_array_equal(stripes(strip), values)  # in the unit of the attributions
        assert strip.collections[0].get_clim() == (-2.0, 2.0)
    with pytest.raises(InvalidValueError, match="limit"):
        draw_series(figure.subplots(), ATTR.T, DATA.T, limit=0.0)
    with pytest.raises(InvalidTypeError, match="ax"):
        draw_series(3, ATTR.T, DATA.T)  # type: ignore[arg-type]
