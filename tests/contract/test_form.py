"""One function in several forms has one explanation."""

from pellucid.testing import PROPERTIES
from tests.contract.rows import held_to


@held_to("form")
def test_form(case):
    PROPERTIES["form"].check(case)
