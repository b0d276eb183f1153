"""Maximal sensitivity and the local Lipschitz estimate: closed forms, Captum, copies that may not share a call."""

import pytest
import torch

from pellucid.attr import GradientShap, InputXGradient, IntegratedGradients, Saliency
from pellucid.errors import ExpansionWarning, InvalidTypeError, InvalidValueError
from pellucid.metrics import default_perturb_func, local_lipschitz, sensitivity_max
from tests.metrics.models import Counting, curved, linear, rows
from tests.models import DOUBLE, GraphNet, TwoInputs


def wavy(x, radius=0.02):
    """A perturbation of each row that depends on the row alone."""
    return x + radius * torch.sin(13 * x)


def test_gradients_of_a_linear_model_do_not_move():
    x = rows()
    assert torch.equal(sensitivity_max(Saliency(linear).attribute, x), torch.zeros(3, dtype=DOUBLE))
    assert torch.equal(local_lipschitz(Saliency(linear).attribute, x), torch.zeros(3, dtype=DOUBLE))


def test_by_hand():
    x = rows()
    found = sensitivity_max(lambda v: v**2, x, perturb_func=lambda v: v * 1.1, norm_ord=1)
    assert torch.allclose(found, torch.full((3,), 0.21, dtype=DOUBLE))
    for order in (float("inf"), 10**400):
        zero = sensitivity_max(lambda v: v, torch.zeros(1, 2), perturb_func=lambda v: v + 3, norm_ord=order)
        assert torch.equal(zero, torch.tensor([3.0]))  # nothing is divided by a norm of zero
    slope = local_lipschitz(lambda v: 7 * v, x, n_perturb_samples=4)
    assert torch.allclose(slope, torch.full((3,), 7.0, dtype=DOUBLE))


@pytest.mark.parametrize("norm", ["fro", 1, 2.5, float("inf")])
@pytest.mark.parametrize("per_example", [False, True])
def test_equal_to_captum(norm, per_example):
    captum = pytest.importorskip("captum.metrics")
    model, x, target, base = curved()
    base = rows(4, seed=6) if per_example else base
    method = IntegratedGradients(model)
    arguments = {"perturb_func": wavy, "perturb_radius": 0.1, "norm_ord": norm, "target": target, "baselines": base}
    ours = sensitivity_max(method.attribute, x, n_perturb_samples=3, **arguments)
    theirs = captum.sensitivity_max(method.attribute, x, n_perturb_samples=3, **arguments)
    assert torch.allclose(ours, theirs, rtol=1e-9)


def test_the_largest_change_counts_wherever_it_stands():
    """Copies of an example stand side by side, each moved by another factor."""
    captum = pytest.importorskip("captum.metrics")
    model, x, target, _ = curved()

    def uneven(v):
        copies = len(v) // 4
        factors = torch.tensor([1.0, 1.3, 0.9, 1.1, 1.05], dtype=v.dtype)[:copies].repeat(4)
        return v * factors[:, None]

    method = Saliency(model)
    ours = sensitivity_max(method.attribute, x, uneven, n_perturb_samples=5, target=target)
    theirs = captum.sensitivity_max(method.attribute, x, uneven, n_perturb_samples=5, target=target)
    assert torch.allclose(ours, theirs, rtol=1e-9)
    own = method.attribute(x, target)
    moved = torch.stack([method.attribute(x * f, target) for f in (1.0, 1.3, 0.9, 1.1, 1.05)])
    assert torch.allclose(ours, ((moved - own).norm(dim=2) / own.norm(dim=1)).amax(0), rtol=1e-9)


def test_tuples_equal_captum():
    captum = pytest.importorskip("captum.metrics")
    a, b, scale = rows(3), rows(3, 2, seed=1), torch.tensor([1.0, 2.0, 0.5], dtype=DOUBLE)
    method = InputXGradient(TwoInputs())
    arguments = {"perturb_func": lambda v: (wavy(v[0]), wavy(v[1])), "target": 0, "additional_forward_args": scale}
    ours = sensitivity_max(method.attribute, (a, b), **arguments)
    assert torch.allclose(ours, captum.sensitivity_max(method.attribute, (a, b), **arguments), rtol=1e-9)


def test_chunks_and_generators():
    model, x, target, _ = curved()
    method = Saliency(model)
    state = torch.get_rng_state()
    for metric in (sensitivity_max, local_lipschitz):
        scores = [
            metric(method.attribute, x, target=target, seed=3, max_examples_per_batch=cap)
            for cap in (None, 1, 4, 9, 40)
        ]
        assert all(torch.allclose(scores[0], other, rtol=1e-9) for other in scores)
        generator = torch.Generator().manual_seed(3)
        by_generator = metric(method.attribute, x, target=target, generator=generator)
        assert torch.equal(by_generator, scores[0])
        assert not torch.equal(metric(method.attribute, x, target=target, generator=generator), scores[0])
    assert torch.equal(state, torch.get_rng_state())


def test_cost():
    model, x, target, _ = curved()
    counting = Counting(model)
    sensitivity_max(Saliency(counting).attribute, x, target=target, n_perturb_samples=10)
    assert counting.rows == 4 * (10 + 1 + 1 + 1)  # copies, the inputs, and to check the shared call these and one again
    assert counting.calls == 3


def test_feature_masks_and_tensors_follow_the_copies():
    seen = []

    def explain(x, feature_mask, scale):
        seen.append((len(x), len(feature_mask), len(scale)))
        return x * feature_mask

    x, mask = rows(3), torch.arange(15).reshape(3, 5)
    sensitivity_max(explain, x, feature_mask=mask, scale=[1, 2], n_perturb_samples=2, perturb_func=wavy)
    assert seen == [(3, 3, 2), (9, 9, 2), (3, 3, 2)]


def test_explanations_that_draw_or_mix_are_asked_one_copy_at_a_time():
    model, x, target, base = curved()
    method = GradientShap(model)
    with pytest.warns(ExpansionWarning, match="draws random numbers"):
        found = sensitivity_max(method.attribute, x, target=target, baselines=base, n_samples=200, seed=1)
    assert (found > 0).all()
    graph, nodes, edges = GraphNet(), rows(4, 3), torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])
    saliency = Saliency(lambda v: graph(v, edges))
    with pytest.warns(ExpansionWarning):
        together = sensitivity_max(saliency.attribute, nodes, target=0, perturb_func=wavy)
    alone = [saliency.attribute(v, target=0).flatten(1) for v in (nodes, wavy(nodes))]
    assert torch.allclose(together, (alone[1] - alone[0]).norm(dim=1) / alone[0].norm(dim=1), rtol=1e-9)


def test_copies_that_bend_to_the_inputs_are_asked_one_at_a_time():
    """The inputs are the largest of the batch: beside the copies they are explained as they are alone."""

    def scaled(v):
        return v * v.sum(1, keepdim=True) / v.abs().max()

    x = rows(3)
    with pytest.warns(ExpansionWarning):
        together = sensitivity_max(scaled, x, perturb_func=lambda v: 0.5 * wavy(v), n_perturb_samples=2)
    alone = [scaled(v) for v in (x, 0.5 * wavy(x))]
    assert torch.allclose(together, (alone[1] - alone[0]).norm(dim=1) / alone[0].norm(dim=1))


def test_models_of_one_batch_size_are_asked_one_copy_at_a_time_and_failures_stay_failures():
    def fixed(v):
        return (v.reshape(3, 5) ** 2).sum(1)

    x = rows(3)
    with pytest.warns(ExpansionWarning, match="takes no other"):
        found = sensitivity_max(lambda v: v * fixed(v)[:, None], x, perturb_func=wavy)
    alone = [v * (v**2).sum(1, keepdim=True) for v in (x, wavy(x))]
    assert torch.allclose(found, (alone[1] - alone[0]).norm(dim=1) / alone[0].norm(dim=1))
    calls = []

    def fails(v):
        calls.append(len(v))
        if len(calls) > 1:
            raise RuntimeError("the wheels came off")
        return v

    with pytest.raises(RuntimeError, match="wheels came off"):
        sensitivity_max(fails, x, perturb_func=wavy)
    assert len(calls) == 3


def test_the_default_noise_fills_the_cube():
    x = torch.zeros(1000, 3)
    drawn = default_perturb_func(x, 0.5, generator=torch.Generator().manual_seed(0))
    assert drawn.abs().max() <= 0.5
    assert drawn.abs().max() > 0.49
    assert abs(float(drawn.mean())) < 0.02
    pair = default_perturb_func((x, x.double()), 0.1)
    assert [part.dtype for part in pair] == [torch.float32, DOUBLE]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"explanation_func": None}, InvalidTypeError, "explanation_func"),
        ({"explanation_func": lambda v: v[:1]}, InvalidValueError, "1 rows for 3"),
        ({"explanation_func": lambda v: 3.0}, InvalidTypeError, "explanation"),
        ({"perturb_func": 4}, InvalidTypeError, "perturb_func"),
        ({"perturb_func": lambda v: v[:, :2]}, InvalidValueError, "perturb_func"),
        ({"perturb_func": wavy, "seed": 1}, InvalidValueError, "draws for itself"),
        ({"perturb_radius": -1.0}, InvalidValueError, "perturb_radius"),
        ({"perturb_radius": "big"}, InvalidTypeError, "perturb_radius"),
        ({"norm_ord": "nuc"}, InvalidTypeError, "norm_ord"),
        ({"norm_ord": 0}, InvalidValueError, "norm_ord"),
        ({"n_perturb_samples": 0}, InvalidValueError, "n_perturb_samples"),
        ({"max_examples_per_batch": 0}, InvalidValueError, "max_examples"),
        ({"return_convergence_delta": True}, InvalidValueError, "no attribution"),
        ({"taget": 0}, TypeError, "taget"),
    ],
)
def test_refusals(change, error, words):
    arguments = {"explanation_func": lambda v: v, "inputs": rows()}
    with pytest.raises(error, match=words):
        sensitivity_max(**{**arguments, **change})
