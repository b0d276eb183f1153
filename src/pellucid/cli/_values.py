"""From the text of an option to its value; each function refuses what it cannot read, in one line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from pellucid.cli._failures import Refusal

DEFAULT_EXAMPLES = 16


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Read ``HxW``.

    Example:
        >>> parse_size("224x320")
        (224, 320)
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)x(\d+)", text.strip().lower())
    if not match or not int(match[1]) or not int(match[2]):
        raise Refusal(f"--size is {text!r}, but it needs height and width. Pass it like --size 224x224.")
    return int(match[1]), int(match[2])


def parse_numbers(text: str | None, option: str) -> tuple[float, ...] | None:
    """Read numbers between commas.

    Example:
        >>> parse_numbers("0.5,0.25", "--mean")
        (0.5, 0.25)
    """
    if text is None:
        return None
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise Refusal(
            f"{option} is {text!r}, but it needs numbers. Pass one, or one per channel: 0.5,0.5,0.5."
        ) from None
    if option == "--std" and not all(number > 0 for number in numbers):
        raise Refusal(f"--std is {text!r}, but a standard deviation is above zero.")
    return numbers


def parse_neuron(text: str | None) -> int | tuple[int | slice, ...] | None:
    """Read a neuron: an index, or one index or range for each dimension.

    Example:
        >>> parse_neuron("3"), parse_neuron("1,2:4,:")
        (3, (1, slice(2, 4, None), slice(None, None, None)))
    """
    if text is None:
        return None
    parts: list[int | slice] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(-?\d+)?(:)?(-?\d+)?\s*", part)
        if not match or (match[2] is None and match[1] is None):
            raise Refusal(f"--neuron is {text!r}, but {part!r} is no index. Pass it like 3, or 1,2:4,: for a map.")
        ends = [None if end is None else int(end) for end in (match[1], match[3])]
        parts.append(slice(*ends) if match[2] else int(match[1]))
    return parts[0] if len(parts) == 1 and isinstance(parts[0], int) else tuple(parts)


def parse_examples(text: str | None, available: int) -> list[int]:
    """Read which examples are meant: ``N`` (the first N), ``0,4,10-12`` (positions from 0) or ``all``.

    Example:
        >>> parse_examples("3", 10), parse_examples("0,4,7-9", 10)
        ([0, 1, 2], [0, 4, 7, 8, 9])
    """
    if text is None:
        return list(range(min(available, DEFAULT_EXAMPLES)))
    text = text.strip()
    if text == "all":
        return list(range(available))
    chosen: list[int] = []
    if re.fullmatch(r"\d{1,9}", text):
        chosen, text = list(range(min(available, int(text)))), ""
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", part)
        last = int(match[2] or match[1]) if match else -1
        if not match or last < int(match[1]):
            raise Refusal(
                f"--examples is {text!r}, but {part!r} is no position. Pass a number (the first N), positions "
                "from 0 like 0,4,10-12 (one alone: 4,), or all."
            )
        if last >= available:
            raise Refusal(f"--examples asks for position {last}, but there are {available} (0 to {available - 1}).")
        chosen.extend(range(int(match[1]), last + 1))
    if not chosen:
        raise Refusal("--examples names no example. Pass a number above 0, positions like 0,4,10-12, or all.")
    return list(dict.fromkeys(chosen))


def parse_target(text: str) -> int | str:
    """Read ``predicted``, ``label`` or the index of a class."""
    if text in {"predicted", "label"}:
        return text
    if re.fullmatch(r"\d{1,9}", text):
        return int(text)
    raise Refusal(f"--target is {text!r}. Pass predicted, label (the true class) or the index of a class, from 0.")


def parse_steps(text: str | None) -> int | str | None:
    """Read a number of steps or ``auto``."""
    if text is None or text == "auto":
        return text
    if re.fullmatch(r"\d{1,9}", text) and int(text):
        return int(text)
    raise Refusal(f"--n-steps is {text!r}. Pass a number above 0, or auto.")


def parse_settings(pairs: tuple[str, ...]) -> dict[tuple[str | None, str], Any]:
    """Read ``key=value`` or ``method.key=value``; a value is JSON where it can be, and text otherwise.

    Example:
        >>> parse_settings(("n_samples=20", "smoothgrad.stdevs=0.1", "method=riemann_left"))
        {(None, 'n_samples'): 20, ('smoothgrad', 'stdevs'): 0.1, (None, 'method'): 'riemann_left'}
    """
    settings: dict[tuple[str | None, str], Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        scope, dot, key = name.strip().rpartition(".")
        if not equals or not key.isidentifier() or (dot and not scope.isidentifier()):
            raise Refusal(f"--set is {pair!r}. Pass it as key=value, or method.key=value for one method.")
        settings[scope or None, key] = parse_value(value.strip())
    return settings


def parse_value(text: str) -> Any:
    """Read JSON, Python's True, False and None, or plain text."""
    named = {"True": True, "False": False, "None": None}
    if text in named:
        return named[text]
    try:
        return json.loads(text)
    except ValueError:
        return text


def parse_classes(text: str | None) -> tuple[str, ...] | None:
    """Read class names from a file, one per line, or from a list between commas.

    Example:
        >>> parse_classes("cat, dog")
        ('cat', 'dog')
    """
    if text is None:
        return None
    path = Path(text)
    names = text.split(",")
    if "," not in text and path.is_file():
        try:
            names = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError):
            raise Refusal(f"--classes {path} is no readable UTF-8 text with one name per line.") from None
        while names and not names[-1].strip():
            names.pop()
    elif "," not in text and ("/" in text or path.suffix in {".txt", ".csv"}):
        raise Refusal(f"--classes names the file {path}, which does not exist.")
    if not any(name.strip() for name in names):
        raise Refusal("--classes holds no name. Pass a file with one name per line, or names between commas.")
    return tuple(name.strip() for name in names)
