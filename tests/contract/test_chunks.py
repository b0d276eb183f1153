"""How many rows a pass evaluates does not matter."""

from pellucid.testing import PROPERTIES
from tests.contract.rows import held_to


@held_to("chunks")
def test_chunks(case):
    PROPERTIES["chunks"].check(case)
