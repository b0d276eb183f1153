"""Exact arithmetic and explicit randomness for all tests."""

import pytest
import torch

torch.set_num_threads(1)  # the models are tiny: more threads only wait for each other


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Keep reports writable: a worker sends them as UTF-8, and some tests log what is none."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.fixture(autouse=True)
def seeded():
    """Every test starts from the same state of torch's default generator."""
    torch.manual_seed(20260101)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(7)
