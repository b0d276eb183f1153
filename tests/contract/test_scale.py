"""Multiples of an output have multiples of its attributions."""

from pellucid.testing import PROPERTIES
from tests.contract.rows import held_to


@held_to("scale")
def test_scale(case):
    PROPERTIES["scale"].check(case)
