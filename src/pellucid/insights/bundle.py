"""The front end as one ES module, one style sheet and one page, made from the files of ``page/``.

The modules are put one after another in the order of their imports and share one scope, so that server, notebook and
saved page load the same text and nothing else. The vendored library keeps a scope of its own: a function whose result
is what it exports.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

PAGE = Path(__file__).parent / "page"
ENTRY = "main.js"
VENDORED = "vendor/preact.js"

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w./-]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:function|const|class) )", re.MULTILINE)
_EXPORTS = re.compile(r"export\{([^{}]*)\};?\s*$")
_END = """\
export default {
  render({model, el}) {
    return mount(el, {transport: "widget"}, model);
  },
};
mountPage();
"""


def modules() -> list[str]:
    """Return the names of the modules that the entry needs, each after those that it imports.

    Example:
        >>> modules()[0], modules()[-1]
        ('vendor/preact.js', 'main.js')
    """
    order: list[str] = []

    def visit(name: str) -> None:
        if name in order:
            return
        for needed in [] if name == VENDORED else _IMPORT.findall(_read(name)):
            visit(needed)
        order.append(name)

    visit(ENTRY)
    return order


@functools.cache
def module() -> str:
    """Return the front end as one ES module, whose default export is a widget of anywidget.

    Example:
        >>> "import {" in module()
        False

    Returns:
        JavaScript. Where the document holds an element ``pellucid-start`` it shows itself in the element ``pellucid``.
    """
    parts = [_vendored(_read(name)) if name == VENDORED else _plain(_read(name)) for name in modules()]
    return "\n".join([*parts, _END])


@functools.cache
def stylesheet() -> str:
    """Return the style sheet; its rules are all below the class ``pellucid-insights``."""
    return _read("app.css")


def page(start: Mapping[str, Any], title: str, nonce: str | None) -> str:
    """Return the page as one HTML text that refers to nothing outside itself.

    Example:
        >>> text = page({"transport": "http", "token": "</script>"}, "A <model>", nonce="abc")
        >>> "A &lt;model&gt;" in text, text.count("</script>")
        (True, 2)

    Args:
        start: What the front end begins with, as JSON; nothing in it can end the element that holds it.
        title: The title of the window.
        nonce: That of the content security policy which a server sends, or ``None`` for a page that carries its own.

    Returns:
        The page.

    Raises:
        ValueError: ``start`` holds a number that is not finite.
    """
    script, css = module(), stylesheet()
    return (
        _template()
        .get_template("index.html")
        .render(
            title=title,
            nonce=nonce,
            policy=_policy(script, css),
            css=Markup(css),
            module=Markup(script),
            start_json=Markup(script_json(start)),
        )
    )


def script_json(value: Any) -> str:
    r"""Return JSON that can stand in a script element, whatever its texts hold.

    Example:
        >>> script_json({"name": "</script><!--"})
        '{"name":"\\u003c/script\\u003e\\u003c!--"}'

    Args:
        value: Anything that JSON can hold.

    Returns:
        JSON without the letters that HTML reads as markup.

    Raises:
        ValueError: A number is not finite.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _policy(script: str, css: str) -> str:
    return (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(css)}'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _plain(text: str) -> str:
    return _EXPORT.sub("", _IMPORT.sub("", text))


def _vendored(text: str) -> str:
    """Put a minified module into a function that returns its exports, and name them."""
    found = _EXPORTS.search(text)
    pairs = [part.split(" as ") for part in found[1].split(",")] if found else []
    names = [(pair[0].strip(), pair[-1].strip()) for pair in pairs]
    outside = ", ".join(public for _, public in names)
    inside = ", ".join(f"{public}: {own}" for own, public in names)
    body = text[: found.start()] if found else text
    return f"const {{{outside}}} = (() => {{\n{body}\nreturn {{{inside}}};\n}})();\n"


def _template() -> Environment:
    return Environment(
        loader=PackageLoader("pellucid.insights", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _read(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8")
