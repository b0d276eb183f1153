"""Attributions sum to the difference of outputs."""

from pellucid.testing import PROPERTIES
from tests.contract.rows import held_to


@held_to("completeness")
def test_completeness(case):
    PROPERTIES["completeness"].check(case)
