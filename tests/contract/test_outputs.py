"""Outputs of any structure."""

from pellucid.testing import PROPERTIES
from tests.contract.rows import held_to


@held_to("outputs")
def test_outputs(case):
    PROPERTIES["outputs"].check(case)
