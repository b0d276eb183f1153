"""`visualize_text`: a table of texts with their predictions, words coloured by importance, as HTML."""

from __future__ import annotations

import html
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid._core.checks import accept_text, accept_texts
from pellucid.errors import invalid_type, invalid_value
from pellucid.visualization.arrays import ArrayLike, as_floats, as_numpy, one_number
from pellucid.visualization.checks import held
from pellucid.visualization.words import direction, visible, words_of

_HEADINGS = ("True Label", "Predicted Label", "Attribution Label", "Attribution Score", "Word Importance")
_LEGEND = (("Negative", -1.0), ("Neutral", 0.0), ("Positive", 1.0))


@dataclass(frozen=True)
class HTMLPage:
    """A piece of HTML that notebooks show.

    Attributes:
        data: the HTML.
    """

    data: str

    def _repr_html_(self) -> str:
        return self.data


@dataclass
class VisualizationDataRecord:
    """One text with its prediction and the importance of its words, a row of `visualize_text`.

    Example:
        >>> VisualizationDataRecord([0.5, -1.0], 0.9, "pos", "pos", "pos", -0.5, ["not", "bad"], 0.01).pred_prob
        0.9

    Args:
        word_attributions: The importance of each word, from -1 to 1; the colours of larger magnitudes are the same.
        pred_prob: The probability of the predicted class.
        pred_class: The predicted class.
        true_class: The true class.
        attr_class: The class that is explained.
        attr_score: The sum of the attributions.
        raw_input_ids: The words.
        convergence_score: The completeness error of the attributions; it is kept and not shown.
    """

    word_attributions: ArrayLike
    pred_prob: float
    pred_class: int | str
    true_class: int | str
    attr_class: int | str
    attr_score: float
    raw_input_ids: Sequence[str]
    convergence_score: float


@held
def visualize_text(datarecords: Iterable[VisualizationDataRecord], legend: bool = True) -> HTMLPage:
    """Show texts in a table, each with its prediction and with its words on the colour of their importance.

    Green words raise the explained output, red ones lower it. In a notebook the table is displayed at once. Words
    are escaped: what looks like a tag is text.

    Example:
        >>> record = VisualizationDataRecord([0.5, -1.0], 0.9, "pos", "pos", "pos", -0.5, ["not", "<b>bad</b>"], 0.01)
        >>> page = visualize_text([record]).data
        >>> "pos (0.90)" in page, "<b>bad" in page, "&lt;b&gt;bad" in page
        (True, False, True)

    Args:
        datarecords: The texts, one for each row.
        legend: Whether the meaning of the colours is said above the table.

    Returns:
        The table; its ``data`` is the HTML.

    Raises:
        InvalidTypeError: What is given is no sequence of records.
        InvalidValueError: A record has not one importance for each word, or one that is not finite.
    """
    rows = [_row(record, place) for place, record in enumerate(_records(datarecords))]
    heads = "".join(f'<th style="text-align:left;padding:4px 14px 4px 0">{name}</th>' for name in _HEADINGS)
    table = f'<table style="width:100%;border-collapse:collapse"><tr>{heads}</tr>{"".join(rows)}</table>'
    page = HTMLPage((_legend() if legend else "") + table)
    _display(page)
    return page


def format_word_importances(words: Sequence[str], importances: ArrayLike) -> str:
    """Return words on the colours of their importances, a cell of a table; there is one importance for each word.

    Example:
        >>> cell = format_word_importances(["a < b"], [1.0])
        >>> "hsl(120, 75%, 50%)" in cell, "a &lt; b" in cell
        (True, True)

    Args:
        words: The words, escaped here.
        importances: Numbers from -1 to 1, shape (T,).

    Returns:
        The cell. Nothing, but a cell, for no words.

    Raises:
        InvalidValueError: There is not one finite importance for each word.
    """
    words = accept_texts("words", words, "each has an importance")
    if importances is None or (not words and not np.size(as_numpy("importances", importances))):
        return "<td></td>"
    numbers = as_floats("importances", importances)
    if numbers.shape != (len(words),):
        given = f"of shape {numbers.shape}"
        raise invalid_value("importances", given, f"there are {len(words)} words", f"shape ({len(words)},)")
    texts = [visible(str(word)) for word in words]
    side = direction(words_of(texts, numbers[None], merge=False))
    marks = "".join(_mark(text, float(number)) for text, number in zip(texts, numbers, strict=True))
    return f'<td dir="{side}" style="text-align:start;line-height:1.9">{marks}</td>'


def format_classname(classname: object) -> str:
    """Return the name of a class as a cell of a table.

    Example:
        >>> format_classname("<cat>")
        '<td><b style="padding-right:2em">&lt;cat&gt;</b></td>'
    """
    return f'<td><b style="padding-right:2em">{html.escape(visible(str(classname)))}</b></td>'


def format_special_tokens(token: str) -> str:
    """Return a token such as <pad> with a leading "#" instead of its angle brackets, any other as it is.

    Example:
        >>> format_special_tokens("<pad>"), format_special_tokens("pad")
        ('#pad', 'pad')
    """
    inner = accept_text("token", token, "it is written out")[1:-1]
    return f"#{inner}" if token == f"<{inner}>" and not {"<", ">"} & set(inner) else token


def format_tooltip(item: str, text: str) -> str:
    """Return an item, escaped, that shows a text when one points at it.

    Example:
        >>> format_tooltip("word", "0.5")
        '<span title="0.5">word</span>'
    """
    return f'<span title="{html.escape(str(text))}">{html.escape(visible(str(item)))}</span>'


def _records(given: Any) -> list[VisualizationDataRecord]:
    try:
        records = list(given)
    except TypeError:  # no list of anything
        records = [given]
    for record in records:
        if not isinstance(record, VisualizationDataRecord):
            what = f"with an entry of type {type(record).__name__}"
            raise invalid_type("datarecords", what, "each row is one record", "a list of VisualizationDataRecord")
    return records


def _row(record: VisualizationDataRecord, place: int) -> str:
    where, importances = f"datarecords[{place}]", record.word_attributions
    words = accept_texts(f"{where}.raw_input_ids", record.raw_input_ids, "they are the words of a text")
    shape = np.shape(as_numpy(f"{where}.word_attributions", importances))
    if shape != (len(words),):
        given = f"of shape {shape}"
        why = f"there are {len(words)} words"
        raise invalid_value(f"{where}.word_attributions", given, why, "one number for each word")
    probability, score = (one_number(f"{where}.{n}", getattr(record, n)) for n in ("pred_prob", "attr_score"))
    return (
        f'<tr style="border-top:1px solid #8884">{format_classname(record.true_class)}'
        f"{format_classname(f'{record.pred_class} ({probability:.2f})')}"
        f"{format_classname(record.attr_class)}{format_classname(f'{score:.2f}')}"
        f"{format_word_importances(words, importances)}</tr>"
    )


def _legend() -> str:
    swatches = "".join(
        f'<span style="display:inline-block;width:10px;height:10px;border:1px solid #8886;margin:0 .3em 0 1em;'
        f'background-color:{_colour(value)}"></span>{name}'
        for name, value in _LEGEND
    )
    return f'<div style="border-top:1px solid #8886;margin-top:5px;padding-top:5px"><b>Legend:</b>{swatches}</div>'


def _mark(word: str, value: float) -> str:
    style = f"background-color:{_colour(value)};color:black;border-radius:3px;padding:1px 3px;unicode-bidi:isolate"
    return f'<mark style="{style}" title="{value:+.3g}">{html.escape(format_special_tokens(word))}</mark> '


def _colour(value: float) -> str:
    """Green above zero and red below, the paler the smaller; white at zero."""
    share = max(-1.0, min(1.0, value))
    if share > 0:
        return f"hsl(120, 75%, {100 - int(50 * share)}%)"
    return f"hsl(0, 75%, {100 - int(40 * -share)}%)"


def _display(page: HTMLPage) -> None:
    """Display a page in a running notebook; elsewhere nobody would see it."""
    ipython = sys.modules.get("IPython")
    if ipython is not None and ipython.get_ipython() is not None:
        ipython.display.display(page)
