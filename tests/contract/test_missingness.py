"""Features at their baselines get nothing."""

from pellucid.testing import PROPERTIES
from tests.contract.rows import held_to


@held_to("missingness")
def test_missingness(case):
    PROPERTIES["missingness"].check(case)
