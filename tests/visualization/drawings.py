"""One small figure for each kind of plot, from numbers that are written down; the tests compare and look at them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from pellucid import Explanation, visualization
from pellucid.visualization.figures import single_axis

ROWS, COLUMNS = np.mgrid[0:16, 0:24]
BUMP = np.exp(-((ROWS - 5) ** 2 + (COLUMNS - 7) ** 2) / 12.0)
PIT = np.exp(-((ROWS - 10) ** 2 + (COLUMNS - 17) ** 2) / 16.0)
MAP = 0.8 * BUMP - 0.5 * PIT
FINE = np.kron(MAP, np.ones((2, 2)))
IMAGE = np.stack([ROWS / 15.0, COLUMNS / 23.0, 0.5 + 0.5 * np.sin(COLUMNS / 3.0)], axis=2)
SEGMENTS = (ROWS // 8) * 2 + COLUMNS // 12

TIME = np.linspace(0.0, 6.0, 90)
SERIES = np.stack([np.sin(3 * TIME), 40.0 + 9.0 * np.cos(5 * TIME)])
SERIES_ATTR = np.stack([np.exp(-3 * (TIME - 2) ** 2), -0.6 * np.exp(-3 * (TIME - 4.5) ** 2)])

TOKENS = ["[CLS]", "un", "##believ", "##able", ",", "this", "film", "is", "not", "bad", ".", "[SEP]"]
TOKEN_ATTR = np.array([0.02, -0.3, -0.2, -0.4, 0.0, 0.05, 0.1, 0.01, -0.5, 0.9, 0.0, -0.01])

RECORD = {
    "word_attributions": [0.1, -0.2],
    "pred_prob": 0.5,
    "pred_class": 1,
    "true_class": 0,
    "attr_class": 1,
    "attr_score": 0.3,
    "raw_input_ids": ["a", "b"],
    "convergence_score": 0.1,
}
"""Fields of a record of `visualize_text`."""

NAMES = ["age", "dose", "weight", "height", "pulse", "pressure"]
RISKS = np.array([0.42, -0.31, 0.2, -0.12, 0.05, 0.01])
MANY = np.stack([np.sin(np.arange(60.0) * (k + 1)) * (6 - k) / 6 for k in range(6)], axis=1)


def on_axis(draw: Callable[..., Any], *args: Any, size: tuple[float, float] = (5, 3.6), **options: Any) -> Figure:
    """Draw on the only axis of a new figure."""
    axis = single_axis(size)
    draw(axis, *args, **options)
    return axis.figure


def explanation(attributions: Any, inputs: Any = None, **more: Any) -> Explanation:
    """An explanation that nobody computed: what its plot shows is known."""

    def tensors(value: Any) -> Any:
        return tuple(map(tensors, value)) if isinstance(value, tuple) else torch.as_tensor(value)

    attributions = tensors(attributions)
    given = tensors(inputs) if inputs is not None else attributions
    first = attributions[0] if isinstance(attributions, tuple) else attributions
    total = sum(
        a.reshape(len(a), -1).sum(1) for a in (attributions if isinstance(attributions, tuple) else (attributions,))
    )
    settings = {
        "baselines": torch.zeros_like(first), "target": 1, "method": "integrated_gradients", "settings": {},
        "outputs": torch.stack([torch.zeros_like(total), total + 0.25], dim=1).double(),
        "delta": torch.full((len(first),), 1e-6, dtype=torch.float64),
    }  # fmt: skip
    return Explanation(attributions=attributions, inputs=given, **{**settings, **more})


def plotted(*args: Any, shown: dict[str, Any] | None = None, **more: Any) -> Figure:
    """What a bare ``plot()`` draws of an explanation."""
    return explanation(*args, **more).plot(**(shown or {}))[0]


def timeseries(method: str, **options: Any) -> Figure:
    """A compatible plot of two channels."""
    figure, _ = visualization.visualize_timeseries_attr(
        SERIES_ATTR.T, SERIES.T, TIME, method, "all", ["one", "two"], show_colorbar=True, title=method,
        fig_size=(5, 4), use_pyplot=False, **options,
    )  # fmt: skip
    return figure


def image_methods() -> Figure:
    """All methods of the compatible image plot."""
    methods = ["original_image", "heat_map", "blended_heat_map", "masked_image", "alpha_scaling"]
    signs = ["all", "all", "positive", "absolute_value", "negative"]
    figure, _ = visualization.visualize_image_attr_multiple(
        MAP, IMAGE, methods, signs, methods, fig_size=(10, 2.6), use_pyplot=False, show_colorbar=True
    )
    return figure


def masks() -> Figure:
    """Borders and labels of two regions of an image."""
    axis = single_axis((4, 3))
    axis.imshow(IMAGE)
    for mask, colour, label in ((BUMP > 0.3, "red", "bump"), (PIT > 0.3, "white", "$pit_2")):
        visualization.draw_mask_border(axis, mask, 1, colour)
        visualization.draw_mask_legend(axis, mask, label)
    return axis.figure


def regions() -> Figure:
    """Regions that overlap."""
    axis = single_axis((4, 3))
    visualization.draw_regions(axis, IMAGE, [COLUMNS < 12, ROWS > 8, BUMP > 0.4])
    return axis.figure


STEPS = [4, 8, 16, 32, 64, 128]
SHARES = np.linspace(0.0, 1.0, 11)
FALLING = np.exp(-4 * SHARES)

DRAWINGS: dict[str, Callable[[], Figure]] = {
    "visualize_image_attr": image_methods,
    "timeseries_individual": lambda: timeseries("overlay_individual"),
    "timeseries_combined": lambda: timeseries("overlay_combined", linewidth=1.0),
    "timeseries_colored": lambda: timeseries("colored_graph", cmap="coolwarm"),
    "mask_border_legend": masks,
    "regions": regions,
    "image": lambda: plotted(FINE[None, None], np.kron(IMAGE.mean(axis=2), np.ones((2, 2)))[None, None]),
    "image_coarse": lambda: plotted(MAP[None, None], (BUMP + PIT > 0.5)[None, None].astype(float)),
    "image_segments": lambda: plotted(
        MAP[None, None], IMAGE.mean(axis=2)[None, None], shown={"segments": SEGMENTS, "outlier_perc": 0}
    ),
    "images": lambda: plotted(
        np.stack([MAP, 0.3 * MAP, -MAP, 0 * MAP, MAP**2])[:, None], shown={"example": [0, 1, 2, 3, 4]}
    ),
    "table": lambda: plotted(RISKS[None], names=tuple(NAMES)),
    "table_without_names": lambda: plotted(np.linspace(-1, 2, 30)[None]),
    "waterfall": lambda: plotted(RISKS[None], names=tuple(NAMES), shown={"kind": "waterfall"}),
    "waterfall_gap": lambda: on_axis(
        visualization.draw_waterfall, RISKS, NAMES, start=-1.0, end=-0.5, top=3, title="not complete"
    ),
    "beeswarm": lambda: plotted(MANY, np.cos(MANY), names=tuple(NAMES), shown={"kind": "beeswarm"}),
    "beeswarm_plain": lambda: on_axis(visualization.draw_beeswarm, MANY, NAMES, top=3),
    "text": lambda: plotted(TOKEN_ATTR[None], tokens=(tuple(TOKENS),)),
    "text_ids": lambda: plotted(TOKEN_ATTR[None, :, None], np.arange(101, 113)[None]),
    "text_targets": lambda: on_axis(
        visualization.draw_tokens, TOKENS, np.stack([TOKEN_ATTR, -TOKEN_ATTR / 2]), targets=["positive", "negative"],
        size=(6, 2.2),
    ),
    "text_rtl": lambda: on_axis(
        visualization.draw_tokens, ["\u05d4\u05e1\u05e8\u05d8", "\u05dc\u05d0", "\u05d8\u05d5\u05d1", "!"],
        [0.1, -0.9, 0.8, 0.0], size=(4, 1.6),
    ),
    "series": lambda: plotted(SERIES_ATTR[None], SERIES[None], names=("one", "two")),
    "series_single": lambda: plotted(SERIES_ATTR[None, :1], SERIES[None, :1]),
    "layer": lambda: plotted(
        np.stack([k * np.roll(MAP[::4, ::4], k, axis=1) for k in range(8)])[None], IMAGE.transpose(2, 0, 1)[None]
    ),
    "layer_alone": lambda: on_axis(
        visualization.draw_channels, np.stack([MAP[::4, ::4] - 0.1 * k for k in range(4)]), names=list("abcd"), top=3
    ),
    "several_inputs": lambda: plotted((RISKS[None], MAP[None, None]), (RISKS[None], MAP[None, None])),
    "joined_tables": lambda: plotted((RISKS[None, :2], RISKS[None, 2:]), names=tuple(NAMES)),
    "convergence": lambda: on_axis(
        visualization.draw_convergence, STEPS,
        {"gausslegendre": [1e-2, 1e-4, -1e-8, 1e-13, 1e-14, 0.0], "riemann_trapezoid": [0.3 / n for n in STEPS]},
        tolerance=1e-3, title="convergence",
    ),
    "deletion": lambda: on_axis(
        visualization.draw_removal, SHARES,
        {"one": np.stack([FALLING, 1.2 * FALLING, 0.7 * FALLING], axis=1), "other": 1 - SHARES}, title="deletion",
    ),
    "insertion": lambda: on_axis(visualization.draw_removal, SHARES, 1 - FALLING, inserted=True),
    "zero_image": lambda: plotted(0 * MAP[None, None]),
    "zero_series": lambda: plotted(0 * SERIES_ATTR[None], SERIES[None]),
    "zero_table": lambda: plotted(0 * RISKS[None]),
    "zero_text": lambda: plotted(0 * TOKEN_ATTR[None], tokens=(tuple(TOKENS),)),
}  # fmt: skip
