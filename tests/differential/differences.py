"""The deliberate differences, read from ``docs/differences.toml``."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parent.parent.parent / "docs"
SOURCE, PAGE = DOCS / "differences.toml", DOCS / "differences.md"


@dataclass(frozen=True)
class Example:
    """Code and what it gives in each library; without Captum's, it uses what only Pellucid has."""

    code: str
    pellucid: str
    captum: str | None = None


@dataclass(frozen=True)
class Difference:
    """One deliberate difference: a paragraph with examples, or a row of a table."""

    title: str
    names: tuple[str, ...]
    examples: tuple[Example, ...]
    text: str = ""
    setting: str = ""
    row: tuple[str, ...] = ()


@dataclass(frozen=True)
class Section:
    """A heading with what stands under it."""

    title: str
    differences: tuple[Difference, ...]
    text: str = ""
    columns: tuple[str, ...] = ()


def difference(entry: dict) -> Difference:
    """Read one entry; what has another name than a field is an error."""
    entry = dict(entry)
    examples = tuple(Example(**{k: v.strip() for k, v in e.items()}) for e in entry.pop("example"))
    return Difference(examples=examples, names=tuple(entry.pop("names")), row=tuple(entry.pop("row", ())), **entry)


def sections() -> list[Section]:
    """All sections in their order."""
    found = []
    for entry in tomllib.loads(SOURCE.read_text())["section"]:
        given = {**entry, "columns": tuple(entry.get("columns", ()))}
        inner = tuple(difference(d) for d in given.pop("difference"))
        found.append(Section(differences=inner, **given))
    return found


def differences() -> list[Difference]:
    """All deliberate differences."""
    return [inner for section in sections() for inner in section.differences]
