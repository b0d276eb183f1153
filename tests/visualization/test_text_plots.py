"""Texts: words and their sums, colours, and that nothing in a token can leave its place."""

import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from pellucid import visualization
from pellucid.errors import InvalidTypeError, InvalidValueError
from pellucid.visualization import VisualizationDataRecord, draw_tokens, tokens_html, visualize_text
from pellucid.visualization.words import byte_letters, direction, visible, words_of

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "</td></table><h1>",
    "&lt;b&gt;",
    "it's",
    "\u202egnp.exe",
    "\u05e9\u05dc\u05d5\u05dd",
    "\U0001f600",
    "{{ 7 * 7 }}",
    "a\nb",
    "\x00",
    "javascript:alert(3)",
]


class Reader(HTMLParser):
    """Collects tags, attributes and text as a browser would."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    return reader


def texts(tokens: list[str], merge: bool = True) -> list[str]:
    return [word.text for word in words_of(tokens, np.zeros((1, len(tokens))), merge=merge)]


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (["[CLS]", "un", "##like", "##ly", "!", "[SEP]"], ["[CLS]", "unlikely", "!", "[SEP]"]),
        (["<s>", "▁The", "▁caf", "é", "s", "</s>"], ["<s>", "The", "cafés", "</s>"]),
        (["▁", "x", "▁▁", "▁y"], ["x", "␣", "y"]),
        (["<|endoftext|>", "The", "Ġcaf", "Ã©", "Ġop", "en"], ["<|endoftext|>", "The", "café", "open"]),
        (["ĠðŁĺ", "Ģ", "Ġok", "Ċ", "Ġend"], ["😀", "ok", "⏎", "end"]),
        (["##s", "a"], ["s", "a"]),
        (["##", "a", "##b"], ["##", "ab"]),
        (["[SEP]", "##x"], ["[SEP]", "x"]),
        (["plain", "words", "stay"], ["plain", "words", "stay"]),
        (["bank", "bank"], ["bank", "bank"]),
        (["[not special]", "<", ">", "<unk>"], ["[not special]", "<", ">", "<unk>"]),
        ([], []),
    ],
)
def test_words_of_every_convention(tokens: list[str], words: list[str]) -> None:
    assert texts(tokens) == words


TOKENS = st.lists(st.sampled_from(["un", "##like", "##ly", "[CLS]", "▁a", "b", "Ġc", "é", "", "<s>"]), max_size=12)


@given(TOKENS, st.booleans(), st.integers(1, 3), st.integers(0, 2**31))
def test_merging_changes_no_total_and_loses_no_token(tokens: list[str], merge: bool, targets: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(targets, len(tokens)))
    words = words_of(tokens, values, merge=merge)
    assert [place for word in words for place in word.places] == list(range(len(tokens)))
    if words:
        sums = np.array([word.values for word in words])
        np.testing.assert_allclose(sums.sum(axis=0), values.sum(axis=1), atol=1e-12)
    if not merge:
        assert len(words) == len(tokens)
    if tokens:
        assert tokens_html(tokens, values, merge=merge).count("<span") == targets * len(words)


def test_bytes_are_those_of_the_tokenizer() -> None:
    letters = byte_letters()
    assert sorted(letters.values()) == list(range(256))
    transformers = pytest.importorskip("transformers.convert_slow_tokenizer")
    assert {letter: byte for byte, letter in transformers.bytes_to_unicode().items()} == letters


def test_special_tokens_and_repeats_keep_their_own_values() -> None:
    words = words_of(["[CLS]", "bank", "my", "bank"], np.array([[0.5, 1.0, 2.0, -3.0]]), merge=True)
    assert [(word.text, word.values[0], word.special) for word in words] == [
        ("[CLS]", 0.5, True),
        ("bank", 1.0, False),
        ("my", 2.0, False),
        ("bank", -3.0, False),
    ]
    named = words_of(["EOS"], np.zeros((1, 1)), merge=True, special=["EOS"])
    assert named[0].special


def test_what_cannot_be_seen_is_shown() -> None:
    assert visible("a\tb\u200bc\u202ed\u0007") == "a⇥b〈200B〉c〈202E〉d〈0007〉".replace("〈", "\u2329").replace(
        "〉", "\u232a"
    )
    assert visible("\U0001f469\u200d\U0001f4bb") == "\U0001f469\u200d\U0001f4bb"
    assert visible("  ") == "\u2423\u2423"
    assert visible("a b") == "a b"


def test_special_tokens_are_marked_but_not_paler() -> None:
    page = tokens_html(["[CLS]", "word"], [[1.0, 1.0]], targets=[3])
    first, second = re.findall(r'<span style="([^"]*)"', page)
    assert first.startswith(second)
    assert "opacity" not in page
    assert "<strong>3</strong>" in page


def test_right_to_left() -> None:
    hebrew = words_of(["\u05e9\u05dc\u05d5\u05dd", "PyTorch", "\u05e2\u05d5\u05dc\u05dd"], np.zeros((1, 3)), merge=True)
    assert direction(hebrew) == "rtl"
    assert direction(words_of(["hello", "\u05e9"], np.zeros((1, 2)), merge=True)) == "ltr"
    assert 'dir="rtl"' in tokens_html([word.text for word in hebrew], np.zeros(3))


@pytest.mark.parametrize("targets", [None, HOSTILE[:2]])
def test_hostile_tokens_stay_text(targets: list[str] | None) -> None:
    values = np.linspace(-1, 1, len(HOSTILE))
    page = tokens_html(HOSTILE, values if targets is None else np.stack([values, values]), targets=targets)
    reader = read(page)
    assert set(reader.tags) <= {"p", "span", "strong", "br"}
    assert {name for name, _ in reader.attributes} == {"dir", "style", "title"}
    for token in HOSTILE:
        assert visible(token) in reader.text
    assert "url(" not in page


def test_hostile_records_stay_text() -> None:
    record = VisualizationDataRecord(
        torch.linspace(-1, 1, len(HOSTILE)), 0.5, HOSTILE[0], HOSTILE[1], HOSTILE[2], 0.1, HOSTILE, 0.0
    )
    for legend in (True, False):
        page = visualize_text([record, record], legend=legend)
        reader = read(page.data)
        assert set(reader.tags) <= {"table", "tr", "th", "td", "b", "mark", "div", "span"}
        assert {name for name, _ in reader.attributes} == {"dir", "style", "title"}
        assert reader.tags.count("tr") == 3
        assert ("Legend:" in reader.text) is legend
        for token in HOSTILE:
            assert visible(token) in reader.text
        assert page._repr_html_() == page.data


def test_colours_of_words_are_those_of_captum() -> None:
    theirs = pytest.importorskip("captum.attr._utils.visualization")
    ours = visualization.records._colour
    for value in (-1.0, -0.7, -0.01, 0.0, 0.3, 1.0, 2.0, -5.0):
        assert ours(value) == theirs._get_color(value)


def test_a_row_says_what_captums_says() -> None:
    page = visualize_text([VisualizationDataRecord([0.5], 0.876, "pos", "neg", 1, 1.234, ["<pad>"], 0.0)])
    cells = [text for text in read(page.data).text if text.strip()]
    for cell in ("neg", "pos (0.88)", "1", "1.23", "#pad"):
        assert cell in cells


def test_notebooks_display_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types

    shown: list[Any] = []
    ipython = types.ModuleType("IPython")
    ipython.get_ipython = object  # type: ignore[attr-defined]
    ipython.display = types.SimpleNamespace(display=shown.append)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    page = visualize_text([])
    assert shown == [page]


REFUSED: list[tuple[Any, type[Exception], str]] = [
    (lambda: tokens_html("text", [0.0] * 4), InvalidTypeError, "tokens"),
    (lambda: tokens_html([], []), InvalidValueError, "tokens is empty"),
    (lambda: tokens_html(["a"], [0.0, 1.0]), InvalidValueError, "values.*1 tokens"),
    (lambda: tokens_html(["a"], [np.nan]), InvalidValueError, "values.*NaN"),
    (lambda: tokens_html(["a"], [0.0], targets=["x", "y"]), InvalidValueError, "targets"),
    (lambda: tokens_html(["a"], [0.0], limit=-1.0), InvalidValueError, "limit"),
    (lambda: draw_tokens(None, ["a"], [0.0]), InvalidTypeError, "ax"),  # type: ignore[arg-type]
    (lambda: visualize_text([3]), InvalidTypeError, "datarecords"),  # type: ignore[list-item]
    (lambda: visualize_text(3), InvalidTypeError, "datarecords"),  # type: ignore[arg-type]
    (
        lambda: visualize_text([VisualizationDataRecord([1.0], 1.0, 1, 1, 1, 1.0, ["a", "b"], 0.0)]),
        InvalidValueError,
        r"datarecords\[0\].word_attributions.*2 words",
    ),
    (lambda: visualization.format_word_importances(["a"], [1.0, 2.0]), InvalidValueError, "importances"),
]


@pytest.mark.parametrize(("call", "error", "words"), REFUSED)
def test_refused(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_words_on_an_axis_wrap_and_have_one_scale() -> None:
    figure = Figure(figsize=(3, 3))
    tokens = [f"word{i}" for i in range(30)]
    written = draw_tokens(figure.subplots(), tokens, np.stack([np.arange(30.0), -np.arange(30.0)]), targets=["a", "b"])
    assert len(written) == 60
    heights = {word.xyann[1] for word in written[:30]}
    assert len(heights) > 3
    width = figure.axes[0].get_window_extent().width / figure.dpi * 72
    figure.draw_without_rendering()
    for word in written:
        assert 0 <= word.xyann[0] < width
    strongest = [written[29].get_bbox_patch().get_facecolor(), written[59].get_bbox_patch().get_facecolor()]
    ends = visualization.signed_colormap()([1.0, 0.0])
    np.testing.assert_allclose(strongest, ends)


def test_letters_that_the_font_lacks_are_boxes() -> None:
    written = draw_tokens(Figure().subplots(), ["\U0001fae0", "$x^2$", "ok"], [0.0, 1.0, 0.0])
    assert [word.get_text() for word in written] == ["\u25a1", "$x^2$", "ok"]
    assert not written[1].get_parse_math()
