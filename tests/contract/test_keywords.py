"""A keyword that a method does not have is an error, for every method."""

import pytest
import torch

from tests.contract.rows import EVERY
from tests.models import DOUBLE


@EVERY
def test_an_unknown_keyword_is_an_error_before_the_model_runs(case):
    calls, x = [], torch.randn(3, 5, dtype=DOUBLE)
    net = case.net()

    def counting(v):
        calls.append(1)
        return net(v)

    with pytest.raises(TypeError, match="taget"):
        case.run(counting, x, taget=1)
    assert not calls
