"""Every public name stands in the API reference, once."""

import importlib
import re
from collections import Counter
from pathlib import Path

import pytest

from pellucid import errors, typing

PAGES = Path(__file__).parents[2] / "docs" / "api"
PACKAGES = (
    "pellucid", "pellucid.attr", "pellucid.attr.models", "pellucid.rules", "pellucid.lrp", "pellucid.metrics",
    "pellucid.robust", "pellucid.visualization", "pellucid.report", "pellucid.insights",
    "pellucid.testing",
)  # fmt: skip
SPEAKING = {"invalid_value", "invalid_type"}
"""Functions of ``pellucid.errors`` that the library itself speaks through."""


def documented():
    """Names by the module under which a page describes them."""
    found = Counter()
    for page in PAGES.glob("*.md"):
        module = None
        for line in page.read_text().splitlines():
            if match := re.match(r"\.\. currentmodule:: (\S+)", line):
                module = match[1]
            if match := re.match(r"\.\. (?:data|auto(?:class|function|data|exception)):: (\w+)", line):
                found[module, match[1]] += 1
    return found


def public(module):
    """Names of a package that are no modules themselves."""
    package = importlib.import_module(module)
    return {name for name in package.__all__ if not hasattr(getattr(package, name), "__path__")}


@pytest.mark.parametrize("module", PACKAGES)
def test_every_public_name_is_described(module):
    described = {name for owner, name in documented() if owner == module}
    modules = {"errors"} if module == "pellucid" else set()
    assert described == public(module) - modules


def test_errors_and_types_are_described():
    described = documented()
    own = {name for name, value in vars(errors).items() if getattr(value, "__module__", "") == errors.__name__}
    shown = {name for name in own - SPEAKING if not name.startswith("_")}
    assert {name for owner, name in described if owner == errors.__name__} == shown
    aliases = set(re.findall(r"^(\w+): TypeAlias", Path(typing.__file__).read_text(), re.MULTILINE))
    assert {name for owner, name in described if owner == typing.__name__} == aliases


def test_no_name_is_described_twice():
    assert [name for name, times in documented().items() if times > 1] == []


def test_every_page_is_in_the_list():
    index = (PAGES / "index.md").read_text()
    for page in PAGES.glob("*.md"):
        assert page.name == "index.md" or f"]({page.name})" in index
