"""Tokens as people read them: sub-word pieces joined to words, special tokens known, nothing invisible left.

Three conventions are recognised by the marks that they leave: "##x" continues a word (WordPiece), "▁x" begins
one (SentencePiece), "Ġx" begins one and stands for bytes (byte-level BPE). Tokens without marks are words.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid._core.checks import accept_texts
from pellucid.errors import invalid_type, invalid_value
from pellucid.visualization.arrays import ArrayLike, as_floats, counted
from pellucid.visualization.normalize import FloatArray

_SPECIAL = re.compile(r"\[[A-Z][A-Z0-9_]*\]|<\|?[^<>|\s]+\|?>")
_CONTINUES, _SENTENCE, _BYTES = "##", "\N{LOWER ONE EIGHTH BLOCK}", "\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}"
_BREAKS = ("\N{LATIN CAPITAL LETTER C WITH DOT ABOVE}", "\N{LATIN SMALL LETTER C WITH CIRCUMFLEX}")  # newline, tab
_JOINERS = "\u200c\u200d"
_SIGNS = {"\n": "\N{RETURN SYMBOL}", "\t": "\N{RIGHTWARDS ARROW TO BAR}", "\r": "", " ": "\N{OPEN BOX}"}


@dataclass(frozen=True)
class Word:
    """A word or a piece of one, with its attributions.

    Attributes:
        text: how it reads, without the tokenizer's marks.
        values: its attribution for each target, the sum over its pieces.
        begins: whether there is a space before it.
        special: whether it stands for no text, as [CLS] does.
        places: the positions of its tokens.
    """

    text: str
    values: tuple[float, ...]
    begins: bool
    special: bool
    places: tuple[int, ...]


def words_of(tokens: Sequence[str], values: FloatArray, *, merge: bool, special: Iterable[str] = ()) -> list[Word]:
    """Read tokens with attributions of shape (K, T), one row for each target, as words or as their pieces.

    The values of a word are the sums over its pieces, so that merging changes no total; words that occur twice
    stay two.
    """
    marks = marks_of(tokens)
    known = frozenset(accept_texts("special", special, "each is a token"))
    groups: list[list[int]] = []
    for place, token in enumerate(tokens):
        joined = not is_special(token, known) and not begins_word(token, marks)
        if merge and joined and groups and not is_special(tokens[groups[-1][-1]], known):
            groups[-1].append(place)
        else:
            groups.append([place])
    words = []
    for places in groups:
        first = tokens[places[0]]
        alone = is_special(first, known)
        text = first if alone else plain("".join(bare(tokens[place], marks) for place in places), marks)
        begins = alone or begins_word(first, marks) or places[0] == 0 or is_special(tokens[places[0] - 1], known)
        sums = tuple(float(value) for value in values[:, places].sum(axis=1))
        words.append(Word(visible(text), sums, begins, alone, tuple(places)))
    return words


def marks_of(tokens: Sequence[str]) -> str:
    """Return the mark by which the tokenizer tells words from pieces, or an empty text."""
    if any(token.startswith(_CONTINUES) and len(token) > 2 for token in tokens):
        return _CONTINUES
    return next((mark for mark in (_SENTENCE, _BYTES) if any(token.startswith(mark) for token in tokens)), "")


def begins_word(token: str, marks: str) -> bool:
    """Say whether a token begins a word."""
    if marks == _CONTINUES:
        return not (token.startswith(_CONTINUES) and len(token) > 2)
    return not marks or token.startswith(marks) or (marks == _BYTES and token.startswith(_BREAKS))


def bare(token: str, marks: str) -> str:
    """Take the tokenizer's mark from a token."""
    if marks == _CONTINUES:
        return token[2:] if not begins_word(token, marks) else token
    return token[1:] if marks and token.startswith(marks) else token


def plain(text: str, marks: str) -> str:
    """Return the text that a word stands for: bytes decoded, and a space where there is nothing else."""
    if marks == _BYTES and all(letter in byte_letters() for letter in text):
        text = bytes(byte_letters()[letter] for letter in text).decode("utf-8", errors="replace")
    return (text.replace(_SENTENCE, " ") if marks == _SENTENCE else text) or " "


def is_special(token: str, special: frozenset[str] = frozenset()) -> bool:
    """Say whether a token stands for no text: one of those named, or of the form [CLS], <s> or <|end|>."""
    return token in special or bool(_SPECIAL.fullmatch(token))


def visible(text: str) -> str:
    """Replace what cannot be seen, or would reorder the letters around it, by signs."""
    shown = []
    for letter in text:
        if letter in _SIGNS and (letter != " " or not text.strip()):
            shown.append(_SIGNS[letter])
        elif unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and letter not in _JOINERS:
            shown.append(f"\N{LEFT-POINTING ANGLE BRACKET}{ord(letter):04X}\N{RIGHT-POINTING ANGLE BRACKET}")
        else:
            shown.append(letter)
    return "".join(shown)


def direction(words: Iterable[Word]) -> str:
    """Return "rtl" if most letters with a direction are written from right to left, and "ltr" otherwise."""
    kinds = [unicodedata.bidirectional(letter) for word in words if not word.special for letter in word.text]
    leftward = sum(kind in {"R", "AL"} for kind in kinds)
    return "rtl" if leftward > kinds.count("L") else "ltr"


@functools.cache
def byte_letters() -> dict[str, int]:
    """Return which byte each letter of byte-level BPE stands for: itself if printable, else the next from 256 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in printable]
    return {chr(b): b for b in printable} | {chr(256 + place): byte for place, byte in enumerate(hidden)}


def token_values(tokens: Any, values: ArrayLike, targets: Sequence[str] | None) -> tuple[list[str], FloatArray]:
    """Return tokens as texts and their attributions as (K, T), or refuse them."""
    if isinstance(tokens, str) or not isinstance(tokens, Sequence):
        raise invalid_type("tokens", f"of type {type(tokens).__name__}", "each token is one text", "a list of texts")
    if not tokens:
        raise invalid_value("tokens", "empty", "there is nothing to read", "one token or more")
    numbers = as_floats("values", values)
    if numbers.ndim not in {1, 2} or numbers.shape[-1] != len(tokens):
        given = f"of shape {numbers.shape}"
        raise invalid_value("values", given, f"there are {len(tokens)} tokens", "shape (T,), or (K, T) for K targets")
    rows = np.atleast_2d(numbers)
    count = None if targets is None else counted(targets)
    if targets is not None and count != len(rows):
        given = f"of type {type(targets).__name__}" if count is None else f"of length {count}"
        raise invalid_value("targets", given, f"values has {len(rows)} of them", "a list with a name for each row")
    return [str(token) for token in tokens], rows
