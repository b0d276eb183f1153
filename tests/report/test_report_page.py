"""The report: self-contained, complete, and safe whatever names it holds."""

from __future__ import annotations

import base64
import io
import itertools
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import pellucid
from pellucid.errors import InvalidValueError
from pellucid.report import Run, Subject, render_report, verdict_of, write_report

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7 }}'; </style>"


class Tags(HTMLParser):
    """Collects tags with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def tags(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(page)
    return parser.found


@pytest.fixture
def pictures() -> tuple[list[pellucid.Explanation], Subject]:
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))
    inputs = torch.rand(3, 1, 8, 8)
    explanations = [pellucid.explain(model, inputs, method=name) for name in ("integrated_gradients", "saliency")]
    predicted = explanations[0].outputs.argmax(1).tolist()
    truth = [predicted[0], (predicted[1] + 1) % 3, None]
    names = ["first.png", "second.png", HOSTILE]
    shown = [np.asarray(image[0]) for image in inputs]
    labels = [None, None, HOSTILE]
    return explanations, Subject(
        "image", names, pictures=shown, truth=truth, labels=labels, class_names=["a", HOSTILE, "c"]
    )


def test_it_refers_to_nothing_outside(pictures: tuple[list[pellucid.Explanation], Subject]) -> None:
    page = render_report(*pictures)
    for tag, attributes in tags(page):
        for name in ("src", "href", "data", "action"):
            value = attributes.get(name)
            assert value is None or value.startswith("data:image/png;base64,"), (tag, value)
    assert "url(" not in page
    assert "default-src 'none'" in page
    assert not re.search(r"https?://", page)


def test_hostile_names_stay_text(pictures: tuple[list[pellucid.Explanation], Subject]) -> None:
    explanations, subject = pictures
    run = Run(HOSTILE, HOSTILE, HOSTILE, {"saliency": HOSTILE}, [(HOSTILE, HOSTILE)], [HOSTILE])
    found = tags(render_report(explanations, subject, run))
    assert sum(tag == "script" for tag, _ in found) == 1
    assert all("onerror" not in attributes for _, attributes in found)
    assert all(attributes.get("src") != "x" for _, attributes in found)
    assert "7*7" in render_report(explanations, subject, run)
    assert sum(tag == "style" for tag, _ in found) == 1


def test_the_script_is_the_one_that_the_policy_allows(pictures: tuple[list[pellucid.Explanation], Subject]) -> None:
    import hashlib

    page = render_report(*pictures)
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)
    assert script
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src &#39;sha256-{digest}&#39;" in page or f"script-src 'sha256-{digest}'" in page


def test_every_image_is_a_png_with_an_alternative_text(pictures: tuple[list[pellucid.Explanation], Subject]) -> None:
    images = [attributes for tag, attributes in tags(render_report(*pictures)) if tag == "img"]
    assert len(images) == 3 * (1 + 2 * 2)
    for attributes in images:
        with Image.open(io.BytesIO(base64.b64decode(str(attributes["src"]).partition(",")[2]))) as image:
            assert image.size == (8, 8)
            assert image.format == "PNG"
        assert attributes["alt"] or attributes["class"] == "under"


def test_right_wrong_and_unknown(pictures: tuple[list[pellucid.Explanation], Subject]) -> None:
    found = tags(render_report(*pictures))
    states = [attributes["data-state"] for tag, attributes in found if tag == "article"]
    assert states == ["right", "wrong", "unknown"]
    assert {attributes.get("data-show") for tag, attributes in found if tag == "button"} == {
        "all",
        "wrong",
        "right",
        None,
    }
    headings = [int(tag[1]) for tag, _ in found if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(headings))


def test_tables_show_the_strongest_features_and_the_rest_together() -> None:
    model = torch.nn.Linear(20, 1)
    inputs = torch.randn(1, 20)
    explanation = pellucid.explain(model, inputs)
    names = [f"feature-{i}" for i in range(19)] + [HOSTILE]
    page = render_report([explanation], Subject("table", ["row 0"], feature_names=names, values=[["1"] * 20]))
    assert page.count('scope="row"') == 13 + 1  # twelve features, the rest together, and one method
    assert "8 more together" in page
    assert "<script>alert" not in page


@pytest.mark.parametrize(
    ("tokens", "read"),
    [
        (["play", "##ing", "games", "<b>"], "playing games &lt;b&gt;"),
        (["play", "ing", "Ġgames", "<b>"], "playing games &lt;b&gt;"),
        (["▁play", "ing", "▁games", "!"], "playing games!"),
        (["[CLS]", "play", "##ing", "[SEP]"], "[CLS] playing [SEP]"),
    ],
)
def test_texts_join_pieces_of_words(tokens: list[str], read: str) -> None:
    explanation = pellucid.explain(lambda x: x.sum((1, 2)), torch.randn(1, 4, 3))
    page = render_report([explanation], Subject("text", ["a text"], tokens=[tokens]))
    text = re.search(r'<p class="tokens" dir="auto">(.*?)</p>', page)
    assert text
    assert re.sub(r"<[^>]*>", "", text[1]) == read
    assert page == explanation.labelled(tokens=[tokens]).to_html().replace("example 1", "a text")


@pytest.mark.parametrize(
    ("delta", "level", "words"),
    [(0.0, "good", "within 0.001"), (0.002, "good", "within 0.2"), (0.03, "fair", "misses"), (0.4, "poor", "misses")],
)
def test_verdict_on_completeness(delta: float, level: str, words: str) -> None:
    import dataclasses

    explanation = pellucid.explain(lambda x: x.sum(1), torch.ones(1, 2))
    changed = dataclasses.replace(
        explanation, attributions=torch.tensor([[0.5, 0.5 + delta]]), delta=torch.tensor([delta], dtype=torch.float64)
    )
    verdict = verdict_of(changed, 0)
    assert verdict.level == level
    assert words in verdict.text


@pytest.mark.parametrize(("error", "level"), [(0.01, "good"), (0.2, "fair"), (0.9, "poor"), (float("nan"), "poor")])
def test_verdict_on_sampling(error: float, level: str) -> None:
    import dataclasses

    explanation = pellucid.explain(lambda x: x.sum(1), torch.ones(1, 4), method="saliency")
    changed = dataclasses.replace(explanation, standard_error=torch.full((1, 4), error))
    assert verdict_of(changed, 0).level == level
    assert verdict_of(explanation, 0).level == "none"


def test_zero_attributions_are_said() -> None:
    explanation = pellucid.explain(lambda x: (x * 0).sum((1, 2)), torch.ones(1, 4, 4), method="input_x_gradient")
    page = render_report([explanation], Subject("image", ["blank"], pictures=[np.ones((4, 4), np.float32)]))
    assert "every value is zero" in page


def test_refusals(pictures: tuple[list[pellucid.Explanation], Subject]) -> None:
    explanations, subject = pictures
    with pytest.raises(InvalidValueError, match="at least one explanation"):
        render_report([], subject)
    with pytest.raises(InvalidValueError, match="the same examples"):
        render_report(explanations, Subject("image", ["only one"]))
    with pytest.raises(InvalidValueError, match="one entry per example"):
        Subject("image", ["a", "b"], truth=[1])


def test_written_as_utf8(pictures: tuple[list[pellucid.Explanation], Subject], tmp_path: Path) -> None:
    path = write_report(tmp_path / "page.html", *pictures)
    assert "✓" in path.read_text(encoding="utf-8")
