"""Low precision comes near; float64 is float64 throughout."""

from pellucid.testing import PROPERTIES
from tests.contract.rows import held_to


@held_to("precision")
def test_precision(case):
    PROPERTIES["precision"].check(case)
