"""When an estimate is called noisy, and how many samples the warning advises."""

import warnings

import pytest
import torch

from pellucid._core.paired import Budget
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


def test_a_round_takes_what_the_error_asks_for():
    """Errors fall with the root of the number, and no round is more than four times as large as what was taken."""
    budget = Budget(first=100, most=10**6, tolerance=0.1)
    assert budget.next(1000, 0.15, 10**9) == 2251
    assert budget.next(1000, 5.0, 10**9) == 4001
    assert budget.next(1000, 0.10001, 10**9) == 1002
    assert budget.next(1000, 0.1, 10**9) == 0
    assert budget.next(1000, 0.15, 1500) == 1500
    assert Budget(100, 10**6, None).next(100, 5.0, 10**9) == 0
    with pytest.warns(SamplingWarning, match="After 1000 evaluations"):
        assert Budget(100, 1001, 0.1).next(1000, 0.15, 10**9) == 0
