"""Write ``docs/differences.md`` from ``docs/differences.toml``; run as ``python -m tests.differential.page``."""

import textwrap
import tomllib
from collections.abc import Iterable, Iterator

from tests.differential.differences import PAGE, SOURCE, Difference, Example, Section, sections

INTRODUCTION = """\
# Differences from Captum

<!-- Made by `python -m tests.differential.page` from differences.toml. -->

Names, arguments, defaults and shapes are Captum's (0.9.0). Where the results differ, they differ on purpose; each
difference has its reason and an example. `IG` stands for `IntegratedGradients`, `draw` for normal numbers in float64.
The examples are run in both libraries by the tests, which compare what each gives with what stands here.
"""
WIDTH = 120
SHOWN = 3
"""Lines of a setting that are shown with the first example; of longer ones the example says what matters."""


def filled(text: str) -> str:
    """A paragraph in lines."""
    return "\n".join(textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False))


def outcome(example: Example) -> Iterator[str]:
    """What an example gives, as comments."""
    both = [("Pellucid", example.pellucid), ("Captum", example.captum)]
    given = [f"{library}: {result}" for library, result in both if result is not None]
    line = f"# {'    '.join(given)}"
    yield from [line] if len(line) <= WIDTH else [f"# {part}" for part in given]


def paragraph(difference: Difference) -> Iterator[str]:
    """One difference with its examples."""
    yield filled(f"**{difference.title}** {difference.text}".strip())
    scene = difference.setting.strip()
    for number, example in enumerate(difference.examples):
        yield ""
        yield "```python"
        if scene and number == 0 and len(scene.splitlines()) <= SHOWN:
            yield scene + ("\n\n" if scene.splitlines()[-1].startswith(" ") else "")  # as formatters have it
        yield example.code
        yield from outcome(example)
        yield "```"
    yield ""


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """A table in Markdown."""
    columns = list(columns)
    yield f"| {' | '.join(columns)} |"
    yield f"| {' | '.join('---' for _ in columns)} |"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def body(section: Section) -> Iterator[str]:
    """A section with its paragraphs, or its table."""
    yield f"## {section.title}"
    yield ""
    if section.columns:
        yield from table(section.columns, [d.row for d in section.differences])
    for difference in section.differences:
        if not difference.row:
            yield from paragraph(difference)


def code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def value(text: str) -> str:
    """A default in code; words that stand for none as they are."""
    return text if text in {"required", "absent", "swallowed"} else f"`{text}`"


def lists(data: dict) -> Iterator[str]:
    """Defaults that differ, and what is not there."""
    yield "## Signatures"
    yield ""
    yield "Arguments of Captum that have another default or none here. Keyword-only arguments of ours come on top."
    yield ""
    rows = [
        (f"`{e['argument']}`", code(e["of"]), value(e["captum"]), value(e["pellucid"]), e["reason"])
        for e in data["argument"]
    ]
    yield from table(("argument", "of", "Captum", "Pellucid", "reason"), rows)
    yield "## Not there"
    yield ""
    absent = [(f"`{e['module']}`", code(e["names"]), e["reason"]) for e in data["absent"]]
    yield from table(("module", "names", "reason"), absent)
    yield from table(
        ("members", "of", "reason"), [(code(e["members"]), code(e["of"]), e["reason"]) for e in data["member"]]
    )


def page() -> str:
    """The whole page."""
    lines = [line for section in sections() for line in body(section)]
    lines += lists(tomllib.loads(SOURCE.read_text()))
    return "\n".join([INTRODUCTION, *lines]).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
