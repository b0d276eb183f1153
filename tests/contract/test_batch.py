"""Examples get the same alone and together."""

from pellucid.testing import PROPERTIES
from tests.contract.rows import held_to


@held_to("batch")
def test_batch(case):
    PROPERTIES["batch"].check(case)
