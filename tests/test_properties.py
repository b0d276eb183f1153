"""Properties that every method has, over all rows of ``cases.py``."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from pellucid.attr import IntegratedGradients
from pellucid.errors import UnsupportedModelError
from tests.cases import CASES
from tests.models import DOUBLE, TwoInputs, cnn

EVERY = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
pytestmark = [
    pytest.mark.filterwarnings("ignore::pellucid.errors.SamplingWarning"),
    pytest.mark.filterwarnings("ignore::pellucid.errors.ConvergenceWarning"),
]


@pytest.fixture
def x(generator):
    return torch.randn(3, 5, dtype=DOUBLE, generator=generator)


@EVERY
def test_results_look_like_inputs(case, x):
    assert case.run(case.net(), x, target=1).shape == x.shape
    single = case.run(case.net(), (x,), target=1)
    assert isinstance(single, tuple)
    assert single[0].dtype == DOUBLE
    assert not single[0].requires_grad


@EVERY
def test_tuples_of_inputs(case, x, generator):
    if case.rectifiers:
        pytest.skip("the model of two inputs has no rectifier")
    other = torch.rand(3, 2, 2, dtype=DOUBLE, generator=generator)
    if "baselines" in case.arguments:
        case = type(case)(**{**vars(case), "arguments": {**case.arguments, "baselines": (0.3, 0.1)}})
    a, b = case.run(TwoInputs(), (x, other), target=2, additional_forward_args=torch.rand(3, dtype=DOUBLE))
    assert a.shape == x.shape
    assert b.shape == other.shape
    assert bool(b.any()) is not ("lrp" in case.name)  # exp(b) is a gate there, and gates get nothing


@EVERY
def test_a_batch_equals_its_examples_one_at_a_time(case, x):
    if case.samples:
        pytest.skip("draws are made for a batch: an example alone gets others")
    together = case.run(case.net(), x, target=[0, 1, 2])
    alone = torch.cat([case.run(case.net(), x[i : i + 1], target=i) for i in range(3)])
    assert torch.allclose(together, alone, rtol=1e-12, atol=1e-12)


@EVERY
def test_chunks_do_not_matter(case, x):
    if case.cap is None:
        pytest.skip("takes a single pass")
    model = cnn()
    images = torch.randn(4, 2, 6, 6, dtype=DOUBLE, generator=torch.Generator().manual_seed(3))
    loose = {"tolerance": 0.05} if case.arguments.get("n_steps") == "auto" else {}
    whole = case.run(model, images, target=1, **loose)
    for cap in (1, 3, 4, 7, 1000):
        found = case.run(model, images, target=1, **{case.cap: cap}, **loose)
        assert torch.allclose(found, whole, rtol=1e-9, atol=1e-12)


@EVERY
def test_permuted_features_permute_attributions(case, x):
    if case.samples:
        pytest.skip("noise is drawn per place")
    if case.windows:
        pytest.skip("neighbours share in an attribution")
    model, order = case.net(), torch.tensor([3, 1, 4, 0, 2])
    back = order.argsort()
    found = case.run(lambda v: model(v[:, back]), x[:, order], target=0)
    assert torch.allclose(found, case.run(model, x, target=0)[:, order], rtol=1e-12, atol=1e-12)


@EVERY
def test_a_feature_without_influence_gets_nothing(case, x):
    if not case.explains:
        pytest.skip("what a layer computes is no matter of influence")
    if case.windows:
        pytest.skip("neighbours share in an attribution")
    model = case.net(4)
    if case.estimates:
        pytest.skip("the estimate is not exact")
    found = case.run(lambda v: model(v[:, :4]), x, target=0)[:, 4]
    # outputs are compared: the same row is rounded otherwise in a larger matrix product
    tolerance = 1e-15 if case.perturbs else 0.0
    assert found.abs().max() <= tolerance


@EVERY
def test_completeness(case, x):
    if not case.complete:
        pytest.skip("the method has no completeness law")
    model, base = case.net(), torch.linspace(-0.5, 0.9, 5, dtype=DOUBLE)[None]
    found, delta = case.run(model, x, baselines=base, target=2, return_convergence_delta=True)
    difference = (model(x) - model(base))[:, 2]
    assert torch.allclose(found.sum(1) - difference, delta, atol=1e-12)
    assert (delta.abs() <= 1e-3 * difference.abs() + 1e-12).all()


@EVERY
def test_every_dtype(case, x):
    model = case.net()
    exact = case.run(model, x, target=0)
    for dtype, tolerance in ((torch.float32, 1e-3), (torch.bfloat16, 0.15), (torch.float16, 0.05)):
        found = case.run(case.net().to(dtype), x.to(dtype), target=0)
        assert found.dtype == dtype
        assert (found.double() - exact).abs().max() <= tolerance * max(1.0, float(exact.abs().max()))


@EVERY
def test_generators(case, x):
    """Deterministic methods draw nothing; sampling ones draw one number, or advance only the given generator."""
    state = torch.get_rng_state()
    arguments = {"seed": None} if case.samples else {}
    case.run(case.net(), x, target=0, **arguments)
    if not case.samples:
        assert torch.equal(state, torch.get_rng_state())
        return
    after = torch.get_rng_state()
    torch.set_rng_state(state)
    torch.randint(2**63 - 1, (1,))
    assert torch.equal(after, torch.get_rng_state())

    own = torch.Generator().manual_seed(5)
    first = case.run(case.net(), x, target=0, generator=own)
    second = case.run(case.net(), x, target=0, generator=own)
    assert torch.equal(after, torch.get_rng_state())
    assert not torch.equal(first, second)
    assert torch.equal(first, case.run(case.net(), x, target=0, generator=torch.Generator().manual_seed(5)))

    torch.manual_seed(1)
    again = [case.run(case.net(), x, target=0, **arguments) for _ in range(2)]
    torch.manual_seed(1)
    assert torch.equal(again[0], case.run(case.net(), x, target=0, **arguments))
    assert not torch.equal(again[0], again[1])


@EVERY
def test_threads_agree(case):
    model = cnn()
    images = torch.randn(4, 2, 8, 8, dtype=DOUBLE, generator=torch.Generator().manual_seed(4))
    expected = [case.run(model, images, target=t) for t in range(3)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda t: case.run(model, images, target=t % 3), range(12)))
    for i, value in enumerate(found):
        assert torch.equal(value, expected[i % 3])


@EVERY
def test_any_output_structure(case, x):
    model = case.net()
    expected = case.run(model, x, target=0)
    for wrap in (lambda o: (o, 1), lambda o: {"logits": o}, lambda o: [torch.zeros(3, dtype=torch.long), o]):
        assert torch.equal(case.run(lambda v, wrap=wrap: wrap(model(v)), x, target=0), expected)


@EVERY
def test_under_no_grad_and_inference_mode(case, x):
    model = case.net()
    expected = case.run(model, x, target=0)
    with torch.no_grad():
        assert torch.equal(case.run(model, x, target=0), expected)
    with torch.inference_mode():
        made_here = x * 1
        assert torch.equal(case.run(model, made_here, target=0), expected)
        assert torch.is_inference_mode_enabled()


@EVERY
def test_a_model_that_writes_into_what_it_gets(case, x):
    model, kept = case.net(), x.clone()
    scale = torch.full((3, 1), 2.0, dtype=DOUBLE)

    def writing(v, s):
        s.mul_(2)
        v.mul_(s)
        return model(v)

    found = case.run(writing, x, target=0, additional_forward_args=scale)
    assert torch.equal(x, kept)
    assert torch.equal(scale, torch.full((3, 1), 2.0, dtype=DOUBLE))
    expected = case.run(lambda v: model(v * 4), x, target=0)
    assert torch.allclose(found, expected, atol=1e-12)


@EVERY
def test_a_model_that_differentiates_inside_itself(case, x):
    """Forces: minus the gradient of an energy, taken within the forward pass; rules cannot follow there."""
    energy = case.net()

    def forces(v):
        v = v if v.requires_grad else v.requires_grad_()
        (g,) = torch.autograd.grad(energy(v).sum(), v, create_graph=True)
        return g

    def explicit(v):
        with torch.enable_grad():
            return forces(v if v.requires_grad else v.detach().clone())

    if case.rules:
        with pytest.raises(UnsupportedModelError, match="inside its forward pass"):
            case.run(forces, x, target=1)
        return
    assert torch.allclose(case.run(forces, x, target=1), case.run(explicit, x, target=1), atol=1e-12)


def test_steps_taken_are_reported_and_small_where_they_can_be(x):
    import pellucid

    with pellucid.recording() as report:
        IntegratedGradients(lambda v: (v**2).sum(1)).attribute(x, n_steps="auto")
    assert report.n_steps.tolist() == [9, 9, 9]
