"""Random numbers: none, or one, or those of the generator that is given."""

from pellucid.testing import PROPERTIES
from tests.contract.rows import held_to


@held_to("generators")
def test_generators(case):
    PROPERTIES["generators"].check(case)
