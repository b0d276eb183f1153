"""``@documented``: where a text of a function's own stands for the shared one, goes after it, or replaces it."""

import pytest

from pellucid.docstrings import ARGUMENTS, documented


def described(**own):
    @documented(**own)
    def function(seed=None):
        """{arguments}"""

    return " ".join(function.__doc__.split())


def test_own_and_shared_texts():
    shared = " ".join(ARGUMENTS["seed"].split())
    assert described() == described(seed="...") == f"Args: seed: {shared}"
    assert described(seed="... Further words.") == f"Args: seed: {shared} Further words."
    assert described(seed="A word, of shape (N, ...), or a, b, ...") == (
        "Args: seed: A word, of shape (N, ...), or a, b, ..."
    )


def test_an_argument_without_a_text_is_an_error():
    with pytest.raises(KeyError, match="no text for the argument 'nameless'"):

        @documented(nameless="... Further words.")
        def function(nameless):
            """{arguments}"""
