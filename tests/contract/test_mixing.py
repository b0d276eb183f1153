"""Nor does it where the examples of a batch influence each other."""

from pellucid.testing import PROPERTIES
from tests.contract.rows import held_to


@held_to("mixing")
def test_mixing(case):
    PROPERTIES["mixing"].check(case)
