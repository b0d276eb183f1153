"""Features in another order get what they got."""

from pellucid.testing import PROPERTIES
from tests.contract.rows import held_to


@held_to("permutation")
def test_permutation(case):
    PROPERTIES["permutation"].check(case)
