"""A row is exempt from a property only where it does not have it."""

import pytest

from pellucid.errors import PellucidError
from pellucid.testing import PROPERTIES
from tests.cases import CASES
from tests.contract.rows import EXEMPTIONS, QUIET


@pytest.mark.filterwarnings(*(f"ignore::pellucid.errors.{warning}" for warning in QUIET))
@pytest.mark.parametrize(("name", "case"), EXEMPTIONS, ids=[f"{case.name}-{name}" for name, case in EXEMPTIONS])
def test_every_exemption_is_needed(name, case):
    with pytest.raises(PellucidError):
        PROPERTIES[name].check(case)


def test_every_exemption_has_its_reason():
    assert all(name in PROPERTIES and len(why.split()) > 3 for case in CASES for name, why in case.exempt.items())


def test_names_are_unique():
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
