"""What ``plot()`` chooses, says and refuses; tables, grids, layers and curves number by number."""

import dataclasses
import html
import re
import warnings
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import pellucid
from pellucid import visualization as v
from pellucid.errors import InvalidTypeError, InvalidValueError
from pellucid.visualization.tables import ranks, swarm
from pellucid.visualization.views import views_of
from tests.visualization.drawings import IMAGE, MAP, NAMES, RISKS, SERIES, SERIES_ATTR, TOKEN_ATTR, TOKENS, explanation

KINDS = [
    ((4, 7), None, "table"),
    ((4,), None, "table"),
    ((4, 3, 9, 9), None, "image"),
    ((4, 1, 9, 9), None, "image"),
    ((4, 9, 9), None, "image"),
    ((4, 2, 30), None, "series"),
    ((4, 30, 2), None, "series"),
    ((4, 16, 31), None, "image"),
    ((4, 16, 32), None, "series"),
    ((4, 2, 9, 9), None, "layer"),
    ((4, 3, 9, 9), (4, 3, 18, 18), "layer"),
    ((4, 5, 3, 3), (4, 7), "layer"),
]


@pytest.mark.parametrize(("shape", "inputs", "kind"), KINDS)
def test_kinds(shape: tuple[int, ...], inputs: tuple[int, ...] | None, kind: str) -> None:
    found = explanation(np.ones(shape), None if inputs is None else np.ones(inputs))
    (view,) = views_of(found)
    assert view.kind == kind
    assert view.values.sum() == np.prod(shape)
    figure, ax = found.plot(-1)
    assert ax in figure.axes
    assert not plt.get_fignums()


def test_a_series_with_its_channels_last_is_turned() -> None:
    given = explanation(np.arange(60.0).reshape(1, 30, 2))
    (view,) = views_of(given)
    assert view.values.shape == (1, 2, 30)
    assert view.values[0, 0].tolist() == np.arange(0.0, 60.0, 2).tolist()


@pytest.mark.parametrize(
    ("shape", "kinds"),
    [
        ((4, 30), ["table", "series", "waterfall", "beeswarm"]),
        ((4, 2, 30), ["series", "image"]),
        ((4, 20, 20), ["image", "series"]),
        ((4, 3, 9, 9), ["image", "layer"]),
        ((4, 1, 9, 9), ["image", "layer"]),
    ],
)
def test_another_kind_on_request(shape: tuple[int, ...], kinds: list[str]) -> None:
    values = np.arange(float(np.prod(shape))).reshape(shape)
    for kind in kinds:
        explanation(values).plot(kind=kind)
    _, ax = explanation(values[:, :1] if len(shape) == 3 else values).plot(kind="series" if len(shape) < 4 else "layer")
    if len(shape) < 4:
        row = values[0] if len(shape) == 2 else values[0, 0]
        assert ax.child_axes[0].lines[-1].get_ydata().tolist() == row.tolist()


def test_one_map_of_a_layer_lies_over_the_image() -> None:
    found = explanation(np.arange(6.0).reshape(1, 1, 2, 3), IMAGE.transpose(2, 0, 1)[None].repeat(2, 2).repeat(2, 3))
    (view,) = views_of(found)
    assert view.kind == "image"
    assert view.values.shape == (1, 32, 48, 1)
    _, ax = found.plot()
    assert len(ax.images) == 2
    assert float(ax.images[-1].get_array().max()) == pytest.approx(5.0)
    _, ax = found.plot(kind="layer")
    assert [panel.get_title() for panel in ax.child_axes[:1]] == ["one channel\n+15"]
    assert len(ax.child_axes) == 2  # the map and its colour bar


def test_targets_of_every_form_have_waterfalls() -> None:
    for target, outputs in (
        (torch.tensor([1, 0]), torch.tensor([[0.0, 2.0], [3.0, 0.0]])),
        ((0, 1), torch.tensor([[[0.0, 2.0]], [[0.0, 3.0]]])),
        (None, torch.tensor([2.0, 3.0])),
    ):
        _, ax = explanation(RISKS[None].repeat(2, 0), target=target, outputs=outputs).plot(1, kind="waterfall")
        last = ax.containers[0][-1]
        assert last.get_x() + last.get_width() == pytest.approx(3.0, abs=1e-5)
    with pytest.raises(InvalidValueError, match=r"kind.*does not tell"):
        explanation(RISKS[None], target=7).plot(kind="waterfall")


def test_texts_of_a_notebook_share_one_scale() -> None:
    found = explanation(np.array([[1.0, 0.0], [0.5, 4.0]]), tokens=(("a", "b"), ("c", "d")))
    page = found._repr_html_()
    shades = [float(alpha) for alpha in re.findall(r"rgba\(224, 106, 6, ([0-9.]+)\);border", page)]
    np.testing.assert_allclose(shades, [0.85 / 4, 0.0, 0.85 / 8, 0.85], atol=1e-3)


def test_embeddings_are_summed_for_each_token() -> None:
    ids = np.array([[7, 8, 9]])
    for tokens in (None, (("a", "b"),)):
        found = explanation(np.ones((1, 3, 4)), ids, tokens=tokens)
        (view,) = views_of(found)
        assert (view.kind, view.values.tolist()) == ("text", [[4.0, 4.0, 4.0]])
        _, ax = found.plot()
        words = [text.get_text() for text in ax.texts if text.get_text() in {"7", "8", "9", "a", "b"}]
        assert words == (["7", "8", "9"] if tokens is None else ["a", "b"])
    (view,) = views_of(explanation(np.ones((1, 3)), ids, names=("a", "b", "c")))
    assert view.kind == "table"  # categories, not words


def test_categories_beside_numbers_are_one_table() -> None:
    found = explanation(
        (np.ones((1, 2, 5)), np.full((1, 3), 2.0)),
        (np.array([[4, 5]]), np.array([[0.5, 0.25, -1.0]])),
        names=("city", "job", "age", "dose", "sex"),
    )
    (view,) = views_of(found)
    assert view.values.tolist() == [[5.0, 5.0, 2.0, 2.0, 2.0]]
    labels = [label.get_text() for label in found.plot()[1].get_yticklabels()]
    assert labels == ["city = 4", "job = 5", "age = 0.5", "dose = 0.25", "sex = \u22121"]


def test_titles_tell_method_target_baseline_and_delta() -> None:
    def said(**more: Any) -> str:
        _, ax = explanation(RISKS[None].repeat(3, 0), **more).plot(2)
        return (
            ax.get_title().strip() + "|" + "".join(text.get_text() for text in ax.texts if "\u00b7" in text.get_text())
        )

    assert said() == "integrated gradients, target 1|baseline 0 \u00b7 delta 1e\u221206"
    assert said(target=torch.tensor([4, 5, 6])).startswith("integrated gradients, target 6|")
    assert said(target=torch.tensor([[0, 1], [0, 2], [0, 3]])).startswith("integrated gradients, target (0, 3)|")
    assert said(target=(slice(None), 2)).startswith("integrated gradients, target (slice")
    assert said(target=None).startswith("integrated gradients|")
    assert "baseline as given" in said(baselines=torch.tensor([[0.0, 1, 2, 3, 4, 5]]))
    assert "baseline \u22121 " in said(baselines=torch.full((1, 6), -1.0))
    assert "baseline as given" in said(baselines=torch.randn(3, 6))
    assert "baseline of 7 examples" in said(baselines=torch.randn(7, 6))
    assert said(baselines=None, delta=None) == "integrated gradients, target 1|"


def test_a_real_explanation_has_a_waterfall_from_baseline_to_prediction() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3)).double()
    x, baseline = torch.randn(2, 6, dtype=torch.float64), torch.randn(1, 6, dtype=torch.float64)
    found = pellucid.explain(model, x, baselines=baseline, target=2, n_steps=3)
    assert found.delta[1].abs() > 1e-5  # few steps: the gap has a bar of its own, and both ends are exact
    _, ax = found.plot(1, kind="waterfall")
    bars = ax.containers[0]
    ends = [bars[0].get_x(), bars[-1].get_x() + bars[-1].get_width()]
    if len(bars) == 6:  # too small to be seen
        ends[1] -= float(found.delta[1])
    expected = [model(baseline)[0, 2].item(), model(x)[1, 2].item()]
    np.testing.assert_allclose(ends, expected, atol=1e-12)
    with pytest.raises(InvalidValueError, match=r"kind.*saliency.*complete"):
        pellucid.explain(model, x, method="saliency", target=0).plot(kind="waterfall")


@pytest.mark.parametrize("top", [1, 3, 6])
def test_waterfalls_add_up(top: int) -> None:
    ax = Figure().subplots()
    bars = v.draw_waterfall(ax, RISKS, NAMES, start=-1.0, top=top)
    right = [bar.get_x() + bar.get_width() for bar in bars]
    assert bars[0].get_x() == -1.0
    np.testing.assert_allclose([bar.get_x() for bar in bars][1:], right[:-1])
    np.testing.assert_allclose(right[-1], -1.0 + RISKS.sum())
    assert len(bars) == min(top + 1, 6)
    gap = v.draw_waterfall(Figure().subplots(), RISKS, NAMES, start=-1.0, end=0.0)
    assert gap[-1].get_x() + gap[-1].get_width() == pytest.approx(0.0)
    assert len(gap) == 7


def test_beeswarm_order_places_and_colours() -> None:
    rng = np.random.default_rng(0)
    values, inputs = rng.normal(size=(50, 3)) * [0.1, 3.0, 1.0], rng.normal(size=(50, 3))
    ax = Figure().subplots()
    dots = v.draw_beeswarm(ax, values, ["a", "b", "c"], inputs=inputs, top=2)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "c"]
    for row, (found, column) in enumerate(zip(dots, (1, 2), strict=True)):
        offsets = np.asarray(found.get_offsets())
        np.testing.assert_array_equal(offsets[:, 0], values[:, column])
        assert np.abs(offsets[:, 1] - row).max() < 0.5
        np.testing.assert_array_equal(np.argsort(np.asarray(found.get_array())), np.argsort(inputs[:, column]))
    assert ranks(np.array([1.0, 3.0, 3.0, 9.0])).tolist() == [0.0, 0.5, 0.5, 1.0]
    assert ranks(np.ones(3)).tolist() == [0.5] * 3
    crowd = swarm(np.zeros(31))
    assert len(set(crowd)) == 31
    assert np.abs(crowd).max() < 0.5


def test_images_share_one_scale() -> None:
    found = explanation(np.stack([MAP, 10 * MAP])[:, None])
    _, ax = found.plot([0, 1])
    maps = [image for panel in ax.child_axes for image in panel.images if image.get_cmap().name == "pellucid_signed"]
    assert len({image.get_clim() for image in maps}) == 1
    assert maps[0].get_clim()[1] == pytest.approx(v.attribution_limit(MAP, 10 * MAP))
    np.testing.assert_array_equal(maps[1].get_array(), 10 * MAP)


def test_nothing_is_cut_off_without_outliers() -> None:
    _, ax = explanation(MAP[None, None]).plot(outlier_perc=0)
    assert ax.images[-1].get_clim()[1] == np.abs(MAP).max()
    with pytest.raises(InvalidValueError, match="outlier_perc"):
        explanation(MAP[None, None]).plot(outlier_perc=100)


def test_segments_are_outlined() -> None:
    segments = np.zeros((16, 24), dtype=int)
    segments[4:, 10:] = 3
    ax = Figure().subplots()
    v.draw_attribution(ax, MAP, segments=segments)
    lines = ax.collections[0].get_segments()
    assert len(lines) == 12 + 14
    assert {tuple(point) for line in lines for point in line} >= {(9.5, 3.5), (9.5, 15.5), (23.5, 3.5)}


def test_a_coarse_image_is_outlined_and_a_fine_one_lies_below() -> None:
    picture = np.zeros((16, 24))
    picture[4:, 10:] = 1.0
    _, ax = explanation(MAP[None, None], picture[None, None]).plot()
    assert len(ax.images) == 1
    assert len(ax.collections[0].get_segments()) == 12 + 14
    _, ax = explanation(np.kron(MAP, np.ones((2, 2)))[None, None], np.kron(picture, np.ones((2, 2)))[None, None]).plot()
    assert len(ax.images) == 2
    assert not ax.collections


def test_layers_are_enlarged_and_ordered() -> None:
    maps = np.zeros((5, 2, 3))
    maps[3], maps[1] = -2.0, 1.0
    ax = Figure().subplots()
    panels = v.draw_channels(ax, maps, image=np.zeros((8, 12, 3)), top=2)
    assert [panel.get_title() for panel in panels] == [
        "all 5 channels\n\u22126",
        "channel 3\n\u221212",
        "channel 1\n+6",
    ]
    assert panels[1].images[-1].get_array().shape == (8, 12)
    np.testing.assert_allclose(panels[0].images[-1].get_array(), -1.0)


def test_mask_borders_are_those_of_captum() -> None:
    captum = pytest.importorskip("captum.attr").visualization
    pytest.importorskip("scipy")
    rng = np.random.default_rng(1)
    for width in (1, 2, 3):
        mask = rng.random((9, 11)) > 0.2
        ours, theirs = Figure().subplots(), Figure().subplots()
        v.draw_mask_border(ours, mask, width, "red")
        captum.draw_mask_border(theirs, mask, width, "red")
        np.testing.assert_array_equal(ours.images[0].get_array(), theirs.images[0].get_array())
        v.draw_mask_legend(ours, mask, "7")
        captum.draw_mask_legend(theirs, mask, "7")
        assert ours.texts[0].get_position() == pytest.approx(theirs.texts[0].get_position())
    v.draw_mask_border(ours, torch.ones(3, 3), 0)
    v.draw_mask_legend(ours, np.zeros((3, 3), dtype=bool), "nothing")
    assert len(ours.images) == 1
    assert len(ours.texts) == 1


def test_areas_under_removal_curves() -> None:
    ax = Figure().subplots()
    lines = v.draw_removal(ax, [0.0, 0.5, 1.0], {"a": [1.0, 0.0, 0.0], "b": [[1.0, 3.0], [1.0, 1.0], [1.0, 1.0]]})
    assert [line.get_label() for line in lines] == ["a: area 0.25", "b: area 1.25"]
    assert lines[1].get_ydata().tolist() == [2.0, 1.0, 1.0]
    assert "removed" in ax.get_xlabel()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda ax: v.draw_removal(ax, [0.0, 1.5], [1.0, 0.0]), "shares"),
        (lambda ax: v.draw_removal(ax, [0.5, 0.1], [1.0, 0.0]), "shares"),
        (lambda ax: v.draw_removal(ax, [0.0, 1.0], [1.0, 0.0, 0.0]), "scores"),
        (lambda ax: v.draw_removal(ax, [0.0, 1.0], {"x": [1.0, np.inf]}), r"scores\['x'\].*infinite"),
        (lambda ax: v.draw_removal(ax, [0.0, 1.0], {}), "scores is empty"),
        (lambda ax: v.draw_convergence(ax, [0, 1], [1.0, 0.0]), "n_steps"),
        (lambda ax: v.draw_convergence(ax, [2, 1], [1.0]), "delta"),
        (lambda ax: v.draw_convergence(ax, [2], [1.0], tolerance=-1.0), "tolerance"),
        (lambda ax: v.draw_waterfall(ax, RISKS, NAMES[:2], start=0.0), "names"),
        (lambda ax: v.draw_waterfall(ax, RISKS, NAMES, start=np.nan), "start"),
        (lambda ax: v.draw_waterfall(ax, RISKS, NAMES, start=0.0, top=0), "top"),
        (lambda ax: v.draw_beeswarm(ax, RISKS, NAMES), "values"),
        (lambda ax: v.draw_beeswarm(ax, RISKS[None], NAMES[:2]), "names"),
        (lambda ax: v.draw_beeswarm(ax, RISKS[None], NAMES, inputs=RISKS), "inputs"),
        (lambda ax: v.draw_images(ax, []), "attrs"),
        (lambda ax: v.draw_images(ax, [MAP], titles=["a", "b"]), "titles"),
        (lambda ax: v.draw_images(ax, [MAP], images=[IMAGE[:4]]), "attr"),
        (lambda ax: v.draw_images(ax, [MAP], columns=0), "columns"),
        (lambda ax: v.draw_channels(ax, MAP), "attr"),
        (lambda ax: v.draw_channels(ax, MAP[None], names=["a", "b"]), "names"),
        (lambda ax: v.draw_attribution(ax, MAP, segments=np.zeros((2, 2), int)), "segments"),
        (lambda ax: v.draw_mask_border(ax, np.zeros((2, 2, 2))), "mask"),
        (lambda ax: v.draw_mask_border(ax, np.full((2, 2), 7)), "mask"),
        (lambda ax: v.draw_mask_border(ax, np.ones((2, 2)), -1), "border_width"),
        (lambda ax: v.draw_mask_border(ax, np.ones((2, 2)), 1, "no such"), "border_color"),
        (lambda ax: v.draw_mask_legend(ax, np.ones((2, 2)), "x", bbox_alpha=2.0), "bbox_alpha"),
        (lambda ax: v.draw_regions(ax, IMAGE, [np.ones((2, 2))]), r"masks\[0\]"),
    ],
)
def test_functions_name_what_they_refuse(call: Any, words: str) -> None:
    ax = Figure().subplots()
    with pytest.raises((InvalidValueError, InvalidTypeError), match=words):
        call(ax)
    for artists in (ax.images, ax.lines, ax.texts, ax.patches, ax.collections, ax.child_axes):
        assert not artists


PLOTS: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    (RISKS[None], {"kind": "pie"}, InvalidValueError, "kind.*'waterfall'"),
    (RISKS[None], {"kind": "image"}, InvalidValueError, "kind.*'table'"),
    (RISKS[None], {"example": 1}, InvalidValueError, "example is 1"),
    (RISKS[None], {"example": -2}, InvalidValueError, "example is -2"),
    (RISKS[None], {"example": 0.5}, InvalidTypeError, "example"),
    (RISKS[None], {"example": []}, InvalidValueError, "example is empty"),
    (RISKS[None].repeat(2, 0), {"example": [0, 1]}, InvalidValueError, "example.*one index"),
    (RISKS[None], {"colour": 1}, InvalidTypeError, "colour.*limit"),
    (RISKS[None], {"ax": 1}, InvalidTypeError, "ax"),
    (RISKS[None], {"top": "x"}, InvalidTypeError, "top"),
    (RISKS[None], {"top": 0}, InvalidValueError, "top"),
    (RISKS[None], {"names": None}, InvalidTypeError, "names"),
    (RISKS[None], {"kind": "beeswarm", "names": None}, InvalidTypeError, "names"),
    (MAP[None, None], {"limit": "x"}, InvalidTypeError, "limit"),
    (np.ones((1, 5, 4, 4)), {"top": "x"}, InvalidTypeError, "top"),
    (SERIES_ATTR[None], {"data": SERIES[:1]}, InvalidValueError, "attr.*data"),
    (np.full((1, 3), np.nan), {}, InvalidValueError, "NaN"),
    (np.ones((1, 2, 2, 2, 2)), {}, InvalidValueError, r"\(2, 2, 2, 2\)"),
]


@pytest.mark.parametrize(("values", "options", "error", "words"), PLOTS)
def test_plots_name_what_they_refuse(values: Any, options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        explanation(values).plot(**options)


def test_several_inputs_are_drawn_below_each_other_or_one_by_kind() -> None:
    found = explanation((RISKS[None], MAP[None, None]))
    _, ax = found.plot()
    assert [panel.get_title() for panel in ax.child_axes] == ["input 0", "input 1"]
    _, only = found.plot(kind="table")
    assert len(only.patches) == 6
    with pytest.raises(InvalidTypeError, match=r"limit.*2 inputs"):
        found.plot(limit=1.0)


def test_labels_are_checked_kept_and_stored(tmp_path: Any) -> None:
    model = torch.nn.Linear(3, 2)
    found = pellucid.explain(model, torch.ones(2, 3), names=["a", "b", "<c>"])
    assert found.names == ("a", "b", "<c>")
    assert found.labelled(names=np.array(["x", "y", "z"])).names == ("x", "y", "z")
    assert found.labelled(tokens=[["x"], ["y", "z"]]).tokens == (("x",), ("y", "z"))
    again = pellucid.load(found.labelled(tokens=[["x"], ["y", "z"]]).save(tmp_path / "e.safetensors"))
    assert again.names == found.names
    assert again.tokens == (("x",), ("y", "z"))
    assert pellucid.load(pellucid.explain(model, torch.ones(1, 3)).save(tmp_path / "f.safetensors")).names is None
    calls = []
    for wrong, error in (
        ({"names": ["a"]}, InvalidValueError),
        ({"names": "abc"}, InvalidTypeError),
        ({"tokens": [["a"]]}, InvalidValueError),
        ({"tokens": ["a", "b"]}, InvalidTypeError),
    ):
        with pytest.raises(error, match=next(iter(wrong))):
            pellucid.explain(lambda x: calls.append(1) or model(x), torch.ones(2, 3), **wrong)
        with pytest.raises(error):
            found.labelled(**wrong)
    assert not calls


EVERY = {
    "image": explanation(MAP[None, None].repeat(9, 0)),
    "table": explanation(RISKS[None], names=("<script>", *NAMES[1:])),
    "series": explanation(SERIES_ATTR[None], SERIES[None]),
    "text": explanation(TOKEN_ATTR[None], tokens=(("<script>", *TOKENS[1:]),)),
    "layer": explanation(np.ones((1, 8, 4, 6)), IMAGE.transpose(2, 0, 1)[None]),
}


@pytest.mark.parametrize("kind", EVERY)
def test_notebooks_and_pages_show_every_kind(kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = EVERY[kind]._repr_html_()
        whole = EVERY[kind].to_html()
    assert "<script>" not in page
    assert not re.search(r"""(src|href)=["'](?!data:image/png)""", page)
    assert ("<img" in page) is (kind != "text")
    assert "delta" in page
    assert whole.count("<script>") == 1  # its own
    assert ("&lt;script&gt;" in whole) is (kind in {"table", "text"})
    assert not plt.get_fignums()


def test_a_notebook_shows_one_line_where_there_is_no_picture() -> None:
    found = explanation(np.ones((1, 2, 2, 2, 2)))
    assert found._repr_html_() == f"<code>{html.escape(repr(found))}</code>"


def test_only_what_is_drawn_is_converted() -> None:
    rows: list[int] = []

    class Watched(torch.Tensor):
        @classmethod
        def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if function is torch.Tensor.to:
                rows.append(len(args[0]))
            return super().__torch_function__(function, types, args, kwargs or {})

    found = explanation(torch.rand(50, 1, 9, 9))
    watched = dataclasses.replace(found, attributions=found.attributions.as_subclass(Watched))
    watched.plot(7)
    watched._repr_html_()
    assert rows
    assert max(rows) <= 6


def test_the_chosen_example_is_drawn() -> None:
    values = np.arange(12.0).reshape(4, 3)
    found = explanation(values, target=torch.tensor([5, 6, 7, 8]), delta=torch.tensor([1.0, 2.0, 3.0, 4.0]))
    _, ax = found.plot(2)
    assert sorted(bar.get_width() for bar in ax.patches) == [6.0, 7.0, 8.0]
    assert ax.get_title().strip().endswith("target 7")
    assert any(text.get_text().endswith("delta 3") for text in ax.texts)
    whole = dataclasses.replace(found, delta=torch.tensor([9.0]))  # one number for the batch
    assert not any("delta" in text.get_text() for text in whole.plot(2)[1].texts)
    with pytest.raises(InvalidValueError, match="kind"):
        whole.plot(2, kind="waterfall")
    _, ax = explanation(np.arange(8.0).reshape(4, 1, 1, 2)).plot([1, 3])
    assert [panel.get_title() for panel in ax.child_axes[:2]] == ["example 1, target 1", "example 3, target 1"]
    assert [panel.images[-1].get_array().max() for panel in ax.child_axes[:2]] == [3.0, 7.0]


def test_attributions_of_padding_are_not_hidden() -> None:
    found = explanation(np.array([[1.0, 2.0, 0.25, 0.5], [1.0, 2.0, 0.0, 0.0]]), tokens=(("a", "b"), ("c", "d")))
    shown = [[text.get_text() for text in found.plot(place)[1].texts][:3] for place in (0, 1)]
    assert shown[0] == ["a", "b", "[PADDING]"]
    assert "[PADDING]" not in shown[1]
    assert found._repr_html_().count("[PADDING]") == 1
    assert 'title="+0.75"' in found._repr_html_()


def test_plots_change_nothing() -> None:
    values = torch.randn(2, 6, requires_grad=True)
    kept = values.detach().clone()
    found = explanation(values)
    figure = Figure()
    ax = figure.subplots()
    assert found.plot(ax=ax) == (figure, ax)
    assert torch.equal(values, kept)
    assert values.grad is None
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        explanation(torch.randn(2, 6, dtype=dtype)).plot()
