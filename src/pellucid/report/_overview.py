"""One page that shows explanations of different kinds, such as an image and a table, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pellucid.errors import invalid_value
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
