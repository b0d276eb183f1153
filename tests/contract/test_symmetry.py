"""Features that the model treats alike get alike."""

from pellucid.testing import PROPERTIES
from tests.contract.rows import held_to


@held_to("symmetry")
def test_symmetry(case):
    PROPERTIES["symmetry"].check(case)
