"""Models whose attributions are known exactly, to 1e-12 in float64."""

import pytest
import torch

import pellucid
from pellucid._core.quadrature import RULES
from pellucid.attr import GradientShap, InputXGradient, IntegratedGradients, NoiseTunnel, Saliency
from tests.models import DOUBLE

RTOL = 1e-12


@pytest.fixture
def pair(generator):
    x = torch.randn(4, 5, dtype=DOUBLE, generator=generator)
    return x, torch.randn(4, 5, dtype=DOUBLE, generator=generator)


def close(found, expected):
    return torch.allclose(found, expected, rtol=RTOL, atol=RTOL)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("n_steps", [2, 5, 50])
def test_linear_with_every_quadrature(pair, rule, n_steps, generator):
    x, base = pair
    w = torch.randn(5, dtype=DOUBLE, generator=generator)
    found = IntegratedGradients(lambda v: v @ w + 3).attribute(x, base, method=rule, n_steps=n_steps)
    assert close(found, w * (x - base))


@pytest.mark.parametrize("rule", ["riemann_middle", "riemann_trapezoid", "gausslegendre"])
@pytest.mark.parametrize("n_steps", [2, 5, 50])
def test_quadratic(pair, rule, n_steps, generator):
    x, base = pair
    q = torch.randn(5, 5, dtype=DOUBLE, generator=generator)
    found, delta = IntegratedGradients(lambda v: ((v @ q) * v).sum(1)).attribute(
        x, base, method=rule, n_steps=n_steps, return_convergence_delta=True
    )
    expected = (x - base) * (((x + base) / 2) @ (q + q.T))
    assert close(found, expected)
    assert delta.abs().max() < 1e-11


@pytest.mark.parametrize("degree", [1, 2, 3, 4, 5])
def test_multilinear_of_degree_d_with_half_as_many_points(pair, degree):
    x, base = pair

    def product(v):
        return v[:, :degree].prod(1)

    points = (degree + 1) // 2
    found, delta = IntegratedGradients(product).attribute(x, base, n_steps=points, return_convergence_delta=True)
    many = IntegratedGradients(product).attribute(x, base, n_steps=60)
    assert close(found, many)
    assert delta.abs().max() < 1e-12


@pytest.mark.parametrize("n_steps", [3, 50, "auto"])
def test_additive_of_polynomial_pieces(pair, n_steps):
    x, base = pair
    found = IntegratedGradients(lambda v: (v**3 - 2 * v**2 + v).sum(1)).attribute(x, base, n_steps=n_steps)

    def piece(v):
        return v**3 - 2 * v**2 + v

    assert close(found, piece(x) - piece(base))


def test_all_complete_methods_agree_on_additive_linear_models(pair):
    x, base = pair
    w = torch.arange(1.0, 6.0, dtype=DOUBLE)
    ig = IntegratedGradients(lambda v: v @ w).attribute(x, base[:1])
    gs = GradientShap(lambda v: v @ w).attribute(x, baselines=base[:1])
    assert close(ig, gs)


def test_saliency_and_input_x_gradient(pair):
    x, _ = pair

    def cubic(v):
        return (v**3).sum(1)

    assert close(Saliency(cubic).attribute(x), 3 * x**2)
    assert close(Saliency(lambda v: -cubic(v)).attribute(x), 3 * x**2)
    assert close(Saliency(lambda v: -cubic(v)).attribute(x, abs=False), -3 * x**2)
    assert close(InputXGradient(cubic).attribute(x), 3 * x**3)


def test_local_attributions_are_the_integral_alone(pair):
    x, base = pair
    found, delta = IntegratedGradients(lambda v: (v**2).sum(1), multiply_by_inputs=False).attribute(
        x, base, return_convergence_delta=True
    )
    assert close(found, x + base)
    assert delta.abs().max() < 1e-11  # delta speaks of completeness, which the integral has either way


def test_expected_gradients_of_a_quadratic(pair):
    """E over a of (x - b) * 2 (b + a (x - b)) = x^2 - b^2, estimated within its own standard error."""
    x, base = pair
    method = GradientShap(lambda v: (v**2).sum(1))
    found = method.attribute(x, baselines=base[:1], n_samples=4000, seed=1)
    assert torch.allclose(found, x**2 - base[:1] ** 2, atol=0.2)


def test_noise_tunnel_statistics_of_a_quadratic(pair):
    """Gradients 2 (x + e): their mean is 2x, their variance 4 stdev^2."""
    x, _ = pair
    tunnel = NoiseTunnel(Saliency(lambda v: (v**2).sum(1)))
    settings = {"nt_samples": 4000, "stdevs": 0.5, "abs": False, "seed": 3}
    mean = tunnel.attribute(x, nt_type="smoothgrad", **settings)
    square = tunnel.attribute(x, nt_type="smoothgrad_sq", **settings)
    variance = tunnel.attribute(x, nt_type="vargrad", **settings)
    assert torch.allclose(mean, 2 * x, atol=0.1)
    assert torch.allclose(variance, torch.ones_like(x), atol=0.15)
    assert close(square, variance + mean**2)


def test_noiseless_tunnel_is_the_method_itself(pair):
    x, _ = pair
    tunnel = NoiseTunnel(Saliency(lambda v: (v**3).sum(1)))
    assert close(tunnel.attribute(x, stdevs=0.0, abs=False), 3 * x**2)
    assert tunnel.attribute(x, nt_type="vargrad", stdevs=0, abs=False).abs().max() < 1e-28


@pytest.mark.filterwarnings("ignore::pellucid.errors.ConvergenceWarning")
def test_automatic_steps_are_not_fooled_by_a_step_between_the_first_points():
    """At the first points every gradient is zero and nothing changes, but delta says that all is missing."""
    with pellucid.recording() as report:
        found = IntegratedGradients(lambda v: (100 * (v - 0.771)).clamp(0, 1).sum(1)).attribute(
            torch.ones(1, 1, dtype=DOUBLE), n_steps="auto"
        )
    assert report.n_steps.tolist() >= [243]
    assert abs(float(found) - 1) < 0.02


def test_steps_taken_are_reported_and_small_where_they_can_be(generator):
    x = torch.randn(3, 5, dtype=DOUBLE, generator=generator)
    with pellucid.recording() as report:
        IntegratedGradients(lambda v: (v**2).sum(1)).attribute(x, n_steps="auto")
    assert report.n_steps.tolist() == [9, 9, 9]
