"""What ``docs/differences.md`` says of both libraries is so, and the page is made from its data."""

import fnmatch
import re

import pytest
import torch

pytest.importorskip("captum", reason="Captum is a development dependency")

from tests.differential.differences import PAGE, differences
from tests.differential.libraries import names, run
from tests.differential.page import page

EXAMPLES = [(d, number) for d in differences() for number in range(len(d.examples))]
every_example = pytest.mark.parametrize(
    ("difference", "number"), EXAMPLES, ids=[f"{re.sub(r'[^A-Za-z0-9]+', '-', d.title)}-{n}" for d, n in EXAMPLES]
)


@pytest.fixture(autouse=True)
def validated(monkeypatch):
    """Distributions check their arguments, also where torch's compiler, which stops that, ran in an earlier test."""
    monkeypatch.setattr(torch.distributions.Distribution, "_validate_args", True)


def agrees(outcome, expected):
    """Whether an outcome is what stands in the data, where ``...`` is any text."""
    pattern = expected.replace("[", "[[]").replace("?", "[?]").replace("*", "[*]").replace("...", "*")
    return fnmatch.fnmatchcase(outcome, pattern)


@every_example
@pytest.mark.parametrize("library", ["pellucid", "captum"])
def test_an_example_gives_what_it_says(difference, number, library):
    example = difference.examples[number]
    expected = getattr(example, library)
    if expected is None:
        return
    outcome = run(example.code, difference.setting, library)
    assert agrees(outcome.text, expected), f"{outcome.text!r} is not {expected!r}"


@every_example
def test_what_is_shown_differs(difference, number):
    example = difference.examples[number]
    assert example.captum != example.pellucid


def test_every_difference_is_shown_in_both_libraries():
    for difference in differences():
        assert difference.text or difference.row, difference.title
        assert any(example.captum is not None for example in difference.examples), difference.title


def test_names_are_public():
    known = set(names("pellucid")) | set(names("captum")) | {"ModelInputWrapper"}
    for difference in differences():
        assert difference.names, difference.title
        assert set(difference.names) <= known, difference.title


def test_titles_occur_once():
    titles = [difference.title for difference in differences()]
    assert len(set(titles)) == len(titles)


def test_the_page_is_current():
    assert PAGE.read_text() == page(), "run python -m tests.differential.page"


@pytest.mark.parametrize(
    ("outcome", "expected", "same"),
    [
        ("[1, 2]", "[1, 2]", True),
        ("[1, 2]", "[1, 3]", False),
        ("E: a b c", "E: a ...", True),
        ("F: a", "E: ...", False),
    ],
)
def test_outcomes_are_compared(outcome, expected, same):
    assert agrees(outcome, expected) == same
