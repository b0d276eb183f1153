"""Every known way to a wrong number has its tests, and what is listed as missing is missing."""

import ast
import functools
import importlib.util
from pathlib import Path

import pytest

from pellucid import attr
from tests import pitfalls

ROOT = Path(__file__).parent.parent
GROUPS = [
    value for name, value in vars(pitfalls).items() if name.isupper() and isinstance(value, dict) and name != "PITFALLS"
]


@functools.cache
def names_in(path):
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


@pytest.mark.parametrize("name", pitfalls.PITFALLS)
def test_the_tests_are_there(name):
    nodes = pitfalls.PITFALLS[name]
    assert len(set(nodes)) == len(nodes) > 0
    for node in nodes:
        path, _, test = node.partition("::")
        assert test in names_in(path), node


def test_no_line_is_lost():
    assert sum(len(group) for group in GROUPS) == len(pitfalls.PITFALLS) + len(pitfalls.LATER)


@pytest.mark.parametrize("name", sorted(set(pitfalls.LATER.values())))
def test_what_comes_later_is_not_there(name):
    """When it is, its lines need tests."""
    package, _, member = name.rpartition(".")
    assert not hasattr(attr, member)
    assert package != "pellucid" or importlib.util.find_spec(name) is None
