"""ROAD: the imputation against a dense solver, the removal against the definition."""

import pytest
import torch

from pellucid.errors import InvalidTypeError, InvalidValueError
from pellucid.metrics import road
from pellucid.metrics._imputation import imputed
from tests.models import DOUBLE


def dense(image, removed):
    """Solve the equations of the removed pixels of one channel, written out one by one."""
    height, width = image.shape
    places = [(i, j) for i in range(height) for j in range(width) if removed[i, j]]
    number = {place: k for k, place in enumerate(places)}
    matrix, right = torch.zeros(len(places), len(places), dtype=DOUBLE), torch.zeros(len(places), dtype=DOUBLE)
    for (i, j), k in number.items():
        for di in (-1, 0, 1):
            for dj in (-1, 0, 1):
                other = (i + di, j + dj)
                if (di, dj) == (0, 0) or not (0 <= other[0] < height and 0 <= other[1] < width):
                    continue
                weight = 1 / 12 if di and dj else 1 / 6
                matrix[k, k] += weight
                if other in number:
                    matrix[k, number[other]] -= weight
                else:
                    right[k] += weight * image[other]
    filled = image.clone()
    for (i, j), value in zip(places, torch.linalg.solve(matrix, right), strict=True):
        filled[i, j] = value
    return filled


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_imputation_solves_the_equations(share):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(3, 2, 9, 7, generator=generator, dtype=DOUBLE)
    removed = torch.rand(3, 9, 7, generator=generator) < share
    removed[:, 4, 3] = False
    removed[2] = True
    removed[2, 0, 0] = False  # a single known pixel: everything becomes it
    found = imputed(images, removed)
    for b in range(3):
        for c in range(2):
            assert torch.allclose(found[b, c], dense(images[b, c], removed[b]), atol=1e-9)
    assert torch.allclose(found[2, 0], images[2, 0, 0, 0].expand(9, 7), atol=1e-9)
    assert torch.allclose(imputed(images.float(), removed), found.float(), atol=1e-3)


def test_nothing_removed_and_linear_pictures():
    images = torch.randn(1, 1, 5, 5, dtype=DOUBLE)
    assert torch.equal(imputed(images, torch.zeros(1, 5, 5, dtype=torch.bool)), images)
    ramp = torch.arange(49, dtype=DOUBLE).reshape(1, 1, 7, 7)  # inner pixels are means of their neighbours
    removed = torch.zeros(1, 7, 7, dtype=torch.bool)
    removed[0, 2:5, 2:5] = True
    assert torch.allclose(imputed(ramp, removed), ramp, atol=1e-9)


def brightness(x):
    return x.mean((1, 2, 3))


def test_curves_by_definition():
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(2, 3, 6, 5, generator=generator, dtype=DOUBLE)
    relevance = torch.randn(2, 3, 6, 5, generator=generator, dtype=DOUBLE)
    for first in (True, False):
        curve = road(brightness, images, relevance, fractions=(0.2, 0.5), noise=0.0, most_relevant_first=first)
        for i in range(2):
            order = relevance[i].sum(0).flatten().argsort(descending=first)
            for k, count in enumerate((6, 15)):
                removed = torch.zeros(30, dtype=torch.bool)
                removed[order[:count]] = True
                filled = torch.stack([dense(images[i, c], removed.reshape(6, 5)) for c in range(3)])
                assert torch.allclose(curve.values[i, k], filled.mean(), atol=1e-9)
        assert torch.allclose(curve.score, curve.values.mean(1))
    one = road(brightness, images, relevance.sum(1, keepdim=True), fractions=(0.2, 0.5), noise=0.0)
    assert torch.allclose(one.values, road(brightness, images, relevance, fractions=(0.2, 0.5), noise=0.0).values)


def test_an_explanation_that_finds_the_bright_spot_beats_one_that_does_not():
    images = torch.zeros(1, 1, 12, 12, dtype=DOUBLE)
    images[..., 3:6, 3:6] = 1.0
    right, wrong = images.clone(), images.flip(-1)
    scores = [float(road(brightness, images, a, fractions=(0.0625,), seed=0).score) for a in (right, wrong)]
    assert scores[0] < 0.01 < scores[1]


def test_noise_chunks_and_seeds():
    images = torch.rand(3, 1, 6, 6, dtype=DOUBLE)
    scores = [
        road(brightness, images, images, seed=1, noise=0.3, max_examples_per_batch=c).score for c in (None, 1, 2, 7)
    ]
    assert all(torch.allclose(scores[0], s, rtol=1e-10) for s in scores)
    assert not torch.equal(scores[0], road(brightness, images, images, seed=2, noise=0.3).score)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"inputs": torch.rand(2, 5)}, InvalidValueError, r"\(N, C, H, W\)"),
        ({"inputs": (torch.rand(2, 1, 4, 4), torch.rand(2, 1, 4, 4))}, InvalidValueError, r"\(N, C, H, W\)"),
        ({"attributions": torch.rand(2, 1, 4, 5)}, InvalidValueError, "attributions"),
        ({"attributions": (torch.rand(2, 1, 4, 4),) * 2}, InvalidTypeError, "attributions"),
        ({"fractions": (0.5, 1.0)}, InvalidValueError, "below 1"),
        ({"fractions": (0.0,)}, InvalidValueError, "fractions"),
        ({"noise": -1.0}, InvalidValueError, "noise"),
        ({"noise": float("nan")}, InvalidValueError, "noise"),
        ({"noise": 10**400}, InvalidValueError, "noise"),
        ({"model": lambda x: x.mean((2, 3)).repeat(1, 2)}, InvalidValueError, "target is None"),
    ],
)
def test_refusals(change, error, words):
    images = torch.rand(2, 1, 4, 4)
    with pytest.raises(error, match=words):
        road(**{"model": brightness, "inputs": images, "attributions": images, **change})
