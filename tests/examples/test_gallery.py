"""The gallery and the overview of the demo: drawn from real data, small, and harmless as pages."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import pellucid
from examples import gallery, overview
from pellucid.errors import InvalidValueError
from pellucid.report import Section, render_overview
from pellucid.visualization import png_bytes

GALLERY = Path(gallery.__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def cells() -> pellucid.Explanation:
    return gallery.table()


def test_every_picture_of_the_gallery_is_there_and_small() -> None:
    shown = set(re.findall(r"\(gallery/([a-z_]+)\.png\)", (GALLERY / "gallery.md").read_text()))
    stored = {path.stem: path.stat().st_size for path in (GALLERY / "gallery").glob("*.png")}
    assert shown == set(stored)
    assert max(stored.values()) < 100_000


def test_the_table_is_learnt_and_complete(cells: pellucid.Explanation) -> None:
    assert cells.attributions.shape == (114, 30)
    assert cells.names[0] == "mean radius"
    assert cells.delta.abs().max() < 1e-2
    assert png_bytes(cells.plot(kind="beeswarm")[0], dpi=40).startswith(b"\x89PNG")


@pytest.mark.parametrize("text", [False, True])
def test_image_text_and_table_stand_side_by_side(
    cells: pellucid.Explanation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: bool
) -> None:
    words = pellucid.explain(torch.nn.Linear(3, 1), torch.rand(1, 3), target=0, tokens=[["a", "kitten", "<b>"]])
    monkeypatch.setattr(overview.sentences, "installed", lambda: text)
    monkeypatch.setattr(overview, "sentence", lambda: words)
    (tmp_path / "attributions").mkdir()
    images = pellucid.explain(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)), torch.rand(3, 1, 8, 8))
    images.save(tmp_path / "attributions" / "integrated_gradients.safetensors")
    monkeypatch.setattr(overview, "table", lambda: cells)
    monkeypatch.setattr("sys.argv", ["overview", str(tmp_path)])
    overview.main()
    page = (tmp_path / "index.html").read_text()
    assert page.count("<section") == 3 + text
    assert ("&lt;b&gt;" in page) == text
    assert "<b>" not in page
    assert page.count("data:image/png;base64,") == 3
    assert re.findall(r'href="([^"]*)"', page) == ["report.html", "table.html"]
    assert "malignant" in (tmp_path / "table.html").read_text()
    assert "script-src" not in page
    assert "default-src 'none'" in page


def test_hostile_sections_stay_text(cells: pellucid.Explanation) -> None:
    hostile = "</h2><script>alert(1)</script>"
    named = replace(cells, method=hostile, names=tuple([hostile] * 30))
    page = render_overview(hostile, [Section(hostile, named, hostile)], hostile)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 4
    for link in ("https://example.org", "javascript:alert(1)", "/etc", "\\\\host"):
        with pytest.raises(InvalidValueError, match="link"):
            Section("a", cells, link=link)
    with pytest.raises(InvalidValueError, match="sections"):
        render_overview("a", [])
