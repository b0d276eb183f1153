"""Every known way to a wrong number has its tests, and what is listed as missing is missing."""

import importlib.util

import pytest

from pellucid import attr
from tests import pitfalls
from tests.nodes import is_test

GROUPS = [
    value for name, value in vars(pitfalls).items() if name.isupper() and isinstance(value, dict) and name != "PITFALLS"
]


@pytest.mark.parametrize("name", pitfalls.PITFALLS)
def test_the_tests_are_there(name):
    nodes = pitfalls.PITFALLS[name]
    assert len(set(nodes)) == len(nodes) > 0
    for node in nodes:
        assert is_test(node), node


def test_no_line_is_lost():
    assert sum(len(group) for group in GROUPS) == len(pitfalls.PITFALLS) + len(pitfalls.LATER)


@pytest.mark.parametrize("name", sorted(set(pitfalls.LATER.values())))
def test_what_comes_later_is_not_there(name):
    """When it is, its lines need tests."""
    package, _, member = name.rpartition(".")
    assert not hasattr(attr, member)
    assert package != "pellucid" or importlib.util.find_spec(name) is None


def test_names_that_are_no_tests_are_seen():
    assert not is_test("tests/test_pitfalls.py::test_that_is_nowhere")
    assert not is_test("tests/test_nowhere.py::test_no_line_is_lost")
    assert is_test("tests/test_pitfalls.py::test_no_line_is_lost")
