"""What plots refuse by name beyond their data: axes, titles, flags, names, numbers and sizes of odd kinds."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from pellucid import visualization as v
from pellucid.errors import InvalidTypeError, InvalidValueError
from tests.visualization.drawings import RECORD

MAP = np.sin(np.arange(16.0)).reshape(4, 4)
MASK = MAP > 0
META = torch.zeros(4, 4, device="meta")
HUGE = 10**400
CALLS = {
    v.draw_attribution: {"attr": MAP},
    v.draw_bars: {"values": [1.0, -2.0], "names": ["a", "b"]},
    v.draw_beeswarm: {"values": MAP, "names": list("abcd")},
    v.draw_channels: {"attr": MAP[None]},
    v.draw_convergence: {"n_steps": [1, 2], "delta": [0.2, 0.1]},
    v.draw_images: {"attrs": [MAP, MAP]},
    v.draw_mask_border: {"mask": MASK},
    v.draw_mask_legend: {"mask": MASK, "label": "x"},
    v.draw_regions: {"image": MASK, "masks": [MASK]},
    v.draw_removal: {"shares": [0, 1], "scores": [1, 0.5]},
    v.draw_series: {"attr": MAP, "data": MAP},
    v.draw_tokens: {"tokens": ["a", "b"], "values": [1.0, -1.0]},
    v.draw_waterfall: {"values": [1.0, 2.0], "names": ["a", "b"], "start": 0.0},
}
NEW = (v.visualize_image_attr, v.visualize_timeseries_attr)


def drawn(function, **changed):
    arguments = {**CALLS[function], **changed}
    return function(arguments.pop("ax", None) or Figure().subplots(), **arguments)


def row(**changed):
    return v.visualize_text([v.VisualizationDataRecord(**{**RECORD, **changed})])


@pytest.mark.parametrize("function", CALLS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("ax", [3, "axis", Figure()], ids=["number", "word", "figure"])
def test_something_else_than_an_axis(function, ax):
    with pytest.raises(InvalidTypeError, match=r"ax is of type.*an axis of matplotlib"):
        drawn(function, ax=ax)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: drawn(v.draw_bars, title=3), InvalidTypeError, "title is a int"),
        (lambda: drawn(v.draw_removal, inserted=META), InvalidTypeError, "inserted.*True or False"),
        (lambda: drawn(v.draw_removal, ylabel=3), InvalidTypeError, "ylabel is a int"),
        (lambda: drawn(v.draw_tokens, merge="no"), InvalidTypeError, "merge.*True or False"),
        (lambda: drawn(v.draw_tokens, targets=3), InvalidValueError, "targets is of type int"),
        (lambda: drawn(v.draw_bars, names={"a": 1, "b": 2}), InvalidTypeError, "names is of type dict"),
        (lambda: drawn(v.draw_bars, limit=HUGE), InvalidValueError, "limit.*1329 bits"),
        (lambda: drawn(v.draw_bars, limit=0), InvalidValueError, "limit is 0"),
        (lambda: drawn(v.draw_channels, names=3), InvalidTypeError, "names is of type int"),
        (lambda: drawn(v.draw_images, attrs=3), InvalidTypeError, "attrs is of type int"),
        (lambda: drawn(v.draw_images, attrs={0: MAP}), InvalidTypeError, "attrs is of type dict"),
        (lambda: drawn(v.draw_images, images=3), InvalidTypeError, "images is of type int"),
        (lambda: drawn(v.draw_series, names=3), InvalidValueError, "channel_labels is of type int"),
        (lambda: drawn(v.draw_regions, masks=3), InvalidTypeError, "masks is of type int"),
        (lambda: drawn(v.draw_mask_legend, fontsize=HUGE), InvalidValueError, "fontsize.*1329 bits"),
        (lambda: drawn(v.draw_mask_legend, bbox_alpha=HUGE), InvalidValueError, "bbox_alpha.*1329 bits"),
        (lambda: drawn(v.draw_mask_border, border_color=META), InvalidValueError, "border_color"),
        (lambda: drawn(v.draw_convergence, tolerance=HUGE), InvalidValueError, "tolerance.*1329 bits"),
        (lambda: drawn(v.draw_waterfall, start=[1, 2]), InvalidValueError, "start is of shape"),
        (lambda: drawn(v.draw_waterfall, end=[[1], [2]]), InvalidValueError, "end is of shape"),
        (lambda: drawn(v.draw_attribution, attr=META), InvalidValueError, "attr is a tensor on the meta device"),
        (lambda: drawn(v.draw_attribution, attr=torch.eye(4).to_sparse()), InvalidTypeError, "attr.*not dense"),
        (lambda: drawn(v.draw_bars, values=[torch.ones(1, requires_grad=True), 1]), InvalidTypeError, "values"),
        (lambda: v.tokens_html(["a"], [1.0], special=3), InvalidTypeError, "special is a int"),
        (lambda: v.tokens_html(["a"], [1.0], targets={"a": 1}), InvalidValueError, "targets is of type dict"),
        (lambda: v.format_special_tokens(3), InvalidTypeError, "token is a int"),
        (lambda: v.format_word_importances(3, [1.0]), InvalidTypeError, "words is a int"),
        (lambda: v.visualize_text(3), InvalidTypeError, "datarecords"),
        (lambda: v.visualize_text(np.array(1)), InvalidTypeError, "datarecords"),
        (lambda: v.visualize_text([], legend="no"), InvalidTypeError, "legend.*True or False"),
        (lambda: row(raw_input_ids=3), InvalidTypeError, r"datarecords\[0\].raw_input_ids is a int"),
        (lambda: row(pred_prob="likely"), InvalidTypeError, r"datarecords\[0\].pred_prob"),
        (lambda: row(attr_score=[1, 2]), InvalidValueError, r"datarecords\[0\].attr_score is of shape"),
        (lambda: v.png_bytes(3), InvalidTypeError, "figure is of type int"),
        (lambda: v.png_bytes(Figure(), dpi=0), InvalidValueError, "dpi is 0"),
        (lambda: v.png_bytes(Figure(), dpi="high"), InvalidTypeError, "dpi is a str"),
        (lambda: v.visualize_image_attr(MAP, fig_size=META[0, :2]), InvalidValueError, "fig_size.*meta"),
        (lambda: v.visualize_image_attr(MAP, fig_size=[{}, []]), InvalidValueError, "fig_size"),
        (lambda: v.visualize_image_attr(MAP, fig_size=(1e300, 1)), InvalidValueError, "fig_size.*at most 1000"),
        (
            lambda: v.visualize_image_attr_multiple(MAP, None, ["heat_map"], ["all"], titles=[3]),
            InvalidTypeError,
            r"titles\[0\] is a int",
        ),
        (
            lambda: v.visualize_image_attr_multiple(MAP, None, ["heat_map"], ["all"], titles=np.zeros((2, 3))),
            InvalidTypeError,
            "titles",
        ),
        (
            lambda: v.visualize_image_attr_multiple(MAP, None, ["heat_map"], ["all"], show_colorbar=META),
            InvalidTypeError,
            "show_colorbar.*True or False",
        ),
    ],
)
def test_refusals(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize("flag", ["use_pyplot", "show_colorbar"])
@pytest.mark.parametrize("function", NEW, ids=lambda f: f.__name__)
def test_flags_are_truth_values(function, flag):
    with pytest.raises(InvalidTypeError, match=rf"{flag}.*True or False"):
        function(MAP, MAP, **{flag: "no"})


def test_numbers_of_numpy_are_numbers():
    assert drawn(v.draw_convergence, tolerance=2**63) is not None  # nor does NumPy take this integer
    assert drawn(v.draw_bars, limit=np.float32(2.0)) is not None
    assert v.attribution_limit(MAP, outlier_perc=np.int64(0)) == np.abs(MAP).max()
