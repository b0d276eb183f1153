"""Several threads on one model."""

from pellucid.testing import PROPERTIES
from tests.contract.rows import held_to


@held_to("threads")
def test_threads(case):
    PROPERTIES["threads"].check(case)
