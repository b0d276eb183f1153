"""The directive ``method-table``: one group of methods as a table, made from ``methods.py``."""

from __future__ import annotations

from docutils import nodes
from methods import METHODS, Method
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

HEADS = ("method", "asks", "passes per example", "memory", "baseline", "law and source")


def cells(method: Method) -> tuple[str, ...]:
    """Write a row in Markdown."""
    classes = ", ".join(f"{{py:class}}`~pellucid.attr.{name}`" for name in method.classes)
    names = f"<br>{', '.join(f'`{name}`' for name in method.names)}" if method.names else ""
    sources = f" {{cite:p}}`{','.join(method.keys)}`" if method.keys else ""
    return (
        f"**{method.title}**<br>{classes}{names}",
        *(method.question, method.passes, method.memory, method.baseline, f"{method.law}{sources}"),
    )


class MethodTable(SphinxDirective):
    """One group of methods, named by the argument."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Build the table."""
        lines = [HEADS, ("---",) * len(HEADS), *(cells(method) for method in METHODS[self.arguments[0]])]
        box = nodes.container(classes=["methods"])
        box += self.parse_text_to_nodes("\n".join(f"| {' | '.join(line)} |" for line in lines))
        return [box]


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directive."""
    app.add_directive("method-table", MethodTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
