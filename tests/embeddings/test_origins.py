"""Where integers come from: with ids that are all different, the values themselves tell."""

import pytest
import torch

from pellucid._core.origins import SEVERAL, Origins

IDS = torch.arange(1, 13).reshape(3, 4)  # each id is its own number
START = torch.full((3, 1), 99)
ORDER = torch.tensor([2, 0, 1])


def written_into(x):
    new = x.new_zeros(3, 4)
    new[:, 1:] = x[:, :-1]
    return new


def overwritten(x):
    x = x.clone()
    x[:, 0] = 99
    x[1].fill_(99)
    return x


MOVES = {
    "view": lambda x: x.view(2, 6),
    "transpose": lambda x: x.t().contiguous(),
    "column": lambda x: x[:, 2],
    "step": lambda x: x[::2, 1::2],
    "expand": lambda x: x[None].expand(2, 3, 4).clone(),
    "unbind": lambda x: torch.stack(x.unbind(1)[::-1]),
    "split": lambda x: torch.cat(x.split(1, 0)[::-1]),
    "cat": lambda x: torch.cat([START, x], 1),
    "stack": lambda x: torch.stack([x, START.expand(3, 4)]),
    "int32": lambda x: x.int(),
    "back": lambda x: x.int().long(),
    "index": lambda x: x[ORDER],
    "index_select": lambda x: x.index_select(0, ORDER),
    "gather": lambda x: x.gather(1, torch.tensor([[3, 0], [1, 1], [2, 0]])),
    "take_along": lambda x: x.take_along_dim(torch.tensor([[3, 0], [1, 1], [2, 0]]), 1),
    "masked": lambda x: x[x > 0],
    "where": lambda x: torch.where(x > 5, x, 99),
    "masked_fill": lambda x: x.masked_fill(x > 5, 99),
    "in place": lambda x: x.clone().masked_fill_(x > 5, 99),
    "roll": lambda x: x.roll(1, 1),
    "flip": lambda x: x.flip(0, 1),
    "repeat": lambda x: x.repeat(2, 1),
    "interleave": lambda x: x.repeat_interleave(2, 0),
    "pad": lambda x: torch.nn.functional.pad(x, (1, 2), value=99),
    "written into": written_into,
    "overwritten": overwritten,
    "index_put": lambda x: x.index_put((torch.tensor([0]), torch.tensor([1])), torch.tensor([99])),
    "scatter": lambda x: torch.full((3, 5), 99).scatter(1, torch.tensor([[4, 0, 1, 2]] * 3), x),
}


@pytest.mark.parametrize("name", MOVES)
def test_moves(name):
    with torch.no_grad():
        lent = IDS.clone()
        with Origins((lent,)) as origins:
            moved = MOVES[name](lent)
            found = origins.of(moved)
    expected = torch.where(moved == 99, 0, moved).long()
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    "change", [lambda x: x + 7, lambda x: 3 * x % 5, lambda x: x.clamp(max=3), lambda x: x.add_(1)]
)
def test_numbers_made_of_one_id_belong_to_it(change):
    lent = IDS.clone()
    with Origins((lent,)) as origins:
        found = origins.of(change(lent))
    assert torch.equal(found, IDS)


def test_numbers_made_of_several_ids_belong_to_none():
    lent = IDS.clone()
    with Origins((lent,)) as origins:
        found = origins.of(lent + lent.roll(1, 1))
        same = origins.of(lent * lent)
    assert bool((found == SEVERAL).all())
    assert torch.equal(same, IDS)


def test_several_inputs_are_numbered_one_after_the_other():
    first, second = IDS.clone(), IDS.clone()
    with Origins((first, second)) as origins:
        found = origins.of(torch.cat([first, second]))
    assert torch.equal(found, torch.arange(1, 25).reshape(6, 4))


def test_other_uses_are_noticed():
    for use in (lambda x: x == 2, lambda x: x.float(), lambda x: x.sum(), lambda x: int(x[0, 0])):
        with Origins((lent := IDS.clone(),)) as origins:
            use(lent)
        assert origins.otherwise
    with Origins((lent := IDS.clone(),)) as origins:
        torch.zeros_like(lent)
        lent[:, 1:].reshape(-1)
    assert not origins.otherwise


def test_positions_made_of_masks_do_not_come_from_ids():
    lent = IDS.clone()
    with Origins((lent,)) as origins:
        positions = lent.ne(3).int().cumsum(1) + 1
        assert origins.of(positions) is None
        assert origins.of(torch.arange(4)) is None
