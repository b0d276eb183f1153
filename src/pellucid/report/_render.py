"""Render a report page: one template with automatic escaping, one style sheet and one script, all inline."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pellucid.report._page import Run, build_page
from pellucid.report._subject import Subject

if TYPE_CHECKING:
    from pellucid import Explanation


def render_report(explanations: Sequence[Explanation], subject: Subject, run: Run | None = None) -> str:
    """Return a report as one HTML page that refers to nothing outside itself.

    Args:
        explanations: One per method, all of the same examples.
        subject: The examples as a person knows them.
        run: What the page says about itself: title, model, data, settings.

    Returns:
        The page, UTF-8 text. Its content security policy forbids every request and every script but
        its own, whatever a file name or a class name holds.

    Raises:
        InvalidValueError: There is no explanation, or the numbers of examples differ.
    """
    environment = Environment(
        loader=PackageLoader("pellucid.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    folder = Path(__file__).parent / "templates"
    script = (folder / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return environment.get_template("page.html").render(
        page=build_page(explanations, subject, run or Run()),
        style=Markup((folder / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=f"sha256-{digest}",
    )


def write_report(
    path: str | Path, explanations: Sequence[Explanation], subject: Subject, run: Run | None = None
) -> Path:
    """Write a report as one HTML file and return its path; the arguments are those of `render_report`.

    Raises:
        OSError: The file cannot be written.
    """
    page = render_report(explanations, subject, run)
    target = Path(path)
    target.write_text(page, encoding="utf-8")
    return target
