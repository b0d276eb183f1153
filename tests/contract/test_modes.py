"""Attributions are the same where gradients are switched off."""

from pellucid.testing import PROPERTIES
from tests.contract.rows import held_to


@held_to("modes")
def test_modes(case):
    PROPERTIES["modes"].check(case)
