"""Render a report page: one template with automatic escaping, one style sheet and one script, all inline."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pellucid._core.checks import accept_instance, accept_path
from pellucid.report._comparison import comparison_view
from pellucid.report._page import Run, build_page
from pellucid.report._subject import Subject

if TYPE_CHECKING:
    from pellucid import Comparison, Explanation


def render_report(
    explanations: Sequence[Explanation],
    subject: Subject,
    run: Run | None = None,
    comparison: Comparison | None = None,
) -> str:
    """Return a report as one HTML page that refers to nothing outside itself.

    Args:
        explanations: One per method, all of the same examples.
        subject: The examples as a person knows them.
        run: What the page says about itself: title, model, data, settings.
        comparison: Scores of the methods, shown at the end.

    Returns:
        The page, UTF-8 text. Its content security policy forbids every request and every script but
        its own, whatever a file name or a class name holds.

    Raises:
        InvalidValueError: There is no explanation, or the numbers of examples differ.
    """
    script = _part("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return (
        _environment()
        .get_template("page.html")
        .render(
            page=build_page(explanations, subject, Run() if run is None else run),
            view=None if comparison is None else comparison_view(comparison),
            style=Markup(_part("page.css") + _part("comparison.css")),
            script=Markup(script),
            script_hash=f"sha256-{digest}",
        )
    )


def write_report(
    path: str | Path,
    explanations: Sequence[Explanation],
    subject: Subject,
    run: Run | None = None,
    comparison: Comparison | None = None,
) -> Path:
    """Write a report as one HTML file and return its path; the arguments are those of `render_report`.

    Raises:
        OSError: The file cannot be written.
    """
    target = accept_path("path", path)
    page = render_report(explanations, subject, run, comparison)
    target.write_text(page, encoding="utf-8")
    return target


def render_comparison(comparison: Comparison, *, title: str | None = None, run: Run | None = None) -> str:
    """Return a comparison as one HTML page that refers to nothing outside itself and runs no script.

    Args:
        comparison: What `pellucid.compare` returned.
        title: The heading; by default that of ``run``.
        run: What the page says about itself: title, model, data, settings.

    Returns:
        The page, UTF-8 text, in which every name is escaped.
    """
    about = Run(title="Which explanation to trust") if run is None else run
    accept_instance("run", about, Run, "a Run, or None")
    return (
        _environment()
        .get_template("comparison.html")
        .render(
            view=comparison_view(comparison),
            run=about if title is None else replace(about, title=title),
            style=Markup(_part("page.css") + _part("comparison.css")),
        )
    )


def comparison_fragment(comparison: Comparison) -> str:
    """Return the verdict and the table of a comparison for a notebook.

    Its styles name nothing but its own classes, and its text has the colour of what surrounds it, light or dark.
    """
    table = _environment().get_template("comparison_table.html").render(view=comparison_view(comparison))
    style = _part("comparison.css") + _part("fragment.css")
    return f'<div class="comparison pellucid-fragment"><style>{style}</style>{table}</div>'


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("pellucid.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _part(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")
