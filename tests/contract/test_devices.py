"""On an accelerator, attributions are those of the CPU."""

import pytest
import torch

from pellucid.testing import PROPERTIES
from tests.contract.rows import held_to


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@held_to("devices")
def test_devices(case):
    PROPERTIES["devices"].check(case)
