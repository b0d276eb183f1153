"""Metrics of the map alone: localisation by hand-made masks, sparseness and complexity in closed form."""

import math

import pytest
import torch

from pellucid.errors import InvalidTypeError, InvalidValueError, NonFiniteWarning
from pellucid.metrics import (
    complexity,
    pointing_game,
    relevance_mass_accuracy,
    relevance_rank_accuracy,
    sparseness,
)
from tests.models import DOUBLE

MAP = torch.tensor([[[[9.0, 1.0, 0.0], [2.0, -5.0, 3.0], [0.0, 4.0, 1.0]]]])


def truth(*places):
    mask = torch.zeros(1, 1, 3, 3, dtype=torch.bool)
    for i, j in places:
        mask[0, 0, i, j] = True
    return mask


def test_pointing_game_by_hand():
    assert pointing_game(MAP, truth((0, 0), (2, 2))).tolist() == [1.0]
    assert pointing_game(MAP, truth((1, 1))).tolist() == [0.0]
    assert pointing_game(MAP, truth((1, 1)), tolerance=1).tolist() == [1.0]
    assert pointing_game(MAP, truth((2, 2)), tolerance=1).tolist() == [0.0]
    assert pointing_game(torch.zeros_like(MAP), truth((0, 0), (1, 0), (2, 0))).tolist() == pytest.approx([1 / 3])


def test_masses_and_ranks_by_hand():
    assert relevance_mass_accuracy(MAP, truth((0, 0), (1, 1))).tolist() == pytest.approx([0.45])  # 9 of 20
    assert relevance_rank_accuracy(MAP, truth((0, 0), (1, 1))).tolist() == [0.5]
    assert relevance_rank_accuracy(MAP, truth((0, 0), (2, 1), (1, 2))).tolist() == [1.0]
    ties = torch.tensor([[5.0, 1.0, 1.0, 1.0]], dtype=DOUBLE)
    inside = torch.tensor([[True, True, False, False]])
    assert torch.allclose(relevance_rank_accuracy(ties, inside), torch.tensor([(1 + 1 / 3) / 2], dtype=DOUBLE))


def test_channels_are_summed_below_a_mask_of_one():
    colours = torch.cat([MAP, -MAP, MAP / 2], dim=1)
    for metric in (pointing_game, relevance_mass_accuracy, relevance_rank_accuracy):
        mask = truth((0, 0), (1, 2))
        assert torch.equal(metric(colours, mask), metric(MAP, mask))
        assert torch.equal(metric((colours,), mask.int()), metric(MAP, mask))


def test_a_random_map_scores_the_share_of_the_mask():
    maps = torch.randn(4000, 20, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(20).expand(4000, -1) < 5
    for metric in (pointing_game, relevance_mass_accuracy, relevance_rank_accuracy):
        assert abs(float(metric(maps, mask).mean()) - 0.25) < 0.02


def test_no_positive_relevance_has_no_share():
    with pytest.warns(NonFiniteWarning, match="1 of 1"):
        assert relevance_mass_accuracy(-MAP.abs(), truth((0, 0))).isnan().all()


@pytest.mark.parametrize("metric", [pointing_game, relevance_mass_accuracy, relevance_rank_accuracy])
@pytest.mark.parametrize(
    ("attributions", "mask", "error", "words"),
    [
        (MAP, truth(), InvalidValueError, "empty"),
        (MAP, truth((0, 0))[0], InvalidValueError, "shape"),
        (MAP, truth((0, 0)).float() * 0.5, InvalidValueError, "0 and 1"),
        (MAP, [[1]], InvalidTypeError, "ground_truth"),
        ((MAP, MAP), truth((0, 0)), InvalidValueError, "one map"),
        (MAP / 0, truth((0, 0)), InvalidValueError, "attributions"),
        ("map", truth((0, 0)), InvalidTypeError, "attributions"),
    ],
)
def test_refusals(metric, attributions, mask, error, words):
    with pytest.raises(error, match=words):
        metric(attributions, mask)


def test_tolerances():
    with pytest.raises(InvalidValueError, match="tolerance"):
        pointing_game(torch.ones(1, 4), torch.ones(1, 4) > 0, tolerance=1)
    with pytest.raises(InvalidValueError, match="tolerance"):
        pointing_game(MAP, truth((0, 0)), tolerance=-1)


def slow_gini(values):
    """Half the relative mean absolute difference."""
    a = values.abs()
    return (a[:, None] - a[None, :]).abs().mean() / (2 * a.mean())


def test_concentration_in_closed_form():
    maps = torch.randn(6, 2, 3, 4, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    assert torch.allclose(sparseness(maps), torch.stack([slow_gini(m.flatten()) for m in maps]))
    parts = maps[:, 0], maps[:, 1]
    assert torch.allclose(sparseness(parts), sparseness(maps))
    shares = maps.flatten(1).abs() / maps.flatten(1).abs().sum(1, keepdim=True)
    assert torch.allclose(complexity(maps), -(shares * shares.log()).sum(1))
    even, single = torch.full((1, 8), -3.0), torch.eye(8)[2:3]
    assert torch.allclose(sparseness(even), torch.zeros(1), atol=1e-6)
    assert sparseness(single).tolist() == [pytest.approx(7 / 8)]
    assert complexity(even).tolist() == [pytest.approx(math.log(8))]
    assert complexity(single).tolist() == [0.0]
    for metric in (sparseness, complexity):
        assert torch.allclose(metric(maps), metric(-5 * maps))
        with pytest.warns(NonFiniteWarning, match="1 of 2"):
            assert metric(torch.tensor([[0.0, 0.0], [1.0, 2.0]])).isnan().tolist() == [True, False]
        with pytest.raises(InvalidTypeError):
            metric(torch.ones(2, 3, dtype=torch.long))
