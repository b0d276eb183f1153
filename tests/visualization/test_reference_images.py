"""Every plot against its stored picture; and that the comparison would see what matters."""

from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

from pellucid import visualization
from pellucid.visualization import colors, maps, tables, tokens
from tests.visualization import drawings
from tests.visualization.drawings import (
    DRAWINGS,
    FINE,
    IMAGE,
    MAP,
    SERIES,
    SERIES_ATTR,
    TOKEN_ATTR,
    TOKENS,
    explanation,
)
from tests.visualization.references import FOLDER, alike, check, rendered


@pytest.mark.parametrize("name", DRAWINGS)
def test_drawn_as_stored(name: str) -> None:
    with mpl.rc_context(mpl.rcParamsDefault):
        mpl.use("Agg")
        check(name, DRAWINGS[name]())


def test_every_stored_picture_is_compared_and_small() -> None:
    stored = {path.stem: path.stat().st_size for path in FOLDER.glob("*.png")}
    assert set(stored) == set(DRAWINGS)
    assert max(stored.values()) < 50_000


def flipped(name: str) -> Any:
    """The same drawing of the opposite attributions."""
    return {
        "image": lambda: drawings.plotted(-FINE[None, None], FINE[None, None]),
        "series": lambda: drawings.plotted(-SERIES_ATTR[None], SERIES[None], names=("one", "two")),
        "text": lambda: drawings.plotted(-TOKEN_ATTR[None], tokens=(tuple(TOKENS),)),
        "table": lambda: drawings.plotted(-drawings.RISKS[None], drawings.RISKS[None], names=tuple(drawings.NAMES)),
    }[name]


@pytest.mark.parametrize("name", ["image", "series", "text", "table"])
def test_a_flip_of_signs_is_seen(name: str) -> None:
    assert not alike(rendered(flipped(name)()), rendered(DRAWINGS[name]()))


@pytest.mark.parametrize("name", ["image", "images", "series", "text", "layer", "regions", "beeswarm", "deletion"])
def test_other_colours_are_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = rendered(DRAWINGS[name]())
    assert alike(before, rendered(DRAWINGS[name]()))
    purple = tuple("#5e3c99" for _ in colors.HUES)
    other = mpl.colormaps["PiYG"]
    for module in (maps, tokens, visualization.series):
        monkeypatch.setattr(module, "signed_colormap", lambda: other)
    for module in (visualization.masks, visualization.curves):
        monkeypatch.setattr(module, "HUES", purple)
    monkeypatch.setattr(tables, "ranks", lambda values: 1.0 - RANKS(values))
    assert not alike(before, rendered(DRAWINGS[name]()))


RANKS = tables.ranks


def test_letters_drawn_in_another_way_are_not_seen() -> None:
    before = rendered(DRAWINGS["waterfall"]())
    with mpl.rc_context({"text.hinting": "none", "text.antialiased": False}):
        after = rendered(DRAWINGS["waterfall"]())
    assert (before != after).any()
    assert alike(before, after)


def test_equal_explanations_give_equal_bytes() -> None:
    first, second = (visualization.png_bytes(DRAWINGS["beeswarm"]()) for _ in range(2))
    assert first == second


def test_a_bare_plot_chooses_by_the_data() -> None:
    chosen = {
        "image": explanation(MAP[None, None]),
        "table": explanation(drawings.RISKS[None]),
        "series": explanation(SERIES_ATTR[None], SERIES[None]),
        "text": explanation(TOKEN_ATTR[None], tokens=(tuple(TOKENS),)),
        "layer": explanation(np.zeros((1, 8, 4, 6)), IMAGE.transpose(2, 0, 1)[None]),
    }
    for kind, found in chosen.items():
        bare = rendered(found.plot()[0])
        named = rendered(found.plot(0, kind=kind)[0])
        assert (bare == named).all(), kind
