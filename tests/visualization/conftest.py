"""What the tests of the plots share: a backend without windows, real pictures, and no figure left open."""

from collections.abc import Iterator

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def no_windows() -> Iterator[None]:
    """Draw into memory, and close what pyplot holds after each test."""
    matplotlib.use("Agg")
    yield
    plt.close("all")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """A real photograph, bytes of shape (53, 80, 3)."""
    from sklearn.datasets import load_sample_image

    return np.ascontiguousarray(load_sample_image("china.jpg")[::8, ::8])


@pytest.fixture
def attr(photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Attributions of the photograph with both signs, some zeros and a heavy tail, of shape (53, 80, 3)."""
    values = rng.standard_t(df=3, size=photo.shape)
    values[:5] = 0.0
    return values
