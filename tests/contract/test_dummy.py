"""Features without influence get nothing, and those with influence something."""

from pellucid.testing import PROPERTIES
from tests.contract.rows import held_to


@held_to("dummy")
def test_dummy(case):
    PROPERTIES["dummy"].check(case)
