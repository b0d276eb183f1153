"""What the model gets of the user's additional arguments: copies until it has shown that it writes into none."""

import pytest
import torch

from pellucid._core.arguments import Arguments
from pellucid.attr import IntegratedGradients
from pellucid.errors import ExpansionWarning


def test_an_argument_is_copied_once_and_then_lent():
    mine = torch.arange(3.0)
    mine.add_(1)  # it was written before, by its owner
    arguments = Arguments.accept((mine, "word"), 3)
    for turn in range(3):
        lent = arguments.whole()
        assert (lent[0].data_ptr() == mine.data_ptr()) is (turn > 0)
        assert lent[1] == "word"
        arguments.returned(lent)


def test_an_argument_that_is_written_is_copied_each_time():
    mine = torch.arange(3.0)
    arguments = Arguments.accept(mine, 3)
    for _ in range(3):
        (lent,) = arguments.whole()
        lent.mul_(2)
        arguments.returned((lent,))
    assert torch.equal(mine, torch.arange(3.0))


def test_rows_of_a_sparse_argument_follow_their_examples(generator):
    x = torch.randn(3, 4, dtype=torch.float64, generator=generator)
    weights = torch.tensor([[0.0, 2.0, 0.0, 1.0], [0.0, 0.0, 0.0, 3.0], [1.0, 0.0, 0.0, 0.0]], dtype=torch.float64)

    def model(v, w):
        return (v**3 * (w.to_dense() if w.is_sparse else w)).sum(1)

    methods = [
        IntegratedGradients(model).attribute(x, 0.5, additional_forward_args=w) for w in (weights, weights.to_sparse())
    ]
    assert torch.allclose(*methods, atol=1e-12)


def test_a_reason_is_one_line():
    """Some of torch's errors are pages long."""

    def model(v):
        if len(v) > 2:
            raise RuntimeError("no more rows" + 40 * "\nbackend: unregistered")
        return (v**2).sum(1)

    with pytest.warns(ExpansionWarning, match="no more rows") as caught:
        IntegratedGradients(model).attribute(torch.ones(2, 3))
    assert "unregistered" not in str(caught[0].message)
