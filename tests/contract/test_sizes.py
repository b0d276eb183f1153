"""Nor does the result depend on what a model makes of passes that are larger than the batch."""

from pellucid.testing import PROPERTIES
from tests.contract.rows import held_to


@held_to("sizes")
def test_sizes(case):
    PROPERTIES["sizes"].check(case)
