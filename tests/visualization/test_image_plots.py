"""What `visualize_image_attr` draws: every method and sign, array by array, and where it draws it."""

import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from pellucid.visualization import png_bytes, visualize_image_attr, visualize_image_attr_multiple
from pellucid.visualization.checks import METHODS, UNSIGNED
from pellucid.visualization.normalize import SIGNS

PANELS = [
    (method, sign) for method in METHODS for sign in SIGNS if (method, sign) not in {(m, "all") for m in UNSIGNED}
]
DEFAULT_COLORMAPS = {"positive": "Greens", "negative": "Reds", "absolute_value": "Blues"}


def expected_map(attr: np.ndarray, sign: str, perc: float) -> np.ndarray:
    """Normalise step by step, as the documentation tells it."""
    values = attr.sum(axis=2)
    values = {"all": values, "positive": values * (values > 0), "negative": -values * (values < 0)}.get(
        sign, abs(values)
    )
    falling = np.sort(np.abs(values).ravel())[::-1]
    number = next(k for k in range(1, falling.size + 1) if falling[:k].sum() > perc / 100 * falling.sum())
    return np.clip(values / falling[number - 1], -1, 1)


def drawn(axis: plt.Axes) -> list[np.ndarray]:
    return [np.asarray(image.get_array()) for image in axis.images]


@pytest.mark.parametrize(("method", "sign"), PANELS)
def test_every_panel(photo: np.ndarray, attr: np.ndarray, method: str, sign: str) -> None:
    figure, axis = visualize_image_attr(attr, photo, method, sign, outlier_perc=5, use_pyplot=False)
    values = expected_map(attr, sign, 5)
    pictures = {
        "heat_map": [values],
        "blended_heat_map": [photo.mean(axis=2) / 255, values],
        "original_image": [photo],
        "masked_image": [np.round(photo * values[..., None])],
        "alpha_scaling": [np.dstack([photo, np.round(255 * values)])],
    }[method]
    assert len(axis.images) == len(pictures)
    for result, picture in zip(drawn(axis), pictures, strict=True):
        np.testing.assert_allclose(result, picture, rtol=0, atol=1e-12)
    if method == "blended_heat_map":
        assert axis.images[0].get_clim() == (0, 1)
    if "heat_map" in method:
        heat_map = axis.images[-1]
        assert heat_map.get_clim() == (-1 if sign == "all" else 0, 1)
        assert heat_map.get_alpha() == (0.5 if method == "blended_heat_map" else None)
        if sign == "all":
            ends = [heat_map.get_cmap()(position)[:3] for position in (0.0, 0.5, 1.0)]
            assert ends == [to_rgb("red"), to_rgb("white"), to_rgb("green")]
        else:
            assert heat_map.get_cmap().name == DEFAULT_COLORMAPS[sign]
    assert not axis.texts
    assert png_bytes(figure, dpi=30).startswith(b"\x89PNG")


@pytest.mark.parametrize(("method", "sign"), [panel for panel in PANELS if "heat_map" in panel[0]])
def test_heat_maps_are_those_of_captum(photo: np.ndarray, attr: np.ndarray, method: str, sign: str) -> None:
    captum = pytest.importorskip("captum.attr").visualization
    _, theirs = captum.visualize_image_attr(attr, photo, method, sign, use_pyplot=False)
    _, ours = visualize_image_attr(attr, photo, method, sign, use_pyplot=False)
    np.testing.assert_allclose(drawn(ours)[-1], drawn(theirs)[-1], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("method", "sign"), [panel for panel in PANELS if "heat_map" not in panel[0]])
def test_pictures_are_those_of_captum(photo: np.ndarray, attr: np.ndarray, method: str, sign: str) -> None:
    captum = pytest.importorskip("captum.attr").visualization
    _, theirs = captum.visualize_image_attr(attr, photo, method, sign, use_pyplot=False)
    _, ours = visualize_image_attr(attr, photo, method, sign, use_pyplot=False)
    difference = np.abs(drawn(ours)[0].astype(float) - drawn(theirs)[0].astype(float))
    assert difference.max() <= 1  # theirs are cut to whole levels, ours rounded


def test_options_of_heat_maps(photo: np.ndarray, attr: np.ndarray) -> None:
    _, axis = visualize_image_attr(
        attr,
        photo,
        "blended_heat_map",
        "all",
        cmap="viridis",
        alpha_overlay=0.3,
        title="a title",
        use_pyplot=False,
    )
    assert axis.images[1].get_cmap().name == "viridis"
    assert axis.images[1].get_alpha() == 0.3
    assert axis.get_title() == "a title"
    assert len(axis.get_xticks()) == len(axis.get_yticks()) == 0


@pytest.mark.parametrize("method", METHODS)
def test_colour_bar_lies_below_or_leaves_its_space(photo: np.ndarray, attr: np.ndarray, method: str) -> None:
    figure, axis = visualize_image_attr(attr, photo, method, show_colorbar=True, use_pyplot=False)
    figure.draw_without_rendering()
    picture, bar = figure.axes
    assert picture is axis
    above, below = picture.get_position(), bar.get_position()
    assert below.y1 < above.y0
    assert bar.axison == ("heat_map" in method)
    figure_2, _ = visualize_image_attr(attr, photo, method, use_pyplot=False)
    assert len(figure_2.axes) == 1


def test_panels_in_a_row_are_aligned(photo: np.ndarray, attr: np.ndarray) -> None:
    figure, axes = visualize_image_attr_multiple(
        attr, photo, METHODS, ["positive"] * 5, METHODS, (15, 4), use_pyplot=False, show_colorbar=True
    )
    figure.draw_without_rendering()
    boxes = [axis.get_window_extent() for axis in axes]
    assert np.ptp([box.y0 for box in boxes]) < 1
    assert np.ptp([box.height for box in boxes]) < 1
    bars = [axis.get_window_extent() for axis in figure.axes[5:]]
    for box, bar in zip(boxes, bars, strict=True):
        assert bar.x0 == pytest.approx(box.x0, abs=1)
        assert bar.x1 == pytest.approx(box.x1, abs=1)


def test_multiple_draws_each_panel(photo: np.ndarray, attr: np.ndarray) -> None:
    methods, signs = ["original_image", "heat_map", "masked_image"], ["all", "negative", "positive"]
    figure, axes = visualize_image_attr_multiple(
        attr, photo, methods, signs, ["a", None, "c"], use_pyplot=False, outlier_perc=9
    )
    assert isinstance(axes, np.ndarray)
    assert figure.axes == list(axes)
    assert [axis.get_title() for axis in axes] == ["a", "", "c"]
    assert tuple(figure.get_size_inches()) == (8, 6)
    for axis, method, sign in zip(axes, methods, signs, strict=True):
        _, single = visualize_image_attr(attr, photo, method, sign, outlier_perc=9, use_pyplot=False)
        np.testing.assert_array_equal(drawn(axis)[0], drawn(single)[0])


def test_a_single_panel_of_many_is_an_axis(attr: np.ndarray) -> None:
    figure, axis = visualize_image_attr_multiple(attr, None, ["heat_map"], ["all"], use_pyplot=False)
    assert figure.axes == [axis]


def test_maps_without_channels(photo: np.ndarray, attr: np.ndarray) -> None:
    grey = photo[..., 0]
    summed = attr.sum(axis=2)
    for image in (photo, grey, grey[..., None]):
        for values in (summed, summed[..., None]):
            _, axis = visualize_image_attr(values, image, "masked_image", use_pyplot=False)
            picture = image if image.ndim == 3 else image[..., None]
            mask = expected_map(attr, "absolute_value", 2)[..., None]
            np.testing.assert_array_equal(drawn(axis)[0], np.broadcast_to(np.round(picture * mask), photo.shape))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_tensors(photo: np.ndarray, attr: np.ndarray, dtype: torch.dtype) -> None:
    values = torch.tensor(attr, dtype=dtype, requires_grad=True)
    image = torch.tensor(photo / 255, requires_grad=True)
    _, axis = visualize_image_attr(values, image, "alpha_scaling", use_pyplot=False)
    _, array = visualize_image_attr(values.detach().to(torch.float64).numpy(), photo, "alpha_scaling", use_pyplot=False)
    np.testing.assert_array_equal(drawn(axis)[0], drawn(array)[0])
    assert values.requires_grad
    assert values.grad is None


def test_arguments_are_not_changed(photo: np.ndarray, attr: np.ndarray) -> None:
    before = attr.copy(), photo.copy()
    for method, sign in PANELS:
        visualize_image_attr(attr, photo, method, sign, use_pyplot=False, denormalize=lambda image: image.clip(0, 9))
    np.testing.assert_array_equal(attr, before[0])
    np.testing.assert_array_equal(photo, before[1])


@pytest.mark.parametrize(
    "image",
    [
        np.array([[0, 51], [102, 255]], dtype=np.uint8),
        np.array([[0, 51], [102, 255]]),
        np.array([[0.0, 51.0], [102.0, 255.0]]),
        np.array([[0.0, 0.2], [0.4, 1.0]]),
        torch.tensor([[-0.003, 0.2], [0.4, 1.003]]),
        [[0, 51], [102, 255]],
    ],
)
def test_ranges_of_images(image: object) -> None:
    _, axis = visualize_image_attr(None, image, "original_image", use_pyplot=False)
    assert drawn(axis)[0][..., 1].tolist() == [[0, 51], [102, 255]]


def test_black_and_white_images() -> None:
    for image in (np.eye(2, dtype=bool), np.eye(2, dtype=int)):
        _, axis = visualize_image_attr(None, image, "original_image", use_pyplot=False)
        assert drawn(axis)[0][..., 2].tolist() == [[255, 0], [0, 255]]


MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


@pytest.mark.parametrize(
    "denormalize",
    [
        (MEAN, STD),
        [np.array(MEAN), np.array(STD)],
        (torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)),
        lambda image: image * STD + MEAN,
        lambda image: torch.tensor(image) * torch.tensor(STD) + torch.tensor(MEAN),
        lambda image: np.round(255 * (image * STD + MEAN)),
    ],
)
def test_denormalize(photo: np.ndarray, attr: np.ndarray, denormalize: object) -> None:
    normalized = torch.tensor((photo / 255 - MEAN) / STD, dtype=torch.float32)
    _, axis = visualize_image_attr(attr, normalized, "original_image", use_pyplot=False, denormalize=denormalize)
    np.testing.assert_array_equal(drawn(axis)[0], photo)
    _, axes = visualize_image_attr_multiple(
        attr, normalized, ["masked_image"] * 2, ["positive"] * 2, use_pyplot=False, denormalize=denormalize
    )
    _, plain = visualize_image_attr(attr, photo, "masked_image", "positive", use_pyplot=False)
    np.testing.assert_array_equal(drawn(axes[1])[0], drawn(plain)[0])


def test_denormalize_levels_and_grey(photo: np.ndarray) -> None:
    caffe = [103.939, 116.779, 123.68]
    image = photo.astype(np.float32) - np.float32(caffe)
    _, axis = visualize_image_attr(None, image, "original_image", use_pyplot=False, denormalize=(caffe, 1.0))
    np.testing.assert_array_equal(drawn(axis)[0], photo)
    grey = (photo[..., 0] / 255 - 0.13) / 0.31
    _, axis = visualize_image_attr(None, grey, "original_image", use_pyplot=False, denormalize=(0.13, 0.31))
    np.testing.assert_array_equal(drawn(axis)[0][..., 0], photo[..., 0])


NOTES = [
    (0.0, "all", "all attributions are zero"),
    (0.0, "positive", "all attributions are zero"),
    (-1.0, "positive", "no positive attributions"),
    (1.0, "negative", "no negative attributions"),
]


@pytest.mark.parametrize(("value", "sign", "note"), NOTES)
@pytest.mark.parametrize("method", METHODS)
def test_nothing_to_see_is_said(value: float, sign: str, note: str, method: str) -> None:
    if sign == "all" and method in UNSIGNED:
        sign = "absolute_value"
    figure, axis = visualize_image_attr(
        np.full((4, 6, 3), value), np.ones((4, 6, 3)), method, sign, show_colorbar=True, use_pyplot=False
    )
    assert [text.get_text() for text in axis.texts] == ([] if method == "original_image" else [note])
    if method == "heat_map":
        assert not drawn(axis)[0].any()
    figure.draw_without_rendering()


def test_a_normalised_image_does_not_disturb_a_heat_map(attr: np.ndarray) -> None:
    visualize_image_attr(attr, attr, "heat_map", use_pyplot=False)


def test_pyplot_does_not_know_of_object_oriented_figures(photo: np.ndarray, attr: np.ndarray) -> None:
    mine = plt.figure()
    visualize_image_attr(attr, photo, "blended_heat_map", use_pyplot=False, show_colorbar=True)
    visualize_image_attr_multiple(attr, photo, ["heat_map"] * 2, ["all"] * 2, use_pyplot=False)
    own = Figure()
    axis = own.subplots()
    assert visualize_image_attr(attr, plt_fig_axis=(own, axis), use_pyplot=False) == (own, axis)
    assert plt.get_fignums() == [mine.number]
    assert plt.gcf() is mine


def test_pyplot_makes_and_shows(monkeypatch: pytest.MonkeyPatch, photo: np.ndarray, attr: np.ndarray) -> None:
    shown: list[list[int]] = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.get_fignums()))
    figure, axis = visualize_image_attr(attr, photo, fig_size=(3, 2))
    assert plt.gcf() is figure
    assert figure.axes == [axis]
    assert tuple(figure.get_size_inches()) == (3, 2)
    visualize_image_attr_multiple(attr, photo, ["heat_map", "original_image"], ["all", "all"])
    assert shown == [[1], [1, 2]]


def test_given_figure_keeps_its_layout(attr: np.ndarray) -> None:
    figure, axes = plt.subplots(1, 2)
    returned = visualize_image_attr(attr, plt_fig_axis=(figure, axes[1]), use_pyplot=False)
    assert returned == (figure, axes[1])
    assert figure.get_layout_engine() is None
    assert not axes[0].images


IMPORT_ONLY = """
import sys
import pellucid.visualization
from pellucid.attr import visualization
assert visualization is pellucid.visualization
assert "matplotlib" not in sys.modules
import numpy as np
pellucid.visualization.heat_map_rgba(np.eye(3))
assert "matplotlib" not in sys.modules
figure, axis = pellucid.visualization.visualize_image_attr(np.eye(3), use_pyplot=False, show_colorbar=True)
pellucid.visualization.png_bytes(figure)
assert "matplotlib.pyplot" not in sys.modules
"""


def test_importing_imports_no_matplotlib_and_drawing_no_pyplot() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT_ONLY], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
