"""What attacks refuse by name: bounds, masks, targets and functions of wrong kinds."""

import numpy as np
import pytest
import torch

from pellucid.errors import InvalidTypeError, InvalidValueError, PellucidError
from pellucid.robust import (
    APGD,
    FAB,
    FGSM,
    PGD,
    AttackComparator,
    MinParamPerturbation,
    RobustnessEvaluator,
    wilson_interval,
)
from tests.models import DOUBLE, mlp

X = torch.randn(2, 5, dtype=DOUBLE, generator=torch.Generator().manual_seed(1))


def searching(forward=None, **limits):
    how = {"arg_min": 0.0, "arg_max": 2.0, "arg_step": 0.5, **limits}
    return MinParamPerturbation(forward or mlp(), lambda x, size: x + size, "size", **how)


def changing():
    """A comparator whose metric returns more values each time."""
    seen = []

    def metric(out):
        seen.append(out)
        return torch.ones(1 + len(seen))

    comparator = AttackComparator(mlp(), metric)
    comparator.add_attack(lambda x: x, "same", num_attempts=3)
    return comparator


def twice_given():
    names = {"attack_kwargs": {"epsilon": 0.1}, "additional_attack_arg_names": ["epsilon"]}
    AttackComparator(mlp(), len).add_attack(FGSM(mlp()), **names)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: FGSM(mlp(), lower_bound=10**400), InvalidValueError, "lower_bound.*1329 bits"),
        (lambda: FGSM(mlp(), upper_bound=X.to(torch.cfloat)), InvalidTypeError, "upper_bound"),
        (lambda: FGSM(mlp(), upper_bound=X.to_sparse()), InvalidTypeError, "dense"),
        (lambda: FGSM(mlp()).perturb(X, 10**400, 0), InvalidValueError, "epsilon.*1329 bits"),
        (lambda: FGSM(mlp()).perturb(X, 0.1, 0, targeted="no"), InvalidTypeError, "True or False"),
        (lambda: FGSM(mlp()).perturb(X, 0.1, 0, mask=X.to_sparse()), InvalidTypeError, "dense"),
        (lambda: PGD(mlp()).perturb(X, 0.1, 0.1, 1, ()), InvalidValueError, "target"),
        (lambda: FAB(mlp()).perturb(X, ()), InvalidValueError, "target"),
        (lambda: MinParamPerturbation(mlp(), len, 3, 0, 1, 1), InvalidTypeError, "arg_name"),
        (lambda: APGD(mlp(), loss=[]), InvalidValueError, "loss"),
        (lambda: RobustnessEvaluator(mlp(), attacks=[[]]), InvalidValueError, "attacks"),
        (lambda: AttackComparator(mlp(), len).add_attack(len, name=X), InvalidTypeError, "name is a Tensor"),
        (lambda: AttackComparator(mlp(), len).add_attack(len, attack_kwargs=0.5), InvalidTypeError, "attack_kwargs"),
        (
            lambda: AttackComparator(mlp(), len).add_attack(len, additional_attack_arg_names=3),
            InvalidTypeError,
            "additional_attack_arg_names",
        ),
        (lambda: AttackComparator(mlp(), lambda out: {1}).evaluate(X), InvalidTypeError, "metric.*returned a set"),
        (lambda: AttackComparator(mlp(), lambda out: 10**400).evaluate(X), InvalidValueError, "metric.*1329 bits"),
        (lambda: AttackComparator(mlp(), torch.Tensor.to_sparse).evaluate(X), InvalidTypeError, "metric.*dense"),
        (lambda: AttackComparator(mlp(), lambda out: out.cfloat()).evaluate(X), InvalidTypeError, "metric.*complex64"),
        (lambda: changing().evaluate(X), InvalidValueError, r"metric.*shape \[4\] after \[3\]"),
        (twice_given, InvalidValueError, "additional_attack_arg_names is with 'epsilon'"),
        (lambda: searching().evaluate(X, target=0, attack_kwargs={"size": 1}), InvalidValueError, "attack_kwargs"),
        (lambda: searching().evaluate(X, target=0, per_example="no"), InvalidTypeError, "True or False"),
        (lambda: searching().evaluate((), target=0, per_example=True), InvalidValueError, "inputs is an empty tuple"),
        (lambda: searching(lambda x: x > 0).evaluate(X, target=0), InvalidTypeError, "forward_func.*torch.bool"),
        (lambda: searching(arg_max=1e300, arg_step=1e-300), InvalidValueError, "arg_step.*too many steps"),
        (lambda: searching(arg_min=-(10**308), arg_max=10**308, arg_step=1), InvalidValueError, "arg_step"),
        (lambda: wilson_interval("8", 10), InvalidTypeError, "successes is a str"),
        (lambda: wilson_interval(8, 0), InvalidValueError, "trials is 0"),
        (lambda: wilson_interval(11, 10), InvalidValueError, "successes is 11"),
        (lambda: wilson_interval(8, 10, 1.0), InvalidValueError, "confidence is 1.0"),
        (lambda: wilson_interval(8, 10, X), InvalidTypeError, "confidence is a Tensor"),
    ],
)
def test_refusals(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_bounds_beyond_64_bits_bound_nothing():
    free = FGSM(mlp()).perturb(X, 0.1, 0)
    assert torch.equal(FGSM(mlp(), lower_bound=-(2**70), upper_bound=2**63).perturb(X, 0.1, 0), free)


def test_a_search_by_halves_needs_no_list_of_its_values():
    """A million billion values, of which some fifty are tried."""
    tried = []

    def attack(x, size):
        tried.append(size)
        return x + size

    def forward(x):
        return torch.stack([x.sum(1) * 0, x.sum(1) - 5 * 3e5], 1)

    search = MinParamPerturbation(forward, attack, "size", 0.0, 1e6, 1e-9, mode="binary")
    found, size = search.evaluate(torch.zeros(1, 5, dtype=DOUBLE), target=0)
    assert abs(size - 3e5) < 1e-6
    assert torch.equal(found, torch.full((1, 5), size, dtype=DOUBLE))
    assert len(tried) < 60


def test_versions_that_cannot_be_joined_take_passes_of_their_own():
    """Perturbed batches of other dtypes, or without rows, are evaluated one by one."""
    versions = iter([X, X.float(), torch.tensor(1.0)])
    comparator = AttackComparator(lambda x: x.double().sum(), float)
    for name in ("double", "single", "scalar"):
        comparator.add_attack(lambda x: next(versions), name)
    found = comparator.evaluate(X, perturbations_per_eval=4)
    assert found["double"]["mean"] == float(X.sum())
    assert abs(found["single"]["mean"] - float(X.sum())) < 1e-5
    assert found["scalar"]["mean"] == 1.0


def test_counts_of_numpy_are_counts():
    assert wilson_interval(np.int64(8), np.int64(10)) == wilson_interval(8, 10)


def test_outputs_with_a_graph_of_their_own_are_compared():
    """A function that returns what it made before, graph and all, is seen through without a warning of torch."""
    made = (X[:, :3].clone().requires_grad_() * 2)[:, :3]
    with pytest.raises(PellucidError):
        FAB(lambda _: made).perturb(X, 0, n_iter=2, seed=1)
