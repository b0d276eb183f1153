"""Texts whose words are coloured by their attributions: on an axis, and as HTML that needs nothing else."""

from __future__ import annotations

import functools
import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pellucid.visualization.arrays import ArrayLike
from pellucid.visualization.checks import held
from pellucid.visualization.colors import AGAINST, FOR, checked_limit, signed_colormap
from pellucid.visualization.figures import FRAME, bar_in, figure_of, signed_number, titled, write_note
from pellucid.visualization.normalize import FloatArray
from pellucid.visualization.words import Word, direction, token_values, visible, words_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.font_manager import FontProperties
    from matplotlib.text import Annotation

FONT_SIZE = 12.0
"""Points."""

LINE = 2.0
"""Distance of two lines, in font sizes: room for the boxes around words."""

STRONGEST = 0.85
"""Opacity of the strongest word in HTML: text on it stays readable on light and dark pages."""


@held
def draw_tokens(
    ax: Axes,
    tokens: Sequence[str],
    values: ArrayLike,
    *,
    targets: Sequence[str] | None = None,
    merge: bool = True,
    limit: float | None = None,
    title: str | None = None,
) -> list[Annotation]:
    """Write a text on an axis, each word on the colour of its attribution: blue lowers the output, orange raises it.

    Pieces of words are joined and their attributions summed. Special tokens such as [CLS] are grey and in italics.
    With several targets the text is written once for each, all on one scale.

    Example:
        >>> import matplotlib.figure
        >>> axis = matplotlib.figure.Figure().subplots()
        >>> words = draw_tokens(axis, ["[CLS]", "un", "##help", "##ful", "[SEP]"], [0.0, -1.0, 0.25, 0.25, 0.0])
        >>> [word.get_text() for word in words]
        ['[CLS]', 'unhelpful', '[SEP]']

    Args:
        ax: The axis to draw on; lines are as wide as it is at the time of drawing.
        tokens: The T tokens, as the tokenizer writes them.
        values: Attributions of shape (T,), or (K, T) for K targets.
        targets: The names of the K targets.
        merge: Whether pieces are joined to words.
        limit: The magnitude that gets the full colour; by default that of the strongest word.
        title: What stands above.

    Returns:
        The words that were written, those of the first target first.

    Raises:
        InvalidValueError: A value is not finite, or there is not one for each token.
        InvalidTypeError: A wrong type.
    """
    texts, rows = token_values(tokens, values, targets)
    words = words_of(texts, rows, merge=merge)
    bound = word_limit(words, limit)
    figure = figure_of(ax)
    ax.set_axis_off()
    width = ax.get_window_extent().width / figure.dpi * 72
    pen = _Pen(ax, width, rtl=direction(words) == "rtl")
    written = []
    for row in range(len(rows)):
        if targets is not None:
            pen.write(visible(str(targets[row])), weight="bold", size=0.9 * FONT_SIZE)
            pen.new_line()
        written += [pen.write_word(word, word.values[row] / bound) for word in words]
        pen.new_line(1.35 if targets is not None else 1.0)
    bar_in(ax, signed_scale(bound), anchor=(0.0, 1.0), down=pen.down - FONT_SIZE)
    if not rows.any():
        write_note(ax, "all attributions are zero")
    titled(ax, title)
    return written


@held
def tokens_html(
    tokens: Sequence[str],
    values: ArrayLike,
    *,
    targets: Sequence[str] | None = None,
    merge: bool = True,
    limit: float | None = None,
    special: Iterable[str] = (),
) -> str:
    """Return a text as HTML, each word on the colour of its attribution, which shows when one points at it.

    The fragment carries its styles with it, runs no script and refers to nothing. Tokens are escaped, and each is
    kept apart from the text around it, so that letters from right to left disturb nothing.

    Example:
        >>> page = tokens_html(["<script>", "good"], [-0.5, 1.0])
        >>> "<script" in page, "&lt;script&gt;" in page, 'title="+1"' in page
        (False, True, True)

    Args:
        tokens: The T tokens, as the tokenizer writes them.
        values: Attributions of shape (T,), or (K, T) for K targets.
        targets: The names of the K targets.
        merge: Whether pieces are joined to words.
        limit: The magnitude that gets the full colour; by default that of the strongest word.
        special: Tokens that stand for no text, beside those of the forms ``[CLS]``, ``<s>`` and ``<|end|>``.

    Returns:
        One paragraph for each target.

    Raises:
        InvalidValueError: A value is not finite, or there is not one for each token.
        InvalidTypeError: A wrong type.
    """
    texts, rows = token_values(tokens, values, targets)
    words = words_of(texts, rows, merge=merge, special=special)
    bound = word_limit(words, limit)
    paragraphs = []
    for row in range(len(rows)):
        spans = "".join(word_html(word, row, bound) for word in words)
        head = "" if targets is None else f"<strong>{html.escape(visible(str(targets[row])))}</strong><br>"
        paragraphs.append(f'<p dir="{direction(words)}" style="line-height:2;margin:.4em 0">{head}{spans}</p>')
    return "\n".join(paragraphs)


def legend_html(limit: float) -> str:
    """Return a strip from the colour of -limit over none to that of limit, with numbers."""
    strip = f"linear-gradient(90deg,{token_colour(-limit, limit)},transparent,{token_colour(limit, limit)})"
    bar = f'<span style="display:inline-block;width:9em;height:.7em;border-radius:4px;background:{strip}"></span>'
    return (
        f'<div style="font-size:12.5px;opacity:.8;margin-top:.5em">lowers {signed_number(-limit)} {bar} '
        f"{signed_number(limit)} raises the output</div>"
    )


def word_html(word: Word, row: int, bound: float) -> str:
    """Return one word as a span on the colour of its value, with a space before it unless it continues another."""
    value = word.values[row]
    style = f"background:{token_colour(value, bound)};border-radius:4px;padding:3px 2px;unicode-bidi:isolate"
    if word.special:
        style += ";font-style:italic;outline:1px dotted #888"  # a paler one would look weaker
    span = f'<span style="{style}" title="{signed_number(value)}">{html.escape(word.text)}</span>'
    return f" {span}" if word.begins else span


def signed_scale(bound: float) -> ScalarMappable:
    """Return the colours of words, from -bound to bound."""
    from matplotlib.cm import ScalarMappable  # noqa: PLC0415 - draws
    from matplotlib.colors import Normalize  # noqa: PLC0415

    return ScalarMappable(Normalize(-bound, bound), signed_colormap())


def token_colour(value: float, bound: float) -> str:
    """Return the CSS colour of a value: its sign chooses the hue and its size the opacity."""
    red, green, blue = FOR if value >= 0 else AGAINST
    alpha = round(STRONGEST * min(abs(value) / bound, 1.0), 3) if bound else 0.0
    return f"rgba({red}, {green}, {blue}, {alpha})"


def word_limit(words: Sequence[Word], limit: float | None) -> float:
    """Return the magnitude of the strongest word, or the one given."""
    values: FloatArray = np.array([word.values for word in words], dtype=np.float64)
    return checked_limit(limit, values) if limit is not None else float(np.abs(values).max(initial=0.0)) or 1.0


@dataclass
class _Pen:
    """Writes words from the upper corner of an axis on, in points, and begins a line where one is full."""

    ax: Axes
    width: float
    rtl: bool
    along: float = 0.0
    down: float = FONT_SIZE

    def write_word(self, word: Word, share: float) -> Annotation:
        """Write a word on its colour."""
        colour = signed_colormap()((np.clip(share, -1.0, 1.0) + 1.0) / 2.0)
        dark = sum(weight * part for weight, part in zip((0.299, 0.587, 0.114), colour[:3], strict=True)) < 0.5
        ink = "white" if dark else "#808080" if word.special else "black"
        box = {"boxstyle": "round,pad=0.18", "facecolor": colour, "edgecolor": FRAME if word.special else "none"}
        gap = 0.42 * FONT_SIZE if word.begins and self.along else 0.0
        style = "italic" if word.special else "normal"
        return self.write(word.text, gap, color=ink, bbox={**box, "linewidth": 0.6}, style=style)

    def write(self, text: str, gap: float = 0.0, size: float = FONT_SIZE, **options: Any) -> Annotation:
        """Write a text after a gap, on the next line if it does not fit."""
        from matplotlib.font_manager import FontProperties  # noqa: PLC0415 - draws

        font = FontProperties(size=size, weight=options.get("weight"), style=options.get("style"))
        shown = printable(text, font)
        long = text_width(shown, font) + 0.36 * FONT_SIZE
        if self.along and self.along + gap + long > self.width:
            self.new_line()
            gap = 0.0
        where = self.along + gap + 0.18 * FONT_SIZE
        written = self.ax.annotate(
            shown, (float(self.rtl), 1.0), (-where if self.rtl else where, -self.down), xycoords="axes fraction",
            textcoords="offset points", ha="right" if self.rtl else "left", va="baseline", fontsize=size,
            parse_math=False, annotation_clip=False, **options,
        )  # fmt: skip
        self.along += gap + long
        return written

    def new_line(self, lines: float = 1.0) -> None:
        """Go to the beginning of the next line."""
        self.along = 0.0
        self.down += lines * LINE * FONT_SIZE


def text_width(text: str, font: FontProperties) -> float:
    """Return how wide a text is, in points."""
    from matplotlib.textpath import TextToPath  # noqa: PLC0415 - draws

    return float(TextToPath().get_text_width_height_descent(text, font, ismath=False)[0])


def printable(text: str, font: FontProperties) -> str:
    """Replace what the font has no letter for, as for most emoji, by an empty box."""
    from matplotlib.font_manager import findfont  # noqa: PLC0415 - draws

    known = letters_of(findfont(font))
    return "".join(letter if ord(letter) in known else "\N{WHITE SQUARE}" for letter in text)


@functools.cache
def letters_of(path: str) -> frozenset[int]:
    """Return the code points of all letters that a font file has."""
    from matplotlib.font_manager import get_font  # noqa: PLC0415 - draws

    return frozenset(get_font(path).get_charmap())
