"""One argument of a plot is anything at all: a drawing (that can be rendered), or an error of ours."""

import inspect

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from pellucid import visualization as v
from tests.fuzz.asking import MORE, answer, fuzzed, odd_values, refused
from tests.visualization.drawings import RECORD

MAP = np.sin(np.arange(16.0)).reshape(4, 4)
PHOTO = np.abs(np.sin(np.arange(48.0))).reshape(4, 4, 3)
NAMES = ["a", "b", "c", "d"]
NEW = {"fig_size": (2, 2), "use_pyplot": False}
PLOTS = {
    v.draw_attribution: {"attr": MAP, "image": PHOTO, "segments": np.arange(16).reshape(4, 4) // 4},
    v.draw_bars: {"values": [1.0, -2.0], "names": ["a", "b"]},
    v.draw_beeswarm: {"values": MAP, "names": NAMES, "inputs": MAP},
    v.draw_channels: {"attr": PHOTO.transpose(2, 0, 1), "image": PHOTO, "names": ["a", "b", "c"]},
    v.draw_convergence: {"n_steps": [1, 2, 3], "delta": [0.1, 0.2, 0.3], "tolerance": 0.1},
    v.draw_images: {"attrs": [MAP, MAP], "images": [PHOTO, PHOTO], "titles": ["a", "b"]},
    v.draw_mask_border: {"mask": MAP > 0},
    v.draw_mask_legend: {"mask": MAP > 0, "label": "x"},
    v.draw_regions: {"image": PHOTO, "masks": [MAP > 0, MAP < 0]},
    v.draw_removal: {"shares": [0, 0.5, 1], "scores": [1, 0.5, 0.2]},
    v.draw_series: {"attr": MAP, "data": MAP, "x_values": [1, 2, 3, 4], "names": NAMES},
    v.draw_tokens: {"tokens": ["a", "b"], "values": [1.0, -1.0], "targets": ["x"]},
    v.draw_waterfall: {"values": [1.0, 2.0], "names": ["a", "b"], "start": 0.0, "end": 3.0},
    v.format_special_tokens: {"token": "<a>"},
    v.format_word_importances: {"words": ["a", "b"], "importances": [0.1, 0.2]},
    v.heat_map_rgba: {"values": MAP},
    v.tokens_html: {"tokens": ["a", "b"], "values": [1.0, -1.0]},
    v.visualize_image_attr: {"attr": MAP, "original_image": PHOTO, **NEW},
    v.visualize_image_attr_multiple: {
        "attr": MAP,
        "original_image": PHOTO,
        "methods": ["heat_map", "original_image"],
        "signs": ["all", "all"],
        **NEW,
    },
    v.visualize_text: {"datarecords": []},
    v.visualize_timeseries_attr: {"attr": MAP, "data": MAP, "channel_labels": NAMES, **NEW},
}


def figures_in(found):
    for part in found if isinstance(found, tuple | list) else (found,):
        if isinstance(part, Figure):
            yield part


def draw(function, changed):
    """A plot, and the figure that holds it."""
    arguments = {**PLOTS[function], **changed}
    axis = Figure(figsize=(2, 2)).subplots()
    if "ax" in inspect.signature(function).parameters:
        arguments.setdefault("ax", axis)
    return (axis.figure, *figures_in(function(**arguments)))


@pytest.mark.filterwarnings("ignore:overflow")  # in matplotlib's ticks, near the end of all floats
@pytest.mark.filterwarnings("ignore:Glyph")  # of letters that matplotlib's font has not
@pytest.mark.parametrize("function", PLOTS, ids=lambda f: f.__name__)
def test_plots(function):
    assert not refused(answer(lambda: draw(function, {})))
    kinds = inspect.signature(function).parameters.values()
    names = sorted(p.name for p in kinds if p.kind is not p.VAR_KEYWORD and p.name != "use_pyplot")

    @given(name=st.sampled_from(names), value=odd_values())
    @fuzzed(3)
    def run(name, value):
        with mpl.rc_context():
            found = answer(lambda: draw(function, {name: value}))
        if MORE and not refused(found):  # slow
            for figure in found:
                figure.draw_without_rendering()

    run()


@given(name=st.sampled_from(sorted(RECORD)), value=odd_values())
@fuzzed(25)
def test_records(name, value):
    found = answer(lambda: v.visualize_text([v.VisualizationDataRecord(**{**RECORD, name: value})]))
    assert refused(found) or "</table>" in found.data


@given(value=odd_values(), dpi=st.booleans())
@fuzzed(15)
def test_bytes(value, dpi):
    figure = Figure(figsize=(1, 1))
    found = answer(lambda: v.png_bytes(figure, value) if dpi else v.png_bytes(value))
    assert refused(found) or found[1:4] == b"PNG"
