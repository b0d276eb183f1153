"""One page that shows explanations of different kinds, such as an image and a table, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pellucid._core.checks import accept_text
from pellucid.errors import invalid_type, invalid_value
from pellucid.report._verdict import accept_explanation
from pellucid.visualization import explanation_html

if TYPE_CHECKING:
    from pellucid import Explanation


@dataclass(frozen=True)
class Section:
    """One explanation on an overview.

    Args:
        title: The heading.
        explanation: What is shown.
        text: A sentence below the heading.
        kind: A picture by name instead of the one that fits, as in `Explanation.plot`.
        link: A file beside the page that tells more, as a relative address without a scheme.
    """

    title: str
    explanation: Explanation
    text: str = ""
    kind: str | None = None
    link: str | None = None

    def __post_init__(self) -> None:
        accept_text("title", self.title, "it is a heading")
        accept_explanation("explanation", self.explanation)
        accept_text("text", self.text, "it stands below the heading")
        for name in ("kind", "link"):
            if getattr(self, name) is not None:
                accept_text(name, getattr(self, name), "it is a name")
        if self.link is not None and (":" in self.link or self.link.startswith(("/", "\\"))):
            raise invalid_value("link", repr(self.link), "it leads elsewhere", "the name of a file beside the page")


def render_overview(title: str, sections: Sequence[Section], lead: str = "") -> str:
    """Return one HTML page with explanations side by side; it loads nothing and runs no script.

    Args:
        title: The heading of the page.
        sections: What is shown, in this order.
        lead: A sentence below the heading.

    Returns:
        The page, UTF-8 text.

    Raises:
        InvalidValueError: There is no section, or data that have no picture.
    """
    accept_text("title", title, "it is the heading")
    accept_text("lead", lead, "it stands below the heading")
    if not isinstance(sections, list | tuple) or not all(isinstance(section, Section) for section in sections):
        raise invalid_type(
            "sections", f"a {type(sections).__name__} of other things", "each is one", "a list of Section"
        )
    if not sections:
        raise invalid_value("sections", "empty", "there is nothing to show", "at least one section")
    environment = Environment(
        loader=PackageLoader("pellucid.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    folder = Path(__file__).parent / "templates"
    return environment.get_template("overview.html").render(
        title=title,
        lead=lead,
        style=Markup((folder / "page.css").read_text(encoding="utf-8")),
        sections=[(section, Markup(explanation_html(section.explanation, section.kind))) for section in sections],
    )
