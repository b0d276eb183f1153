"""An explanation as a small piece of HTML: what a notebook shows, and what a page puts beside others."""

from __future__ import annotations

import base64
import html
from typing import TYPE_CHECKING

from pellucid.visualization.explanations import plot_explanation, text_of
from pellucid.visualization.figures import png_bytes
from pellucid.visualization.tokens import legend_html, tokens_html, word_limit
from pellucid.visualization.views import View, count_of, taken, title_of, views_of
from pellucid.visualization.words import words_of

if TYPE_CHECKING:
    from pellucid.explanation import Explanation

SHOWN = 6
"""So many images share a figure, and so many texts a list, at most."""

STYLE = "font:14px/1.5 system-ui,sans-serif;max-width:60em;margin:0"
SOFT = "opacity:.7;font-size:12.5px;margin-top:.4em"


def explanation_html(explanation: Explanation, kind: str | None = None) -> str:
    """Return the picture that fits an explanation as HTML that refers to nothing else and runs no script.

    Images show up to six examples on one scale, texts up to six, anything else the first.

    Example:
        >>> import pellucid, torch
        >>> explanation = pellucid.explain(torch.nn.Linear(3, 2), torch.ones(1, 3), names=["a", "<b>", "c"])
        >>> page = explanation_html(explanation)
        >>> page.startswith("<figure"), "data:image/png;base64," in page
        (True, True)

    Args:
        explanation: What to show.
        kind: A picture by name instead of the one that fits.

    Returns:
        A ``<figure>`` with a caption.

    Raises:
        InvalidValueError: The data have no picture.
    """
    count = count_of(explanation)
    some = taken(explanation, range(min(SHOWN, count)))
    views = views_of(some)
    single = views[0].kind if len(views) == 1 else "several"
    if single == "text" and kind is None:
        shown = min(SHOWN, count)
        body = texts_html(some, views[0], shown)
    else:
        shown = min(SHOWN, count) if single == "image" and kind is None else 1
        figure, _ = plot_explanation(explanation, list(range(shown)), kind=kind)
        data = base64.b64encode(png_bytes(figure, dpi=110)).decode("ascii")
        alt = html.escape(title_of(some, 0).replace("\n", ", "))
        body = f'<img style="max-width:100%;height:auto" alt="{alt}" src="data:image/png;base64,{data}">'
    told = caption(explanation, count if kind == "beeswarm" else shown)
    return f'<figure style="{STYLE}">{body}<figcaption style="{SOFT}">{told}</figcaption></figure>'


def texts_html(explanation: Explanation, view: View, shown: int) -> str:
    """Return the first texts, all on one scale, each below its target, and the meaning of the colours."""
    parts = [text_of(explanation, view, place) for place in range(shown)]
    limit = max(word_limit(words_of(part["tokens"], part["values"][None], merge=True), None) for part in parts)
    titles = [title_of(explanation, place).partition("\n")[0] for place in range(shown)]
    bodies = [
        f'<div style="{SOFT}">{html.escape(title)}</div>{tokens_html(**part, limit=limit)}'
        for title, part in zip(titles, parts, strict=True)
    ]
    return "".join(bodies) + legend_html(limit)


def caption(explanation: Explanation, shown: int) -> str:
    """Say how many examples are shown, what the check found, and what was warned about; escaped."""
    count = count_of(explanation)
    facts = [f"{shown} of {count} examples"] if shown < count else []
    if explanation.delta is not None:
        facts.append(f"|delta| at most {float(explanation.delta.abs().max()):.2g}")
    facts.append(f"{explanation.cost.rows} model rows in {explanation.cost.seconds:.2f} s")
    facts += [f"{notice.category}: {notice.message}" for notice in explanation.warnings]
    return " \N{MIDDLE DOT} ".join(html.escape(fact) for fact in facts)
