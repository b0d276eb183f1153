"""One method's view of one example: a heat map, signed bars or coloured tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from torch import Tensor

from pellucid.report._pictures import Array, flat_map, heat_map_uri, png_uri, strength
from pellucid.report._subject import Subject
from pellucid.report._verdict import Verdict, explanation_title, single_tensor, verdict_of
from pellucid.visualization import png_bytes
from pellucid.visualization.tokens import token_colour
from pellucid.visualization.words import words_of

if TYPE_CHECKING:
    from pellucid import Explanation


SHOWN_FEATURES = 12


@dataclass(frozen=True)
class FeatureBar:
    """One feature of a table row: a bar to the right speaks for the output, to the left against it."""

    name: str
    value: str
    number: str
    share: float
    positive: bool


@dataclass(frozen=True)
class Token:
    """One token of a text on a background as strong as its influence."""

    text: str
    number: str
    colour: str
    joined: bool
    special: bool


@dataclass(frozen=True)
class Panel:
    """What one method says about one example."""

    title: str
    kind: Literal["map", "bars", "tokens", "figure"]
    limit: str
    zero: bool
    signed: bool
    verdict: Verdict
    picture: str = ""
    bars: list[FeatureBar] = field(default_factory=list)
    tokens: list[Token] = field(default_factory=list)
    alt: str = ""


def panel_of(explanation: Explanation, subject: Subject, position: int) -> Panel:
    """Build the panel of one method for one example."""
    values = single_tensor(explanation.attributions, "attributions")[position]
    title = explanation_title(explanation)
    verdict = verdict_of(explanation, position)
    if subject.kind == "figure":
        figure, _ = explanation.plot(position)
        uri = png_uri(png_bytes(figure, dpi=110))
        signed = bool((values < 0).any())
        return Panel(title, "figure", "", not bool(values.any()), signed, verdict, picture=uri, alt=f"{title}: figure")
    if subject.kind == "image":
        array = flat_map(values)
        limit = strength(array)
        return Panel(
            title,
            "map",
            f"{limit:.2g}",
            not limit,
            bool((array < 0).any()),
            verdict,
            picture=heat_map_uri(array, limit),
            alt=_alt_text(title, array),
        )
    array = token_sums(values) if subject.kind == "text" else values.detach().cpu().double().numpy().ravel()
    limit = float(np.abs(np.nan_to_num(array)).max(initial=0.0))
    common = (f"{limit:.2g}", not limit, bool((array < 0).any()), verdict)
    if subject.kind == "text":
        return Panel(title, "tokens", *common, tokens=_tokens(array, subject.tokens[position], limit))
    return Panel(title, "bars", *common, bars=_bars(array, subject, position, limit))


def token_sums(values: Tensor) -> Array:
    """Sum the attributions of each token's embedding, (T, D), to one value per token, (T,)."""
    array: Array = values.detach().cpu().double().numpy()
    return array.sum(axis=-1) if array.ndim > 1 else array


def _bars(array: Array, subject: Subject, position: int, limit: float) -> list[FeatureBar]:
    order = np.argsort(-np.abs(np.nan_to_num(array)), kind="stable")
    chosen = order[:SHOWN_FEATURES]
    rest = array[order[SHOWN_FEATURES:]]
    total = float(rest.sum())
    limit = max(limit, abs(total))
    held = subject.values[position] if subject.values else ()
    bars = [
        FeatureBar(
            str(subject.feature_names[index]) if index < len(subject.feature_names) else f"feature {index}",
            held[index] if index < len(held) else "",
            _signed(array[index]),
            _share(array[index], limit),
            bool(array[index] >= 0),
        )
        for index in chosen
    ]
    if rest.size:
        name = f"{rest.size} more together"
        bars.append(FeatureBar(name, "", _signed(total), _share(total, limit), total >= 0))
    return bars


def _signed(value: float) -> str:
    return f"{value:+.3g}".replace("-", "\N{MINUS SIGN}")


def _share(value: float, limit: float) -> float:
    return round(min(abs(float(value)) / limit, 1.0), 4) if limit else 0.0


def _tokens(array: Array, tokens: Sequence[str], limit: float) -> list[Token]:
    words = words_of(list(tokens), array[None, : len(tokens)], merge=False)
    return [
        Token(
            word.text, _signed(word.values[0]), token_colour(word.values[0], limit), not word.begins or not place,
            word.special,
        )
        for place, word in enumerate(words)
    ]  # fmt: skip


def _alt_text(title: str, array: Array) -> str:
    if not array.any():
        return f"{title}: every value is zero"
    row, column = np.unravel_index(int(np.abs(array).argmax()), array.shape)
    sign = "for" if array[row, column] > 0 else "against"
    return (
        f"{title}: heat map of {array.shape[0]} by {array.shape[1]} values, strongest at row {row + 1}, "
        f"column {column + 1}, where it speaks {sign} the explained output"
    )
