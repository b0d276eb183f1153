"""Each method against a slow, obvious second implementation."""

import pytest
import torch

from pellucid._core.path import RandomLine
from pellucid._core.random import draw_seeds, generator_of, normal_like
from pellucid.attr import GradientShap, InputXGradient, IntegratedGradients, NoiseTunnel, Saliency
from tests.models import DOUBLE, TwoInputs, cnn, mlp
from tests.reference.gradients import expected_gradients, gradient, integrated_gradients


@pytest.fixture
def x(generator):
    return torch.randn(3, 5, dtype=DOUBLE, generator=generator)


def test_gradients(x):
    model = mlp()
    for i, target in enumerate([2, 0, 1]):
        (g,) = gradient(model, (x[i : i + 1],), lambda o, t=target: o[0, t])
        assert torch.allclose(Saliency(model).attribute(x, target=[2, 0, 1], abs=False)[i], g[0], atol=1e-14)
        assert torch.allclose(InputXGradient(model).attribute(x, target=[2, 0, 1])[i], (g * x[i])[0], atol=1e-14)


@pytest.mark.parametrize("n_steps", [60, "auto"])
def test_integrated_gradients(x, n_steps):
    model, base = mlp(), torch.linspace(-1, 1, 5, dtype=DOUBLE)[None]
    found = IntegratedGradients(model).attribute(x, base, target=[2, 0, 1], n_steps=n_steps, tolerance=1e-7)
    for i, target in enumerate([2, 0, 1]):
        (expected,) = integrated_gradients(model, (x[i : i + 1],), (base,), lambda o, t=target: o[0, t])
        assert torch.allclose(found[i], expected[0], atol=1e-6)


def test_integrated_gradients_of_tuples(x, generator):
    other = torch.rand(3, 2, 2, dtype=DOUBLE, generator=generator)
    scale = torch.rand(3, dtype=DOUBLE, generator=generator)
    found = IntegratedGradients(TwoInputs()).attribute(
        (x, other), (0.2, other.flip(0)), target=1, additional_forward_args=scale
    )
    for i in range(3):
        expected = integrated_gradients(
            lambda a, b, i=i: TwoInputs()(a, b, scale[i : i + 1]),
            (x[i : i + 1], other[i : i + 1]),
            (torch.full((1, 5), 0.2, dtype=DOUBLE), other.flip(0)[i : i + 1]),
            lambda o: o[0, 1],
        )
        for f, e in zip(found, expected, strict=True):
            assert torch.allclose(f[i], e[0], atol=1e-5)


@pytest.mark.filterwarnings("ignore::pellucid.errors.SamplingWarning")
def test_gradient_shap_from_its_own_draws(x):
    model, rows = mlp(), torch.randn(4, 5, dtype=DOUBLE, generator=torch.Generator().manual_seed(2))
    found, delta = GradientShap(model).attribute(
        x, rows, n_samples=6, stdevs=0.3, target=1, seed=8, return_convergence_delta=True
    )
    path = RandomLine((x,), (rows,), (0.3,), tuple(draw_seeds(6, None, 8)))
    for i in range(3):
        draws = []
        for k in range(6):
            ends, starts, positions = path.ends(k, torch.arange(3))
            draws.append(((ends[0][i : i + 1],), (starts[0][i : i + 1],), float(positions[i])))
        (expected,) = expected_gradients(model, lambda o: o[0, 1], draws)
        assert torch.allclose(found[i], expected[0], atol=1e-12)
        total = sum((model(e[0]) - model(s[0]))[0, 1].item() for e, s, _ in draws) / 6
        assert float(delta.reshape(3, 6)[i].mean()) == pytest.approx(float(expected.sum()) - total, abs=1e-12)


def test_joint_rows_of_a_distribution_stay_together(x):
    """Both inputs must take the same row: the difference of their baselines is then always the same."""
    rows = torch.randn(50, 5, dtype=DOUBLE)
    path = RandomLine((x, x), (rows, rows + 7), (0.0, 0.0), tuple(draw_seeds(20, None, 1)))
    for k in range(20):
        _, starts, _ = path.ends(k, torch.arange(3))
        assert torch.allclose(starts[1] - starts[0], torch.full((3, 5), 7.0, dtype=DOUBLE))


@pytest.mark.filterwarnings("ignore::pellucid.errors.SamplingWarning")
@pytest.mark.parametrize("nt_type", ["smoothgrad", "smoothgrad_sq", "vargrad"])
def test_noise_tunnel_from_its_own_draws(x, nt_type):
    model = mlp()
    found = NoiseTunnel(Saliency(model)).attribute(
        x, nt_type=nt_type, nt_samples=5, stdevs=0.4, seed=4, target=[2, 0, 1], abs=False
    )
    values = []
    for seed in draw_seeds(10, None, 4)[:5]:
        noisy = x + normal_like(x, 0.4, generator_of(seed))
        values.append(Saliency(model).attribute(noisy, target=[2, 0, 1], abs=False))
    stack = torch.stack(values)
    expected = {
        "smoothgrad": stack.mean(0),
        "smoothgrad_sq": (stack**2).mean(0),
        "vargrad": stack.var(0, unbiased=False),
    }[nt_type]
    assert torch.allclose(found, expected, atol=1e-13)


def test_noise_tunnel_draws_whole_baseline_rows(x):
    """With rows that are constant, every drawn baseline is constant too, whichever row it is."""
    rows = torch.arange(4.0, dtype=DOUBLE)[:, None].expand(4, 5)
    model = lambda v: v.sum(1)  # noqa: E731
    found = NoiseTunnel(IntegratedGradients(model)).attribute(
        x, stdevs=0.0, nt_samples=1, draw_baseline_from_distrib=True, baselines=rows, seed=3
    )
    drawn = x - found
    assert torch.allclose(drawn, drawn[:, :1].expand(3, 5))
    assert len(set(drawn[:, 0].round().tolist())) >= 1


def test_standard_errors_cover_the_truth():
    """Of 400 independent estimates about 90 % lie within 1.645 standard errors of the exact value."""
    import pellucid

    x = torch.rand(400, 1, dtype=DOUBLE) + 0.5
    with pellucid.recording() as report:
        found = GradientShap(lambda v: (v**3).sum(1)).attribute(x, baselines=0.0, n_samples=60, seed=5)
    inside = (found - x**3).abs() <= 1.645 * report.standard_error[0]
    assert 0.85 <= float(inside.double().mean()) <= 0.95


def test_images(generator):
    model, images = cnn(), torch.randn(2, 2, 8, 8, dtype=DOUBLE, generator=generator)
    found = IntegratedGradients(model).attribute(images, 0.1, target=1, n_steps="auto", tolerance=1e-3)
    (expected,) = integrated_gradients(
        model, (images[:1],), (torch.full((1, 2, 8, 8), 0.1, dtype=DOUBLE),), lambda o: o[0, 1]
    )
    assert float((found[:1] - expected).abs().sum() / expected.abs().sum()) < 5e-3
