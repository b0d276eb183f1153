import pytest
import torch


@pytest.fixture(autouse=True)
def exact_and_seeded():
    """Each test computes in float64 and starts from the same seed."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(before)
