"""What attacks refuse by name: bounds, masks, targets and functions of wrong kinds."""

import pytest
import torch

from pellucid.errors import InvalidTypeError, InvalidValueError
from pellucid.robust import APGD, FAB, FGSM, PGD, AttackComparator, MinParamPerturbation, RobustnessEvaluator
from tests.models import DOUBLE, mlp

X = torch.randn(2, 5, dtype=DOUBLE, generator=torch.Generator().manual_seed(1))


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
    ],
)
def test_refusals(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_bounds_beyond_64_bits_bound_nothing():
    free = FGSM(mlp()).perturb(X, 0.1, 0)
    assert torch.equal(FGSM(mlp(), lower_bound=-(2**70), upper_bound=2**63).perturb(X, 0.1, 0), free)
