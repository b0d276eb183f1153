"""Each rule of DeepLIFT against a slow, obvious second implementation."""

import math

import pytest
import torch
import torch.nn.functional as F

from pellucid._core.rules import Choices, deep_lift_of_each
from pellucid._core.rules.deeplift import SECANT
from pellucid._core.rules.order import time_at_ranks

from .asking import gradient, incompleteness, lifted, weighted

UNARY = {
    "relu": torch.relu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "mish": F.mish,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softplus": F.softplus,
    "elu": F.elu,
    "leaky": lambda x: F.leaky_relu(x, 0.2),
    "prelu": lambda x: F.prelu(x, torch.tensor([0.3])),
    "hardswish": F.hardswish,
    "exp": torch.exp,
    "log": lambda x: torch.log(x.abs() + 0.1),
    "sqrt": lambda x: torch.sqrt(x * x + 1),
    "square": torch.square,
    "cube": lambda x: x**3,
    "clamp": lambda x: x.clamp(-0.5, 0.4),
    "sin": torch.sin,
    "abs": torch.abs,
    "erf": torch.erf,
    "round": torch.round,
    "rpow": lambda x: 2.0**x,
}


@pytest.mark.parametrize("name", UNARY)
def test_unary_is_the_slope_of_the_secant(name):
    x, start = torch.randn(4, 5), torch.randn(4, 5)
    _, result = lifted(UNARY[name], x, baselines=(start,), select=lambda y: y.sum(1))
    expected = (UNARY[name](x) - UNARY[name](start)) / (x - start)
    torch.testing.assert_close(result.multipliers[0], expected, rtol=1e-12, atol=1e-12)


def test_unary_is_the_gradient_where_nothing_changes():
    x = torch.randn(4, 5)
    _, result = lifted(torch.tanh, x, baselines=(x.clone(),), select=lambda y: y.sum(1))
    torch.testing.assert_close(result.multipliers[0], 1 - torch.tanh(x) ** 2, rtol=1e-13, atol=0)


@pytest.mark.parametrize(("function", "at"), [(torch.sqrt, 0.0), (torch.acos, 1.0), (torch.asin, 1.0)])
def test_an_infinite_slope_counts_nothing_where_nothing_changes(function, at):
    x, start = torch.tensor([[at, 0.3]]), torch.tensor([[at, 0.6]])
    _, result = lifted(function, x, baselines=(start,), select=lambda y: y.sum(1))
    assert result.multipliers[0][0, 0] == 0
    assert incompleteness(function, x, baselines=(start,)) < 1e-13


def test_a_value_that_is_infinite_in_both_passes_counts_nothing():
    x, start = torch.tensor([[1000.0, 0.3]]), torch.tensor([[2000.0, 0.6]])
    _, result = lifted(torch.exp, x, baselines=(start,), select=lambda y: y.sum(1))
    slope = (torch.exp(x) - torch.exp(start)) / (x - start)
    torch.testing.assert_close(result.multipliers[0], slope.nan_to_num(0.0))


def test_unary_counts_a_kink_between_neighbours():
    x, start = torch.tensor([[1e-10]]), torch.tensor([[-3e-10]])
    _, result = lifted(torch.relu, x, baselines=(start,), select=lambda y: y.sum(1))
    torch.testing.assert_close(result.multipliers[0], torch.tensor([[0.25]]))


def path_integral(function, x, start, count=4000):
    """The mean gradient along the straight line: what products, convex maps and ranks are compared with."""
    total = torch.zeros_like(x)
    for k in range(count):
        total += gradient(function, start + (k + 0.5) / count * (x - start))
    return total / count


PRODUCTS = {
    "mul": lambda x: x[:, :3] * x[:, 3:],
    "matmul": lambda x: x.reshape(-1, 2, 3) @ x.reshape(-1, 3, 2),
    "einsum": lambda x: torch.einsum("bi,bj->bij", x[:, :3], x[:, 3:]),
    "three": lambda x: torch.einsum("bi,bi,bi->bi", x[:, :2], x[:, 2:4], x[:, 4:]),
    "linear": lambda x: torch.stack([F.linear(r[:2], r[2:].reshape(2, 2)) for r in x]),
    "addcmul": lambda x: torch.addcmul(x[:, :2], x[:, 2:4], x[:, 4:], value=3),
    "lerp": lambda x: torch.lerp(x[:, :2], x[:, 2:4], x[:, 4:]),
    "outer": lambda x: torch.stack([torch.outer(r[:3], r[3:]) for r in x]),
    "cross": lambda x: torch.linalg.cross(x[:, :3], x[:, 3:]),
    "complex": lambda x: (torch.complex(x[:, :2], x[:, 2:4]) * torch.complex(x[:, 4:], x[:, :2])).imag,
    "bilinear": lambda x: F.bilinear(x[:, :3], x[:, 3:], torch.ones(2, 3, 3).cumsum(2)),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_product_is_the_mean_gradient_along_the_operands(name):
    x, start = torch.randn(2, 6), torch.randn(2, 6)
    _, result = lifted(PRODUCTS[name], x, baselines=(start,))
    expected = path_integral(PRODUCTS[name], x, start, 400 if name == "three" else 4)
    torch.testing.assert_close(result.multipliers[0], expected, rtol=1e-4, atol=1e-4)
    assert incompleteness(PRODUCTS[name], x) < 1e-13


def softmax_multipliers(x, start, weights):
    """The rule for softmax in plain Python, one class at a time."""
    log_p, log_q = torch.log_softmax(x, 0).tolist(), torch.log_softmax(start, 0).tolist()
    mean = [(math.exp(a) - math.exp(b)) / (a - b) for a, b in zip(log_p, log_q, strict=True)]
    total = sum(mean)
    carried = sum(m * w for m, w in zip(mean, weights.tolist(), strict=True))
    return torch.tensor([m * (w - carried / total) for m, w in zip(mean, weights.tolist(), strict=True)])


def test_softmax_is_its_derivative_at_logarithmic_means():
    x, start, weights = torch.randn(3, 6), torch.randn(3, 6), torch.randn(6)
    _, result = lifted(lambda z: z.softmax(1), x, baselines=(start,), select=lambda y: y @ weights)
    expected = torch.stack([softmax_multipliers(a, b, weights) for a, b in zip(x, start, strict=True)])
    torch.testing.assert_close(result.multipliers[0], expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("shift", [1e-9, 1e-5, 1e-2, 1.0, 60.0, 900.0])
@pytest.mark.parametrize(
    "function",
    [
        lambda z: z.softmax(1),
        lambda z: F.log_softmax(z, 1),
        lambda z: z.logsumexp(1, keepdim=True),
        lambda z: F.softmin(z, 1),
    ],
)
def test_softmax_is_complete_near_and_far(function, shift):
    start = torch.randn(3, 6)
    x = start + shift * torch.randn(3, 6)
    _, result = lifted(function, x, baselines=(start,))
    attributed = (result.multipliers[0] * (x - start)).sum(1)
    difference = result.outputs - result.reference_outputs
    scale = max(1.0, float(difference.abs().max()))
    assert float((attributed - difference).abs().max()) < 1e-14 * scale * 10


def test_softmax_with_masked_classes():
    mask = torch.tensor([False, True, False, True, False])
    assert incompleteness(lambda z: z.masked_fill(mask, -math.inf).softmax(1), torch.randn(3, 5)) < 1e-14


def test_softmax_equals_its_form_by_hand():
    def by_hand(z):
        e = (z - z.amax(1, keepdim=True).detach()).exp()
        return e / e.sum(1, keepdim=True)

    assert incompleteness(by_hand, torch.randn(3, 6)) < 1e-14


def max_pool_reference(x, start, size, weights):
    """Per window, the mixture of the two selected inputs that is complete."""
    multipliers = torch.zeros_like(x)
    for window in range(x.shape[0] // size):
        part = slice(window * size, (window + 1) * size)
        i, j = int(x[part].argmax()) + window * size, int(start[part].argmax()) + window * size
        change = x[i] - start[j]
        high, low = x[i] - start[i], x[j] - start[j]
        share = 0.5 if i == j else (change - low) / (high - low)
        multipliers[i] += share * weights[window]
        multipliers[j] += (1 - share) * weights[window]
    return multipliers


def test_max_pool_mixes_the_two_selections():
    x, start = torch.randn(2, 12), torch.randn(2, 12)
    weights = torch.tensor([1.0, -2.0, 0.5])
    _, result = lifted(
        lambda z: F.max_pool1d(z.unsqueeze(1), 4).squeeze(1),
        x,
        baselines=(start,),
        select=lambda y: y @ weights,
    )
    expected = torch.stack([max_pool_reference(a, b, 4, weights) for a, b in zip(x, start, strict=True)])
    torch.testing.assert_close(result.multipliers[0], expected, rtol=1e-12, atol=1e-12)


POOLINGS = {
    "max_pool1d": lambda x: F.max_pool1d(x.flatten(2), kernel_size=3, stride=2, ceil_mode=True),
    "max_pool2d": lambda x: F.max_pool2d(x.flatten(3), (2, 3), 1, padding=1, dilation=2),
    "max_pool3d": lambda x: F.max_pool3d(x, 2, (1, 2, 1)),
}


@pytest.mark.parametrize("name", POOLINGS)
@pytest.mark.parametrize("rule", ["rescale", "reveal_cancel"])
def test_max_pooling_without_derivatives_is_the_secant_with_them(name, rule):
    def model(z):
        return POOLINGS[name](torch.tanh(z)) ** 2

    x, start = torch.randn(2, 3, 7, 6, 5), torch.randn(2, 3, 7, 6, 5)
    found = lifted(model, x, baselines=(start,), rule=rule)[1]
    general = lifted(model, x, baselines=(start,), rule=rule, choices=Choices(rules={name: SECANT}))[1]
    torch.testing.assert_close(found.multipliers, general.multipliers, rtol=1e-12, atol=1e-12)
    assert found.certificate == general.certificate


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_a_rectifier_passes_on_all_or_nothing_on_one_side_of_its_kink(dtype):
    x = torch.tensor([[1.0, 1.0, -1.0, -1.0, 0.0, 3.0]], dtype=dtype)
    start = x + torch.tensor([[0.0, 1.0, 0.0, -1.0, 0.0, 2.0]], dtype=dtype) * torch.finfo(dtype).eps
    _, result = lifted(torch.relu, x, baselines=(start,), select=lambda y: y.sum(1))
    assert result.multipliers[0].tolist() == [[1.0, 1.0, 0.0, 0.0, 0.0, 1.0]]


CONVEX = {
    "max": lambda x: x.max(1).values.unsqueeze(1),
    "min": lambda x: x.min(1, keepdim=True)[0],
    "amax": lambda x: x.amax((1, 2)).unsqueeze(1),
    "maximum": lambda x: torch.maximum(x, x.flip(1)),
    "fmin": lambda x: torch.fmin(x, 0.3 * x.flip(1)),
    "max_pool2d": lambda x: F.max_pool2d(x.unsqueeze(1), 3, 2, 1),
    "max_pool2d_with_indices": lambda x: F.max_pool2d(x.unsqueeze(1), 2, return_indices=True)[0],
    "adaptive": lambda x: F.adaptive_max_pool2d(x.unsqueeze(1), 2),
    "norm": lambda x: x.norm(dim=2),
    "norm1": lambda x: x.norm(1, dim=2),
    "norm_inf": lambda x: torch.linalg.vector_norm(x, math.inf, (1, 2)).unsqueeze(1),
    "cummax": lambda x: x.cummax(2).values,
    "logcumsumexp": lambda x: x.logcumsumexp(2),
    "logaddexp": lambda x: torch.logaddexp(x, x.flip(1)),
    "hypot": lambda x: torch.hypot(x, x.flip(1)),
    "cdist": lambda x: torch.cdist(x, x.flip(2)),
    "normalize": lambda x: F.normalize(x, dim=2),
    "scatter_amax": lambda x: torch.zeros(3, 2, 4).scatter_reduce(
        1, torch.tensor([[[0] * 4, [1] * 4, [0] * 4]] * 3), x, "amax"
    ),
}


@pytest.mark.parametrize("name", CONVEX)
def test_convex_functions_are_complete_by_a_rule_of_their_own(name):
    x = torch.randn(3, 3, 4)
    assert incompleteness(CONVEX[name], x) < 1e-13
    assert lifted(CONVEX[name], x)[1].certificate.unknown == ()


@pytest.mark.parametrize("order", [0.5, 0.9])
def test_norms_of_an_order_below_one_are_not_convex(order):
    x = torch.randn(3, 3, 4)
    for norm in (
        lambda v: v.norm(order, dim=2),
        lambda v: torch.linalg.vector_norm(v, order, 2),
        lambda v: torch.stack([torch.dist(row, row.flip(1), order) for row in v]),
    ):
        (entry,) = lifted(norm, x)[1].certificate.unknown
        assert "norm" in entry or "dist" in entry
        assert incompleteness(norm, x) < 1e-13


def test_unsorted_ranks_are_a_known_operation():
    def largest(x):
        return x.topk(3, 1, sorted=False)[0].sum(1, keepdim=True)

    x, start = torch.randn(3, 6), torch.randn(3, 6)
    _, result = lifted(largest, x, baselines=(start,))
    assert result.certificate.unknown == ()
    assert "path integral: topk" in str(result.certificate)
    assert "exact" not in str(result.certificate)
    assert incompleteness(largest, x) < 1e-13
    torch.testing.assert_close(result.multipliers[0], path_integral(largest, x, start), rtol=0, atol=2e-2)


ORDER = {
    "sort": lambda x: x.sort(1)[0],
    "sort_descending": lambda x: torch.sort(x, dim=1, descending=True).values,
    "topk": lambda x: x.topk(3, dim=1)[0],
    "topk_smallest": lambda x: x.topk(2, 1, largest=False)[0],
    "kthvalue": lambda x: x.kthvalue(2, 1)[0].unsqueeze(1),
    "median": lambda x: x.median(1, keepdim=True)[0],
    "msort": lambda x: x.T.msort().T,
    "quantile": lambda x: x.quantile(torch.tensor([0.2, 0.7]), 1).T,
}


@pytest.mark.parametrize("name", ORDER)
def test_ranks_are_integrated_exactly(name):
    x, start = torch.randn(3, 6), torch.randn(3, 6)
    _, result = lifted(ORDER[name], x, baselines=(start,))
    assert incompleteness(ORDER[name], x) < 1e-13
    torch.testing.assert_close(result.multipliers[0], path_integral(ORDER[name], x, start), rtol=0, atol=3e-3)


def test_ranks_along_another_dimension_and_of_a_single_number():
    x, start = torch.randn(4, 6), torch.randn(4, 6)
    for along, moved in (
        (lambda v: v.reshape(4, 3, 2).sort(1)[0], lambda v: v.reshape(4, 3, 2).mT.sort(2)[0].mT),
        (lambda v: torch.stack([row.prod().sort()[0] for row in v]), lambda v: v.prod(1)),
    ):
        found, expected = (lifted(f, x, baselines=(start,))[1].multipliers[0] for f in (along, moved))
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


EVERY_RULE = {
    **{name: (function, (4, 5)) for name, function in UNARY.items()},
    **{name: (function, (2, 6)) for name, function in PRODUCTS.items()},
    **{name: (function, (3, 3, 4)) for name, function in CONVEX.items()},
    **{name: (function, (3, 6)) for name, function in ORDER.items()},
    "softmax": (lambda x: x.softmax(1) * x, (3, 6)),
}


@pytest.mark.parametrize("name", EVERY_RULE)
def test_several_outputs_share_one_pair_of_passes(name):
    """Rules that work in their own memory leave it as it is for the outputs that come after."""
    function, shape = EVERY_RULE[name]
    x, start = torch.randn(shape), torch.randn(shape)
    selects = (weighted, lambda y: y.square().flatten(1).sum(1), weighted)
    together = deep_lift_of_each(function, (x,), (start,), selects)
    for found, select in zip(together, selects, strict=True):
        _, alone = lifted(function, x, baselines=(start,), select=select)
        torch.testing.assert_close(found.multipliers[0], alone.multipliers[0], rtol=1e-12, atol=1e-12)


def test_time_at_ranks_is_doubly_stochastic_with_ties():
    start = torch.tensor([[0.0, 0.0, 1.0, 1.0], [1.0, 2.0, 3.0, 4.0]])
    end = torch.tensor([[1.0, 1.0, 0.0, 1.0], [1.0, 2.0, 3.0, 4.0]])
    share = time_at_ranks(start, end)
    torch.testing.assert_close(share.sum(1), torch.ones(2, 4))
    torch.testing.assert_close(share.sum(2), torch.ones(2, 4))
    torch.testing.assert_close(share[1], torch.eye(4))


def test_unknown_operations_are_integrated_and_named():
    x = torch.randn(3, 3, 3)
    _, result = lifted(torch.linalg.det, x, select=lambda y: y)
    assert len(result.certificate.unknown) == 1
    assert "linalg_det" in result.certificate.unknown[0]
    assert result.certificate.lost < 1e-13
    assert incompleteness(torch.linalg.det, x, select=lambda y: y) < 1e-13


def test_results_that_are_not_used_have_no_share():
    """Eigenvectors of equal eigenvalues have no derivative; the eigenvalues have one."""
    x, start = torch.diag(torch.tensor([1.0, 2.0, 2.0]))[None], torch.diag(torch.tensor([0.3, 0.7, 0.7]))[None]
    _, result = lifted(lambda m: torch.linalg.eigh(m)[0].sum(1), x, baselines=(start,), select=lambda y: y)
    torch.testing.assert_close(result.multipliers[0], torch.eye(3)[None])


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 5)])
def test_a_small_step_gives_the_gradient(shape):
    """Multipliers tend to the gradient: the error falls with the distance."""

    def function(x):
        h = torch.tanh(x @ torch.ones(x.shape[-1], 4).cumsum(0).cos())
        return F.layer_norm(h * h.sigmoid(), (4,)).softmax(-1) * h.exp() / (1 + h.square().sum(-1, keepdim=True))

    x, step = torch.randn(shape), torch.randn(shape)
    exact = gradient(function, x)
    errors = []
    for h in (1e-1, 1e-2, 1e-3, 1e-4, 1e-7, 1e-10):
        _, result = lifted(function, x, baselines=(x + h * step,))
        errors.append(float((result.multipliers[0] - exact).abs().max()))
        assert errors[-1] < 20 * h + 1e-7
    assert errors[-1] < 1e-7


def test_weights_of_a_linear_model_are_its_multipliers():
    weights = torch.randn(5)
    _, result = lifted(lambda x: x @ weights + 3, torch.randn(4, 5), select=lambda y: y)
    torch.testing.assert_close(result.multipliers[0], weights.expand(4, 5))


def test_select_decides_the_output():
    x = torch.randn(4, 5)
    _, first = lifted(torch.exp, x, select=lambda y: y[:, 0])
    assert float(first.multipliers[0][:, 1:].abs().max()) == 0.0
    assert weighted(x).shape == (4,)
