"""The rows of ``cases.py`` that a property is tested on, and those that are exempt from it."""

import pytest

from pellucid.testing import PROPERTIES
from tests.cases import CASES

QUIET = ("SamplingWarning", "ConvergenceWarning")
"""Few samples and steps are enough for a property; that they are few is said."""


def held_to(name):
    """Run a test for every row that promises a property; what a row lacks, and why it is exempt, stands in the row."""
    rows = [case for case in CASES if name not in case.exempt]
    if name != "devices":  # whether an accelerator is here is no matter of rows
        rows = [case for case in rows if not PROPERTIES[name].lacks(case)]
    return on(rows)


def on(rows):
    """Run a test for each of some rows."""
    marks = [pytest.mark.filterwarnings(f"ignore::pellucid.errors.{warning}") for warning in QUIET]
    marks.append(pytest.mark.parametrize("case", rows, ids=lambda case: case.name))

    def marked(test):
        for mark in marks:
            test = mark(test)
        return test

    return marked


EVERY = on(CASES)
EXEMPTIONS = [(name, case) for case in CASES for name in case.exempt]
