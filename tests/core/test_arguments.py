"""What the model gets of the user's additional arguments: copies until it has shown that it writes into none."""

import torch

from pellucid._core.arguments import Arguments


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
