"""When an estimate is called noisy, and how many samples the warning advises."""

import warnings

import pytest
import torch

from pellucid._core.sampling import relative_error, warn_if_noisy
from pellucid.errors import SamplingWarning

MEANS = (torch.tensor([3.0, 0.0]), torch.tensor([4.0]))


def test_relative_errors():
    assert relative_error(MEANS, (torch.tensor([0.0, 1.2]), torch.tensor([1.6]))) == pytest.approx(0.4)
    assert relative_error((torch.zeros(2),), (torch.ones(2),)) == 0.0


def test_advice_follows_the_square_of_the_error():
    with pytest.warns(SamplingWarning, match=r"with 20 samples.*is 40% of.*about 321 samples bring it to 10%"):
        warn_if_noisy("Shapley", MEANS, (torch.tensor([0.0, 1.2]), torch.tensor([1.6])), 20)


@pytest.mark.parametrize(
    "errors", [None, (torch.tensor([0.0, 0.7]), torch.tensor([1.0])), (torch.tensor([torch.inf]),)]
)
def test_small_and_unknown_errors_are_quiet(errors):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_noisy("Shapley", MEANS[: None if errors is None else len(errors)], errors, 20)
